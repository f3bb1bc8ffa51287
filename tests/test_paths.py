"""Places on this computer: what they are, and that nothing is written where none was meant."""

import importlib
from pathlib import Path

import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import OscaxrError, PlaceError, UnsafeTargetError
from oscaxr.paths import local_path
from small_sessions import small_spec


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("s3://bucket/o", "is an address"),
        (Path("s3://bucket/o"), "is an address"),
        ("HTTPS://example.org/o", "is an address"),
        ("simplecache::s3://bucket/o", "is an address"),
        ("a\0b", "NUL"),
        ("a\ud800", "cannot be a file name"),
        ("~nobody-of-this-name/o", "whose home"),
        (b"o", "is no path"),
        (None, "is no path"),
    ],
)
def test_what_is_no_place(path, words):
    with pytest.raises(PlaceError, match=words):
        local_path(path)


@pytest.mark.parametrize("path", ["a:b", "C:/o", "data:o", "-o", "\udcff", "a\nb", "."])
def test_what_is_one_however_odd(path):
    assert local_path(path) == Path(path)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder, which is not the working folder."""
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


def saved(place):
    return ox.save(xr.Dataset({"a": 1}), f"{place}/o.zarr")


TAKERS = {
    "save": saved,
    "convert": lambda place: ox.convert("nothing.nwb", place, progress=False),
    "write_nwb": lambda place: ox.sample.write_nwb(small_spec(), place),
    "write_original": lambda place: ox.sample.write_original(small_spec(), place),
    "write_mouse": lambda place: ox.sample.write_mouse(place, scale=0.01),
    "open_session": ox.open_session,
    "open_exported": ox.open_exported,
    "open_sessions": ox.open_sessions,
    "engine": lambda place: xr.open_dataset(place, engine="oscaxr"),
    "find_sessions": ox.find_sessions,
    "datadir": lambda place: ox.open_session(1, datadir=place),
    "table": ox.session_table,
}


@pytest.mark.parametrize("place", ["ftp://host/o", "~nobody-of-this-name/o", "a\0b", "n" * 300])
@pytest.mark.parametrize("taker", TAKERS)
def test_all_that_take_a_path_refuse_what_is_none(home, taker, place):
    with pytest.raises(OscaxrError):
        TAKERS[taker](place)
    made = [one for folder in home.parent.iterdir() for one in folder.iterdir()]
    # (pynwb keeps something there when it is first imported.)
    assert not [one for one in made if one.name != ".cache"]


@pytest.mark.parametrize("taker", ["save", "convert", "write_nwb", "write_original", "write_mouse"])
def test_a_file_where_a_folder_should_be(home, taker):
    Path("file").write_text("years of work")
    with pytest.raises(OscaxrError, match="file"):
        TAKERS[taker]("file")
    assert Path("file").read_text() == "years of work"
    assert [one.name for one in Path().iterdir()] == ["file"]


def test_the_home_folder_is_meant_wherever_a_path_is_taken(home, sample_path):
    (home / "data").mkdir()
    (home / "data" / "m.nwb").symlink_to(sample_path)
    for opened in (ox.open_session, TAKERS["engine"]):
        with opened("~/data/m.nwb") as ds:
            assert ds.sizes["roi"]
    assert len(ox.find_sessions("~/data")) == 1
    ox.convert("~/data/m.nwb", "~/exports", workers=1, progress=False)
    assert (home / "exports").is_dir()
    assert saved("~") == home / "o.zarr"
    assert not [*Path().iterdir()]


def test_a_link_that_leads_to_itself(home):
    link = Path("o.zarr")
    link.symlink_to(link)
    with pytest.raises(UnsafeTargetError, match="is a link"):
        ox.save(xr.Dataset({"a": 1}), link, overwrite=True)
    assert [one.name for one in Path().iterdir()] == ["o.zarr"]


def test_the_command_line_puts_the_home_folder_in(home, sample_path):
    app = importlib.import_module("oscaxr.cli.main").app
    runner = importlib.import_module("typer.testing").CliRunner()
    words = ["extract", str(sample_path), "gabor_frame=A", "--post=0.1", "--out=~/a.nc"]
    done = runner.invoke(app, words)
    assert done.exit_code == 0, done.stderr
    assert (home / "a.nc").exists()
    done = runner.invoke(app, [*words[:-1], "--out=s3://bucket/\udcff.nc"])
    assert done.exit_code == 1
    assert "is no address of a file on a server" in done.stderr
    assert not [*Path().iterdir()]
