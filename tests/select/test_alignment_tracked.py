"""Tracked ROIs stay in tracking order, whatever is done to them."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import oscaxr as ox
from oscaxr.errors import TrackingError
from small_sessions import reopened


@pytest.fixture(scope="module")
def ds():
    return ox.sample.session(n_rois=9, n_tracked=6, scale=0.02, field_shape=(64, 64))


def small(ids, session=1, n_frames=5):
    """Make ROIs with the given tracking ids, whose traces tell their tracking id."""
    ids = np.asarray(ids)
    traces = 100.0 * session + ids + np.arange(n_frames)[:, None] / 10
    return xr.Dataset(
        {"dff": (("time", "roi"), traces)},
        coords={
            "time": np.arange(n_frames) / 30,
            "roi": np.arange(len(ids)),
            "tracking_id": ("roi", ids),
            "session_id": session,
        },
    )


def assert_in_order(array, session=1):
    """Check that ids ascend, and that each ROI still has the trace of its id."""
    ids = array.tracking_id.values
    assert (np.diff(ids) > 0).all()
    first = array.isel(time=0) if "time" in array.dims else array
    present = first.dropna("tracking_id")
    np.testing.assert_allclose(present.values, 100.0 * session + present.tracking_id.values)


def test_dim_index_and_what_stays(ds):
    t = ox.tracked(ds)
    assert t.tracking_id.values.tolist() == [0, 1, 2, 3, 4, 5]
    assert "tracking_id" in t.indexes
    assert "roi" not in t.dims
    assert t.roi.dims == ("tracking_id",)
    for name in ("dff", "roi_mask", "dff_median", "roi_id", "centroid_x"):
        assert "tracking_id" in t[name].dims
        found = t[name].transpose("tracking_id", ...)
        wanted = ds[name].isel(roi=t.roi.values).transpose("roi", ...)
        np.testing.assert_array_equal(found.values, wanted.values)
        assert found.attrs == wanted.attrs
    assert t.attrs == ds.attrs
    assert ds.sizes["roi"] == 9


def test_number_of_tracked_rois(ds):
    assert ox.n_tracked(ds) == 6 == ds.osca.n_tracked
    assert ox.n_tracked(ox.tracked(ds)) == 6
    assert ox.n_tracked(small([-1, -1])) == 0


@given(data=st.data())
def test_the_order_of_the_rois_is_of_no_matter(data):
    ids = data.draw(
        st.lists(st.integers(0, 50), unique=True, min_size=1, max_size=8).map(
            lambda found: [*found, -1, -1]
        )
    )
    order = data.draw(st.permutations(range(len(ids))))
    one = small(ids)
    other = one.isel(roi=order)
    xr.testing.assert_identical(ox.tracked(one), ox.tracked(other))
    assert_in_order(ox.tracked(other).dff)
    assert ox.tracked(one).tracking_id.values.tolist() == sorted(set(ids) - {-1})


def test_tracked_again_is_the_same(ds):
    t = ox.tracked(ds)
    xr.testing.assert_identical(ox.tracked(t), t)


@pytest.mark.parametrize(
    ("session", "message"),
    [
        (small([-1, -1], session=7), r"session 7 has no tracked ROIs \(2 ROIs"),
        (small([3, 1, 3]), r"tracking ids \[3\] are given to several"),
        (small([1]).drop_vars("tracking_id"), "no coordinate 'tracking_id'"),
        (small([1]).drop_dims("roi"), "no coordinate 'tracking_id'"),
    ],
)
def test_sessions_without_sound_tracking(session, message):
    with pytest.raises(TrackingError, match=message):
        ox.tracked(session)


def test_order_survives_selection_extraction_and_statistics(ds):
    t = ox.tracked(ds)
    chosen = ox.select_segments(t, gabor_frame="A")
    u = ox.sequences(t, "dff", chosen, pre=0, post=0.6)
    whole = ox.sequences(ds, "dff", chosen, pre=0, post=0.6).sel(roi=t.roi.values)
    scaled = (u.osca.scale(t), whole.osca.scale(ds))
    for one, other in ((u, whole), scaled):
        for function in (
            lambda a: a.mean("sequence"),
            lambda a: a.groupby("gabor_mean_orientation").mean().transpose(..., "rel_time"),
            lambda a: ox.stats(a, "sequence")["mean"],
            lambda a: ox.stats(a, "sequence", stat="median", error="quartiles")["q25"],
            lambda a: ox.integrate(a),
            lambda a: ox.baseline(a, 0.1),
        ):
            left = function(one)
            np.testing.assert_array_equal(left.tracking_id, t.tracking_id)
            right = function(other).swap_dims(roi="tracking_id").transpose(*left.dims)
            np.testing.assert_allclose(left.values, right.values, rtol=1e-10, atol=1e-12)


@pytest.fixture
def three():
    """Three sessions of a mouse, with other ROI orders and not all ids in each."""
    ids = [[7, -1, 0, 3], [2, 3, 7, -1, 0], [5, 0]]
    return [ox.tracked(small(each, session)) for session, each in enumerate(ids, 1)]


@pytest.mark.parametrize(
    ("join", "wanted"), [("outer", [0, 2, 3, 5, 7]), ("inner", [0]), ("left", [0, 3, 7])]
)
def test_concat_over_sessions(three, join, wanted):
    joined = xr.concat([t.dff for t in three], "session", join=join, coords="minimal",
                       compat="override")  # fmt: skip
    assert joined.tracking_id.values.tolist() == wanted
    for session in range(3):
        assert_in_order(joined.isel(session=session), session + 1)


def test_exact_joins_refuse_other_labels(three):
    with pytest.raises(ValueError, match="exact"):
        xr.concat([t.dff for t in three], "session", join="exact", coords="minimal",
                  compat="override")  # fmt: skip
    with pytest.raises(ValueError, match="exact"):
        xr.align(*three, join="exact")


@pytest.mark.parametrize("join", ["outer", "inner", "left", "right"])
def test_align(three, join):
    for session, aligned in enumerate(xr.align(*(t.dff for t in three), join=join), 1):
        assert_in_order(aligned, session)


def test_arithmetic_joins_by_label(three):
    with xr.set_options(arithmetic_join="outer"):
        difference = three[1].dff - three[0].dff
    assert (np.diff(difference.tracking_id) > 0).all()
    assert set(np.round(difference.dropna("tracking_id").values.ravel(), 9)) == {100.0}


def test_combine_first(three):
    combined = three[0].dff.combine_first(three[1].dff)
    assert combined.tracking_id.values.tolist() == [0, 2, 3, 7]
    assert_in_order(combined.sel(tracking_id=[0, 3, 7]), 1)
    assert_in_order(combined.sel(tracking_id=[2]), 2)


def test_merge(three):
    merged = xr.merge(
        [t.dff.rename(f"dff_{k}") for k, t in enumerate(three, 1)],
        join="outer", compat="override",
    )  # fmt: skip
    for session in (1, 2, 3):
        assert_in_order(merged[f"dff_{session}"], session)


def test_groupby():
    t = ox.tracked(small([7, -1, 0, 3, 5]))
    t = t.assign_coords(kind=("tracking_id", ["b", "a", "b", "a"]))
    assert t.groupby("tracking_id").mean().tracking_id.values.tolist() == [0, 3, 5, 7]
    shifted = t.dff.groupby("kind") - t.dff.groupby("kind").min()
    assert shifted.tracking_id.values.tolist() == [0, 3, 5, 7]
    mapped = t.dff.groupby("kind").map(lambda group: group)
    assert_in_order(mapped)
    for _, group in t.dff.groupby("kind"):
        assert_in_order(group)


def test_to_dataframe_and_back(three):
    for session, t in enumerate(three, 1):
        frame = t.dff.to_dataframe()
        assert_in_order(frame["dff"].to_xarray(), session)
        # Whatever the order of the rows, the labels are in order again.
        again = xr.DataArray.from_series(frame.sample(frac=1, random_state=0)["dff"])
        assert_in_order(again.transpose("time", "tracking_id").sortby("time"), session)


def test_stack_and_unstack():
    t = ox.tracked(small([7, -1, 0, 3, 5]))
    back = t.dff.stack(both=("tracking_id", "time")).unstack("both")
    assert_in_order(back)
    part = t.dff.stack(both=("time", "tracking_id")).isel(both=slice(None, None, -1))
    assert_in_order(part.unstack("both").sortby("time"))


def test_reindex(three):
    everyone = np.arange(8)
    for session, t in enumerate(three, 1):
        wide = t.dff.reindex(tracking_id=everyone)
        assert_in_order(wide, session)
        np.testing.assert_array_equal(wide.isel(time=0).isnull(), ~np.isin(everyone, t.tracking_id))
        assert_in_order(wide.dropna("tracking_id").reindex_like(t.dff), session)


@pytest.mark.parametrize("form", ["netcdf", "zarr"])
def test_saved_and_reopened(ds, form, tmp_path):
    t = ox.tracked(ds)
    with reopened(t, tmp_path, form) as again:
        assert again.tracking_id.values.tolist() == t.tracking_id.values.tolist()
        xr.testing.assert_equal(again.dff, t.dff)
        np.testing.assert_array_equal(again.roi, t.roi)
        xr.testing.assert_identical(ox.tracked(again), again)


def test_saved_whole_and_tracked_afterwards(ds, tmp_path):
    ds.to_netcdf(tmp_path / "s.nc")
    with xr.open_dataset(tmp_path / "s.nc") as again:
        xr.testing.assert_equal(ox.tracked(again).dff, ox.tracked(ds).dff)


def test_files_stay_lazy_and_close(sample_path):
    ds = ox.open_session(sample_path)
    t = ox.tracked(ds)
    assert not t.dff.variable._in_memory
    np.testing.assert_array_equal(
        t.dff.isel(time=slice(5)), ds.dff.isel(time=slice(5)).sel(roi=t.roi.values)
    )
    t.close()


def test_means_over_rois_are_explained():
    mouse = [ox.sample.session(spec) for spec in ox.sample.mouse_specs(scale=0.02, n_rois=4)]
    means = [ds.osca.sequences(segments=[3, 4], post=0.3).mean(("sequence", "roi")) for ds in mouse]
    with pytest.raises(ox.errors.TrackingError, match="align before the mean over ROIs is taken"):
        ox.align_tracked(means)
