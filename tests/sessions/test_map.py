"""Many sessions at once: trees of them, and functions mapped over them."""

import os
import signal
import sys
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import (
    AmbiguousSessionError,
    CriterionError,
    FailedSessionsWarning,
    SessionNotFoundError,
    SessionsFailedError,
)
from oscaxr.sessions.tree import node_of
from oscaxr.sessions.workers import RETRIES


@pytest.fixture(scope="module")
def mouse(mouse_with_table):
    """The folder of a mouse's three sessions, and their table."""
    return mouse_with_table, ox.session_table(mouse_with_table / "mouse_df.csv")


@pytest.fixture(scope="module")
def with_a_bad_one(mouse, tmp_path_factory):
    """The same, the second file cut short."""
    folder, table = mouse
    other = tmp_path_factory.mktemp("bad")
    for path in folder.rglob("*.nwb"):
        target = other / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes()
        bad = str(table.session_id.iloc[1]) in path.name
        target.write_bytes(data[: len(data) // 3] if bad else data)
    return other, table


def mean_response(ds, post=0.5):
    u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="A"), post=post)
    return u.mean(("sequence", "rel_time"))


def one_number(ds):
    return int(ds.sizes["roi"])


def one_frame(ds):
    return ds.osca.blocks().to_dataframe()[["stimulus_type"]]


def fails_on_second(ds):
    if int(ds.session) == 2:
        raise ValueError("no luck with this one")
    return one_number(ds)


def exits_on_second(ds):
    if int(ds.session) == 2:
        sys.exit("done here")
    return one_number(ds)


def kills_its_worker_once(ds, marker):
    if int(ds.session) == 2 and not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return one_number(ds)


def kills_its_worker(ds, folder):
    if int(ds.session) == 2:
        (folder / str(os.getpid())).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return one_number(ds)


def test_a_tree_of_sessions(mouse):
    folder, table = mouse
    with ox.open_sessions(table, datadir=folder) as tree:
        paths = [node.path for node in tree.leaves]
        assert paths == [f"/mouse_1/session_{k}" for k in (1, 2, 3)]
        assert not tree.dims
        assert not tree.data_vars
        for number, (_, row) in enumerate(table.iterrows(), start=1):
            node = tree[f"mouse_1/session_{number}"].to_dataset()
            with ox.open_session(int(row.session_id), datadir=folder, table=table) as ds:
                xr.testing.assert_identical(node, ds)
                assert node_of(ds) == f"/mouse_1/session_{number}"


def test_the_tree_is_lazy_and_closes(mouse, monkeypatch):
    from oscaxr.files.hdf5_arrays import DatasetReader

    folder, table = mouse

    def refuse(*_):
        raise AssertionError("data were read")

    with monkeypatch.context() as patch:
        patch.setattr(DatasetReader, "read", refuse)
        tree = ox.open_sessions(table, datadir=folder)
        repr(tree)
    tree.close()
    held = [fd.resolve() for fd in Path("/proc/self/fd").iterdir()]
    assert not [path for path in held if folder in path.parents]


@pytest.mark.slow
def test_ways_to_say_which(mouse):
    folder, table = mouse
    paths = sorted(folder.rglob("*.nwb"))
    ids = [int(number) for number in table.session_id]
    by_id = [f"/mouse_{table.mouse_id.iloc[0]}/session_{number}" for number in ids]
    asked = {
        "paths": (paths, {}, by_id),
        "ids, and the table that lies there": (ids, {"datadir": folder}, None),
        "ids and table": (ids, {"datadir": folder, "table": table}, None),
        "words and table": (map(str, ids), {"datadir": folder, "table": table}, None),
        "paths and table": (paths, {"table": folder / "mouse_df.csv"}, None),
        "folder": (folder, {}, None),
        "table file": (folder / "mouse_df.csv", {"datadir": folder}, None),
    }
    for what, options, nodes in asked.values():
        with ox.open_sessions(what, **options) as tree:
            expected = nodes or [f"/mouse_1/session_{k}" for k in (1, 2, 3)]
            assert [node.path for node in tree.leaves] == expected


