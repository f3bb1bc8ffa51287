"""Responses relative to a mouse's expected ones, and their change compared between stimuli."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import xarray as xr

import oscaxr.analyses.chance as chance
from oscaxr.analyses.chance import Floats
from oscaxr.analyses.group_comparisons import checked, p_values
from oscaxr.analyses.pooling import BOUND, BOUNDS, GROUP, MOUSE_ID, RESPONSE_GROUP, Cells
from oscaxr.errors import CriterionError, MissingVariableError, SchemaError, SessionMismatchError
from oscaxr.model import names as n
from oscaxr.select.stacking import SESSION, SESSION_ID

RESPONSE: Final = "response"
ALL: Final = "all"
_FRAME: Final = "gabor_frame"
_KINDS: Final = ("expected", "unexpected")
# The frames of each kind, and those whose expected response each is divided by.
_FRAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "expected": {"A": "A", "B": "B", "C": "C"},
    "unexpected": {"U": "D", "G": "G"},
}


def relative_responses(pooled: xr.Dataset, *, session: int = 1) -> xr.Dataset:
    """Divide responses by the mean expected response that the mouse had in its first session.

    Parameters
    ----------
    pooled : xarray.Dataset
        Pooled mean responses (:func:`oscaxr.analyses.frame_responses`,
        :func:`oscaxr.analyses.pool`), not scaled.
    session : int, optional
        The session whose expected responses the others are relative to.

    Returns
    -------
    xarray.Dataset
        ``expected`` and ``unexpected`` (roi), without unit, pooled as given: of Gabors the means of
        A, B and C, and of U and G; U is relative to D. NaN where a response is not known.

    Raises
    ------
    MissingVariableError
        If these are no such responses.
    SchemaError
        If a mouse lacks the session that its responses are relative to.
    CriterionError
        If the responses are scaled: each ROI in each session by other numbers.

    Notes
    -----
    Each ROI's mean response is divided by the mean over all ROIs that the mouse had in `session` of
    their expected response to the same frame.

    References
    ----------
    Gillon, Pina et al. 2024, figure 2C.

    Examples
    --------
    >>> import oscaxr as ox
    >>> mouse = [ox.sample.session(spec) for spec in ox.sample.mouse_specs(scale=0.05, n_rois=4)]
    >>> pooled = ox.analyses.pool([ox.analyses.frame_responses(ds) for ds in mouse])
    >>> relative = relative_responses(pooled)
    >>> found = ox.analyses.group_means(relative, "expected").isel(group=0)
    >>> round(found["mean"].sel(session=1).item(), 9)
    1.0
    """
    cells = Cells(pooled)
    response = cells.values(RESPONSE)
    if RESPONSE_GROUP not in response.dims or SESSION not in pooled.coords:
        raise MissingVariableError(
            "the responses are not by 'expected' and 'unexpected', or their sessions have no "
            "number: pool those of analyses.frame_responses"
        )
    if response.attrs.get("scaled", 0):
        raise CriterionError(
            "the responses are scaled, in each session by other numbers, so that those of two "
            "cannot be divided: take analyses.frame_responses(ds, scale=False)"
        )
    expected = response.sel({RESPONSE_GROUP: "expected"}, drop=True)
    mice = pooled[MOUSE_ID].values
    is_reference = pooled[SESSION].values == session
    names, mouse_of = np.unique(mice, return_inverse=True)
    lacking = sorted(set(names.tolist()) - set(mice[is_reference].tolist()))
    if lacking:
        raise SchemaError(
            f"mice {lacking} have no session {session}, which their responses are relative to: "
            "leave them out, or give the session, too"
        )
    references = np.stack(
        [expected.values[is_reference & (mice == name)].mean(axis=0) for name in names]
    )
    reference = expected.copy(data=references[mouse_of])
    parts = {}
    for kind in _KINDS:
        own = response.sel({RESPONSE_GROUP: kind}, drop=True)
        if _FRAME in response.dims:
            frames = _FRAMES[kind]
            divided = own.sel({_FRAME: [*frames]}).values
            divided = divided / reference.sel({_FRAME: [*frames.values()]}).values
            parts[kind] = (cells.dim, divided.mean(axis=1))
        else:
            parts[kind] = (cells.dim, own.values / reference.values)
    kept = pooled.drop_vars([*pooled.data_vars, RESPONSE_GROUP]).drop_dims(_FRAME, errors="ignore")
    result = kept.assign(parts).assign_attrs(relative_to_session=session)
    for kind in _KINDS:
        result[kind].attrs = {"long_name": f"relative {kind} response", "units": "1"}
    return result


def compare_stimuli(
    gabors: xr.Dataset,
    visflow: xr.Dataset,
    *,
    sessions: tuple[int, int] = (1, 3),
    tail: chance.Tail = "two",
    permutations: int = 10_000,
    comparisons: int = 1,
    seed: int | None = None,
) -> xr.Dataset:
    """Compare how much relative unexpected responses change over sessions between the stimuli.

    Parameters
    ----------
    gabors, visflow : xarray.Dataset
        Relative responses (:func:`oscaxr.analyses.relative_responses`) of the same ROIs.
    sessions : pair of int, optional
        The sessions that are compared.
    tail : {"two", "high", "low"}, optional
        Which differences are extreme.
    permutations, comparisons, seed
        As for :func:`oscaxr.analyses.group_means`.

    Returns
    -------
    xarray.Dataset
        Over ``group``, with ``"all"`` as the last, which averages the others: ``change`` and
        ``change_error`` (group, stimulus), abs((s2 - s1) / s1) of the mean unexpected responses s1
        and s2 in the two sessions; ``difference``, visual flow - Gabors, and ``error``;
        ``null_interval`` (..., bound), ``raw_p`` and ``p``. Errors are standard deviations over
        10,000 bootstrap samples of the ROIs.

        NaN where a group lacks one of the sessions, or a response is NaN; then ``"all"`` is, too.

    Raises
    ------
    SessionMismatchError
        If the two are not of the same ROIs, or say that they are of another stimulus.
    CriterionError
        If permutations are too few for the null interval, or neither session is there.
    MissingVariableError
        If these are no relative responses.

    Notes
    -----
    The null exchanges an ROI's response to Gabors with that to visual flow by a coin, separately in
    each session. Bootstrap samples of ROIs are drawn separately in each session; of tracked ROIs
    both sessions have the same.

    References
    ----------
    Gillon, Pina et al. 2024.

    Examples
    --------
    >>> import oscaxr as ox
    >>> mouse = [ox.sample.session(spec) for spec in ox.sample.mouse_specs(scale=0.05, n_rois=4)]
    >>> both = [
    ...     ox.analyses.relative_responses(
    ...         ox.analyses.pool([ox.analyses.frame_responses(ds, stimulus) for ds in mouse])
    ...     )
    ...     for stimulus in ("gabors", "visflow")
    ... ]
    >>> compare_stimuli(*both, permutations=100, seed=1).group.values
    array(['L23-Cux2 soma', 'all'], dtype='<U13')
    """
    permutations, seed = checked(permutations, seed, comparisons, tail)
    cells = Cells(gabors)
    values = _of_both(cells, Cells(visflow))
    absent = sorted(set(sessions) - set(cells.sessions))
    if SESSION not in cells.by or len(set(sessions)) != 2 or absent:
        raise CriterionError(
            f"sessions={sessions!r}: two of the pooled sessions are compared, which are "
            f"{cells.sessions if SESSION in cells.by else 'not kept apart'}"
        )
    first, second = (cells.sessions.index(number) for number in sessions)
    found = [
        _of_group(cells, values, group, (first, second), permutations, seed)
        for group in range(len(cells.groups))
    ]
    of_groups = (np.stack(parts) for parts in zip(*found, strict=True))
    observed, drawn, null = (np.concatenate([p, p.mean(axis=0)[None]]) for p in of_groups)
    difference, null_difference = np.diff(observed)[..., 0], np.diff(null)[..., 0].T
    share = chance.share_below(difference, null_difference)
    interval = chance.null_interval(null_difference, tail, comparisons)
    result = xr.Dataset(
        {
            "change": ((GROUP, "stimulus"), observed),
            "change_error": ((GROUP, "stimulus"), drawn.std(axis=1)),
            "difference": (GROUP, difference),
            "error": (GROUP, np.diff(drawn)[..., 0].std(axis=1)),
            "null_interval": ((GROUP, BOUND), interval),
            **p_values(share, (GROUP,), tail, comparisons),
        },
        {GROUP: [*cells.groups, ALL], "stimulus": [n.GABORS, n.VISFLOW], BOUND: list(BOUNDS)},
        cells.origin,
    )
    return result.assign_attrs(
        sessions=list(sessions),
        tail=tail,
        permutations=permutations,
        comparisons=comparisons,
        seed=seed,
    )


def _of_both(gabors: Cells, visflow: Cells) -> Floats:
    """Return the unexpected responses of each ROI to both stimuli (roi, 2)."""
    for stimulus, cells in ((n.GABORS, gabors), (n.VISFLOW, visflow)):
        own = cells.pooled.attrs.get("stimulus", stimulus)
        if own != stimulus:
            raise SessionMismatchError(
                f"the responses to {own} were given in the place of those to {stimulus}: it is "
                "compare_stimuli(gabors, visflow)"
            )
    keys = (SESSION_ID, n.TRACKING_ID if gabors.tracked else f"session_{gabors.dim}")
    for key in (*keys, GROUP):
        one, other = (cells.pooled.get(key) for cells in (gabors, visflow))
        if one is None or other is None or not one.variable.equals(other.variable):
            raise SessionMismatchError(
                f"the responses to Gabors and to visual flow are not of the same ROIs: {key!r} "
                "differs. Pool the same sessions, with the same ROIs, for both"
            )
    return np.stack([cells.values("unexpected").values for cells in (gabors, visflow)], axis=1)


def _of_group(
    cells: Cells,
    values: Floats,
    group: int,
    sessions: tuple[int, int],
    permutations: int,
    seed: int,
) -> tuple[Floats, Floats, Floats]:
    """Return the change between sessions (2,), its bootstrap samples and its null (..., 2)."""
    rows = [cells.rows(group, session) for session in sessions]
    if not all(map(len, rows)):
        absent = [
            np.full((*size, 2), np.nan) for size in ((), (chance.BOOTSTRAPS,), (permutations,))
        ]
        return absent[0], absent[1], absent[2]
    random = chance.generator(seed, *cells.identity(group, *sessions))
    if cells.tracked:
        rows = list(cells.paired(group, *sessions))
        both = np.stack([values[own] for own in rows], axis=1)
        drawn = np.moveaxis(chance.bootstrap(random, both, _mean_of_rows), 1, 0)
    else:
        drawn = np.stack([chance.bootstrap(random, values[own], _mean_of_rows) for own in rows])
    means, null = [], []
    for own in rows:
        of_gabors, of_visflow = values[own].T
        means.append(values[own].mean(axis=0))
        exchanged = (of_visflow - of_gabors)[:, None]
        added = chance.swap_sums(random, permutations, exchanged) / len(own)
        null.append(means[-1] + added * [1, -1])
    return _change(*means), _change(*drawn), _change(*null)


def _mean_of_rows(rows: Floats) -> Floats:
    return np.asarray(rows.mean(axis=1))


def _change(first: Floats, second: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.abs((second - first) / first))
