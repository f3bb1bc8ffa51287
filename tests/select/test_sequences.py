"""Sequences: against a plain loop over events and frames, from every kind of source."""

import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import oscaxr as ox
from oscaxr.arrays import dask_windows
from oscaxr.arrays.computed import unscaled
from oscaxr.arrays.windows import window_reader
from oscaxr.arrays.xarray_internals import innermost
from oscaxr.errors import (
    CriterionError,
    DroppedSequencesWarning,
    MissingVariableError,
    OscaxrError,
    SchemaError,
    SessionMismatchError,
    WindowError,
)

TWOP = ("dff", "pupil_diameter", "pupil_center_shift")
DIMS = {"twop": "time", "stim": "stim_time"}


@pytest.fixture(scope="module")
def ds(memory_session):
    return memory_session


@pytest.fixture(scope="module")
def each(ds, sample_paths, tmp_path_factory):
    """The same session from memory, on dask, and from NWB, zarr and netCDF files."""
    folder = tmp_path_factory.mktemp("reopened")
    gzip, contiguous = (ox.open_session(sample_paths[name]) for name in ("gzip", "contiguous"))
    # Opened again, for what is loaded stays in memory.
    with ox.open_session(sample_paths["gzip"]) as again:
        small = again.drop_dims(["height", "width"]).load()
    small.to_netcdf(folder / "s.nc")
    small.chunk(time=500).drop_encoding().to_zarr(
        folder / "s.zarr", zarr_format=2, consolidated=False
    )
    netcdf = xr.open_dataset(folder / "s.nc")
    zarr = xr.open_zarr(folder / "s.zarr", chunks=None, consolidated=False)
    yield {
        "memory": ds,
        "gzip": gzip,
        "contiguous": contiguous,
        "dask": ds.chunk(time=700, stim_time=1100, roi=3),
        "transposed": ds.transpose("roi", ...),
        "netcdf": netcdf,
        "zarr": zarr,
    }
    for opened in (gzip, contiguous, netcdf):
        opened.close()


SOURCES = ("memory", "gzip", "contiguous", "dask", "transposed", "netcdf", "zarr")


def nearest(clock, times):
    return np.array([int(np.argmin(abs(clock - time))) for time in times])


@pytest.fixture(scope="module")
def lookups(ds):
    """Frame of one clock for each frame of the other, -1 outside the stimulus."""
    twop, stim = ds.time.values, ds.stim_time.values
    to_stim = nearest(stim, twop)
    to_stim[: int(ds.start_frame_twop[0])] = -1
    to_stim[int(ds.stop_frame_twop[-1]) :] = -1
    return {("stim", "twop"): nearest(twop, stim), ("twop", "stim"): to_stim}


def naive(ds, name, frames, offsets, clock, lookups, lengths=None):
    """Extract windows frame by frame, NaN where there is none; (sequence, rel_time, ...)."""
    own = "twop" if "time" in ds[name].dims else "stim"
    trace = ds[name].transpose(DIMS[own], ...).values
    total = ds.sizes[DIMS[clock]]
    found = np.full((len(frames), len(offsets), *trace.shape[1:]), np.nan)
    times = np.full((len(frames), len(offsets)), np.nan)
    for s, reference in enumerate(frames):
        for k, offset in enumerate(offsets):
            frame = int(reference) + int(offset)
            if not 0 <= frame < total or (lengths is not None and k >= lengths[s]):
                continue
            times[s, k] = ds[DIMS[clock]].values[frame]
            if own != clock:
                frame = lookups[clock, own][frame]
            if frame >= 0:
                found[s, k] = trace[frame]
    return found, times


def values(array):
    return array.transpose("sequence", "rel_time", ...).values


