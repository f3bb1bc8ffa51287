"""One row a segment: against a loop, and against the published numbers."""

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import MissingVariableError, SessionMismatchError
from oscaxr.select import sequences as module


@pytest.fixture(scope="module")
def ds(memory_session):
    return memory_session


def window(ds, name, segment, pre, post):
    clock, dim = ("stim", "stim_time") if name == "run_velocity" else ("twop", "time")
    start = int(ds[f"start_frame_{clock}"].sel(segment=segment))
    fps = ds.attrs[f"{clock}_fps"]
    first, stop = start - int(np.round(pre * fps)), start + int(np.round(post * fps))
    if first < 0 or stop > ds.sizes[dim]:
        return None
    return ds[name].transpose(dim, ...).values[first:stop].astype(np.float64)


def naive(ds, name, segments, pre, post, by_roi=False):
    rows = []
    for segment in segments:
        values = window(ds, name, segment, pre, post)
        if values is None:
            rows.append(np.full(ds.sizes["roi"] if by_roi and name == "dff" else (), np.nan))
            continue
        mean = np.nanmean(values, axis=0)
        rows.append(mean if by_roi else np.nanmean(mean))
    return np.array(rows)


@pytest.mark.parametrize(
    ("form", "by_roi"),
    [
        pytest.param(form, by_roi, marks=[pytest.mark.slow] * (by_roi and form != "dask"))
        for form in ("memory", "dask", "file")
        for by_roi in (False, True)
    ],
)
def test_responses_equal_a_loop(ds, sample_path, form, by_roi):
    if form == "file":
        ds = ox.open_session(sample_path)
    session = ds.chunk(time=500, stim_time=900) if form == "dask" else ds
    segments = [*range(3, 20), int(ds.segment[-1]), 0]
    table = ox.responses(session, segments, pre=0.2, post=0.6, by_roi=by_roi)
    assert list(table.data_vars) == ["dff", "run_velocity", "pupil_diameter"]
    for name in table.data_vars:
        wanted = naive(ds, name, segments, 0.2, 0.6, by_roi)
        found = table[name].transpose("segment", ...)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert table.segment.values.tolist() == segments
    assert table.dff.attrs["units"] == ds.dff.attrs["units"]
    np.testing.assert_array_equal(table.start_time, ds.start_time.values[segments])
    ds.close()


def test_windows_that_leave_the_recording_are_nan(ds):
    last = int(ds.segment[-1])
    table = ox.responses(ds, [0, 5, last], pre=0, post=60)
    assert table.dff.isnull().values.tolist() == [False, False, True]
    early = ox.responses(ds, [0, 5], pre=5, post=0.1)
    assert early.dff.isnull().values.tolist() == [True, False]
    assert early.run_velocity.isnull().values.tolist() == [True, True]


def test_scaled_and_interpolated(ds):
    chosen = ox.select_segments(ds, gabor_frame="A")
    table = ox.responses(ds, chosen, scale=True, interpolate=True)
    for name in table.data_vars:
        windows = ox.sequences(
            ds, name, chosen, post=0.6, scale=True, interpolate=name != "dff", edge="nan"
        )
        wanted = windows.mean("rel_time")
        wanted = wanted.mean("roi") if name == "dff" else wanted
        np.testing.assert_allclose(table[name], wanted, rtol=1e-12)
        assert table[name].attrs["units"] == "1"


def test_it_becomes_a_data_frame(ds):
    chosen = ox.select_segments(ds, gabor_frame=["D", "U"])
    frame = ox.responses(ds, chosen).to_dataframe()
    assert frame.index.name == "segment"
    assert len(frame) == chosen.sizes["segment"]
    assert {"dff", "run_velocity", "pupil_diameter", "unexpected", "gabor_frame"} <= {*frame}
    means = frame.groupby("unexpected").dff.mean()
    assert means.index.tolist() == [0.0, 1.0]
    by_roi = ox.responses(ds, chosen, by_roi=True)
    assert by_roi.dff.dims == ("roi", "segment")
    assert "tracking_id" in by_roi.coords
    long = by_roi.dff.to_dataframe()
    assert len(long) == chosen.sizes["segment"] * ds.sizes["roi"]


def test_by_tracked_roi(ds):
    chosen = ox.select_segments(ds, gabor_frame="A")
    table = ox.responses(ox.tracked(ds), chosen, names="dff", by_roi=True)
    assert table.dff.dims == ("tracking_id", "segment")
    whole = ox.responses(ds, chosen, names="dff", by_roi=True)
    np.testing.assert_allclose(table.dff, whole.dff.sel(roi=table.roi.values))


def test_the_selection_keeps_its_own_coordinates_and_order(ds):
    chosen = ox.select_segments(ds, gabor_frame="U").isel(segment=slice(None, None, -1))
    chosen = chosen.assign_coords(mine=("segment", np.arange(chosen.sizes["segment"])))
    table = ox.responses(ds, chosen, names=["pupil_diameter"])
    np.testing.assert_array_equal(table.mine, chosen.mine)
    np.testing.assert_array_equal(table.segment, chosen.segment)
    again = ox.responses(ds, chosen.segment.values, names=["pupil_diameter"])
    np.testing.assert_array_equal(again.pupil_diameter, table.pupil_diameter)


def test_errors(ds):
    with pytest.raises(MissingVariableError, match=r"no pupil, dfff: choose with names="):
        ox.responses(ds, [3], names=("pupil", "dfff", "dff"))
    other = ds.assign_coords(session_id=5)
    with pytest.raises(SessionMismatchError):
        ox.responses(ds, ox.select_segments(other, gabor_frame="A"))


def test_large_selections_are_read_in_blocks(sample_path, monkeypatch):
    with ox.open_session(sample_path) as ds:
        chosen = ox.select_segments(ds, stimulus="gabors")
        whole = ox.responses(ds, chosen)
        monkeypatch.setattr(module, "_BLOCK_BYTES", 2000)
        blocks = ox.responses(ds, chosen)
        xr.testing.assert_identical(blocks, whole)
        monkeypatch.setattr(module, "_BLOCK_BYTES", 1)
        few = chosen.isel(segment=slice(5))
        one_by_one = ox.responses(ds, few, by_roi=True)
        monkeypatch.undo()
        xr.testing.assert_identical(one_by_one, ox.responses(ds, few, by_roi=True))


@pytest.mark.parametrize("session_id", [758519303, 759189643, 759660390, 764704289])
def test_published_stimulus_and_behaviour_table(shared, open_shared, session_id):
    with np.load(shared / "golden" / f"{session_id}.npz") as golden:
        if "beh_sub" not in golden:
            pytest.skip("no published table was recorded")
        wanted = golden["beh_sub"]
    ds = open_shared(session_id)
    chosen = ox.select_segments(ds, stimulus="gabors", gabor_frame="A")
    table = ox.responses(ds, chosen, post=0.3, interpolate=True)
    names = ("unexpected", "gabor_mean_orientation", "pupil_diameter", "run_velocity", "dff")
    for column, name in enumerate(names):
        # The published dF/F means have the precision of the file.
        tolerance = 1e-7 if ds[name].dtype == np.float32 else 1e-12
        np.testing.assert_allclose(table[name], wanted[:, column], rtol=0, atol=tolerance)
    ds.close()
