"""Which ROIs respond: to segments against a baseline, against other times, against gray screen."""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.analyses.chance import (
    ALPHA,
    Tail,
    check_permutations,
    check_resolution,
    check_tail,
    corrected_p,
    generator,
    q_values,
    raw_p,
    seed_of,
    share_below,
    swap_sums,
)
from oscaxr.analyses.discrimination import discrimination_index
from oscaxr.analyses.splits import PUBLISHED, RESPONSE, check_split, session_name
from oscaxr.errors import CriterionError
from oscaxr.measure.quality import few_rows, full_traces, map_rois
from oscaxr.measure.transform import Window, baseline, integrate
from oscaxr.model import names as n
from oscaxr.model.invalid_rois import Invalid, without_invalid
from oscaxr.select.alignment import tracked as tracked_rois
from oscaxr.select.criteria import select_segments
from oscaxr.select.sequences import reduced, sequences
from oscaxr.select.tables import blocks

Floats = npt.NDArray[np.float64]
Against = Literal["baseline", "shuffled", "gray"]
COMPARED: Final = ("baseline", "shuffled", "gray")

_ONSET: Final[dict[str, dict[str, Any]]] = {n.GABORS: {"gabor_frame": "A"}, n.VISFLOW: {}}


def responsive_rois(
    ds: xr.Dataset,
    stimulus: str = n.GABORS,
    *,
    against: Against = "baseline",
    window: Window | None = None,
    baseline_window: Window = (-0.3, 0.0),
    permutations: int = 10_000,
    seed: int | None = None,
    tail: Tail = "two",
    alpha: float = ALPHA,
    tracked: bool = False,
    invalid: Invalid = "drop",
    **criteria: Any,
) -> xr.Dataset:
    """Say which ROIs respond to the segments of a stimulus.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    stimulus : {"gabors", "visflow"}, optional
        The stimulus.
    against : {"baseline", "shuffled", "gray"}, optional
        What the responses are compared with: what comes before each of them; responses at the same
        times, shifted together along the recording; or windows of the same length in the gray
        screens.
    window : tuple of float, optional
        Where a response begins and ends, s from the start of its segment; by default (0, 0.6) for
        Gabors, (0, 1) for visual flow.
    baseline_window : tuple of float, optional
        Of ``against="baseline"``: where the baseline begins and ends. By default the 0.3 s before,
        in which frame G was shown before A.
    permutations : int, optional
        How often the sign of the differences is flipped, the times are shifted, or the labels are
        shuffled, the same for all ROIs. With few, q of a few responsive ROIs of many cannot be
        small: that of a single one is at least its least p times the number of ROIs. With fewer
        than 40 (20 of one tail, for `alpha` 0.05), no ROI could be responsive.
    seed : int, optional
        Seed of these, zero or more; drawn anew by default. The session id, where it is known, is
        mixed into it.
    tail : {"two", "high", "low"}, optional
        Whether other, larger or smaller responses count.
    alpha : float, optional
        False discovery rate below which an ROI is responsive.
    tracked : bool, optional
        Take the tracked ROIs only, in tracking order.
    invalid : {"drop", "keep"}, optional
        As for :func:`oscaxr.sequences`.
    **criteria
        Further criteria on the segments (:func:`oscaxr.select_segments`). By default Gabors have
        ``gabor_kappa=16`` and ``gabor_frame="A"``, visual flow has ``square_size=128``; ``None``
        takes all.

    Returns
    -------
    xarray.Dataset
        Over ``roi`` or ``tracking_id``:

        - ``response``: mean integral of dF/F less that of what it is compared with, dF/F s;
        - ``p`` of each ROI, at least 1 / (permutations + 1), or twice that of two tails;
        - ``q``: the false discovery rate if ROIs with this p count (Benjamini and Hochberg), over
          the ROIs that are returned;
        - ``responsive``: q is below `alpha`.

        ``n_sequences`` says how many responses there were. An ROI with a response that is NaN or
        infinite has NaN, and is not responsive.

    Raises
    ------
    CriterionError
        If an argument is not known, permutations are too few for `alpha`, no segment fulfils the
        criteria, or no gray screen is as long as the window.
    WindowError
        If a window is empty, or leaves the recording in all sequences.
    TrackingError
        If tracked ROIs are asked for and there are none.

    Warns
    -----
    DroppedSequencesWarning
        If windows leave the recording.

    Notes
    -----
    The null hypotheses: that a response and its baseline could be exchanged; that the times of the
    segments, with all intervals between them, say nothing of the trace (they are shifted along
    the recording, in a circle); and that stimulus and gray screen could be exchanged. The actual
    one counts as one of the permutations, so p is never 0; ties count half.

    Visual flow moves on between its segments: take ``run_start=True`` or other criteria where what
    comes before is to be something else.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> found = ox.analyses.responsive_rois(ds, against="gray", permutations=200, seed=0)
    >>> sorted(found.data_vars)
    ['n_sequences', 'p', 'q', 'response', 'responsive']
    """
    check_split("unexpected", stimulus)
    if against not in COMPARED:
        raise CriterionError(f"against={against!r}: it may be {', '.join(map(repr, COMPARED))}")
    check_tail(tail)
    if not 0 < alpha < 1:
        raise CriterionError(f"alpha={alpha!r}: it is a rate between 0 and 1")
    permutations, seed = check_permutations(permutations), seed_of(seed)
    check_resolution(permutations, tail, alpha=alpha)
    asked = {**PUBLISHED[stimulus], **_ONSET[stimulus], **criteria}
    segments = select_segments(ds, stimulus=stimulus, **asked)
    if not segments.sizes[n.SEGMENT]:
        raise CriterionError(f"{session_name(ds)} has no segments of {stimulus} that fulfil these")
    source = without_invalid(tracked_rois(ds) if tracked else ds, invalid)
    window = RESPONSE[stimulus] if window is None else window
    drawn = {"permutations": permutations, "seed": seed}
    if against == "baseline":
        compared = _with_baseline(source, segments, window, baseline_window, **drawn)
    else:
        compare = _with_gray if against == "gray" else _with_shifted
        compared = compare(source, segments, window, **drawn)
    # The actual one is one of the permutations.
    raw = (raw_p(compared.share, tail) * permutations + 1) / (permutations + 1)
    known = np.isfinite(compared.response) & np.isfinite(raw)
    p = np.where(known, corrected_p(raw, tail), np.nan)
    q = q_values(p)
    response = np.where(known, compared.response, np.nan)
    values = {"response": response, "p": p, "q": q, "responsive": q < alpha}
    like = compared.responses.isel({n.SEQUENCE: 0}, drop=True)
    found = xr.Dataset({name: like.copy(data=part) for name, part in values.items()})
    for name, attrs in _ATTRS.items():
        found[name].attrs = {"units": like.attrs["units"]} | attrs
    counted = ((), compared.responses.sizes[n.SEQUENCE], {"long_name": "number of sequences"})
    found = found.assign(n_sequences=counted)
    return found.assign_attrs(stimulus=stimulus, against=against, tail=tail, alpha=alpha, **drawn)