@pytest.mark.slow
def test_a_table_says_the_numbers(mouse):
    folder, table = mouse
    published = table.assign(mouse=11, session=[4, 5, 6])
    nodes = [f"/mouse_11/session_{k}" for k in (4, 5, 6)]
    for what in (folder, sorted(folder.rglob("*.nwb"))):
        with ox.open_sessions(what, table=published) as tree:
            assert [node.path for node in tree.leaves] == nodes
    counts = ox.map_sessions(one_number, folder, table=published, scheduler="synchronous")
    assert counts.session.values.tolist() == [4, 5, 6]
    with pytest.raises(CriterionError, match="leave table= out"):
        ox.open_sessions(table, datadir=folder, table=published)


def test_ids_that_are_none_or_not_in_the_table(mouse):
    folder, table = mouse
    one = int(table.session_id.iloc[1])
    for wrong in (one + 0.5, None):
        with pytest.raises(CriterionError, match="whole number"):
            ox.open_sessions([wrong], datadir=folder)
    with pytest.raises(SessionNotFoundError, match="no session with session id 123456789"):
        ox.open_sessions([123456789, one], datadir=folder, table=table)
    asked = {"datadir": folder, "table": table, "errors": "collect"}
    with pytest.warns(FailedSessionsWarning, match="no session with session id 123456789"):
        tree = ox.open_sessions([123456789, one], **asked)
    with tree:
        assert [node.path for node in tree.leaves] == ["/mouse_1/session_2"]


def test_pilot_mice_do_not_mix_with_production_mice():
    ds = ox.sample.session(n_rois=4, scale=0.02)
    pilot = ds.assign_coords(run_type="pilot")
    assert node_of(ds) == "/mouse_1/session_1"
    assert node_of(pilot) == "/pilot_mouse_1/session_1"


def test_the_same_session_twice(mouse):
    folder, _ = mouse
    path = next(folder.rglob("*.nwb"))
    with pytest.raises(AmbiguousSessionError, match="twice"):
        ox.open_sessions([path, path])
    with pytest.raises(CriterionError, match="give rows"):
        ox.open_sessions(3.5)


def test_one_bad_session(with_a_bad_one):
    folder, table = with_a_bad_one
    number = int(table.session_id.iloc[1])
    with pytest.raises(ox.OscaxrError, match=str(number)):
        ox.open_sessions(table, datadir=folder)
    with pytest.warns(FailedSessionsWarning, match=f"session {number}: FormatError"):
        tree = ox.open_sessions(table, datadir=folder, errors="collect")
    with tree:
        assert [node.path for node in tree.leaves] == ["/mouse_1/session_1", "/mouse_1/session_3"]
        assert str(number) in tree.attrs["failures"]
    with pytest.raises(CriterionError, match="collect"):
        ox.open_sessions(table, datadir=folder, errors="ignore")
    with pytest.raises(SessionNotFoundError):
        ox.open_sessions([1], datadir=folder)


@pytest.mark.parametrize(
    "scheduler", [None, "threads", pytest.param("synchronous", marks=pytest.mark.slow)]
)
def test_mapping_equals_a_loop(mouse, scheduler):
    folder, table = mouse
    found = ox.map_sessions(
        mean_response, table, datadir=folder, scheduler=scheduler, workers=2, post=0.4
    )
    assert [node.path for node in found.leaves] == [f"/mouse_1/session_{k}" for k in (1, 2, 3)]
    for number, session_id in enumerate(table.session_id, start=1):
        with ox.open_session(int(session_id), datadir=folder, table=table) as ds:
            expected = mean_response(ds, post=0.4).load()
        xr.testing.assert_identical(found[f"mouse_1/session_{number}"].dff, expected)


