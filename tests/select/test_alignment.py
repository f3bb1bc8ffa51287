"""Sessions side by side: joined on the label of their ROIs, whatever the order of anything."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import oscaxr as ox
from how_many import examples
from oscaxr.errors import SchemaError, TrackingError
from oscaxr.select.alignment import align_tracked

STIMULUS = {"gabor_frame": "U"}


def statistic(random, n_rois, ids, *, mouse=1, session=1, n_frames=4, fps=30.0, dims=("rel_time",)):
    """One session's statistic over ROIs in any order, with ROIs that are not tracked between."""
    rows = random.permutation(n_rois)[: len(ids)]
    tracking_id = np.full(n_rois, -1)
    tracking_id[rows] = random.permutation(ids)
    sizes = {"rel_time": n_frames, "stat": 2}
    offsets = np.arange(n_frames) - 1
    coords = {
        "roi": np.arange(n_rois),
        "tracking_id": ("roi", tracking_id),
        "roi_id": ("roi", 1000 * session + 100_000 * mouse + np.arange(n_rois)),
        "mouse": mouse,
        "mouse_id": 400_000 + mouse,
        "session": session,
        "session_id": 7_000_000 + 10 * mouse + session,
        "plane": "soma",
        "depth": 175 + session,
    }
    if "rel_time" in dims:
        coords |= {"rel_time": offsets / fps, "rel_frame": ("rel_time", offsets)}
    return xr.DataArray(
        random.normal(size=(n_rois, *(sizes[dim] for dim in dims))),
        dims=("roi", *dims),
        coords=coords,
        name="dff",
        attrs={"units": "1", "fps": fps},
    )


def value_of(array, tracking_id):
    """Values and ROI id of a tracked ROI, found by looking."""
    row = array["tracking_id"].values.tolist().index(tracking_id)
    return array.values[row], int(array["roi_id"][row])


@st.composite
def mice(draw, n_mice=(1, 3)):
    """Statistics of sessions of some mice, in any order."""
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    sessions = []
    for mouse in range(draw(st.integers(*n_mice))):
        ids = sorted(draw(st.sets(st.integers(0, 9), min_size=1, max_size=5)))
        for number in draw(st.sets(st.integers(1, 4), min_size=1)):
            n_rois = len(ids) + draw(st.integers(0, 4))
            fps = draw(st.sampled_from([30.08, 30.15]))
            sessions.append(statistic(random, n_rois, ids, mouse=mouse, session=number, fps=fps))
    return draw(st.permutations(sessions))


@given(mice(n_mice=(1, 1)))
def test_one_mouse_equals_a_loop(sessions):
    aligned = align_tracked(sessions)
    assert aligned.dims[:2] == ("session", "tracking_id")
    assert aligned["session"].values.tolist() == sorted(int(own["session"]) for own in sessions)
    for own in sessions:
        part = aligned.sel(session=int(own["session"]))
        assert int(part["session_id"]) == int(own["session_id"])
        assert int(part["depth"] if "session" in aligned["depth"].dims else own["depth"]) == int(
            own["depth"]
        )
        assert float(part["fps"]) == own.attrs["fps"]
        np.testing.assert_allclose(part["rel_time"], own["rel_time"])
        np.testing.assert_array_equal(part["rel_frame"], own["rel_frame"])
        for tracking_id in aligned["tracking_id"].values:
            values, roi_id = value_of(own, tracking_id)
            found = part.sel(tracking_id=tracking_id)
            np.testing.assert_array_equal(found, values)
            assert int(found["roi_id"]) == roi_id
            assert int(own["roi_id"][int(found["roi"])]) == roi_id