@pytest.mark.parametrize("source", SOURCES)
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_sequences_equal_a_loop(each, lookups, source, data):
    session = each[source]
    truth = each["gzip" if source in ("netcdf", "zarr") else source]
    name = data.draw(st.sampled_from([*TWOP, "run_velocity"]))
    clock = data.draw(st.sampled_from([None, "twop", "stim"]))
    on = clock or ("stim" if name == "run_velocity" else "twop")
    total, fps = session.sizes[DIMS[on]], session.attrs[f"{on}_fps"]
    edge = data.draw(st.sampled_from(["drop", "nan"]))
    pre = data.draw(st.floats(-0.2, 0.5))
    post = data.draw(st.none() | st.floats(-0.1, 0.6))
    pad = data.draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    n_pre = int(np.around(pre * fps)) + pad[0]
    if post is None:
        numbers = data.draw(st.lists(st.integers(1, 100), max_size=5))
        frames = session[f"start_frame_{on}"].values[numbers]
        asked = {"segments": numbers}
        lengths = session[f"num_frames_{on}"].values[numbers] + n_pre + pad[1]
        stop = max(lengths, default=n_pre + pad[1]) - n_pre
    else:
        edges = [0, 1, 5, total - 10, total - 2, total - 1]
        frames = data.draw(st.lists(st.integers(0, total - 1) | st.sampled_from(edges), max_size=5))
        asked, lengths = {"frames": frames}, None
        stop = int(np.around(post * fps)) + pad[1]
    offsets = np.arange(-n_pre, stop)
    options = {**asked, "pre": pre, "post": post, "pad": pad, "edge": edge, "clock": clock}
    if not len(offsets) and (post is not None or len(frames)):
        with pytest.raises(WindowError, match="empty window"):
            ox.sequences(session, name, **options)
        return
    wanted, times = naive(truth, name, frames, offsets, on, lookups, lengths)
    last = np.full(len(frames), stop) if lengths is None else np.asarray(lengths, dtype=int) - n_pre
    frames = np.asarray(frames, dtype=int)
    whole = (frames - n_pre >= 0) & (frames + last < total)
    if edge == "drop" and len(offsets) and len(frames) and not whole.any():
        with pytest.raises(WindowError, match=f"none of the {len(frames)} windows is left"):
            ox.sequences(session, name, **options)
        return
    if edge == "drop" and len(offsets):
        wanted, times = wanted[whole], times[whole]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = ox.sequences(session, name, **options)
    assert len(caught) == int(edge == "drop" and not whole.all() and len(offsets) > 0)
    np.testing.assert_array_equal(values(found), wanted.astype(found.dtype))
    assert found.dims[-2:] == ("sequence", "rel_time")
    np.testing.assert_array_equal(found.rel_frame, offsets)
    np.testing.assert_allclose(found.rel_time, offsets / fps, rtol=1e-12)
    np.testing.assert_array_equal(found.time, times)
    kept = frames[whole] if edge == "drop" and len(offsets) else frames
    np.testing.assert_array_equal(found.reference_frame, kept)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", [*TWOP, "run_velocity"])
@pytest.mark.parametrize("interpolate", [False, True])
def test_scaling_and_interpolation_equal_doing_so_afterwards(each, source, name, interpolate):
    session = each[source]
    if name == "dff" and interpolate:
        with pytest.raises(OscaxrError, match="interpolated"):
            ox.sequences(session, name, [3], post=0.3, interpolate=True)
        return
    frames = [0, 700, 300, session.sizes["time"] - 2]
    options = {"frames": frames, "pre": 0.2, "post": 0.4, "edge": "nan", "interpolate": interpolate}
    scaled = ox.sequences(session, name, scale=True, **options)
    plain = ox.sequences(session, name, **options)
    assert scaled.attrs["scaled"] == 1
    assert scaled.attrs["units"] == "1"
    assert plain.attrs["interpolated"] == int(interpolate)
    np.testing.assert_allclose(scaled, plain.osca.scale(session), rtol=1e-12)
    with pytest.raises(SchemaError, match="scaled already"):
        scaled.osca.scale(session)
    if interpolate:
        filled = session.assign({name: ox.interpolate(session[name])})
        del options["interpolate"]
        np.testing.assert_array_equal(plain, ox.sequences(filled, name, **options))
        inside = plain.isel(sequence=[1, 2])
        assert inside.notnull().all()


