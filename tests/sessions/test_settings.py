"""Which data folder and session table are used where a call does not say, and who said so."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import xarray as xr

import oscaxr as ox
from command_line import told
from oscaxr.errors import CriterionError, OscaxrWarning, SessionNotFoundError, TableError
from oscaxr.sessions.settings import DATADIR, TABLE, TABLE_NAME

ROOT = Path(__file__).resolve().parents[2]
ID = 900000001


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in (DATADIR, TABLE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three sessions of a mouse with their table; and beside it the same, without the table."""
    folder = tmp_path_factory.mktemp("set") / "data"
    ox.sample.write_mouse(folder, scale=0.01, n_rois=2, n_tracked=1)
    bare = folder.with_name("bare")
    bare.mkdir()
    for path in folder.rglob("*.nwb"):
        (bare / path.name).hardlink_to(path)
    return folder


@pytest.fixture
def bare(data):
    return data.with_name("bare")


@pytest.fixture
def other(data, tmp_path):
    """A table without the first session, whose mouse has another number."""
    table = pd.read_csv(data / TABLE_NAME)
    table["mouse_n"] = 5
    path = tmp_path / "other.csv"
    table[table["sessid"] != ID].to_csv(path, index=False)
    return path


def mouse_of(*args, **options):
    with ox.open_session(*args, **options) as ds:
        return int(ds["mouse"]) if "mouse" in ds.coords else None


def test_the_environment_stands_for_the_arguments(data, bare, monkeypatch):
    monkeypatch.setenv(DATADIR, str(bare))
    assert mouse_of(ID) is None
    monkeypatch.setenv(TABLE, str(data / TABLE_NAME))
    assert mouse_of(ID) == 1
    assert mouse_of(mouse=1, session=1, run_type="prod") == 1
    assert len(ox.find_sessions()) == 3
    rows = ox.session_table(data / TABLE_NAME).query("session == 1")
    with ox.open_sessions(rows) as one, ox.open_sessions([ID]) as other:
        assert [node.path for node in one.leaves] == [node.path for node in other.leaves]


def test_a_table_in_the_folder_is_heeded(data, monkeypatch):
    assert mouse_of(ID, datadir=data) == 1
    assert mouse_of(mouse=1, session=1, datadir=data) == 1
    monkeypatch.setenv(DATADIR, str(data))
    assert mouse_of(ID) == 1
    # Of a folder that is searched, too: its table tells of planes, which counting does not.
    with ox.open_sessions(data) as tree:
        assert [str(node["plane"].item()) for node in tree.leaves] == ["soma"] * 3


def test_arguments_come_before_the_environment_and_that_before_the_folder(data, other, monkeypatch):
    monkeypatch.setenv(DATADIR, "/nowhere")
    monkeypatch.setenv(TABLE, str(other))
    assert mouse_of(ID + 1, datadir=data) == 5
    assert mouse_of(ID + 1, datadir=data, table=data / TABLE_NAME) == 1


def test_a_path_by_function_and_engine_is_the_same(data, bare, open_both, monkeypatch):
    monkeypatch.setenv(TABLE, str(data / TABLE_NAME))
    (path,) = bare.glob(f"*{ID}*")
    assert open_both(path).mouse == 1


def test_a_found_table_may_lack_a_session_and_a_given_one_may_not(data, other, monkeypatch):
    (path,) = data.rglob(f"*{ID}*.nwb")
    monkeypatch.setenv(TABLE, str(other))
    for asked in ({"session_id": ID, "datadir": data}, {"session_id": path}):
        with pytest.warns(OscaxrWarning, match=rf"{other.name} \({TABLE}\) does not have"):
            assert mouse_of(**asked) is None
        with pytest.raises(SessionNotFoundError):
            mouse_of(**asked, table=other)
    with pytest.warns(OscaxrWarning, match="does not have"):
        xr.open_dataset(path, engine="oscaxr").close()
    with (
        pytest.warns(OscaxrWarning, match="1 session.*not in the session table"),
        ox.open_sessions(data) as tree,
    ):
        nodes = [node.path for node in tree.leaves]
    assert nodes[1:] == ["/mouse_5/session_2", "/mouse_5/session_3"]
    # A choice by a column of the table is no less a choice for the table being found.
    with pytest.raises(SessionNotFoundError):
        mouse_of(ID, datadir=data, run_type="prod")