@given(mice(n_mice=(2, 3)))
def test_several_mice_equal_a_loop(sessions):
    aligned = align_tracked(sessions)
    if len({int(own["mouse_id"]) for own in sessions}) == 1:
        return
    assert aligned.dims[:2] == ("session", "tracked_roi")
    seen = 0
    for place in range(aligned.sizes["tracked_roi"]):
        roi = aligned.isel(tracked_roi=place)
        for number in aligned["session"].values:
            found = roi.sel(session=number)
            own = [
                one
                for one in sessions
                if int(one["mouse_id"]) == int(roi["mouse_id"]) and int(one["session"]) == number
            ]
            assert bool(found["recorded"]) == bool(own)
            if not own:
                assert found.isnull().all()
                assert int(found["roi_id"]) == int(found["session_id"]) == -1
                continue
            values, roi_id = value_of(own[0], int(roi["tracking_id"]))
            np.testing.assert_array_equal(found, values)
            assert int(found["roi_id"]) == roi_id
            assert int(found["session_id"]) == int(own[0]["session_id"])
            assert float(found["fps"]) == own[0].attrs["fps"]
            seen += 1
    assert seen == sum(int((own["tracking_id"] >= 0).sum()) for own in sessions)


@given(mice(), st.randoms(use_true_random=False))
def test_order_of_sessions_and_of_rois_means_nothing(sessions, random):
    whole = align_tracked(sessions)
    moved = []
    for own in sessions:
        rows = list(range(own.sizes["roi"]))
        random.shuffle(rows)
        moved.append(own.isel(roi=rows))
    random.shuffle(moved)
    xr.testing.assert_identical(align_tracked(moved), whole)


@given(mice())
@settings(max_examples=examples(10))
def test_results_can_be_written(tmp_path_factory, sessions):
    for stack in (None, True):
        aligned = align_tracked(sessions, stack=stack)
        path = tmp_path_factory.mktemp("aligned") / "a.nc"
        aligned.to_netcdf(path)
        with xr.open_dataarray(path) as back:
            xr.testing.assert_identical(back.load(), aligned)


def test_equal_rates_stay_on_time():
    random = np.random.default_rng(0)
    sessions = [statistic(random, 5, [0, 1], session=k) for k in (2, 1)]
    aligned = align_tracked(sessions)
    assert aligned.dims == ("session", "tracking_id", "rel_time")
    np.testing.assert_array_equal(aligned["rel_time"], sessions[0]["rel_time"])
    assert aligned["rel_frame"].dims == ("rel_time",)
    assert aligned.attrs == sessions[0].attrs
    assert aligned["plane"].ndim == aligned["mouse_id"].ndim == 0
    assert aligned["depth"].values.tolist() == [176, 177]


def test_different_windows_are_refused():
    random = np.random.default_rng(0)
    sessions = [statistic(random, 5, [0], session=k, n_frames=3 + k) for k in (1, 2)]
    with pytest.raises(SchemaError, match=r"position 0: -1 to 2; session at position 1: -1 to 3"):
        align_tracked(sessions)
    aligned = align_tracked([own.isel(rel_time=slice(4)) for own in sessions])
    assert aligned.sizes["rel_time"] == 4


def test_tracked_sets_that_differ_name_what_is_missing_where():
    random = np.random.default_rng(0)
    sessions = {
        "a": statistic(random, 6, [0, 1, 3], session=1),
        "b": statistic(random, 6, [0, 3], session=2),
        "c": statistic(random, 6, [0, 1, 2], session=3),
        "d": statistic(random, 6, [0], mouse=2, session=1),
        "e": statistic(random, 6, [1], mouse=2, session=2),
    }
    with pytest.raises(TrackingError) as raised:
        align_tracked(sessions)
    lines = str(raised.value).splitlines()[1:]
    assert lines == [
        "  - mouse_id 400001: session 1 (a) lacks the tracking ids [2]",
        "  - mouse_id 400001: session 2 (b) lacks the tracking ids [1, 2]",
        "  - mouse_id 400001: session 3 (c) lacks the tracking ids [3]",
        "  - mouse_id 400002: session 1 (d) lacks the tracking ids [1]",
        "  - mouse_id 400002: session 2 (e) lacks the tracking ids [0]",
    ]


def test_all_unusable_sessions_are_named():
    random = np.random.default_rng(0)
    good = statistic(random, 4, [0, 1])
    twice = good.assign_coords(tracking_id=("roi", [0, 0, 1, -1]))
    sessions = {
        "good": good,
        "untracked": good.assign_coords(tracking_id=("roi", [-1] * 4)),
        "twice": twice,
        "twice over": twice.swap_dims(roi="tracking_id"),
        "bare": good.drop_vars("tracking_id"),
        "nobody": good.drop_vars(["mouse", "mouse_id"]),
        "nothing": 3,
        "dataset": good.to_dataset(),
    }
    with pytest.raises(TrackingError) as raised:
        align_tracked(sessions)
    lines = str(raised.value).splitlines()[1:]
    starts = [line.split(":")[0].strip(" -") for line in lines]
    assert starts == [*list(sessions)[1:-1], "some are Datasets, some arrays"]


