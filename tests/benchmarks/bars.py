"""The bars: what each task must reach, and what it should, as the issues state them.

A ratio is ours to the floor of the same run. ``megabytes`` bounds the peak of private memory above
what the process held before, ``seconds`` the time itself. A layout that is not named has the bar of
the task's ``ANY``.
"""

from typing import Final, NamedTuple

ANY: Final = ""


class Bar(NamedTuple):
    """What a task must reach in one layout, and what it should."""

    must: float | None = None
    goal: float | None = None
    megabytes: float | None = None
    seconds: float | None = None


WINDOWS = Bar(3, 1.5, megabytes=500)
SPREADS = Bar(4, 2, megabytes=500)
MEDIANS = Bar(1 / 4, 1 / 8, megabytes=500)
GROUPED = Bar(2, 1.2)
CHUNKED = Bar(2.5, 1.5, megabytes=900)
BOUNDED = Bar(megabytes=700)
NONE = Bar()

BARS: Final[dict[str, dict[str, Bar]]] = {
    "import oscaxr": {ANY: Bar(1.2, 1.1)},
    # -- opening and reading
    "open, with the segment table": {ANY: Bar(1.8, 1.4)},
    "U sequences": {
        "contiguous": Bar(1.5, 1.1),
        "gzip": Bar(0.5, 0.4),
        "dendritic": Bar(0.6, 0.5),
    },
    "U sequences by isel, to the accessor": {ANY: Bar(2, 1.3)},
    "full traces": {ANY: Bar(1.2, 0.8)},
    "masks to bool": {ANY: Bar(1.3, 1)},
    "geometry of all ROIs": {ANY: Bar(1.3, 1)},
    "the call sequences(scale=True)": {ANY: Bar(seconds=0.020)},
    "scale factors": {ANY: Bar(0.25, 0.17, megabytes=500)},
    # -- all gabor windows
    "windows: plain mean": {ANY: WINDOWS},
    "windows: plain sum": {ANY: WINDOWS},
    "windows: plain std": {ANY: SPREADS},
    "windows: plain var": {ANY: SPREADS},
    "windows: stats, mean and SEM": {ANY: Bar(1.5, 1.2, megabytes=500)},
    "windows: grouped mean, to one mean": {ANY: GROUPED},
    "windows: mean grouped by two, to one mean": {ANY: GROUPED},
    "windows: stats, median and quartiles": {ANY: MEDIANS},
    "windows: stats, median and MAD": {ANY: MEDIANS},
    "windows: plain median": {ANY: MEDIANS},
    "windows: plain quantile": {ANY: MEDIANS},
    "windows: chunks={}, plain mean": {ANY: CHUNKED},
    "windows: chunks={}, stats": {ANY: CHUNKED},
    # -- analyses
    "USI, 10,000 permutations": {ANY: Bar(1 / 100, 1 / 300, megabytes=500, seconds=1.2)},
    # -- bounded memory
    "responses, a row a segment": {ANY: BOUNDED},
    "traces interpolated to 10 Hz": {ANY: BOUNDED},
    "traces resampled to seconds": {ANY: BOUNDED},
    "traces correlated with the pupil": {ANY: BOUNDED},
    # -- analyses
    "decoding, 1,000 shuffles": {ANY: Bar(1 / 4, 1 / 8, megabytes=500)},
    "decoding frame by frame, 1,000 shuffles": {ANY: Bar(1 / 3, 1 / 8, megabytes=500)},
    # -- exports
    "save to zarr, to a plain write": {ANY: Bar(1.3)},
    "save to netCDF, to a plain write": {ANY: Bar(1.3)},
    "save to zarr from NWB, to a plain write": {ANY: NONE},
    "save to netCDF from NWB, to a plain write": {ANY: NONE},
    "zarr: open and U sequences, to NWB": {"contiguous": Bar(2), "gzip": Bar(1)},
    "netCDF: open and U sequences, to NWB": {ANY: NONE},
    "zarr: open and one ROI, to NWB": {ANY: NONE},
    "netCDF: open and one ROI, to NWB": {ANY: NONE},
    "zarr: first open of a process, to NWB": {ANY: Bar(2)},
    "netCDF: first open of a process, to NWB": {ANY: Bar(2)},
    # -- the original format
    "original: open": {ANY: Bar(1.5)},
    "original: open, log decoded before": {ANY: NONE},
    "original: U sequences": {ANY: NONE},
    "original: scale factors": {ANY: NONE},
    # -- many sessions
    "memory of many sessions to few: loop": {ANY: NONE},
    "memory of many sessions to few: open_sessions": {ANY: NONE},
    "memory of many sessions to few: map_sessions": {ANY: NONE},
    "map_sessions, 2 processes, to a bare pool": {ANY: Bar(1 / 0.9)},
    "map_sessions, 2 processes, to one core": {ANY: Bar(goal=1 / 1.7)},
    # -- groups: the loop has a thousandth of the permutations
    "pooled differences, 100,000 permutations, to a loop of 100": {ANY: Bar(1, megabytes=500)},
    # -- figures: 20 minutes are the goal
    "all figures of the analysis paper, six sessions": {ANY: Bar(seconds=3600)},
}


def bar_of(task: str, layout: str) -> Bar:
    """Return the bar of a task in a layout."""
    bars = BARS[task]
    return bars.get(layout, bars.get(ANY, NONE))
