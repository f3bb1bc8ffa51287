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