def test_sessions_and_mice_must_be_told_apart():
    random = np.random.default_rng(0)
    one, two = (statistic(random, 4, [0], mouse=mouse) for mouse in (1, 2))
    with pytest.raises(TrackingError, match=r"session \[1\] given more than once"):
        align_tracked([one, one])
    with pytest.raises(TrackingError, match="2 mice"):
        align_tracked([one, two], stack=False)
    with pytest.raises(TrackingError, match="some mouse"):
        align_tracked([one, two.drop_vars("mouse_id")])
    with pytest.raises(TrackingError, match="number of the session"):
        align_tracked([one, two.drop_vars("session")])
    with pytest.raises(TrackingError, match="without session numbers"):
        align_tracked([one.drop_vars("session"), two.drop_vars("session")])
    with pytest.raises(TrackingError, match="need numbers"):
        align_tracked([one.drop_vars("session")], stack=True)
    with pytest.raises(TrackingError, match="no sessions"):
        align_tracked([])


def test_sessions_without_numbers_are_ordered_by_id():
    random = np.random.default_rng(0)
    sessions = [statistic(random, 4, [0, 1], session=k).drop_vars("session") for k in (3, 1)]
    aligned = align_tracked(sessions)
    assert "session" not in aligned.coords
    assert aligned["session_id"].dims == ("session",)
    assert np.diff(aligned["session_id"])[0] == 2


def test_mice_of_the_pilot_are_others():
    random = np.random.default_rng(0)
    one, two = (
        statistic(random, 4, [0]).drop_vars("mouse_id").assign_coords(run_type=run_type)
        for run_type in ("prod", "pilot")
    )
    aligned = align_tracked([one, two])
    assert aligned.sizes["tracked_roi"] == 2
    assert set(aligned["run_type"].values) == {"prod", "pilot"}


def test_other_labels_and_variables_must_agree():
    random = np.random.default_rng(0)
    one, two = (
        statistic(random, 4, [0], session=k, dims=("stat",)).assign_coords(stat=["mean", "sem"])
        for k in (1, 2)
    )
    assert align_tracked([one, two])["stat"].dims == ("stat",)
    with pytest.raises(SchemaError, match=r"labels or sizes differ .* 'stat'"):
        align_tracked([one, two.assign_coords(stat=["mean", "std"])])
    with pytest.raises(SchemaError, match=r"labels or sizes differ .* sizes: {1, 2}"):
        align_tracked([one.drop_vars("stat"), two.drop_vars("stat").isel(stat=[0])])
    with pytest.raises(SchemaError, match="differ in median"):
        align_tracked([one.to_dataset(), two.to_dataset().assign(median=two[:, 0])])


def test_several_mice_with_what_does_not_run_over_rois():
    random = np.random.default_rng(0)
    ds = [statistic(random, 4, [0], mouse=mouse).to_dataset() for mouse in (1, 2)]
    with pytest.raises(SchemaError, match="run do not run over ROIs"):
        align_tracked([own.assign(run=own["dff"].mean("roi")) for own in ds])
    aligned = align_tracked([own.assign(run=own["dff"].mean("roi")) for own in ds[:1]])
    assert aligned["run"].dims == ("session", "rel_time")


# -- sample sessions ---------------------------------------------------------------------------
@pytest.fixture(scope="module")
def mouse():
    specs = ox.sample.mouse_specs(scale=0.05, n_rois=(6, 5, 7), n_tracked=3, field_shape=(64, 64))
    return [ox.sample.session(spec) for spec in specs]