def test_coordinates_attributes_and_dtype(ds):
    chosen = ox.select_segments(ds, gabor_frame="U").isel(segment=slice(None, None, -1))
    chosen = chosen.assign_coords(mine=("segment", np.arange(chosen.sizes["segment"])))
    u = ox.sequences(ds, "dff", chosen, pre=0.5, post=0.5)
    assert u.dims == ("roi", "sequence", "rel_time")
    assert u.name == "dff"
    np.testing.assert_array_equal(u.sequence, chosen.segment)
    assert set(chosen.coords) <= set(u.coords)
    np.testing.assert_array_equal(u.mine, chosen.mine)
    np.testing.assert_array_equal(u.roi_id, ds.roi_id)
    np.testing.assert_array_equal(u.tracking_id, ds.tracking_id)
    assert u.attrs["fps"] == ds.attrs["twop_fps"]
    assert u.attrs["clock"] == "twop"
    assert u.attrs["units"] == ds.dff.attrs["units"]
    assert u.sel(rel_time=0.0).rel_frame == 0
    np.testing.assert_array_equal(u.time.sel(rel_time=0.0), ds.time.values[u.reference_frame])
    np.testing.assert_array_equal(u.sel(sequence=int(chosen.segment[1])).mine, 1)
    assert u.groupby("gabor_mean_orientation").mean().sizes["gabor_mean_orientation"] >= 1


def test_segments_as_dataset_numbers_and_array_are_the_same(ds):
    chosen = ox.select_segments(ds, gabor_frame="U")
    options = {"pre": 0.2, "post": 0.2}
    first = ox.sequences(ds, "dff", chosen, **options)
    for segments in (chosen.segment.values, chosen.segment, chosen.segment.values.tolist()):
        xr.testing.assert_identical(ox.sequences(ds, "dff", segments, **options), first)


def test_segments_of_a_foreign_session_are_refused(ds):
    other = ox.sample.session(scale=0.02, n_rois=2, field_shape=(48, 48), session_id=900_000_007)
    with pytest.raises(SessionMismatchError, match="session 900000007, but the session is"):
        ox.sequences(ds, "dff", ox.select_segments(other, gabor_frame="U"), post=0.5)


@pytest.mark.parametrize("pre", [1, 0.5, 0.05, 1 / 60, 0.25])
def test_seconds_become_frames_by_numpy_rounding(ds, pre):
    # Half frames go to the even one, as in the published tool.
    for fps in (30.0, 30.08):
        session = ds.assign_attrs(twop_fps=fps)
        u = ox.sequences(session, "dff", frames=[500], pre=pre, post=pre + 1)
        before, after = int(np.around(pre * fps)), int(np.around((pre + 1) * fps))
        assert u.rel_frame.values.tolist() == list(range(-before, after))


def test_negative_pre_starts_after_the_reference_frame(ds):
    u = ox.sequences(ds, "dff", frames=[500], pre=-0.3, post=0.6)
    assert u.rel_frame.values.tolist() == list(range(9, 18))
    np.testing.assert_array_equal(values(u)[0], ds.dff.values[509:518])
    before = ox.sequences(ds, "dff", frames=[500], pre=0.6, post=-0.3)
    assert before.rel_frame.values.tolist() == list(range(-18, -9))