_ATTRS: Final[Mapping[str, dict[str, str]]] = {
    "response": {"long_name": "mean response, less what it is compared with"},
    "p": {"long_name": "p of the response", "units": "1"},
    "q": {"long_name": "false discovery rate of the response", "units": "1"},
    "responsive": {"long_name": "ROI is responsive", "units": "1", "comment": "q below alpha"},
}


class _Compared(NamedTuple):
    """Responses (sequence, ROI), how much larger their mean is, and than what share of the null."""

    responses: xr.DataArray
    response: Floats
    share: Floats


def _with_baseline(
    ds: xr.Dataset,
    segments: xr.Dataset,
    window: Window,
    before: Window,
    *,
    permutations: int,
    seed: int,
) -> _Compared:
    """Compare responses with what comes before: flip the signs of their differences."""
    edges: dict[str, Any] = {"pre": -min(window[0], before[0]), "post": max(window[1], before[1])}
    windows = sequences(ds, n.DFF, segments, invalid="keep", **edges)
    responses = reduced(windows, lambda part: integrate(baseline(part, before), window))
    values = responses.transpose(n.SEQUENCE, ...).values
    response = values.mean(axis=0)
    flipped = swap_sums(_random(ds, seed), permutations, values)
    return _Compared(
        responses, response, share_below(response, response - 2 * flipped / len(values))
    )


