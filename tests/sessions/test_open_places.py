"""Every place opens alike, by function and engine, with options checked once for all formats."""

import io
import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import OptionError, RenamedError
from oscaxr.formats import registry
from oscaxr.options import DEFAULTS, PARTS, OpenOptions
from small_sessions import USEFUL_VARIABLES, only, small_spec

pytestmark = pytest.mark.filterwarnings("ignore::oscaxr.errors.InvalidRoiWarning")


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> dict[str, Path]:
    """One session in each format."""
    folder = tmp_path_factory.mktemp("places")
    spec = small_spec()
    nwb = ox.sample.write_nwb(spec, folder)
    found = {"nwb": nwb, "original": Path(ox.sample.write_original(spec, folder / "original"))}
    with ox.open_session(nwb) as ds:
        for suffix in ("zarr", "zarr.zip", "nc"):
            found[suffix] = ox.save(ds, folder / f"exports/s.{suffix}")
    return found


FORMATS = ("nwb", "original", "zarr", "zarr.zip", "nc")
every_format = pytest.mark.parametrize(
    "form", [pytest.param(one, marks=[pytest.mark.slow] * (one == "zarr.zip")) for one in FORMATS]
)


@every_format
def test_the_engine_and_the_function_give_the_same(places, form):
    with (
        ox.open_session(places[form]) as ds,
        xr.open_dataset(places[form], engine="oscaxr") as by_engine,
        xr.open_dataset(str(places[form]), engine="oscaxr", chunks={}) as chunked,
    ):
        assert chunked.dff.chunks
        assert ds.encoding["source"] == by_engine.encoding["source"]
        xr.testing.assert_identical(ds.load(), by_engine.load())
        xr.testing.assert_identical(ds, chunked.load())


@every_format
def test_the_table_counts_for_every_place(places, form):
    spec = small_spec()
    row = {"sessid": spec.session_id, "mouseid": spec.mouse_id, "mouse_n": 4, "sess_n": 2}
    table = ox.session_table(pd.DataFrame([row]))
    with (
        ox.open_session(places[form], table=table) as ds,
        xr.open_dataset(places[form], engine="oscaxr", table=table) as by_engine,
    ):
        assert (int(ds.mouse), int(ds.session)) == (4, 2)
        assert (int(by_engine.mouse), int(by_engine.session)) == (4, 2)


@pytest.mark.parametrize("name", ["s.h5", "without_suffix", "S.NWB"])
def test_the_table_counts_whatever_the_name(places, tmp_path, name):
    spec = small_spec()
    row = {"sessid": spec.session_id, "mouseid": spec.mouse_id, "mouse_n": 4, "sess_n": 2}
    path = Path(shutil.copy(places["nwb"], tmp_path / name))
    with ox.open_session(path, table=pd.DataFrame([row])) as ds:
        assert int(ds.mouse) == 4
    # The table may be called anything, too.
    pd.DataFrame([{**row, "sessid": 759189643}]).to_csv(tmp_path / "rows", index=False)
    for open_it in (
        lambda: ox.open_session(path, table=tmp_path / "rows"),
        lambda: xr.open_dataset(path, engine="oscaxr", table=tmp_path / "rows"),
        lambda: ox.open_sessions([path], table=tmp_path / "rows"),
        lambda: xr.open_datatree(places["nwb"].parent, engine="oscaxr", table=tmp_path / "rows"),
    ):
        with pytest.raises(ox.errors.SessionNotFoundError, match="no session with session id"):
            open_it()


@every_format
def test_names_are_left_out_of_every_place(places, form):
    with ox.open_session(places[form], drop_variables=["roi_mask", "sex"]) as ds:
        assert "roi_mask" not in ds
    with xr.open_dataset(places[form], engine="oscaxr", drop_variables="dff") as ds:
        assert "dff" not in ds


