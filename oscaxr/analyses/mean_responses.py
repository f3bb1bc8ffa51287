"""Mean responses of each ROI of a session: what groups of sessions are made of."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr.analyses.chance import difference_null, generator, permutations_if_any
from oscaxr.analyses.discrimination import GROUP
from oscaxr.analyses.splits import PUBLISHED, Split, check_split, session_name
from oscaxr.analyses.splits import split as split_session
from oscaxr.errors import CriterionError, InvalidRoiWarning, warn
from oscaxr.measure.statistics import mean, stats
from oscaxr.measure.transform import Window, integrate
from oscaxr.model import names as n
from oscaxr.model.invalid_rois import Invalid
from oscaxr.select.alignment import tracked as tracked_rois
from oscaxr.select.criteria import select_segments
from oscaxr.select.sequences import reduced, sequences

FRAME: Final = "gabor_frame"
PERMUTATION: Final = "permutation"
_COUNTED: Final = {"long_name": "number of sequences"}

# In pictures, the sequence that leads to D or U is seen too.
_PICTURED: Final[Window] = (-0.9, 0.6)
# How long one segment is shown.
_SHOWN: Final[dict[str, Window]] = {n.GABORS: (0.0, 0.3), n.VISFLOW: (0.0, 1.0)}


def mean_traces(
    ds: xr.Dataset,
    split: Split = "unexpected",
    stimulus: str = n.GABORS,
    *,
    window: Window | None = None,
    **options: Any,
) -> xr.Dataset:
    """Return the mean trace of each ROI in the two groups of a split, with its error.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    split, stimulus
        The groups: see :func:`split`.
    window : tuple of float, optional
        Where the traces begin and end, s. By default as for :func:`split`, but for Gabors that
        are expected or unexpected -0.9 to 0.6, as in the papers' pictures.
    **options
        Further arguments of :func:`split`, such as ``name``, ``third`` or ``tracked``.

    Returns
    -------
    xarray.Dataset
        ``mean`` and ``sem`` (ddof 1) over sequences, in the unit of the responses, and
        ``n_sequences``. Of ``"unexpected"`` they run over (group, roi, rel_time). Of the other
        splits, whose groups follow each other in time, the traces run over (roi, rel_time), and
        ``group`` along ``rel_time`` says what is before and what after. Without ``roi`` for running
        and pupil.

    Raises
    ------
    CriterionError, WindowError, MissingVariableError, TrackingError
        As :func:`split`.

    Notes
    -----
    NaNs are left out; the error of a single sequence is NaN. Recordings are gone through once, a
    part at a time.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> ox.analyses.mean_traces(ds)["mean"].sizes
    Frozen({'group': 2, 'roi': 4, 'rel_time': 45})
    >>> ox.analyses.mean_traces(ds, "unexpected_onset")["mean"].sizes
    Frozen({'roi': 4, 'rel_time': 120})
    """
    check_split(split, stimulus)
    _refuse_integrated("mean_traces", options)
    if window is None and (split, stimulus) == ("unexpected", n.GABORS):
        window = _PICTURED
    groups = split_session(ds, split, stimulus, window=window, integrated=False, **options)
    parts = [stats(part, n.SEQUENCE).assign_attrs(part.attrs) for part in groups.values()]
    counts = [part.sizes[n.SEQUENCE] for part in groups.values()]
    if split == "unexpected":
        found = _side_by_side(parts, list(groups))
        counted = xr.Variable(GROUP, counts, _COUNTED)
    else:
        named = [
            part.assign_coords({GROUP: (n.REL_TIME, [group] * part.sizes[n.REL_TIME])})
            for group, part in zip(groups, parts, strict=True)
        ]
        found = xr.concat(named, n.REL_TIME, combine_attrs="drop_conflicts", coords="minimal")
        counted = xr.Variable((), counts[0], _COUNTED)
    return found.assign(n_sequences=counted)


def _refuse_integrated(function: str, options: Mapping[str, Any]) -> None:
    """Refuse the argument of a split that has one value here."""
    if "integrated" in options:
        raise CriterionError(
            f"integrated={options['integrated']!r}: mean_traces takes traces, response_difference "
            f"their integrals, so {function} has no such argument"
        )


def frame_responses(
    ds: xr.Dataset,
    stimulus: str = n.GABORS,
    *,
    window: Window | None = None,
    tracked: bool = False,
    scale: bool = False,
    invalid: Invalid = "drop",
    **criteria: Any,
) -> xr.Dataset:
    """Return each ROI's mean response to what is expected and unexpected, of Gabors by frame.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    stimulus : {"gabors", "visflow"}, optional
        The stimulus.
    window : tuple of float, optional
        Where the integral begins and ends, s from the start of the segment; by default while the
        segment is shown, (0, 0.3) for Gabors and (0, 1) for visual flow.
    tracked : bool, optional
        Take the tracked ROIs only, in tracking order.
    scale : bool, optional
        Scale dF/F by the median and spread of the whole recording. What is divided by another
        session's responses is not to be scaled.
    invalid : {"drop", "keep"}, optional
        As for :func:`oscaxr.sequences`.
    **criteria
        Further criteria on the segments, as for :func:`split`.

    Returns
    -------
    xarray.Dataset
        ``response`` and ``n_sequences``: (group, gabor_frame, roi) in dF/F s and
        (group, gabor_frame) for Gabors, without ``gabor_frame`` for visual flow. The groups are
        ``"expected"`` and ``"unexpected"``; the frames A, B, C, D, U and G. What was not shown, as
        an unexpected D, has the response NaN.

    Raises
    ------
    CriterionError
        If a stimulus or criterion is not known, the criterion is ``unexpected``, or the session has
        no expected, or no unexpected, segments.
    WindowError
        If the window is empty, or leaves the recording in all sequences.
    TrackingError
        If tracked ROIs are asked for and there are none.

    Notes
    -----
    The sequences A, B, C, U, G are unexpected as a whole: their A, B and C are in that group.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> found = ox.analyses.frame_responses(ds)
    >>> found["response"].sizes, found.n_sequences.sel(group="unexpected", gabor_frame="D").item()
    (Frozen({'group': 2, 'gabor_frame': 6, 'roi': 4}), 0)
    """
    check_split("unexpected", stimulus)
    start, stop = _SHOWN[stimulus] if window is None else window
    source = tracked_rois(ds) if tracked else ds
    if "unexpected" in criteria:
        raise CriterionError(
            "unexpected: it tells the groups apart, so it cannot be a criterion: take one of the "
            "two groups of the result"
        )
    parts = []
    for unexpected, group in enumerate(("expected", "unexpected")):
        asked = {**PUBLISHED[stimulus], **criteria, "unexpected": unexpected}
        segments = select_segments(ds, stimulus=stimulus, **asked)
        if not segments.sizes[n.SEGMENT]:
            raise CriterionError(f"{session_name(ds)} has no {group} segments of {stimulus}")
        options: dict[str, Any] = {"pre": -start, "post": stop, "scale": scale, "invalid": invalid}
        integrals = reduced(sequences(source, n.DFF, segments, **options), integrate)
        parts.append(_by_frame(integrals) if stimulus == n.GABORS else _averaged(integrals))
    return _side_by_side(parts, ["expected", "unexpected"]).assign_attrs(stimulus=stimulus)


def _by_frame(integrals: xr.DataArray) -> xr.Dataset:
    frames = integrals[FRAME].values
    parts = [_averaged(integrals.isel({n.SEQUENCE: frames == one})) for one in n.GABOR_FRAMES]
    found = xr.concat(parts, FRAME, combine_attrs="override", coords="minimal", compat="override")
    return found.assign_coords({FRAME: list(n.GABOR_FRAMES)})


def _averaged(integrals: xr.DataArray) -> xr.Dataset:
    counted = xr.Variable((), integrals.sizes[n.SEQUENCE], _COUNTED)
    bare = integrals.drop_vars(FRAME, errors="ignore")
    return xr.Dataset({"response": mean(bare, n.SEQUENCE), "n_sequences": counted})


def _side_by_side(parts: list[xr.Dataset], groups: list[str]) -> xr.Dataset:
    """Lay the results of groups along a new dim."""
    found = xr.concat(
        parts, GROUP, combine_attrs="drop_conflicts", coords="minimal", compat="override"
    )
    return found.assign_coords({GROUP: groups})


def response_difference(
    ds: xr.Dataset,
    stimulus: str = n.GABORS,
    split: Split = "unexpected",
    *,
    permutations: int = 0,
    seed: int | None = None,
    **options: Any,
) -> xr.Dataset:
    """Return how the mean responses of each ROI differ, and the null of their mean over ROIs.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    stimulus, split
        The groups: see :func:`split`. The second is compared with the first.
    permutations : int, optional
        How often the labels are shuffled over the sequences, the same for all ROIs.
    seed : int, optional
        Seed of the shuffling, zero or more; drawn anew by default. The session id, where it is
        known, is mixed into it.
    **options
        Further arguments of :func:`split`.

    Returns
    -------
    xarray.Dataset
        ``difference`` (roi) of the means of the integrated responses, which are scaled dF/F times s
        by default, ``n_sequences`` (group) and, with permutations, ``null`` (permutation): the mean
        over ROIs of the differences of shuffled labels. An ROI with a response that is NaN or
        infinite has the difference NaN, and is not in the null; ``n_rois`` says how many are.

    Raises
    ------
    CriterionError
        If an argument is not known, or a group has no segments.
    WindowError, MissingVariableError, TrackingError
        As :func:`split`.

    Warns
    -----
    InvalidRoiWarning
        If an ROI has a response that is NaN or infinite.

    Notes
    -----
    The mean over ROIs of the differences is the difference of the responses' means over ROIs, so
    that it is these that are shuffled. Of several sessions, nulls are averaged with ``n_rois`` as
    weights.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> found = ox.analyses.response_difference(ds, permutations=100, seed=0)
    >>> found["difference"].sizes, found["null"].sizes
    (Frozen({'roi': 4}), Frozen({'permutation': 100}))
    """
    _refuse_integrated("response_difference", options)
    told = permutations_if_any(permutations, seed)
    groups = split_session(ds, split, stimulus, **options)
    first, second = groups.values()
    difference = (mean(second, n.SEQUENCE) - mean(first, n.SEQUENCE)).assign_attrs(first.attrs)
    del difference.attrs["group"]
    values = np.concatenate(
        [np.atleast_2d(part.transpose(..., n.SEQUENCE).values) for part in (first, second)], axis=1
    )
    usable = np.isfinite(values).all(axis=1)
    if not usable.all():
        warn(
            f"{session_name(ds)}: {np.count_nonzero(~usable)} of {len(usable)} ROIs (or traces) "
            "have responses that are NaN or infinite; their difference is NaN",
            InvalidRoiWarning,
        )
        difference = difference.where(usable.reshape(difference.shape))
    counts = [part.sizes[n.SEQUENCE] for part in (first, second)]
    found = xr.Dataset(
        {
            "difference": difference,
            "n_sequences": (GROUP, counts, _COUNTED),
            "n_rois": ((), np.count_nonzero(usable), {"long_name": "number of ROIs in the mean"}),
        },
        coords={GROUP: list(groups)},
        attrs={"split": split, "stimulus": first.attrs["stimulus"], "permutations": 0},
    )
    if not told["permutations"]:
        return found
    null = np.full(told["permutations"], np.nan)
    if usable.any():
        random = generator(told["seed"], *([int(ds["session_id"])] if "session_id" in ds else []))
        pooled = values[usable].mean(axis=0)
        null = difference_null(random, told["permutations"], pooled, second.sizes[n.SEQUENCE])
    units = {
        "long_name": "mean difference of shuffled labels",
        "units": first.attrs.get("units", "1"),
    }
    return found.assign(null=(PERMUTATION, null, units)).assign_attrs(told)