@pytest.mark.parametrize(
    "window",
    [
        {"pre": 0, "post": 0},
        {"pre": -1, "post": 1},
        {"pre": -2, "post": 1},
        {"pre": 0.001, "post": 0.001},
        {"pre": np.nan, "post": 1},
        {"pre": 1, "post": np.inf},
        {"pre": 1},
        {"pre": 0.1, "post": 0.1, "edge": "wrap"},
        {"pre": 0.1, "post": 0.1, "clock": "eye"},
    ],
    ids=str,
)
def test_windows_that_make_no_sense_are_refused(ds, window):
    with pytest.raises(WindowError):
        ox.sequences(ds, "dff", frames=[500], **window)


@pytest.mark.parametrize("source", ["memory", "gzip", "dask"])
def test_the_flank_rule_at_both_ends(each, source):
    session = each[source]
    total, fps = session.sizes["time"], session.attrs["twop_fps"]
    n_frames = int(np.around(fps))
    frames = [n_frames - 1, n_frames, total - n_frames - 1, total - n_frames]
    with pytest.warns(DroppedSequencesWarning, match=r"2 of 4 .* \(frames number 0, 3\)") as caught:
        u = ox.sequences(session, "dff", frames=frames, pre=1, post=1)
    assert len(caught) == 1
    assert u.sequence.values.tolist() == [1, 2]
    assert u.notnull().all()
    filled = ox.sequences(session, "dff", frames=frames, pre=1, post=1, edge="nan")
    missing = filled.isnull().all("roi")
    np.testing.assert_array_equal(missing, filled.time.isnull())
    assert missing.sum("rel_time").values.tolist() == [1, 0, 0, 0]
    with pytest.raises(WindowError, match="2 of 4 sequences come too close"):
        ox.sequences(session, "dff", frames=frames, pre=1, post=1, edge="raise")


def test_the_warning_comes_once_for_several_variables_and_names_segments(ds):
    last = int(ds.segment[-1])
    with pytest.warns(DroppedSequencesWarning, match=rf"segments {last}\)") as caught:
        ox.sequences(ds, ["dff", "pupil_diameter"], [5, last], post=30)
    assert len(caught) == 1
    with pytest.warns(DroppedSequencesWarning) as caught:
        ds.osca.sequences(["dff", "run_velocity"], [5, last], post=30, clock="twop")
    assert len(caught) == 1


def test_many_dropped_sequences_are_named_in_short(ds):
    with pytest.warns(DroppedSequencesWarning, match=r"0, 1, 2, 3, 4, 5, 6, 7, 8, 9, \.\.\.\)"):
        u = ox.sequences(ds, "dff", frames=np.r_[np.zeros(100, int), 300], pre=1, post=1)
    assert u.sizes["sequence"] == 1


def test_a_selection_of_which_no_window_is_left_is_refused(ds):
    with pytest.raises(WindowError, match="none of the 2 windows is left"):
        ox.sequences(ds, "dff", frames=[0, 1], pre=1, post=1)
    assert ox.sequences(ds, "dff", frames=[0, 1], pre=1, post=1, edge="nan").sizes["sequence"] == 2
    # What was empty before stays so.
    nothing = ox.select_segments(ds, gabor_frame="U").isel(segment=[])
    assert ox.sequences(ds, "dff", nothing, pre=1, post=1).sizes["sequence"] == 0


@pytest.mark.parametrize("edge", ["drop", "nan", "raise"])
@pytest.mark.parametrize(
    ("window", "hint"),
    [
        ({"post": 600}, "post=0.6"),
        ({"pre": 500, "post": 1}, "pre=0.5"),
        ({"post": -700}, "t=-0.7"),
    ],
)
def test_windows_in_milliseconds_are_refused(ds, window, hint, edge):
    with pytest.raises(WindowError, match=rf"seconds. For milliseconds, give .*{hint}"):
        ox.sequences(ds, "dff", frames=[300], edge=edge, **window)
    with pytest.raises(WindowError, match="For milliseconds"):
        ox.responses(ds, ds.segment.values[:2], **window)


