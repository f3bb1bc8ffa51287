"""Traces for pynapple, and plain numpy: same values and labels."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest

from oscaxr.bridges.pynapple import to_numpy, to_pynapple
from oscaxr.errors import MissingVariableError, SchemaError


@pytest.mark.skipif(find_spec("pynapple") is None, reason="needs pynapple")
class TestPynapple:
    def test_traces_of_rois(self, memory_session):
        dff = memory_session.dff.isel(roi=[4, 0, 2])
        for turned in (dff, dff.transpose("roi", "time")):
            frame = to_pynapple(turned)
            np.testing.assert_array_equal(frame.d, dff.values)
            np.testing.assert_allclose(frame.t, dff.time.values, rtol=0, atol=1e-9)
            assert list(frame.columns) == [4, 0, 2]
            np.testing.assert_array_equal(frame.metadata["roi_id"], dff.roi_id)
            np.testing.assert_array_equal(frame.metadata["tracking_id"], dff.tracking_id)

    def test_tracked(self, memory_session):
        tracked = memory_session.osca.tracked()
        frame = to_pynapple(tracked.dff)
        assert list(frame.columns) == tracked.roi.values.tolist()

    def test_one_trace(self, memory_session):
        for name in ("run_velocity", "pupil_diameter"):
            trace = memory_session[name]
            tsd = to_pynapple(trace)
            np.testing.assert_array_equal(tsd.d, trace.values)
            np.testing.assert_allclose(tsd.t, trace[trace.dims[0]].values, rtol=0, atol=1e-9)

    def test_refuses_sequences(self, u):
        with pytest.raises(SchemaError, match="whole traces"):
            to_pynapple(u)


def around(data, events, window):
    """Windows around events, as pynapple makes them; it gave the function a new name."""
    import pynapple

    if hasattr(pynapple, "compute_perievent_continuous"):
        return pynapple.compute_perievent_continuous(data, events, minmax=window)
    return pynapple.compute_perievent(data, events, window=window)


@pytest.mark.skipif(find_spec("pynapple") is None, reason="needs pynapple")
class TestRegular:
    @pytest.mark.parametrize(
        ("name", "clock", "frames"),
        [
            ("dff", "time", "start_frame_twop"),
            ("pupil_diameter", "time", "start_frame_twop"),
            ("run_velocity", "stim_time", "start_frame_stim"),
        ],
    )
    def test_windows_are_those_of_sequences(self, memory_session, name, clock, frames):
        import pynapple

        segments = memory_session.osca.select(gabor_frame="U")
        ours = memory_session.osca.sequences(name, segments, pre=0.6, post=0.6)
        ours = ours.transpose("rel_time", "sequence", ...)
        events = pynapple.Ts(t=memory_session[clock].values[segments[frames].values])
        traces = memory_session[name].osca.to_pynapple(regular=True)
        theirs = around(traces, events, (0.7, 0.7))
        first = np.flatnonzero(theirs.t == 0).item() + ours.rel_frame.values[0]
        part = theirs.d[first : first + ours.sizes["rel_time"]]
        np.testing.assert_array_equal(part, ours.values)
        np.testing.assert_allclose(
            theirs.t[first : first + len(part)], ours.rel_time, rtol=0, atol=1e-3
        )

    def test_no_frame_is_lost_or_moved_far(self, memory_session):
        for name, most in (("dff", 1e-4), ("run_velocity", 4e-3)):
            trace = memory_session[name]
            found = to_pynapple(trace, regular=True)
            np.testing.assert_array_equal(found.d, trace.values)
            moved = np.abs(found.t - trace[trace.dims[0]].values).max()
            assert 0 < moved < most
            assert np.ptp(np.diff(found.t)) < 1e-8

    def test_frames_that_are_missing(self, memory_session):
        run = memory_session.run_velocity
        for cut in (run[np.arange(run.size) != 1000], run.isel(stim_time=[0, 1, 2, 90])):
            with pytest.raises(SchemaError, match=r"stim_time is too uneven .*\.interp\("):
                to_pynapple(cut, regular=True)
        assert to_pynapple(run[2000:3000], regular=True).shape == (1000,)
        assert to_pynapple(run[:1], regular=True).shape == (1,)


@pytest.mark.filterwarnings("error")
@pytest.mark.skipif(find_spec("pynapple") is None, reason="needs pynapple")
class TestIntervals:
    def test_segments(self, memory_session):
        segments = memory_session.osca.select(gabor_frame=["D", "U"])
        found = segments.osca.to_pynapple()
        np.testing.assert_allclose(found.start, segments.start_time, rtol=0, atol=1e-9)
        np.testing.assert_allclose(found.end, segments.stop_time, rtol=0, atol=1e-9)
        assert found.metadata["gabor_frame"].tolist() == segments.gabor_frame.values.tolist()
        np.testing.assert_array_equal(found.metadata["segment"], segments.segment)
        missing = {str(name) for name in segments.coords if segments[name].dims == ("segment",)}
        assert missing - {*found.metadata.columns} == set()

    def test_the_mean_in_segments(self, memory_session):
        segments = memory_session.osca.select(gabor_frame="U")
        traces = to_pynapple(memory_session.dff)
        for epoch, number in zip(to_pynapple(segments), segments.segment.values, strict=True):
            of = segments.sel(segment=number)
            within = memory_session.dff.sel(time=slice(of.start_time, of.stop_time))
            assert len(traces.restrict(epoch)) == within.sizes["time"]

    def test_segments_that_touch_stay_apart(self, memory_session):
        found = to_pynapple(memory_session)
        assert len(found) == memory_session.sizes["segment"]
        gaps = found.start[1:] - found.end[:-1]
        np.testing.assert_allclose(gaps, 1e-6, rtol=1e-3)
        np.testing.assert_allclose(found.end, memory_session.stop_time, rtol=0, atol=1.1e-6)

    def test_what_pynapple_would_join_or_sort(self, memory_session):
        segments = memory_session.osca.select(stimulus="gabors")
        for wrong in (
            segments.isel(segment=[4, 2]),
            segments.isel(segment=[2, 2]),
            segments.assign_coords(stop_time=segments.stop_time + 0.2),
        ):
            with pytest.raises(SchemaError, match="segments overlap, or are not in the order"):
                to_pynapple(wrong)
        assert len(to_pynapple(segments.isel(segment=slice(0)))) == 0


def test_pynapple_is_an_extra(memory_session, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynapple", None)
    with pytest.raises(ImportError, match=r"oscaxr\[pynapple\]"):
        to_pynapple(memory_session.run_velocity)


class TestNumpy:
    def test_axes_and_labels(self, u):
        values, axes, labels = to_numpy(u, "sequence")
        assert axes == ("sequence", "roi", "rel_time")
        np.testing.assert_array_equal(values, u.transpose("sequence", ...).values)
        assert type(values) is np.ndarray
        np.testing.assert_array_equal(labels["rel_time"], u.rel_time)
        assert set(labels) == set(axes)

    def test_axes_without_labels(self, memory_session):
        found = to_numpy(memory_session.gabor_x)
        assert found.axes == ("segment", "patch")
        assert list(found.labels) == ["segment"]

    def test_unknown_axis(self, u):
        with pytest.raises(MissingVariableError, match="'cell'"):
            to_numpy(u, "cell")
