"""Two groups of responses in a session: unexpected against expected, after against before."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.errors import CriterionError, WindowError, few
from oscaxr.measure.transform import Window, integrate
from oscaxr.model import names as n
from oscaxr.model.invalid_rois import Invalid
from oscaxr.renamed import refuse_word
from oscaxr.select.alignment import tracked as tracked_rois
from oscaxr.select.criteria import select_segments
from oscaxr.select.sequences import reduced, sequences
from oscaxr.select.tables import blocks

Split = Literal[
    "unexpected", "unexpected_onset", "expected_onset", "stimulus_onset", "stimulus_offset"
]

COMMON_ORIENTATIONS: Final = (90.0, 135.0)
"""The mean orientations, degrees, that both D and U frames have."""


GROUPS: Final[dict[str, tuple[str, str]]] = {
    "unexpected": ("expected", "unexpected"),
    "unexpected_onset": ("before", "after"),
    "expected_onset": ("before", "after"),
    "stimulus_onset": ("gray", "stimulus"),
    "stimulus_offset": ("stimulus", "gray"),
}
"""The splits of the papers, and what their two groups are called."""

_RUNS: Final = {"unexpected_onset": 1, "expected_onset": 0}

OF_BOTH: Final = ("stimulus_onset", "stimulus_offset")
"""The splits about gray screens, which take the blocks of both stimuli together."""

PUBLISHED: Final[dict[str, dict[str, Any]]] = {
    n.GABORS: {"gabor_kappa": 16},
    n.VISFLOW: {"square_size": 128},
}
"""The criteria by which the papers take each stimulus."""

REFERENCE: Final[dict[str, dict[str, Any]]] = {n.GABORS: {"gabor_frame": ["D", "U"]}, n.VISFLOW: {}}
"""The criteria on the segments that are compared of expected and unexpected sequences."""

Numbers = npt.NDArray[np.int64]

RESPONSE: Final[dict[str, Window]] = {n.GABORS: (0.0, 0.6), n.VISFLOW: (0.0, 1.0)}
"""Where the response to a segment begins and ends, s."""
_AROUND: Final[Window] = (-2.0, 2.0)


def split(
    ds: xr.Dataset,
    split: Split = "unexpected",
    stimulus: str = n.GABORS,
    *,
    name: str = n.DFF,
    window: Window | None = None,
    integrated: bool = True,
    third: Literal[1, 2, 3] | None = None,
    common_orientations: bool = False,
    tracked: bool = False,
    scale: bool | None = None,
    interpolate: bool = False,
    invalid: Invalid = "drop",
    **criteria: Any,
) -> dict[str, xr.DataArray]:
    """Return two groups of responses of a session, as the papers compare them.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    split : str, optional
        ``"unexpected"``: responses to ``expected`` and to ``unexpected`` segments (of Gabors, to
        the frames D and U). ``"unexpected_onset"``, ``"expected_onset"``: ``before`` and ``after``
        the first unexpected, or expected, segment of each run, of Gabors in whatever frame.
        ``"stimulus_onset"``: ``gray`` and ``stimulus``, before and after each gray screen ends.
        ``"stimulus_offset"``: ``stimulus`` and ``gray``, before and after each gray screen begins.
    stimulus : {"gabors", "visflow"}, optional
        The stimulus. The last two splits take the blocks of both together, whichever is given.
    name : str, optional
        Variable: ``"dff"``, ``"run_velocity"``, ``"pupil_diameter"``, or another that runs on a
        clock.
    window : tuple of float, optional
        Where the window begins and ends, s from the start of the segment, the end excluded. Of
        ``"unexpected"`` it is that of both groups, by default (0, 0.6) for Gabors and (0, 1) for
        visual flow. Of the others it is cut at 0 into the groups; by default (-2, 2).
    integrated : bool, optional
        Integrate over the window (:func:`oscaxr.integrate`), or else keep the traces.
    third : {1, 2, 3}, optional
        Only the first, second or last third of the segments of both groups together, by number.
        The thirds share the segments at their edges, as published.
    common_orientations : bool, optional
        Of D and U only those with the orientations that both have, 90 and 135 degrees.
    tracked : bool, optional
        Take the tracked ROIs only, in tracking order.
    scale : bool, optional
        Scale by the median and spread of the whole recording, as :func:`oscaxr.sequences` does. By
        default only dF/F is scaled.
    interpolate : bool, optional
        Fill missing frames of running or pupil beforehand; otherwise they make an integral NaN.
    invalid : {"drop", "keep"}, optional
        As for :func:`oscaxr.sequences`: whether ROIs that the files list as invalid are left out.
    **criteria
        Further criteria (:func:`oscaxr.select_segments`) on the segments. By default Gabors have
        ``gabor_kappa=16`` and, for ``"unexpected"``, ``gabor_frame=["D", "U"]``; visual flow
        has ``square_size=128``; ``None`` takes all.

    Returns
    -------
    dict of str to xarray.DataArray
        The two groups by name, in the order above: (roi, sequence), in memory, in the variable's
        unit times s, or (roi, sequence, rel_time), lazy, in its unit (dF/F that is scaled has
        none); without ``roi`` for running and pupil. The attributes ``split``, ``stimulus`` and
        ``group`` say what they are; of the last two splits, the stimulus is ``"both"`` or the one
        that the gray screens have beside them.

    Raises
    ------
    RenamedError
        If a word of the published code is given for a split: the message has the one here.
    CriterionError
        If a split, a stimulus or a criterion is not known, a criterion is one that tells the groups
        apart, a group has no segments, or the stimulus beside a gray screen is not in the session.
    WindowError
        If a window is empty, has no part before or after its event, or leaves the recording in all
        sequences of a group.
    MissingVariableError
        If the session has no such variable.
    TrackingError
        If tracked ROIs are asked for and there are none.

    Warns
    -----
    DroppedSequencesWarning
        If windows leave the recording.

    Notes
    -----
    The definitions of Gillon, Pina et al. (2024). The first run of a block counts for
    ``"expected_onset"``, and both groups of an onset are of the same events.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> groups = ox.analyses.split(ds, "unexpected", stimulus="gabors")
    >>> {group: responses.dims for group, responses in groups.items()}
    {'expected': ('roi', 'sequence'), 'unexpected': ('roi', 'sequence')}
    """
    check_split(split, stimulus)
    start, stop = _window(window, split, stimulus)
    if common_orientations:
        _check_common(split, stimulus, criteria)
        criteria = {**criteria, "gabor_mean_orientation": [*COMMON_ORIENTATIONS]}
    if split in OF_BOTH:
        _refuse_own(split, set(criteria), criteria)
        events, stimulus = _beside_gray(ds, split)
        segments: list[Any] = [events]
    else:
        segments = _segments(ds, split, stimulus, criteria)
    if third is not None:
        segments = _of_third(segments, third)
    _require_segments(ds, split, stimulus, segments)
    options: dict[str, Any] = {
        "scale": name == n.DFF if scale is None else scale,
        "interpolate": interpolate,
        "invalid": invalid,
    }
    source = tracked_rois(ds) if tracked else ds
    windows = [sequences(source, name, own, pre=-start, post=stop, **options) for own in segments]
    if split != "unexpected":
        after = windows[0][n.REL_FRAME].values >= 0
        windows = [windows[0].isel({n.REL_TIME: part}) for part in (~after, after)]
    told = {"split": split, "stimulus": stimulus}
    return {
        group: (reduced(part, integrate) if integrated else part).assign_attrs(told, group=group)
        for group, part in zip(GROUPS[split], windows, strict=True)
    }


def check_split(split: Any, stimulus: Any) -> None:
    """Refuse what is no split, or no stimulus that has it."""
    refuse_word("split", split)
    for word, value, known in (("split", split, GROUPS), ("stimulus", stimulus, PUBLISHED)):
        if not isinstance(value, str) or value not in known:
            raise CriterionError(
                f"{word}={value!r} is not known; it may be {few(map(repr, known))}"
            )


def _window(window: Any, split: str, stimulus: str) -> Window:
    """Return where the windows begin and end."""
    is_cut = split != "unexpected"
    if window is None:
        return _AROUND if is_cut else RESPONSE[stimulus]
    if np.shape(window) != (2,):
        raise WindowError(f"window={window!r}: give where it begins and ends, as in (-0.9, 0.6)")
    start, stop = window
    if is_cut and not start < 0 < stop:
        raise WindowError(
            f"window={window!r}: it is cut at 0 into {' and '.join(map(repr, GROUPS[split]))}, so "
            "it begins before and ends after 0, as (-2, 2) does"
        )
    return start, stop


def _check_common(split: str, stimulus: str, criteria: Mapping[str, Any]) -> None:
    """Refuse common orientations of what has none, or beside other ones."""
    if (split, stimulus) != ("unexpected", n.GABORS):
        raise CriterionError(
            "common_orientations=True: these are of D and U Gabors, which "
            f"split={split!r} of stimulus={stimulus!r} does not compare"
        )
    _refuse_own(split, {"gabor_mean_orientation"}, criteria)


def _refuse_own(split: str, own: set[str], criteria: Mapping[str, Any]) -> None:
    """Refuse criteria that a split sets itself."""
    twice = sorted(own & set(criteria))
    if twice:
        raise CriterionError(
            f"{', '.join(twice)}: split={split!r} says it itself, so it cannot be a criterion. "
            "Take sequences of your own selections instead"
        )


def _segments(ds: xr.Dataset, split: str, stimulus: str, criteria: Mapping[str, Any]) -> list[Any]:
    """Return the selected segments of each group, or those of the events of both groups."""
    asked = {**PUBLISHED[stimulus], **criteria}
    if split in _RUNS:
        _refuse_own(split, {"unexpected", "run_start"}, criteria)
        kinds = [{"unexpected": _RUNS[split], "run_start": True}]
    else:
        _refuse_own(split, {"unexpected"}, criteria)
        kinds = [{**REFERENCE[stimulus], "unexpected": one} for one in (0, 1)]
    # As they are selected: by their numbers, they would be looked up in the whole table once more.
    return [select_segments(ds, stimulus=stimulus, **{**kind, **asked}) for kind in kinds]


def _beside_gray(ds: xr.Dataset, split: str) -> tuple[Numbers, str]:
    """Return the segments with which stimuli, or gray screens, begin, and which stimuli these are.

    The first gray screen has no stimulus before it, the last none after it.
    """
    gray = blocks(ds, stimulus=n.GRAYSCREEN)
    starts, stops = (gray[f"{edge}_segment"].values for edge in ("start", "stop"))
    is_onset = split == "stimulus_onset"
    events, beside = (stops[:-1], stops[:-1]) if is_onset else (starts[1:], starts[1:] - 1)
    where, unused = ("after", "last") if is_onset else ("before", "first")
    found = f"split={split!r}: {session_name(ds)} has "
    found += f"gray screens at segments {few(starts)}" if len(starts) else "no gray screen"
    if not len(events):
        raise CriterionError(
            f"{found}, but the stimuli {where} all gray screens but the {unused} are taken: two or "
            "more are needed"
        )
    known = ds[n.SEGMENT].values
    lacking = beside[~np.isin(beside, known)]
    if len(lacking):
        raise CriterionError(
            f"{found}, but lacks segments {few(lacking)}, which were shown {where} them: take a "
            "whole session, or keep the stimuli beside its gray screens"
        )
    kinds = {*ds["stimulus_type"].values[np.isin(known, beside)].tolist()}
    return events, kinds.pop() if len(kinds) == 1 else "both"


def _numbers(segments: xr.Dataset | Numbers) -> Numbers:
    return segments[n.SEGMENT].values if isinstance(segments, xr.Dataset) else segments


def _of_third(segments: list[Any], third: Any) -> list[Numbers]:
    """Return the numbers of those segments of all groups together that are in a third."""
    if isinstance(third, bool) or third not in (1, 2, 3):
        raise CriterionError(f"third={third!r}: it is 1, 2 or 3")
    numbers = [_numbers(own) for own in segments]
    together = np.concatenate(numbers)
    if not together.size:
        return numbers
    low, high = np.percentile(together, [100 * (third - 1) / 3, 100 * third / 3])
    return [own[(own >= low) & (own < high + 1)] for own in numbers]


def _require_segments(ds: xr.Dataset, split: str, stimulus: str, segments: list[Any]) -> None:
    """Refuse a split of which a group has no segments."""
    kinds = GROUPS[split] if split == "unexpected" else ("such",)
    lacking = [kind for kind, own in zip(kinds, segments, strict=True) if not _numbers(own).size]
    if lacking:
        of = "" if split in OF_BOTH else f" of {stimulus} that fulfil all criteria"
        raise CriterionError(
            f"split={split!r}: {session_name(ds)} has no {' and no '.join(lacking)} segments{of} "
            "(select(..., explain=True) says how many segments each criterion leaves)"
        )


def session_name(ds: xr.Dataset) -> str:
    """Name a session in a message."""
    return f"session {int(ds['session_id'])}" if "session_id" in ds.coords else "this session"