def test_whole_thousands_are_milliseconds_in_a_long_recording():
    times = np.arange(70_000) / 30
    trace = xr.DataArray(np.zeros(len(times)), dims="time", coords={"time": times})
    long = xr.Dataset({"pupil_diameter": trace}, attrs={"twop_fps": 30.0, "n_frames_twop": 70_000})
    options = {"frames": [35_000], "edge": "nan"}
    with pytest.raises(WindowError, match=r"give post=1\.0"):
        ox.sequences(long, "pupil_diameter", post=1000, **options)
    assert ox.sequences(long, "pupil_diameter", post=150, **options).sizes["rel_time"] == 4500


def test_whole_segments_of_unequal_length(ds):
    chosen = ds.segment.values[[0, 1, 2]]
    u = ox.sequences(ds, "dff", chosen, pre=0.1)
    lengths = ds.num_frames_twop.values[:3]
    present = u.time.notnull().sum("rel_time").values
    np.testing.assert_array_equal(present, lengths + 3)
    np.testing.assert_array_equal(u.notnull().all("roi"), u.time.notnull())
    assert u.sizes["rel_time"] == lengths.max() + 3


def test_running_on_its_own_clock_and_on_the_other(ds):
    chosen = ox.select_segments(ds, gabor_frame="A")
    own = ox.sequences(ds, "run_velocity", chosen, pre=0.5, post=0.5)
    assert own.sizes["rel_time"] == 60
    assert own.dims == ("sequence", "rel_time")
    assert own.attrs["clock"] == "stim"
    np.testing.assert_array_equal(own.reference_frame, chosen.start_frame_stim)
    on_twop = ox.sequences(ds, "run_velocity", chosen, pre=0.5, post=0.5, clock="twop")
    assert on_twop.sizes["rel_time"] == 30
    dff = ox.sequences(ds, "dff", chosen, pre=0.5, post=0.5)
    np.testing.assert_array_equal(on_twop.time, dff.time)
    xr.align(on_twop, dff, join="exact")


def test_several_variables_make_a_dataset(ds):
    chosen = ox.select_segments(ds, gabor_frame="U")
    both = ox.sequences(ds, ["dff", "run_velocity"], chosen, pre=0.2, post=0.2, clock="twop")
    assert list(both.data_vars) == ["dff", "run_velocity"]
    for name in both:
        alone = ox.sequences(ds, name, chosen, pre=0.2, post=0.2, clock="twop")
        xr.testing.assert_identical(both[name].drop_vars(["roi"], errors="ignore"),
                                    alone.drop_vars(["roi"], errors="ignore"))  # fmt: skip
    assert both.attrs["twop_fps"] == ds.attrs["twop_fps"]
    with pytest.raises(WindowError, match=r"dff \(twop\), run_velocity \(stim\) run on different"):
        ox.sequences(ds, ["dff", "run_velocity"], chosen, post=0.2)


@pytest.mark.parametrize("name", ["dfff", "roi_mask", ["dff", "nothing"], []])
def test_variables_that_do_not_exist_or_run_on_no_clock(ds, name):
    with pytest.raises(MissingVariableError):
        ox.sequences(ds, name, [3], post=0.2)


def test_a_session_that_was_cut(ds):
    cut = ds.isel(time=slice(1000, None))
    with pytest.raises(WindowError, match="extract by times="):
        ox.sequences(cut, "dff", [30], post=0.3)
    with pytest.raises(WindowError, match="extract by times="):
        ox.sequences(cut, "dff", frames=[30], post=0.3)
    with pytest.raises(WindowError, match="extract by times="):
        ox.sequences(cut, "dff", [30], post=0.3, clock="stim")
    times = ds.time.values[[1500, 1200]]
    found = ox.sequences(cut, "dff", times=times, pre=0.2, post=0.3)
    whole = ox.sequences(ds, "dff", times=times, pre=0.2, post=0.3)
    np.testing.assert_array_equal(found, whole)
    np.testing.assert_array_equal(found.time, whole.time)
    running = ox.sequences(cut, "run_velocity", times=times, pre=0.2, post=0.3, clock="twop")
    whole = ox.sequences(ds, "run_velocity", times=times, pre=0.2, post=0.3, clock="twop")
    np.testing.assert_array_equal(running, whole)