def _with_gray(
    ds: xr.Dataset, segments: xr.Dataset, window: Window, *, permutations: int, seed: int
) -> _Compared:
    """Compare responses with windows that divide the gray screens: shuffle the labels."""
    edges: dict[str, Any] = {"pre": -window[0], "post": window[1], "invalid": "keep"}
    windows = sequences(ds, n.DFF, segments, **edges)
    width, first = windows.sizes[n.REL_TIME], int(windows[n.REL_FRAME][0])
    screens = blocks(ds, stimulus=n.GRAYSCREEN)
    bounds = zip(screens["start_frame_twop"].values, screens["stop_frame_twop"].values, strict=True)
    tiles = [np.arange(start, stop - width + 1, width) - first for start, stop in bounds]
    if not sum(map(len, tiles)):
        raise CriterionError(
            f"{session_name(ds)} has no gray screen as long as the window of {width} frames"
        )
    gray = reduced(sequences(ds, n.DFF, frames=np.concatenate(tiles), **edges), integrate)
    responses = reduced(windows, integrate)
    found = discrimination_index(
        gray, responses, operation="diff", permutations=permutations, seed=seed, invalid="keep"
    )
    return _Compared(responses, found["index"].values, found["percentile"].values / 100)


def _with_shifted(
    ds: xr.Dataset, segments: xr.Dataset, window: Window, *, permutations: int, seed: int
) -> _Compared:
    """Compare responses with those at times that are shifted along the recording, in a circle."""
    windows = sequences(ds, n.DFF, segments, pre=-window[0], post=window[1], invalid="keep")
    width, fps = windows.sizes[n.REL_TIME], float(windows.attrs["fps"])
    starts = windows["reference_frame"].values + int(windows[n.REL_FRAME][0])
    n_starts = ds.sizes[n.TIME] - width + 1
    shifts = _random(ds, seed).integers(n_starts, size=permutations)
    events = np.conj(np.fft.rfft(np.bincount(starts, minlength=n_starts) / len(starts)))

    def kernel(rows: npt.NDArray[Any], _: slice) -> Floats:
        return np.concatenate([compare(part) for part in few_rows(rows)])

    def compare(rows: npt.NDArray[Any]) -> Floats:
        sums = np.cumsum(rows, axis=1, dtype=np.float64)
        sums = np.concatenate([np.zeros((len(rows), 1)), sums], axis=1)
        integrals = (sums[:, width:] - sums[:, :-width]) / fps
        # The mean response to the events, for each shift of all of them.
        shifted = np.fft.irfft(np.fft.rfft(integrals) * events, n_starts)
        share = share_below(shifted[:, 0], shifted[:, shifts].T)
        return np.stack([shifted[:, 0] - integrals.mean(axis=1), share], axis=1)

    with np.errstate(invalid="ignore"):
        found = np.concatenate([np.empty((0, 2)), *map_rois(full_traces(ds), kernel)])
    return _Compared(reduced(windows, integrate), *found.T)


def _random(ds: xr.Dataset, seed: int) -> np.random.Generator:
    """Return the random numbers of a session."""
    return generator(seed, *([int(ds["session_id"])] if "session_id" in ds.coords else []))
