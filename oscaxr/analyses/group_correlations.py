"""Correlations of the indices of tracked ROIs over sessions."""

from typing import Any, Final, Literal

import numpy as np
import xarray as xr

import oscaxr.analyses.chance as chance
from oscaxr.analyses.chance import Floats
from oscaxr.analyses.group_comparisons import OF_PAIRS, Variables, checked, p_values
from oscaxr.analyses.group_indices import INDEX
from oscaxr.analyses.pooling import BOUND, Cells
from oscaxr.errors import CriterionError, TrackingError

# Sums of squares that are this small to what they were subtracted from, and values that are this
# near to their mean, are what rounding leaves of none.
_OF_SQUARES: Final = 1e-12
_OF_VALUES: Final = 1e-14


def usi_correlations(
    pooled: xr.Dataset,
    against: Literal["change", "session"] = "change",
    *,
    permute: Literal["rois", "sessions"] = "rois",
    consecutive: bool = False,
    tail: chance.Tail = "two",
    permutations: int = 10_000,
    comparisons: int = 1,
    seed: int | None = None,
) -> xr.Dataset:
    """Correlate the indices of tracked ROIs over sessions.

    Parameters
    ----------
    pooled : xarray.Dataset
        Pooled indices (:func:`oscaxr.analyses.pool`) of tracked ROIs.
    against : {"change", "session"}, optional
        What a session is correlated with: the change to a later session (later - earlier), or the
        later session itself.
    permute : {"rois", "sessions"}, optional
        What is permuted: ROIs of the group, in the later session; or which session is which within
        each ROI, by a coin, which needs ``against="change"``.
    consecutive : bool, optional
        Compare sessions that follow each other only.
    tail : {"two", "high", "low"}, optional
        Which correlations are extreme.
    permutations, comparisons, seed
        As for :func:`oscaxr.analyses.usi_statistics`.

    Returns
    -------
    xarray.Dataset
        Over (group, pair): ``correlation`` (Pearson); ``error``, its standard deviation over 10,000
        bootstrap samples of the ROIs; ``null_interval`` (..., bound); ``raw_p`` and ``p``. With
        ``permute="sessions"`` also ``normalised``, ``normalised_error`` and
        ``normalised_null_interval``: (r - m) / (1 + m) below, and / (1 - m) above the median m of
        the null.

        NaN where a session is not there, has fewer than three ROIs (two lie on a line) or equal
        indices.

    Raises
    ------
    CriterionError
        If permutations are too few for the null interval, or a word is not known.
    TrackingError
        If the ROIs are not tracked, or not the same in the sessions of a group.

    Notes
    -----
    ROIs are permuted over the whole group, not within mice. Correlations with a change are
    negative by chance: the null says how much.

    References
    ----------
    Gillon, Pina et al. 2024, figure 9C.

    Examples
    --------
    >>> import oscaxr as ox
    >>> specs = ox.sample.mouse_specs(scale=0.05, n_rois=(8, 8, 8))
    >>> mouse = [ox.sample.session(spec) for spec in specs]
    >>> usis = [ox.analyses.usi(ds, tracked=True) for ds in mouse]
    >>> found = usi_correlations(ox.analyses.pool(usis), permutations=100, seed=1)
    >>> found.correlation.dims, found.null_interval.sizes["bound"]
    (('group', 'pair'), 3)
    """
    _check_words(pooled, against, permute)
    permutations, seed = checked(permutations, seed, comparisons, tail)
    cells = Cells(pooled)
    values = cells.values(INDEX).values
    pairs = cells.pairs(consecutive=consecutive)
    shape = (len(cells.groups), len(pairs))
    found = {name: np.full(shape, np.nan) for name in ("correlation", "error", "share")}
    interval = np.full((*shape, 3), np.nan)
    normal = np.full((*shape, 5), np.nan)
    for cell in np.ndindex(*shape):
        first, second = pairs[cell[1]]
        if not all(len(cells.rows(cell[0], session)) for session in (first, second)):
            continue
        x, y = (values[own] for own in cells.paired(cell[0], first, second))
        if len(x) < 3:
            continue
        random = chance.generator(seed, *cells.identity(cell[0], first, second))
        null = null_correlations(random, permutations, x, y, against, permute)
        both = np.stack([x, y], axis=-1)
        r = correlation(both, against)
        drawn = chance.bootstrap(random, both, lambda rows: correlation(rows, against))
        drawn = drawn[np.isfinite(drawn)]  # samples of one ROI alone have no correlation
        if np.isnan(r):  # nor have samples that happen to leave out what is not known
            continue
        found["correlation"][cell], found["error"][cell] = r, _deviation(drawn)
        found["share"][cell] = chance.share_below(r, null)
        interval[cell] = bounds = chance.null_interval(null, tail, comparisons)
        if permute == "sessions":
            scaled = [_normalised(part, bounds[1]) for part in (r, drawn, bounds)]
            normal[cell] = [scaled[0], _deviation(scaled[1]), *scaled[2]]
    share = found.pop("share")
    variables: Variables = {name: (OF_PAIRS, array) for name, array in found.items()}
    variables["null_interval"] = ((*OF_PAIRS, BOUND), interval)
    variables |= p_values(share, OF_PAIRS, tail, comparisons)
    if permute == "sessions":
        variables["normalised"] = (OF_PAIRS, normal[..., 0])
        variables["normalised_error"] = (OF_PAIRS, normal[..., 1])
        variables["normalised_null_interval"] = ((*OF_PAIRS, BOUND), normal[..., 2:])
    result = cells.dataset({**variables, **cells.counts()}, pairs)
    words = {"against": against, "permute": permute, "tail": tail, "consecutive": int(consecutive)}
    return result.assign_attrs(words, permutations=permutations, comparisons=comparisons, seed=seed)


