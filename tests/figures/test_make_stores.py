"""Figures in object stores: results are kept there, and found there by the next run."""

import importlib
from pathlib import Path

import pandas as pd
import pytest

import oscaxr as ox
from command_line import invoke
from object_store import SECRET
from oscaxr.errors import CriterionError
from oscaxr.figures import make_figures
from oscaxr.figures.make import SUMMARY

fsspec = pytest.importorskip("fsspec")

ROOT = "memory://drawn/figures"
FEW = {"shuffles": 60, "permutations": 300, "splits": 2, "workers": 1, "progress": False}


@pytest.fixture
def memory():
    store = fsspec.filesystem("memory")
    yield store
    if store.exists("/drawn"):
        store.rm("/drawn", recursive=True)


def files_below(place):
    if isinstance(place, Path):
        return [one.as_posix() for one in place.rglob("*.*")]
    return place.find("/drawn") if place.exists("/drawn") else []


def table_at(address, **options):
    with fsspec.open(address, **options) as csv:
        return pd.read_csv(csv)


def test_panels_and_results_lie_there(memory, mice, tmp_path, monkeypatch):
    rows = mice.rows[mice.rows["session_id"].isin([900000001, 900000002])]
    options = {"datadir": mice.folder, "figure": "4F", "paper": "analysis", **FEW}
    made = make_figures(rows, ROOT, **options)
    assert (made.n_computed, made.n_kept) == (2, 0)
    (panel,) = made.panels
    assert panel.picture.startswith(f"{ROOT}/analysis/figure_4/4F_")
    results = [f"{ROOT}/session_results/gabor_usis_tracked/ses-{one}.nc" for one in made.sessions]
    addresses = {panel.picture, *panel.numbers, *results, f"{ROOT}/{SUMMARY}"}
    assert addresses == {f"memory:/{one}" for one in memory.find("/drawn")}
    assert set(table_at(panel.numbers[1])["session"].dropna()) == {1, 2}
    (picture,) = table_at(f"{ROOT}/{SUMMARY}")["picture"]
    assert panel.picture == f"{ROOT}/{picture}"
    # One that is cut short is computed again, and no other.
    short, _ = memory.find("/drawn/figures/session_results")
    memory.pipe(short, memory.cat(short)[:500])
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    mended = make_figures(rows, ROOT, **options)
    assert (mended.n_computed, mended.n_kept) == (1, 1)
    assert not [*temporary.iterdir()]


@pytest.mark.parametrize("is_here", [True, False], ids=["folder", "store"])
def test_numbers_of_an_earlier_picture_do_not_stay(is_here, memory, mice, tmp_path):
    root = str(tmp_path) if is_here else ROOT
    options = {"datadir": mice.folder, "paper": "analysis", "figure": "9B", **FEW}
    rows = mice.rows[mice.rows["session_id"].isin([900000002, 900000003])]
    (drawn,) = make_figures(rows, root, **options).panels
    assert len(drawn.numbers) == 2
    (gap,) = make_figures(rows[:1], root, **options).panels
    assert (gap.status, gap.picture) == ("gap", drawn.picture)
    left = [one for place in (tmp_path, memory) for one in files_below(place)]
    assert {one.rpartition(".")[2] for one in left if "/figure_9/" in one} == {"png"}


def test_what_is_no_folder_is_refused_before_anything_is_done(mice):
    with pytest.raises(CriterionError, match="nothing can be written there"):
        make_figures(mice.table, "https://host/figures", figure="4G", **FEW)


def test_options_concern_what_is_on_a_server(memory, mice, tmp_path):
    chosen = importlib.import_module("oscaxr.figures.chosen_sessions")
    storage = {"skip_instance_cache": True}
    memory.put(str(mice.table), "/drawn/mouse_df.csv")
    for table in (mice.table, "memory://drawn/mouse_df.csv"):
        sources, _ = chosen.chosen_sources(table, mice.folder, None, storage)
        assert [one.options for one in sources] == [{}] * 6
    sources, _ = chosen.chosen_sources("memory://drawn/mouse_df.csv", None, None, storage)
    assert [one.options for one in sources] == [{"storage_options": storage}] * 6
    assert sources[0].datadir.options == storage
    index = ox.write_index(next(mice.folder.rglob("*.nwb")), tmp_path / "i.json")
    (source,), _ = chosen.chosen_sources(index, None, None, storage)
    assert source.options["storage_options"] == storage


@pytest.mark.slow
def test_in_s3_by_the_command(object_store, mice, tmp_path):
    url = object_store.url("figures")
    data = object_store.put(mice.folder, "mice")
    words = [
        word
        for name, value in object_store.options.items()
        for word in ("--storage-option", f"{name}={value}".replace("'", '"'))
    ]
    often = ("--shuffles", 60, "--permutations", 300)
    command = ("figures", data, "--figure", "4F", "--paper", "analysis", *often, *words)
    counts = []
    for workers in (2, 1):
        done = invoke(*command, "-o", url, "--workers", workers)
        assert done.exit_code == 0, done.stderr
        assert SECRET not in done.stdout + done.stderr
        counts.append(done.stdout.splitlines()[-1])
    assert counts[0].startswith("5 sessions, 5 results computed, 0 kept")
    assert counts[1] == f"5 sessions, 0 results computed, 5 kept; 1 drawn: {url}"
    contents = [object_store.fs.cat(key) for key in object_store.keys("figures")]
    assert not any(SECRET.encode() in one for one in contents)
    here = make_figures(mice.folder, tmp_path, figure="4F", paper="analysis", **FEW)
    path = here.panels[0].numbers[1]
    name = path.replace("\\", "/").rpartition("/analysis/")[2]
    there = table_at(f"{url}/analysis/{name}", **object_store.options)
    pd.testing.assert_frame_equal(there, pd.read_csv(path))