def test_beyond_a_cut_there_is_nothing(ds):
    cut = ds.isel(stim_time=slice(None, 1000))
    edge = cut.stim_time.values[-1]
    found = ox.sequences(cut, "run_velocity", times=[edge], pre=0.5, post=0.5, clock="twop")
    np.testing.assert_array_equal(found.isnull()[0], found.time.values[0] > edge)


def test_fewer_segments_do_not_change_the_other_clock(ds):
    few = ds.isel(segment=slice(20, 22))
    options = {"pre": 1, "post": 1, "clock": "twop", "interpolate": True}
    found = ox.sequences(few, "run_velocity", [20, 21], **options)
    assert found.notnull().all()
    np.testing.assert_array_equal(found, ox.sequences(ds, "run_velocity", [20, 21], **options))


class Recorder:
    """Counts which rows and columns are read of an array."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.reads = array, array.shape, array.dtype, []

    def read(self, indices):
        self.reads.append(tuple(np.arange(s)[i] for s, i in zip(self.shape, indices, strict=True)))
        return self.array[np.ix_(*self.reads[-1])]


def test_only_what_is_needed_is_read(ds):
    from oscaxr.arrays.lazy import OrthogonalArray

    recorder = Recorder(ds.dff.values)
    lazy = ds.assign(dff=(("time", "roi"), OrthogonalArray(recorder), ds.dff.attrs))
    u = ox.sequences(lazy, "dff", frames=[300, 900, 1500], pre=1, post=1, scale=False)
    part = u.isel(sequence=1, roi=[4, 2]).sel(rel_time=slice(0, 0.2))
    assert recorder.reads == []
    wanted = ds.dff.values[900:907][:, [4, 2]].T
    np.testing.assert_array_equal(part.values, wanted)
    ((rows, columns),) = recorder.reads
    assert sorted(set(rows.tolist())) == list(range(900, 907))
    assert sorted(columns.tolist()) == [2, 4]
    np.testing.assert_array_equal(
        u, ox.sequences(ds, "dff", frames=[300, 900, 1500], pre=1, post=1)
    )


@pytest.mark.parametrize("source", ["gzip", "contiguous", "netcdf", "zarr"])
def test_files_stay_lazy_and_pickle(each, source):
    session = each[source]
    u = ox.sequences(session, "dff", [3, 4, 5], pre=0.2, post=0.2, scale=True)
    assert not isinstance(innermost(u.variable), np.ndarray)
    behind = unscaled(u.variable)
    assert behind is not None
    assert window_reader(behind[0]) is not None
    again = pickle.loads(pickle.dumps(u.isel(roi=[1])))
    np.testing.assert_array_equal(again.values, u.isel(roi=[1]).values)
    plain = ox.sequences(session, "dff", [3, 4, 5], pre=0.2, post=0.2)
    np.testing.assert_array_equal(
        plain.transpose("rel_time", ...).isel(sequence=[2, 0]).values,
        plain.load().transpose("rel_time", ...).values[:, :, [2, 0]],
    )


def test_dask_stays_dask(each):
    u = ox.sequences(each["dask"], "dff", [3, 4, 5], pre=0.2, post=0.2, scale=True)
    assert u.chunks is not None
    np.testing.assert_allclose(
        u, ox.sequences(each["memory"], "dff", [3, 4, 5], pre=0.2, post=0.2, scale=True)
    )
    assert u.dims == ("roi", "sequence", "rel_time")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=st.lists(st.integers(0, 2290), min_size=1, max_size=9),
    name=st.sampled_from(["dff", "pupil_diameter", "run_velocity"]),
    block_bytes=st.sampled_from([1, 2000, 2**20]),
    pre=st.sampled_from([0, 0.2]),
)
def test_blocks_on_dask_equal_memory(each, monkeypatch, frames, name, block_bytes, pre):
    # In any order, more than once, with windows that leave the recording.
    window = {"frames": frames, "pre": pre, "post": 0.3, "edge": "nan"}
    monkeypatch.setattr(dask_windows, "BLOCK_BYTES", block_bytes)
    found = ox.sequences(each["dask"], name, **window)
    assert found.chunks is not None
    wanted = ox.sequences(each["memory"], name, **window)
    assert found.dtype == wanted.dtype
    xr.testing.assert_identical(found.compute(), wanted.compute())


def test_memory_is_not_aliased(ds):
    traces = ds.dff.copy(deep=True)
    u = ox.sequences(ds, "dff", frames=[500], post=0.3)
    u[:] = 0
    xr.testing.assert_equal(ds.dff, traces)


def test_sequences_of_tracked_rois(ds):
    tracked = ox.tracked(ds)
    u = ox.sequences(tracked, "dff", [3, 4], post=0.3, scale=True)
    assert u.dims == ("tracking_id", "sequence", "rel_time")
    whole = ox.sequences(ds, "dff", [3, 4], post=0.3, scale=True)
    np.testing.assert_array_equal(u, whole.sel(roi=u.roi.values))


def test_the_movie_can_be_windowed():
    small = ox.sample.session(
        n_rois=2, n_tracked=0, scale=0.005, field_shape=(48, 48), include="movie"
    )
    u = ox.sequences(small, "movie", frames=[0, 5], pre=0.1, post=0.1, edge="nan")
    assert u.dims == ("height", "width", "sequence", "rel_time")
    np.testing.assert_array_equal(
        u.isel(sequence=1).transpose("rel_time", ...).values, small.movie.values[2:8]
    )
    assert u.isel(sequence=0).isnull().any()


def test_loading_two_windows_reads_no_whole_traces(sample_path, monkeypatch):
    from oscaxr.model import derived

    def refuse(*_):
        raise AssertionError("whole traces or masks were gone through")

    for name in ("_factors", "_valid", "_geometry"):
        monkeypatch.setattr(derived, name, refuse)
    with ox.open_session(sample_path) as ds:
        segments = ds.osca.select(gabor_frame="A")
        u = ds.osca.sequences("dff", segments.isel(segment=[1, 2]), pre=0.1, post=0.1)
        assert u.load().notnull().all()
        assert not {"valid", "area_px"} & set(u.coords)


def test_columns_of_a_dask_session_are_computed_together(sample_path):
    import dask

    calls = []

    def counting(graph, keys, **options):
        calls.append(keys)
        return dask.get(graph, keys, **options)

    with ox.open_session(sample_path, chunks={}) as ds, dask.config.set(scheduler=counting):
        ds.osca.select(gabor_frame="U", unexpected=1)
        assert len(calls) == 1


@pytest.mark.parametrize("odd", ["1", None, [1], {}, 10**400, float("nan"), 1j])
def test_windows_that_are_no_seconds(memory_session: xr.Dataset, odd: Any) -> None:
    with pytest.raises(WindowError, match="give finite seconds"):
        memory_session.osca.sequences("dff", frames=[300], pre=odd, post=0.1)
    if odd is not None:
        with pytest.raises(WindowError, match="give finite seconds"):
            memory_session.osca.sequences("dff", frames=[300], pre=0, post=odd)


@pytest.mark.parametrize("odd", [3.5, None, 10, True])
def test_what_is_no_name(memory_session: xr.Dataset, odd: Any) -> None:
    with pytest.raises(CriterionError, match="needs the name of what is to be extracted"):
        memory_session.osca.sequences(odd, frames=[300], pre=0, post=0.1)
