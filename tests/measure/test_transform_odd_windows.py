"""Windows that cannot be used are refused in words."""

import numpy as np
import pytest

import oscaxr as ox
from oscaxr.errors import MissingVariableError, WindowError

HUGE = 10**400


@pytest.fixture(scope="module")
def u():
    ds = ox.sample.session(n_rois=4, n_tracked=2, scale=0.02)
    return ds.osca.sequences("dff", [30, 40], pre=1, post=1)


@pytest.mark.parametrize("window", [HUGE, "a", slice(-0.5, 0), np.nan, (0, 0.1, 0.2), 0.6])
def test_windows_of_integrals(u, window):
    with pytest.raises(WindowError, match=r"window=.*two numbers of seconds"):
        u.osca.integrate(window=window)


@pytest.mark.parametrize("edge", [HUGE, np.nan, "a", None])
def test_edges_of_windows(u, edge):
    for call in (u.osca.integrate, u.osca.baseline):
        with pytest.raises(WindowError, match=r"window\[1\]=.*finite seconds"):
            call(window=(0, edge))


def test_windows_in_milliseconds(u):
    with pytest.raises(WindowError, match=r"are seconds. For milliseconds, give window\[1\]=0.6"):
        u.osca.integrate(window=(0, 600))
    with pytest.raises(WindowError, match=r"are seconds. For milliseconds, give window=0.5"):
        u.osca.baseline(500)


@pytest.mark.parametrize("window", [HUGE, "a", slice(-0.5, 0), np.nan, None])
def test_windows_of_baselines(u, window):
    with pytest.raises(WindowError, match=r"window=.* seconds"):
        u.osca.baseline(window)


@pytest.mark.parametrize("frames", ["a", 3.0, None])
def test_frames_of_means(u, frames):
    with pytest.raises(WindowError, match="whole number of frames"):
        u.osca.smooth(frames)


@pytest.mark.parametrize("session", ["a", 5, None])
def test_what_is_no_session(u, session):
    with pytest.raises(MissingVariableError, match="give the session"):
        ox.scale(u, session)
