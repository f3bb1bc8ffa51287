"""Arguments that cannot be used are refused in words."""

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import CriterionError, MissingVariableError, WindowError

HUGE = 10**400


@pytest.fixture(scope="module")
def ds():
    return ox.sample.session(n_rois=4, n_tracked=2, scale=0.02)


@pytest.mark.parametrize(
    ("error", "words", "asked"),
    [
        (WindowError, "numbers of frames", {"pad": (HUGE, 0)}),
        (WindowError, "numbers of seconds", {"times": [HUGE]}),
        (WindowError, "numbers of seconds", {"times": ["a"]}),
        (WindowError, "one-dimensional", {"times": [[1], [2, 3]]}),
        (WindowError, "clock=", {"clock": ["x"]}),
        (CriterionError, "needs the name", {"name": b"dff"}),
        (CriterionError, "needs the name", {"name": xr.Dataset({"dff": 1})}),
        (CriterionError, "needs the name", {"name": [["dff"]]}),
        (MissingVariableError, "no variable 'x'", {"name": "x"}),
        (CriterionError, "invalid=", {"invalid": np.array([1, 2])}),
    ],
)
def test_sequences(ds, error, words, asked):
    where = {} if "times" in asked else {"segments": [30]}
    with pytest.raises(error, match=words):
        ds.osca.sequences(**{"name": "dff", "pre": 1, "post": 1, **where, **asked})


@pytest.mark.parametrize(
    "criteria", [{"gabor_kappa": HUGE}, {"start_frame_twop": HUGE}, {"start_frame_twop": [-HUGE]}]
)
def test_huge_criteria(ds, criteria):
    with pytest.raises(CriterionError, match="not known; allowed are"):
        ds.osca.select(**criteria)


def test_tuples_of_flags(ds):
    with pytest.raises(CriterionError, match=r"give a list: run_start=\[True, False\]"):
        ds.osca.select(run_start=(True, False))
    everything = ds.osca.select(gabor_frame="U", run_start=[True, False])
    assert everything.identical(ds.osca.select(gabor_frame="U"))


@pytest.mark.parametrize("frames", [["a"], [HUGE], [0.5]])
def test_frames_of_segments(ds, frames):
    with pytest.raises(WindowError, match="frames are whole numbers"):
        ds.osca.segments_at(frames)
