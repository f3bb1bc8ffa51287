"""Synthetic sessions resemble recorded ones: behaviour, clocks, masks, quality of the traces.

The ranges are those of the published recordings, which the docstring of `make_session` states;
where the example data of the project are at hand, whole distributions are compared with theirs.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from oscaxr.measure.quality import snr
from oscaxr.model.synthetic import MOUSE_IDS
from oscaxr.sample import SampleSpec, make_session
from oscaxr.sample.mouse_behavior import Behavior, make_behavior
from oscaxr.sample.planted_rois import make_masks
from oscaxr.sample.timeline import Timeline, make_timeline

Values = NDArray[np.float64]

N_MICE = 12
PLANES = ("soma", "dend")


@cache
def mice() -> list[tuple[Timeline, Behavior]]:
    """Clocks and behaviour of some mice, each of real length."""
    specs = [SampleSpec(mouse_id=MOUSE_IDS[number], seed=number) for number in range(N_MICE)]
    timelines = [make_timeline(spec) for spec in specs]
    return [(one, make_behavior(spec, one)) for spec, one in zip(specs, timelines, strict=True)]


@cache
def quality(plane: str) -> list[xr.Dataset]:
    """Quality of the traces of the first and the third session of a mouse, a third as long."""
    n_rois = {"soma": 100, "dend": 250}[plane]
    facts: dict[str, Any] = {"plane": plane, "n_rois": n_rois, "n_tracked": n_rois // 3}
    specs = [
        SampleSpec(scale=0.33, seed=number, session_number=number, **facts) for number in (1, 3)
    ]
    return [snr(xr.DataArray(make_session(one).traces(), dims=("time", "roi"))) for one in specs]


# -- the ranges of the docstring ----------------------------------------------------------------


def test_pupil_is_within_the_ranges_of_recordings() -> None:
    for _, behavior in mice():
        diameter = behavior.pupil_diameter
        assert 0.30 <= np.nanmedian(diameter) <= 0.70
        assert np.nanpercentile(diameter, 99) <= 0.89
        assert 0.001 <= np.isnan(diameter).mean() <= 0.023


def test_most_mice_are_at_rest_most_of_the_time() -> None:
    medians = np.array([np.nanmedian(behavior.run_velocity) for _, behavior in mice()])
    at_rest = (medians > -0.1) & (medians < 1.5)
    assert 0.6 * N_MICE <= at_rest.sum() < N_MICE
    assert medians[~at_rest].max() > 15
    assert medians.max() < 37
    # And those at rest run at times.
    for is_still, (_, behavior) in zip(at_rest, mice(), strict=True):
        if is_still:
            assert -7.5 < np.nanpercentile(behavior.run_velocity, 1) < -1
            assert np.nanpercentile(behavior.run_velocity, 99.9) > 5


def test_few_running_frames_are_missing() -> None:
    for _, behavior in mice():
        velocity = behavior.run_velocity
        # What jumps by more than 50 cm/s counts as missing, too.
        jumped = (velocity > 90).sum()
        assert 0 < np.isnan(velocity).sum() + jumped <= 11


def test_clocks_are_as_regular_as_recorded_ones() -> None:
    for timeline, _ in mice():
        table = timeline.segments
        lasting = table["stop_time"] - table["start_time"]
        gabors = lasting[table["stimulus_type"] == "gabors"]
        flow = lasting[table["stimulus_type"] == "visflow"]
        assert 0.293 <= gabors.min() < 0.296
        assert 0.304 < gabors.max() <= 0.307
        assert 0.9975 <= flow.min() <= flow.max() < 1.0015
        assert np.diff(timeline.twop_times).std() < 1e-5


@pytest.mark.parametrize(("plane", "lowest", "highest"), [("soma", 180, 240), ("dend", 30, 40)])
def test_areas_of_masks(plane: str, lowest: float, highest: float) -> None:
    masks = make_masks(SampleSpec(plane=plane, n_rois=300))
    areas = masks.draw(0, None, "bool").sum(axis=(1, 2))
    assert lowest <= areas.mean() <= highest
    assert 6 <= areas.min() <= areas.max() <= 1108
    # Some are several times as large as most.
    assert areas.max() > 3 * np.median(areas)


@pytest.mark.parametrize(
    ("plane", "ratios", "signals"),
    [
        ("soma", (2.7, 3.9), (0.18, 0.28)),
        pytest.param("dend", (2.36, 2.58), (0.39, 0.59), marks=pytest.mark.slow),
    ],
)
def test_quality_of_traces(plane: str, ratios: tuple, signals: tuple) -> None:
    for found in quality(plane):
        assert ratios[0] <= found.snr.median() <= ratios[1]
        assert signals[0] <= found.signal.median() <= signals[1]
        assert found.snr.min() > 2.1
        # Some are far better than the others.
        assert found.snr.max() > (2.0 if plane == "soma" else 1.2) * ratios[1]


# -- whole distributions ------------------------------------------------------------------------


@pytest.fixture
def recorded(shared: Path) -> Callable[[str], Any]:
    """Read one file of what was published of the recordings."""
    folder = shared / "data" / "real"
    if not folder.is_dir():
        pytest.skip(f"no published values in {folder}")
    return lambda name: json.loads((folder / f"real_{name}.json").read_text())


def kolmogorov_smirnov(one: Values, other: Values) -> float:
    """Largest difference between two distribution functions."""
    every = np.concatenate([one, other])
    shares = [np.searchsorted(np.sort(v), every, side="right") / len(v) for v in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


def histograms(table: Any, signal: str) -> tuple[Values, Values]:
    """Edges of the bins of a signal, and its histograms, (session, bin)."""
    columns = [table[f"{signal}_vals_binned"][session] for session in ("0", "1", "2")]
    counts = np.concatenate([np.array(sessions, dtype=float) for sessions in columns])
    return np.linspace(*table[f"{signal}_bin_edges"]["0"], counts.shape[1] + 1), counts


def cumulated(
    recorded: Callable[[str], Any], signal: str, values: list[Values]
) -> tuple[Values, Values]:
    """Return shares of values up to each bin's end, and those recorded: (session, bin)."""
    edges, theirs = histograms(recorded("pupil_running_histograms")["hist_df"], signal)
    ours = np.stack([np.histogram(one, edges)[0].astype(float) for one in values])
    shares, recorded_shares = (
        np.cumsum(counts / counts.sum(axis=1, keepdims=True), axis=1) for counts in (ours, theirs)
    )
    return shares, recorded_shares


