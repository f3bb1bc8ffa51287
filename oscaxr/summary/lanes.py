"""Where in the session segments lie, as a small picture: bars on one axis, a lane a stimulus."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, Final

import numpy as np

from oscaxr.model import names as n
from oscaxr.model.signals import runs
from oscaxr.summary.content import cleaned

Array = np.ndarray[Any, Any]

WIDTH: Final = 640
# Drawn one over the other.
KINDS: Final = ("neither", "expected", "unexpected")
_LANE: Final = 18
_LEFT: Final = 84
_MINUTES: Final = (0.25, 0.5, 1, 2, 5, 10, 20, 60)
_MOST_TICKS: Final = 9
_MOST_LANES: Final = 4


@dataclass(frozen=True)
class Lane:
    """The segments of one stimulus: when each starts and stops, s, and what it is.

    That is 1 where it is unexpected, 0 where it is expected, NaN where it is neither (gray screen).
    """

    name: str
    start: Array
    stop: Array
    unexpected: Array

    def of(self, kind: str) -> Array:
        """Flag the segments of a kind."""
        if kind == "neither":
            return np.isnan(self.unexpected)
        flags: Array = self.unexpected == float(kind == "unexpected")
        return flags


@dataclass(frozen=True)
class Timeline:
    """Lanes over the time of a session, from its first to its last second."""

    lanes: tuple[Lane, ...]
    first: float
    last: float


def timeline_of(columns: Mapping[str, Array], first: float, last: float) -> Timeline | None:
    """Return the lanes of segments whose columns are given; None where there are none to draw."""
    start, stop = columns["start_time"], columns["stop_time"]
    drawn = np.isfinite(start) & np.isfinite(stop) & (stop >= start)
    if not drawn.any():
        return None
    kinds = columns["stimulus_type"]
    unexpected = columns["unexpected"].astype(float)
    names, counts = np.unique(kinds[drawn], return_counts=True)
    # A session has three; whatever else a file has, the picture stays small.
    shown = sorted(names[np.argsort(-counts, kind="stable")][:_MOST_LANES].tolist())
    flags = {str(name): drawn & (kinds == name) for name in shown}
    lanes = tuple(Lane(name, start[of], stop[of], unexpected[of]) for name, of in flags.items())
    ends = (float(start[drawn].min()), float(stop[drawn].max()))
    return Timeline(lanes, min(first, ends[0]), max(last, ends[1], ends[0] + 1e-3))


def bars(start: Array, stop: Array, timeline: Timeline) -> Array:
    """Return the columns of pixels, from and to, that segments fill: as many as are seen."""
    scale = WIDTH / (timeline.last - timeline.first)
    left = np.clip(np.floor((start - timeline.first) * scale), 0, WIDTH - 1).astype(int)
    right = np.clip(np.ceil((stop - timeline.first) * scale), left + 1, WIDTH).astype(int)
    change = np.zeros(WIDTH + 1, int)
    np.add.at(change, left, 1)
    np.add.at(change, right, -1)
    first, count = runs(np.cumsum(change) > 0)
    return np.stack([first, first + count], axis=1)


def ticks(timeline: Timeline) -> list[float]:
    """Return round minutes within a timeline, few enough to be read."""
    first, last = timeline.first / 60, timeline.last / 60
    step = next((k for k in _MINUTES if last - first <= k * _MOST_TICKS), (last - first) / 5)
    return [k * step for k in range(int(np.ceil(first / step)), int(last // step) + 1)]


def svg(timeline: Timeline) -> str:
    """Return the picture; its colours are classes of the page that it stands in."""
    height = _LANE * len(timeline.lanes)
    parts = []
    for number, lane in enumerate(timeline.lanes):
        top = number * _LANE + 3
        parts.append(f'<text x="{_LEFT - 6}" y="{top + 10}" text-anchor="end">')
        parts.append(f"{escape(cleaned(_word(lane.name), 12))}</text>")
        parts.append(_path("track", np.array([[0, WIDTH]]), top + 5, 2))
        for kind in KINDS:
            if (of := lane.of(kind)).any():
                found = bars(lane.start[of], lane.stop[of], timeline)
                parts.append(_path(kind, found, top, _LANE - 6))
    scale = WIDTH / (timeline.last - timeline.first)
    for minute in ticks(timeline):
        x = _LEFT + (minute * 60 - timeline.first) * scale
        parts.append(f'<path class="axis" d="M{x:.1f} {height}v4"/>')
        parts.append(f'<text x="{x:.1f}" y="{height + 15}" text-anchor="middle">{minute:g}</text>')
    end = f'<text x="{_LEFT + WIDTH + 12}" y="{height + 15}">min</text>'
    box = f"0 0 {_LEFT + WIDTH + 40} {height + 20}"
    names = ", ".join(f"{len(lane.start)} of {_word(lane.name)}" for lane in timeline.lanes)
    says = escape(cleaned(f"Where in the session the segments lie: {names}"))
    return (
        f'<svg role="img" aria-label="{says}" viewBox="{box}">{"".join(parts)}'
        f'<path class="axis" d="M{_LEFT} {height}h{WIDTH}"/>{end}</svg>{_key(timeline)}'
    )


def _word(stimulus: str) -> str:
    """Return a stimulus as pictures say it."""
    return n.STIMULUS_WORDS.get(stimulus, stimulus)


def _key(timeline: Timeline) -> str:
    """Say what the colours are, of those that there are."""
    return "".join(
        f'<span class="oscaxr-key {kind}"></span>{kind}'
        for kind in KINDS[1:]
        if any(lane.of(kind).any() for lane in timeline.lanes)
    )


def _path(kind: str, spans: Array, top: int, height: int) -> str:
    steps = (f"M{_LEFT + x} {top}h{to - x}v{height}H{_LEFT + x}z" for x, to in spans.tolist())
    return f'<path class="{kind}" d="{"".join(steps)}"/>'