def test_mapping_over_a_tree_takes_what_was_selected(mouse):
    folder, table = mouse
    with ox.open_sessions(table, datadir=folder) as tree:
        few = tree.map_over_datasets(lambda ds: ds.isel(roi=[0, 1]) if ds.dims else ds)
        counts = ox.map_sessions(one_number, few, scheduler="synchronous")
    assert counts.values.tolist() == [2, 2, 2]


def test_numbers_become_an_array_and_frames_a_frame(mouse):
    folder, table = mouse
    counts = ox.map_sessions(one_number, table, datadir=folder, scheduler="synchronous")
    assert counts.dims == ("session_id",)
    assert counts.values.tolist() == [5, 6, 7]
    assert counts.session.values.tolist() == [1, 2, 3]
    assert counts.sel(session_id=table.session_id.iloc[2]).item() == 7
    frames = ox.map_sessions(one_frame, table, datadir=folder, scheduler="synchronous")
    assert isinstance(frames, pd.DataFrame)
    assert frames.index.get_level_values("session").unique()[0] == "/mouse_1/session_1"


def test_a_failing_function(mouse):
    folder, table = mouse
    with pytest.raises(SessionsFailedError, match="no luck with this one") as caught:
        ox.map_sessions(fails_on_second, table, datadir=folder, scheduler="threads")
    assert list(caught.value.failures) == ["/mouse_1/session_2"]
    assert caught.value.results.values.tolist() == [5, 7]
    with pytest.warns(FailedSessionsWarning, match="session_2: ValueError"):
        found = ox.map_sessions(
            fails_on_second, table, datadir=folder, scheduler="threads", errors="collect"
        )
    np.testing.assert_array_equal(found.session, [1, 3])


@pytest.mark.parametrize("scheduler", ["processes", "threads", "synchronous"])
def test_a_function_that_exits_fails_for_its_session_alone(mouse, scheduler):
    folder, table = mouse
    with pytest.raises(SessionsFailedError, match="session_2: SystemExit: done here") as caught:
        ox.map_sessions(exits_on_second, table, datadir=folder, scheduler=scheduler, workers=2)
    assert caught.value.results.values.tolist() == [5, 7]


def test_a_session_that_does_not_open(with_a_bad_one):
    folder, table = with_a_bad_one
    with pytest.raises(SessionsFailedError, match=str(table.session_id.iloc[1])) as caught:
        ox.map_sessions(one_number, table, datadir=folder, scheduler="synchronous")
    assert caught.value.results.values.tolist() == [5, 7]


def test_a_worker_that_dies_once_loses_nothing(mouse, tmp_path):
    folder, table = mouse
    marker = tmp_path / "killed"
    counts = ox.map_sessions(kills_its_worker_once, table, marker, datadir=folder, workers=2)
    assert marker.exists()
    assert counts.values.tolist() == [5, 6, 7]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_always_dies_is_the_failure_of_its_session_alone(mouse, tmp_path, workers):
    folder, table = mouse
    with pytest.warns(
        FailedSessionsWarning, match=f"session {table.session_id.iloc[1]}: .*3 times"
    ):
        counts = ox.map_sessions(
            kills_its_worker, table, tmp_path, datadir=folder, workers=workers, errors="collect"
        )
    np.testing.assert_array_equal(counts.session, [1, 3])
    assert counts.values.tolist() == [5, 7]
    assert len(list(tmp_path.iterdir())) == 1 + RETRIES


ANY_XARRAY = {
    "coordinate": (lambda ds: ds.roi, "result"),
    "coordinate of segments": (lambda ds: ds["segment"], "result"),
    "array without a name": (lambda ds: (ds.dff * 2).rename(None)[:3], "result"),
    "array": (lambda ds: ds.dff[:3], "dff"),
    "variable": (lambda ds: ds.roi_id.variable, "result"),
    "coordinates": (lambda ds: ds.osca.blocks().coords, None),
    "dataset": (lambda ds: ds[["max_projection"]], "max_projection"),
}