@pytest.mark.shared
@pytest.mark.parametrize(
    ("signal", "variable", "bound"),
    [("run", "run_velocity", 0.1), ("pupil", "pupil_diameter", 0.15)],
)
def test_behavior_is_distributed_as_recorded(
    recorded: Callable[[str], Any], signal: str, variable: str, bound: float
) -> None:
    values = [getattr(behavior, variable) for _, behavior in mice()]
    shares, recorded_shares = cumulated(recorded, signal, values)
    distance = np.abs(shares.mean(axis=0) - recorded_shares.mean(axis=0)).max()
    assert distance < bound
    # No session is outside of what there was, by more than a bin.
    for share in (0.05, 0.25, 0.5, 0.75, 0.95, 0.99):
        bins = [(found >= share).argmax(axis=1) for found in (shares, recorded_shares)]
        assert bins[1].min() - 1 <= bins[0].min() <= bins[0].max() <= bins[1].max() + 1


@pytest.mark.slow
@pytest.mark.shared
def test_pupils_of_many_mice_are_distributed_as_recorded(recorded: Callable[[str], Any]) -> None:
    specs = [SampleSpec(mouse_id=900100 + seed, seed=seed) for seed in range(100, 140)]
    pupils = [make_behavior(one, make_timeline(one)).pupil_diameter for one in specs]
    shares, recorded_shares = cumulated(recorded, "pupil", pupils)
    assert np.abs(shares.mean(axis=0) - recorded_shares.mean(axis=0)).max() < 0.14
    for diameter in pupils:
        assert 0.30 <= np.nanmedian(diameter) <= 0.70
        assert np.nanpercentile(diameter, 99) <= 0.89


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize(
    ("name", "column", "variable"),
    [("snr", "snrs", "snr"), ("signal_means", "signal_means", "signal")],
)
def test_traces_are_distributed_as_recorded(
    recorded: Callable[[str], Any], plane: str, name: str, column: str, variable: str
) -> None:
    (table,) = (v for k, v in recorded(f"{name}_per_roi").items() if k.endswith("_df"))
    theirs = [np.array(table[column][k]) for k, one in table["planes"].items() if one == plane]
    pool = np.concatenate(theirs)
    farthest = max(kolmogorov_smirnov(one, pool) for one in theirs)
    percentiles = np.array([5.0, 25.0, 50.0, 75.0, 95.0])
    each = np.stack([np.percentile(one, percentiles) for one in theirs])
    for found in quality(plane):
        ours = found[variable].values
        # No farther from all recordings together than one of them is.
        assert kolmogorov_smirnov(ours, pool) <= farthest
        found_percentiles = np.percentile(ours, percentiles)
        assert (found_percentiles >= 0.9 * each.min(axis=0)).all()
        assert (found_percentiles <= 1.1 * each.max(axis=0)).all()


@pytest.mark.shared
@pytest.mark.parametrize("rate", [30.0765, 30.08, 30.0811, 30.145])
def test_as_many_frames_as_recorded(recorded: Callable[[str], Any], rate: float) -> None:
    counts = list(recorded("twop_frame_counts").values())
    frames = len(make_timeline(SampleSpec(twop_rate=rate)).twop_times)
    assert min(counts) <= frames <= max(counts)
