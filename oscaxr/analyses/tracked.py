"""Analyses that take a session from its traces to a result: selection and measures together."""

from collections.abc import Mapping
from typing import Any, Final

import xarray as xr

from oscaxr.analyses.unexpected_index import unexpected_index
from oscaxr.errors import CriterionError, MissingVariableError
from oscaxr.measure.transform import integrate
from oscaxr.model import names as n
from oscaxr.model.invalid_rois import Invalid
from oscaxr.select.alignment import align_tracked, session_items
from oscaxr.select.alignment import tracked as tracked_rois
from oscaxr.select.criteria import select_segments
from oscaxr.select.sequences import reduced, sequences

EXPECTED_UNEXPECTED: Final[Mapping[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    n.GABORS: ({"gabor_frame": "D"}, {"gabor_frame": "U"}),
    n.VISFLOW: ({"unexpected": 0}, {"unexpected": 1}),
}
"""The criteria that tell expected from unexpected segments of each stimulus."""


def unexpected_index_of(
    ds: xr.Dataset,
    stimulus: str = n.GABORS,
    *,
    pre: float = 0.0,
    post: float = 0.6,
    permutations: int = 1000,
    seed: int = 0,
    tracked: bool = False,
    invalid: Invalid = "drop",
    **criteria: Any,
) -> xr.Dataset:
    """Return the unexpected-stimulus index of every ROI of a session.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    stimulus : {"gabors", "visflow"}, optional
        Gabors: U frames against D frames. Visual flow: unexpected against expected segments.
    pre, post : float, optional
        Window around the start of the segment over which dF/F is integrated, s.
    permutations : int, optional
        How often the labels are shuffled.
    seed : int, optional
        Seed of the shuffling. The session id, where it is known, is mixed into it, so that the
        shuffles of different sessions are independent of each other, and the same in whatever
        order or company sessions are analysed.
    tracked : bool, optional
        Take the tracked ROIs only, in tracking order.
    invalid : {"drop", "keep"}, optional
        As for :func:`oscaxr.sequences`: whether ROIs that the files list as invalid are left out.
    **criteria
        Further criteria on both kinds of segment (:func:`oscaxr.select_segments`), such as
        ``gabor_kappa=16`` or, for visual flow, ``run_start=True``.

    Returns
    -------
    xarray.Dataset
        ``index``, ``percentile``, ``significant``, ``n_expected`` and ``n_unexpected`` over
        ``roi`` or ``tracking_id``, with the coordinates of the ROIs and of the session; see
        :func:`oscaxr.analyses.unexpected_index`.

    Raises
    ------
    CriterionError
        If the stimulus or a criterion is not known, or there are no segments of either kind.
    TrackingError
        If tracked ROIs are asked for and there are none.

    Warns
    -----
    DroppedSequencesWarning
        If windows leave the recording.

    Notes
    -----
    Scaling an ROI's trace changes neither its index nor its percentile, so it is not scaled. Traces
    are read in blocks of sequences, and never more than about 128 MB of windows are in memory.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> found = unexpected_index_of(ds, permutations=100)
    >>> found["index"].dims, found.attrs["permutations"]
    (('roi',), 100)
    """
    if stimulus not in EXPECTED_UNEXPECTED:
        words = " or ".join(EXPECTED_UNEXPECTED)
        raise CriterionError(f"stimulus={stimulus!r}: the index is that of {words}")
    session = int(ds["session_id"]) if "session_id" in ds.coords else None
    source = tracked_rois(ds) if tracked else ds
    responses = []
    for kind, own in zip(("expected", "unexpected"), EXPECTED_UNEXPECTED[stimulus], strict=True):
        twice = sorted(set(own) & set(criteria))
        if twice:
            raise CriterionError(
                f"{', '.join(twice)}: tells expected from unexpected {stimulus}, so it cannot be a "
                "criterion for both. Take unexpected_index of your own selections instead"
            )
        segments = select_segments(ds, stimulus=stimulus, **own, **criteria)
        if not segments.sizes[n.SEGMENT]:
            raise CriterionError(
                f"session {session} has no {kind} segments of {stimulus} ({own | criteria})"
            )
        windows = sequences(source, n.DFF, segments, pre=pre, post=post, invalid=invalid)
        responses.append(reduced(windows, integrate))
    mixed = seed if session is None else (seed, session)
    result = unexpected_index(*responses, permutations=permutations, seed=mixed, invalid=invalid)
    return result.assign_attrs(seed=seed, stimulus=stimulus, pre_s=float(pre), post_s=float(post))


def tracked_unexpected_index(sessions: Any, stimulus: str = n.GABORS, **options: Any) -> Any:
    """Return the unexpected-stimulus index of tracked ROIs over the sessions of their mice.

    Parameters
    ----------
    sessions : xarray.DataTree, mapping or iterable of xarray.Dataset
        Sessions, as from :func:`oscaxr.open_sessions`; they are read one after the other.
    stimulus : {"gabors", "visflow"}, optional
        See :func:`unexpected_index_of`.
    **options
        Further arguments of :func:`unexpected_index_of`.

    Returns
    -------
    xarray.Dataset
        The variables of :func:`unexpected_index_of` over (session, tracking_id) for one mouse and
        (session, tracked_roi) for several; see :func:`oscaxr.align_tracked`.

    Raises
    ------
    TrackingError
        If a session has no tracked ROIs, or those of a mouse differ between its sessions.

    Examples
    --------
    >>> import oscaxr as ox
    >>> specs = ox.sample.mouse_specs(scale=0.05, n_rois=4)
    >>> mouse = [ox.sample.session(spec) for spec in specs]
    >>> tracked_unexpected_index(mouse, permutations=100)["index"].sizes
    Frozen({'session': 3, 'tracking_id': 2})
    """
    chosen = {**options, "tracked": True}
    items = session_items(sessions)
    results = {label: unexpected_index_of(ds, stimulus, **chosen) for label, ds in items}
    if not results:
        raise MissingVariableError("no sessions were given")
    return align_tracked(results)
