"""Boxes of values of ROIs: percentiles of each group and session, as numpy has them."""

import numpy as np
import pytest

import oscaxr as ox
from made_groups import GROUPS, results
from oscaxr import plot
from oscaxr.analyses import pool
from oscaxr.errors import MissingVariableError, WindowError

Figure = pytest.importorskip("matplotlib.figure").Figure


def ratios(random, n_rois, group, session):
    values = random.gamma(3, 1 + group, n_rois)
    values[0] = np.nan
    if (group, session) == (2, 3):
        values[:] = np.nan
    return {"snr": ("roi", values, {"long_name": "signal-to-noise ratio", "units": "1"})}


@pytest.mark.parametrize("sizes", [(15,), (1_000, 700)])
def test_boxes_are_percentiles_of_each_group_and_session(ax, sizes):
    pooled = pool(results(ratios, sizes))
    drawn = plot.snr(pooled, ax)
    assert len(drawn.boxes) == len(GROUPS)
    n_none = 0
    for group, row in zip(GROUPS, drawn.boxes, strict=True):
        assert len(row) == 3
        for session, box in enumerate(row, 1):
            is_own = (pooled.group == group) & (pooled.session == session)
            own = pooled.snr.values[is_own.values]
            if np.isnan(own).all():
                assert box is None
                n_none += 1
                continue
            wanted = np.nanpercentile(own, (5, 25, 50, 75, 95))
            assert box["medians"][0].get_ydata()[0] == pytest.approx(wanted[2])
            found = sorted({y for line in box["whiskers"] for y in line.get_ydata()})
            np.testing.assert_allclose(found, wanted[[0, 1, 3, 4]])
    assert n_none == 1
    assert ax.get_ylabel() == "signal-to-noise ratio"
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1", "2", "3"] * len(GROUPS)


def test_of_one_session_and_of_nothing(ds, ax):
    drawn = plot.snr(ox.snr(ds), ax, name="signal")
    ((box,),) = drawn.boxes
    wanted = np.nanmedian(ox.snr(ds).signal)
    assert box["medians"][0].get_ydata()[0] == pytest.approx(wanted)
    with pytest.raises(MissingVariableError, match="'noise'"):
        plot.snr(ox.snr(ds), ax, name="noise")
    with pytest.raises(WindowError, match="nothing to draw"):
        plot.snr(ox.snr(ds).isel(roi=[]), ax)


@pytest.fixture(scope="module")
def ds():
    return ox.sample.session(n_rois=6, scale=0.02)