def test_sequences_are_numbered_and_padded(mouse):
    windows = [
        ds.osca.sequences("dff", ds.osca.select(**STIMULUS), pre=0.2, post=0.6) for ds in mouse
    ]
    windows[1] = windows[1].isel(sequence=slice(3))
    aligned = align_tracked(windows[::-1])
    assert aligned.dims[:2] == ("session", "tracking_id")
    counts = [own.sizes["sequence"] for own in windows]
    assert aligned["n_sequences"].values.tolist() == counts
    assert aligned.sizes["sequence"] == max(counts)
    for number, own in enumerate(windows, start=1):
        tracked = own.to_dataset().osca.tracked()["dff"]
        part = aligned.sel(session=number)
        count = own.sizes["sequence"]
        np.testing.assert_array_equal(part.isel(sequence=slice(count)), tracked)
        assert part.isel(sequence=slice(count, None)).isnull().all()
        labels = part["sequence_label"].values
        np.testing.assert_array_equal(labels[:count], own["sequence"])
        assert (labels[count:] == -1).all()
        assert (
            part["gabor_frame"].values == np.where(np.arange(len(labels)) < count, "U", "")
        ).all()
        np.testing.assert_array_equal(part["time"][:count], own["time"])
    both = [own.assign_coords(mouse_id=number) for number, own in enumerate(windows)]
    with pytest.raises(SchemaError, match="average over 'sequence'"):
        align_tracked(both)


def test_whole_sessions_keep_what_runs_over_rois(mouse):
    aligned = align_tracked(mouse)
    assert set(aligned.data_vars) == {"dff_median", "dff_spread", "roi_mask", "max_projection"}
    assert aligned["roi_mask"].dims == ("session", "tracking_id", "height", "width")
    for number, ds in enumerate(mouse, start=1):
        own = ds.osca.tracked()
        part = aligned.sel(session=number)
        for name in ("roi_mask", "dff_median", "roi", "roi_id", "centroid_x", "max_projection"):
            np.testing.assert_array_equal(part[name], own[name])
        assert float(part["twop_fps"]) == ds.attrs["twop_fps"]
    assert not {"time", "segment"} & set(aligned.dims)
    assert aligned.attrs["dandiset"] == mouse[0].attrs["dandiset"]
    with pytest.raises(TrackingError, match="extract sequences first"):
        align_tracked([ds["dff"] for ds in mouse])


def test_a_tree_a_mapping_and_a_list_are_the_same(mouse):
    results = {
        f"/mouse_{int(ds.mouse)}/session_{int(ds.session)}": ox.stats(
            ds.osca.sequences("dff", ds.osca.select(**STIMULUS), pre=0, post=0.6), "sequence"
        )
        for ds in mouse
    }
    aligned = align_tracked(results)
    xr.testing.assert_identical(align_tracked(xr.DataTree.from_dict(results)), aligned)
    xr.testing.assert_identical(align_tracked(list(results.values())), aligned)
    assert set(aligned.data_vars) == {"mean", "sem"}
    assert aligned["mean"].dims == ("session", "tracking_id", "rel_frame")


def test_dask_stays_lazy_and_gives_the_same(mouse):
    results = [ds.osca.tracked()[["dff_median", "roi_mask"]] for ds in mouse]
    lazy = align_tracked([own.chunk() for own in results])
    assert all(array.chunks is not None for array in lazy.data_vars.values())
    xr.testing.assert_identical(lazy.compute(), align_tracked(results))


def test_the_new_dim_may_have_another_name(mouse):
    aligned = align_tracked([ds[["dff_median"]] for ds in mouse], dim="day")
    assert aligned["dff_median"].dims == ("day", "tracking_id")
    assert aligned["session"].dims == ("day",)
    with pytest.raises(TrackingError, match="has the dim 'height'"):
        align_tracked(mouse, dim="height")


def test_example_sessions_of_a_mouse(open_shared):
    paths = (759660390, 758519303, 759189643)
    sessions = [
        open_shared(session_id).assign_coords(session=number)
        for session_id, number in zip(paths, (3, 1, 2), strict=True)
    ]
    try:
        aligned = align_tracked([ds[["dff_median"]] for ds in sessions])
        assert aligned["session_id"].values.tolist() == sorted(paths)
        for ds in sessions:
            own = ds.osca.tracked()
            part = aligned.sel(session=int(ds["session"]))
            np.testing.assert_array_equal(part["roi_id"], own["roi_id"])
            np.testing.assert_array_equal(part["dff_median"], own["dff_median"])
    finally:
        for ds in sessions:
            ds.close()