def openers(place):
    """All ways to open a session, each as a function of the options."""

    def size(ds):
        return ds.sizes["roi"]

    return {
        "open_session": lambda **o: ox.open_session(place, **o),
        "engine": lambda **o: xr.open_dataset(place, engine="oscaxr", **o),
        "open_sessions": lambda **o: ox.open_sessions([place], **o),
        "map_sessions": lambda **o: ox.map_sessions(size, [place], scheduler="synchronous", **o),
    }


@every_format
@pytest.mark.parametrize("opener", ["open_session", "engine", "open_sessions", "map_sessions"])
def test_options_that_are_wrong_are_errors_everywhere(places, form, opener):
    open_with = openers(places[form])[opener]
    error = (OptionError, ox.errors.SessionsFailedError)
    with pytest.raises(error, match=r"include='sqares'.*'squares', 'templates', 'movie' and 'all'"):
        open_with(include="sqares")
    with pytest.raises(error, match=r"fluorescence='df': it is 'dff' or 'raw'"):
        open_with(fluorescence="df")
    if opener != "map_sessions":  # which hands other words to the function
        with pytest.raises(error, match=r"includ=.*do you mean include\?"):
            open_with(includ="squares")
    with pytest.raises((*error, ox.errors.CriterionError), match="storage_options"):
        open_with(storage_options={"timeout": 3})


@every_format
def test_an_option_that_a_format_cannot_honour_is_named_with_it(places, form):
    ask = {"segmentation": "allen", "fluorescence": "raw", "keep_decoded": True}
    honoured = registry.format_of(places[form]).options
    for name, value in ask.items():
        if name in honoured:
            continue
        with pytest.raises(OptionError) as failure:
            ox.open_session(places[form], **{name: value})
        assert f"{name}={value!r}" in str(failure.value)
        assert registry.format_of(places[form]).name in str(failure.value)
    with pytest.raises(OptionError, match="storage_options") as failure:
        ox.open_session(places[form], storage_options={"timeout": 3})
    assert registry.format_of(places[form]).name in str(failure.value)


@every_format
def test_dff_is_asked_of_what_is_known_to_hold_it(places, form):
    if form in ("nwb", "original"):
        with ox.open_session(places[form], fluorescence="dff"):
            return
    # An export may be one of raw fluorescence.
    with pytest.raises(OptionError, match=r"fluorescence='dff': .* is an export in"):
        ox.open_session(places[form], fluorescence="dff")


@pytest.mark.slow
def test_parts_are_asked_of_exports_too(places, tmp_path):
    with ox.open_session(places["nwb"], include="squares") as ds:
        path = ox.save(ds, tmp_path / "s.zarr")
        with ox.open_session(path, include="squares") as export:
            assert np.array_equal(export.square_x, ds.square_x)
    with pytest.raises(ox.errors.MissingVariableError, match="movie"):
        ox.open_session(path, include=["squares", "movie"])
    with ox.open_session(places["zarr"], include="all") as ds:
        assert "square_x" not in ds


def test_declared_options_are_all_options():
    assert set(DEFAULTS) == set(OpenOptions.__annotations__)
    assert set(PARTS) < {"squares", "templates", "movie", "all"}


def test_what_is_no_place_is_refused_in_words(places):
    with h5py.File(places["nwb"]) as file:
        for what in (places["nwb"].read_bytes(), io.BytesIO(b""), file):
            with pytest.raises(ox.OscaxrError, match="give the path or the URL"):
                xr.open_datatree(what, engine="oscaxr")
            with pytest.raises(ox.OscaxrError, match="give the path or the URL"):
                xr.open_dataset(what, engine="oscaxr")
    for opened in (ox.open_session, lambda path: xr.open_dataset(path, engine="oscaxr")):
        with pytest.raises(ox.errors.SessionNotFoundError, match="it is a folder"):
            opened(places["nwb"].parent)
        with pytest.raises(ox.errors.SessionNotFoundError, match="no such file or folder"):
            opened(places["nwb"].with_name("gone.nwb"))


