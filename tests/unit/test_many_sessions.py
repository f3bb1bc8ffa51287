"""Many sessions at once: trees of them, and functions mapped over them."""

import os
import signal
import warnings
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
from oscaxr.sessions import node_of


@pytest.fixture(scope="module")
def mouse(tmp_path_factory):
    """The folder of a mouse's three sessions, and their table."""
    folder = tmp_path_factory.mktemp("mouse")
    table = ox.sample.write_mouse(folder, scale=0.02, n_rois=(5, 6, 7), n_tracked=3)
    return folder, table


@pytest.fixture(scope="module")
def with_a_bad_one(mouse, tmp_path_factory):
    """The same, the second file cut short."""
    folder, table = mouse
    other = tmp_path_factory.mktemp("bad")
    for path in folder.rglob("*.nwb"):
        target = other / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes()
        bad = str(table.sessid.iloc[1]) in path.name
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


def kills_its_worker_once(ds, marker):
    if int(ds.session) == 2 and not Path(marker).exists():
        Path(marker).touch()
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
            with ox.open_session(int(row.sessid), datadir=folder, sessions=table) as ds:
                xr.testing.assert_identical(node, ds)
                assert node_of(ds) == f"/mouse_1/session_{number}"


def test_the_tree_is_lazy_and_closes(mouse, monkeypatch):
    from oscaxr.io.hdf5 import DatasetReader

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


def test_ways_to_say_which(mouse):
    folder, table = mouse
    paths = sorted(folder.rglob("*.nwb"))
    ids = [int(number) for number in table.sessid]
    by_id = [f"/mouse_{table.mouseid.iloc[0]}/session_{number}" for number in ids]
    asked = {
        "paths": (paths, {}, by_id),
        "ids": (ids, {"datadir": folder}, by_id),
        "ids and table": (ids, {"datadir": folder, "table": table}, None),
        "folder": (folder, {}, None),
        "table file": (folder / "mouse_df.csv", {"datadir": folder}, None),
    }
    for what, options, nodes in asked.values():
        with ox.open_sessions(what, **options) as tree:
            expected = nodes or [f"/mouse_1/session_{k}" for k in (1, 2, 3)]
            assert [node.path for node in tree.leaves] == expected


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
    number = int(table.sessid.iloc[1])
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


@pytest.mark.parametrize("scheduler", [None, "threads", "synchronous"])
def test_mapping_equals_a_loop(mouse, scheduler):
    folder, table = mouse
    found = ox.map_sessions(
        mean_response, table, datadir=folder, scheduler=scheduler, workers=2, post=0.4
    )
    assert [node.path for node in found.leaves] == [f"/mouse_1/session_{k}" for k in (1, 2, 3)]
    for number, session_id in enumerate(table.sessid, start=1):
        with ox.open_session(int(session_id), datadir=folder, sessions=table) as ds:
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
    assert counts.sel(session_id=table.sessid.iloc[2]).item() == 7
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


def test_a_session_that_does_not_open(with_a_bad_one):
    folder, table = with_a_bad_one
    with pytest.raises(SessionsFailedError, match=str(table.sessid.iloc[1])) as caught:
        ox.map_sessions(one_number, table, datadir=folder, scheduler="synchronous")
    assert caught.value.results.values.tolist() == [5, 7]


def test_a_worker_process_that_dies(mouse, tmp_path):
    folder, table = mouse
    with pytest.raises(SessionsFailedError, match="died"):
        ox.map_sessions(
            kills_its_worker_once, table, str(tmp_path / "killed"), datadir=folder, workers=2
        )


@pytest.mark.slow
def test_on_a_cluster_with_a_worker_killed(mouse, tmp_path):
    distributed = pytest.importorskip("distributed")
    folder, table = mouse
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with (
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
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