def _check_words(pooled: xr.Dataset, against: str, permute: str) -> None:
    """Refuse words that mean nothing, together or alone, and ROIs that are not tracked."""
    if against not in ("change", "session"):
        raise CriterionError(f"against={against!r}: it is 'change' or 'session'")
    if permute not in ("rois", "sessions"):
        raise CriterionError(f"permute={permute!r}: it is 'rois' or 'sessions'")
    if permute == "sessions" and against == "session":
        raise CriterionError(
            "permute='sessions' exchanges two sessions, which says nothing of the correlation "
            "between them: take against='change'"
        )
    if not pooled.attrs.get("tracked", 0):
        raise TrackingError(
            "correlations over sessions are those of tracked ROIs: compute the indices with "
            "tracked=True, and pool them"
        )


def correlation(both: Floats, against: str) -> Any:
    """Return the correlation over (..., n, 2 sessions) of the first with the second or the change.

    NaN where one of the two is constant.
    """
    x, y = both[..., 0], both[..., 1]
    y = y - x if against == "change" else y
    (x, xx), (y, yy) = _centred(x), _centred(y)
    return _ratio((x * y).sum(axis=-1), xx, yy)


def _centred(values: Floats) -> tuple[Floats, Any]:
    """Return differences from the mean, and the sum of their squares, 0 of equal values."""
    centred = values - values.mean(axis=-1, keepdims=True)
    least = np.square(_OF_VALUES * values).sum(axis=-1)
    return centred, _without_rounding(np.square(centred).sum(axis=-1), least)


def _without_rounding(squares: Any, least: Any) -> Any:
    return np.where(squares > least, squares, 0.0)


def _deviation(drawn: Floats) -> float:
    return float(drawn.std()) if drawn.size else np.nan


def _ratio(product: Any, *squares: Any) -> Floats:
    """Return sums of products by the roots of sums of squares; NaN where one of these is 0."""
    scale = np.sqrt(squares[0] * squares[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(scale > 0, product / scale, np.nan)


def null_correlations(
    random: np.random.Generator,
    permutations: int,
    first: Floats,
    second: Floats,
    against: str,
    permute: str,
) -> Floats:
    """Return the correlations of two sessions (n,), ROIs or sessions permuted."""
    n = len(first)
    if permute == "rois":
        (x, xx), (y, yy) = _centred(first), _centred(second)
        products = chance.shuffled_products(random, permutations, x, y)
        if against == "session":
            return _ratio(products, xx, yy)
        # Of x with the permuted y less x.
        of_change = _without_rounding(xx + yy - 2 * products, _OF_SQUARES * (xx + yy))
        return _ratio(products - xx, xx, of_change)
    centre = np.concatenate([first, second]).mean()
    x, y = first - centre, second - centre
    change = y - x
    # What exchanging the two sessions of an ROI adds to the sums of x and of its square; the
    # change then has the other sign.
    added = chance.swap_sums(
        random, permutations, np.stack([change, np.square(y) - np.square(x)], axis=-1)
    )
    sum_x, squares_x = x.sum() + added[:, 0], np.square(x).sum() + added[:, 1]
    sum_change = change.sum() - 2 * added[:, 0]
    product = (x * change).sum() - added[:, 1]
    of_x = squares_x - np.square(sum_x) / n
    changes = np.square(change).sum()
    of_change = changes - np.square(sum_change) / n
    whole = np.square(x).sum() + np.square(y).sum()
    return _ratio(
        product - sum_x * sum_change / n,
        _without_rounding(of_x, _OF_SQUARES * whole),
        _without_rounding(of_change, _OF_SQUARES * changes),
    )


def _normalised(r: Any, median: float) -> Any:
    """Return correlations as they lie between the null's median (0) and -1 or 1."""
    return np.where(r < median, (r - median) / (1 + median), (r - median) / (1 - median))