def test_what_is_set_wrongly_names_the_variable(data, monkeypatch):
    with pytest.raises(CriterionError, match=DATADIR):
        ox.open_session(ID)
    with pytest.raises(CriterionError, match=DATADIR):
        ox.find_sessions()
    monkeypatch.setenv(DATADIR, "/nowhere")
    with pytest.raises(SessionNotFoundError, match=f"{DATADIR} is /nowhere"):
        ox.open_session(ID)
    monkeypatch.setenv(TABLE, "/nowhere.csv")
    with pytest.raises(TableError, match=f"{TABLE} is /nowhere.csv"):
        ox.open_session(ID, datadir=data)


def shown(capsys, **given):
    ox.show_config(**given)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"oscaxr {ox.__version__}"
    cells = [re.split(r"\s{2,}", line) for line in lines[1:]]
    return {name: (value, source) for name, value, source in cells}


def test_show_config_says_which_and_why(data, other, monkeypatch, capsys):
    monkeypatch.delenv("OSCAXR_THREADS", raising=False)
    found = shown(capsys)
    assert found["datadir"] == found["table"] == ("none", "is not set")
    assert found["threads"][1] == "default"
    table = str(data / TABLE_NAME)
    assert shown(capsys, datadir=data)["table"] == (table, "lies in the data folder")
    monkeypatch.setenv(DATADIR, str(data))
    monkeypatch.setenv("OSCAXR_THREADS", "3")
    monkeypatch.setenv("TMPDIR", str(data))
    found = shown(capsys)
    assert found["datadir"] == (str(data), DATADIR)
    assert found["table"] == (table, "lies in the data folder")
    assert found["threads"] == ("3", "OSCAXR_THREADS")
    assert found["temporary files"][1] == "TMPDIR"
    monkeypatch.setenv(TABLE, str(other))
    assert shown(capsys)["table"] == (str(other), TABLE)
    assert shown(capsys, table="no.csv")["table"] == ("no.csv", "the argument, but it is not there")


def test_show_config_of_a_data_folder_in_a_store(object_store, data, monkeypatch, capsys):
    url = object_store.put(data / TABLE_NAME, f"config/{TABLE_NAME}").rpartition("/")[0]
    monkeypatch.setenv(DATADIR, url)
    found = shown(capsys, storage_options=object_store.options)
    assert found["datadir"] == (url, DATADIR)
    assert found["table"] == (f"{url}/{TABLE_NAME}", "lies in the data folder")
    # What is set is said where it cannot be reached, too: then it is needed.
    nowhere = {"client_kwargs": {"endpoint_url": "http://127.0.0.1:9"}}
    nowhere["config_kwargs"] = {"retries": {"max_attempts": 0}}
    found = shown(capsys, storage_options=object_store.options | nowhere)
    assert found["datadir"] == (url, DATADIR)
    assert found["table"][0] == "unknown"
    assert found["table"][1].startswith(
        f"the data folder cannot be looked into: could not read {url}"
    )
    how = "--storage-option=client_kwargs=" + json.dumps(object_store.options["client_kwargs"])
    login = [f"--storage-option={name}={object_store.options[name]}" for name in ("key", "secret")]
    assert "lies in" in told("config", "--datadir", url, *login, how)


def test_every_variable_that_is_read_is_in_the_guide():
    page = (ROOT / "docs" / "guide" / "configuration.md").read_text(encoding="utf-8")
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "oscaxr").rglob("*.py")]
    read = {name for text in texts for name in re.findall(r"\"(OSCAXR_[A-Z]+)\"", text)}
    assert read >= {DATADIR, TABLE, "OSCAXR_THREADS"}
    assert [name for name in sorted(read) if f"`{name}`" not in page] == []