def each(names, quick):
    """Take all names, those that are not quick with the slow tests."""
    return [pytest.param(one, marks=[pytest.mark.slow] * (one not in quick)) for one in names]


@pytest.mark.parametrize("what", each(ANY_XARRAY, ["coordinate of segments"]))
def test_any_xarray_object_can_be_returned(mouse, what):
    folder, table = mouse
    func, name = ANY_XARRAY[what]
    found = ox.map_sessions(func, table, datadir=folder, scheduler="synchronous")
    assert [node.path for node in found.leaves] == [f"/mouse_1/session_{k}" for k in (1, 2, 3)]
    for node, path in zip(found.leaves, sorted(folder.rglob("*.nwb")), strict=True):
        with ox.open_session(path) as ds:
            expected = func(ds)
            values = node.coords if name is None else node[name]
            if name is None:
                assert values.to_dataset().sizes == expected.to_dataset().sizes
            else:
                data = expected[name] if isinstance(expected, xr.Dataset) else expected
                np.testing.assert_array_equal(values.values, data.values)
                assert values.dims == data.dims


def test_a_tree_can_be_returned(mouse):
    folder, table = mouse

    def tree(ds):
        return xr.DataTree.from_dict({"/": ds[["roi_id"]], "/means/dff": ds[["dff"]].mean("time")})

    found = ox.map_sessions(tree, table, datadir=folder, scheduler="synchronous")
    assert found["mouse_1/session_2/means/dff"].dff.dims == ("roi",)
    assert found["mouse_1/session_2"].roi_id.sizes == {"roi": 6}


VALUES = {
    "numpy number": (lambda ds: np.float32(ds.sizes["roi"]), "f"),
    "0-d array": (lambda ds: np.array(ds.sizes["roi"]), "i"),
    "flag": (lambda ds: int(ds.session) > 1, "b"),
    "word": (lambda ds: str(ds.line.item()), "U"),
    "time": (lambda ds: np.datetime64("2018-09-26") + np.timedelta64(int(ds.session), "D"), "M"),
}


@pytest.mark.parametrize("what", each(VALUES, ["numpy number", "time"]))
def test_single_values_of_one_kind_become_an_array(mouse, what):
    folder, table = mouse
    func, kind = VALUES[what]
    found = ox.map_sessions(func, table, datadir=folder, scheduler="synchronous")
    assert found.dims == ("session_id",)
    assert found.dtype.kind == kind
    with ox.open_session(int(table.session_id.iloc[2]), datadir=folder, table=table) as ds:
        assert found.sel(session_id=table.session_id.iloc[2]).values == np.asarray(func(ds))


OTHERS = {
    "none": lambda ds: None,
    "tuple": lambda ds: (ds.sizes["roi"], "rois"),
    "dict": lambda ds: {"rois": ds.sizes["roi"]},
    "numpy array": lambda ds: np.zeros(3),
    "number or flag": lambda ds: True if int(ds.session) == 1 else 2,
    "number or word": lambda ds: "one" if int(ds.session) == 1 else 2,
    "number or none": lambda ds: None if int(ds.session) == 1 else 2,
    "array or frame": lambda ds: ds.roi if int(ds.session) == 1 else pd.DataFrame({"a": [1]}),
    "frame or series": lambda ds: pd.DataFrame({"a": [1]})["a" if int(ds.session) == 1 else ["a"]],
}


@pytest.mark.parametrize("what", each(OTHERS, ["array or frame"]))
def test_anything_else_becomes_a_dict(mouse, what):
    folder, table = mouse
    func = OTHERS[what]
    found = ox.map_sessions(func, table, datadir=folder, scheduler="synchronous")
    assert list(found) == [f"/mouse_1/session_{k}" for k in (1, 2, 3)]
    for number, value in enumerate(found.values(), start=1):
        with ox.open_session(mouse=1, session=number, datadir=folder, table=table) as ds:
            expected = func(ds)
        assert type(value) is type(expected)
        if not isinstance(value, xr.DataArray):
            assert str(value) == str(expected)