@pytest.mark.slow
def test_trees_by_the_engine(places, tmp_path):
    with ox.open_sessions([places["nwb"]]) as tree:
        saved = ox.save(tree, tmp_path / "tree.zarr")
        with xr.open_datatree(saved, engine="oscaxr") as again:
            xr.testing.assert_identical(again.load(), tree.load())
    with pytest.raises(OptionError, match="segmentation"):
        xr.open_datatree(saved, engine="oscaxr", segmentation="allen")
    ox.sample.write_mouse(tmp_path / "mouse", scale=0.02, n_rois=(3, 3, 3), n_tracked=2)
    with (
        xr.open_datatree(tmp_path / "mouse", engine="oscaxr") as tree,
        ox.open_sessions(tmp_path / "mouse") as same,
    ):
        assert len(tree.leaves) == 3
        xr.testing.assert_identical(tree.load(), same.load())


def test_old_words_of_opening_name_the_new(places):
    with pytest.raises(RenamedError, match="table="):
        ox.open_session(places["nwb"], sessions="mouse_df.csv")


@pytest.mark.slow
def test_home_is_where_its_sign_says(places, tmp_path, monkeypatch):
    home, here = tmp_path / "home", tmp_path / "here"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    here.mkdir()
    monkeypatch.chdir(here)
    spec = ox.sample.SampleSpec(n_rois=3, n_tracked=2, scale=0.02, dropped=0.0)
    path = ox.sample.write_nwb(spec, "~/one")
    ox.sample.write_original(spec, "~/original")
    ox.sample.write_mouse("~/mouse", scale=0.02, n_rois=3, n_tracked=2)
    short = f"~/{path.relative_to(home).as_posix()}"
    with ox.open_session(short) as ds, xr.open_dataset(short, engine="oscaxr") as same:
        xr.testing.assert_identical(ds.dff, same.dff)
        ox.save(only(ds, USEFUL_VARIABLES), "~/s.zarr")
    with ox.open_exported("~/s.zarr") as export, ox.open_session("~/s.zarr") as same:
        xr.testing.assert_identical(export.dff, same.dff)
    table = ox.session_table("~/mouse/mouse_df.csv")
    assert len(ox.find_sessions("~/mouse")) == len(table) == 3
    found = {"datadir": "~/mouse", "table": "~/mouse/mouse_df.csv"}
    ox.open_session(mouse=1, session=1, **found).close()
    ox.open_sessions("~/mouse", table="~/mouse/mouse_df.csv").close()
    (done,) = ox.convert([short], "~/converted", workers=1)
    assert Path(done.target).parent == home / "converted"
    ox.session_table(table[:1]).to_csv(home / "one.csv", index=False)
    (done,) = ox.convert("~/one.csv", "~/again", datadir="~/mouse", workers=1)
    assert (done.status, Path(done.target).parent) == ("written", home / "again")
    assert not list(here.iterdir())


def test_what_is_no_place_is_said_shortly(places):
    content = places["nwb"].read_bytes()
    for odd in (content, io.BytesIO(content)):
        for open_with in (ox.open_session, ox.open_sessions):
            with pytest.raises(ox.errors.OscaxrError) as failure:
                open_with(odd)
            assert len(str(failure.value)) < 300
    with h5py.File(places["nwb"]) as file:
        for open_with in (ox.open_session, ox.open_sessions):
            with pytest.raises(ox.errors.OscaxrError, match=r"is a File|HDF5 file"):
                open_with(file)


def test_a_tree_of_a_url_keeps_the_url(monkeypatch):
    url = "http://127.0.0.1:9/s.nwb"
    quick = {"retries": 0, "timeout": 0.1}
    with pytest.raises(ox.errors.OscaxrError, match=url):
        xr.open_datatree(url, engine="oscaxr", storage_options=quick)