def test_what_is_lazy_is_read_before_the_session_closes(mouse, open_files):
    folder, table = mouse
    found = ox.map_sessions(
        lambda ds: {"trace": [ds.dff[:, 0]]}, table, datadir=folder, scheduler="threads"
    )
    assert all(value["trace"][0].variable._in_memory for value in found.values())
    assert not open_files(folder)


def test_the_same_session_twice_runs_nothing(mouse, tmp_path):
    folder, table = mouse
    paths = sorted(folder.rglob("*.nwb"))
    first = int(table.session_id.iloc[0])
    copy = tmp_path / "copy.nwb"
    copy.write_bytes(paths[0].read_bytes())

    def never(ds):
        raise AssertionError

    for what in ([first, first], [paths[0], paths[1], paths[0]], [first, paths[0]], [first, copy]):
        with pytest.raises(AmbiguousSessionError, match=str(first)):
            ox.map_sessions(never, what, datadir=folder, scheduler="synchronous")


@pytest.mark.slow
def test_the_same_session_by_names_that_do_not_tell(mouse, tmp_path):
    folder, _ = mouse
    paths = sorted(folder.rglob("*.nwb"))
    export = tmp_path / "export.zarr"
    with ox.open_session(paths[0]) as ds:
        ox.save(ds, export)
    with pytest.raises(AmbiguousSessionError, match="asked for twice") as caught:
        ox.map_sessions(one_number, [paths[0], export, paths[1]], scheduler="synchronous")
    assert str(export) in str(caught.value)


def test_sessions_are_opened_as_asked(mouse):
    folder, table = mouse

    def what(ds):
        return sorted(set(ds.variables) & {"square_x", "run_velocity"}), ds.dff.chunks is not None

    found = ox.map_sessions(
        what, table, datadir=folder, scheduler="synchronous",
        include="squares", drop_variables="run_velocity", chunks={},
    )  # fmt: skip
    assert list(found.values()) == [(["square_x"], True)] * 3


def needs_chunks(ds, chunks):
    return chunks


def test_options_are_not_lost_silently(mouse):
    folder, table = mouse
    with pytest.raises(CriterionError, match=r"chunks: an option.*partial"):
        ox.map_sessions(needs_chunks, table, datadir=folder, chunks=3)
    found = ox.map_sessions(
        partial(needs_chunks, chunks=3), table, datadir=folder, scheduler="threads", chunks={}
    )
    assert found.values.tolist() == [3, 3, 3]
    with (
        ox.open_sessions(table, datadir=folder) as tree,
        pytest.raises(CriterionError, match=r"datadir, include: .* are open; give"),
    ):
        ox.map_sessions(one_number, tree, datadir=folder, include="squares")


@pytest.mark.slow
def test_on_a_cluster_with_a_worker_killed(mouse, tmp_path):
    distributed = pytest.importorskip("distributed")
    folder, table = mouse
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with (
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0",
                local_directory=str(tmp_path),
            ) as cluster,
            distributed.Client(cluster) as client,
        ):  # fmt: skip
            found = ox.map_sessions(mean_response, table, datadir=folder, scheduler=client)
            marker = tmp_path / "killed"
            counts = ox.map_sessions(
                kills_its_worker_once, table, str(marker), datadir=folder, scheduler=client
            )
            with pytest.raises(SessionsFailedError, match="no luck") as caught:
                ox.map_sessions(fails_on_second, table, datadir=folder, scheduler=client)
    assert marker.exists()
    assert counts.values.tolist() == [5, 6, 7]
    assert caught.value.results.values.tolist() == [5, 7]
    expected = ox.map_sessions(mean_response, table, datadir=folder, scheduler="synchronous")
    for ours, theirs in zip(found.leaves, expected.leaves, strict=True):
        xr.testing.assert_identical(ours.to_dataset(), theirs.to_dataset())
