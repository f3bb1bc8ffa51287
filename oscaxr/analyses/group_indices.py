"""Unexpected-stimulus indices of groups: how many are significant, and how they change."""

from typing import Final, Literal

import numpy as np
import xarray as xr

import oscaxr.analyses.chance as chance
from oscaxr.analyses.chance import Floats
from oscaxr.analyses.discrimination import SIGNIFICANT_PERCENTILES
from oscaxr.analyses.group_comparisons import (
    OF_CELLS,
    Variables,
    checked,
    compare_sessions,
    each_mean,
)
from oscaxr.analyses.pooling import BOUND, Cells
from oscaxr.errors import CriterionError

INDEX: Final = "index"
_KINDS: Final = {"positive": 0.5, "low": 0.025, "high": 0.025}


def percent_significant(pooled: xr.Dataset, *, comparisons: int = 1) -> xr.Dataset:
    """Count the ROIs of each group whose index is positive, or significantly low or high.

    Parameters
    ----------
    pooled : xarray.Dataset
        Pooled indices (:func:`oscaxr.analyses.pool`) with ``index`` and ``percentile``.
    comparisons : int, optional
        By how many comparisons p and intervals are corrected (Bonferroni).

    Returns
    -------
    xarray.Dataset
        Over (kind, group, session), with kind ``"positive"``, ``"low"`` or ``"high"``:

        - ``count`` of ROIs, and ``percent`` of ``n_rois``;
        - ``error``, the standard deviation of the percentage over bootstrap samples (percent);
        - ``interval`` and ``null_interval`` (..., bound): of the percentage, with the share found
          and with that expected by chance: 50 %, or 2.5 % in either tail;
        - ``raw_p`` and ``p``, two-tailed, of the count by chance.

        NaN where there are no ROIs, or the index or percentile of one is NaN.

    Raises
    ------
    MissingVariableError
        If these are no pooled indices with percentiles.

    Notes
    -----
    All follow from the binomial distribution, the error too, of which bootstrap samples are an
    estimate: sqrt(p (1 - p) / n). The raw p is the smaller of P(X <= count) and P(X >= count). The
    published one, min(P(X <= count), P(X > count)), is too small in the upper tail.

    References
    ----------
    Gillon, Pina et al. 2024, figure 4D.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> pooled = ox.analyses.pool([ox.analyses.usi(ds, permutations=100)])
    >>> percent_significant(pooled)["count"].dims
    ('kind', 'group', 'session')
    """
    cells = Cells(pooled)
    index, percentile = (cells.values(name).values for name in (INDEX, "percentile"))
    low, high = SIGNIFICANT_PERCENTILES
    is_kind = np.stack([index > 0, percentile < low, percentile > high]).astype(float)
    is_kind[:, np.isnan(index) | np.isnan(percentile)] = np.nan
    counts = [is_kind[:, cells.rows(*cell)].sum(axis=1) for cell in np.ndindex(*cells.shape)]
    count = np.moveaxis(np.reshape(counts, (*cells.shape, len(_KINDS))), -1, 0)
    n_rois = np.array(cells.counts()["n_rois"][1], float)
    n_rois[n_rois == 0] = np.nan
    found = counted(count, n_rois, comparisons)
    dims = ("kind", *OF_CELLS)
    variables: Variables = {
        name: ((*dims, BOUND) if array.ndim > len(dims) else dims, array)
        for name, array in found.items()
    }
    result = cells.dataset({**variables, **cells.counts()})
    return result.assign_coords(kind=list(_KINDS)).assign_attrs(comparisons=comparisons)


def counted(count: Floats, n_rois: Floats, comparisons: int) -> dict[str, Floats]:
    """Return what follows from counts (kind, ...) of positive, low and high ROIs among n (...)."""
    share = count / n_rois
    by_chance = np.reshape(list(_KINDS.values()), (-1, *[1] * n_rois.ndim))
    raw = chance.binomial_raw_p(count, n_rois, by_chance)
    interval = chance.binomial_interval(n_rois, share, comparisons)
    null = chance.binomial_interval(n_rois, np.broadcast_to(by_chance, share.shape), comparisons)
    return {
        "count": count,
        "percent": 100 * share,
        "error": 100 * np.sqrt(share * (1 - share) / n_rois),
        "interval": 100 * interval,
        "null_interval": np.where(np.isnan(interval), np.nan, 100 * null),
        "raw_p": raw,
        "p": chance.corrected_p(raw, "two", comparisons),
    }


def usi_statistics(
    pooled: xr.Dataset,
    statistic: Literal["mean", "variance"] = "mean",
    *,
    absolute: bool = False,
    permutations: int = 10_000,
    comparisons: int = 1,
    seed: int | None = None,
) -> xr.Dataset:
    """Return mean or variance of the indices of each group, compared between its sessions.

    Parameters
    ----------
    pooled : xarray.Dataset
        Pooled indices (:func:`oscaxr.analyses.pool`), of tracked ROIs or of all.
    statistic : {"mean", "variance"}, optional
        The variance has ddof 0.
    absolute : bool, optional
        Take the absolute values of the indices.
    permutations : int, optional
        How often two sessions are permuted.
    comparisons : int, optional
        By how many comparisons p is corrected (Bonferroni).
    seed : int, optional
        Seed of permutations and bootstraps; drawn anew, and stated in the attributes, if None.

    Returns
    -------
    xarray.Dataset
        Over (group, session): ``value``; ``error``, the SEM of a mean or the standard deviation
        of a variance over 10,000 bootstrap samples of the ROIs; ``n_rois`` and ``n_mice``. Over
        (group, pair): ``difference`` (second session - first), ``difference_raw_p`` and
        ``difference_p``, two-tailed, and ``difference_least_p``, below which no p can be, with so
        few ROIs and permutations.

        NaN where a session is not there, or an index is NaN.

    Raises
    ------
    CriterionError
        If permutations are too few for the corrected p, or the statistic is not known.
    TrackingError
        If sessions do not have the same tracked ROIs.

    Notes
    -----
    Tracked ROIs are paired: the indices of each are exchanged between the two sessions by a coin.
    Others are permuted over the ROIs of both.

    References
    ----------
    Gillon, Pina et al. 2024, figures 4G and 4H.

    Examples
    --------
    >>> import oscaxr as ox
    >>> mouse = [ox.sample.session(spec) for spec in ox.sample.mouse_specs(scale=0.05, n_rois=4)]
    >>> usis = [ox.analyses.usi(ds, tracked=True) for ds in mouse]
    >>> found = usi_statistics(ox.analyses.pool(usis), absolute=True, permutations=100, seed=1)
    >>> dict(found.value.sizes), found.pair.values
    ({'group': 1, 'session': 3}, array(['1-2', '1-3', '2-3'], dtype='<U3'))
    """
    if statistic not in ("mean", "variance"):
        raise CriterionError(f"statistic={statistic!r}: it is 'mean' or 'variance'")
    permutations, seed = checked(permutations, seed, comparisons)
    cells = Cells(pooled)
    values = cells.values(INDEX).values
    values = np.abs(values) if absolute else values
    if statistic == "mean":
        value, error = each_mean(cells, values)
    else:
        value, error = _variances(cells, values, seed)
    between = compare_sessions(
        cells,
        values,
        statistic=statistic,
        permutations=permutations,
        seed=seed,
        comparisons=comparisons,
    )
    variables: Variables = {"value": (OF_CELLS, value), "error": (OF_CELLS, error), **between}
    result = cells.dataset({**variables, **cells.counts()}, cells.pairs())
    return result.assign_attrs(
        statistic=statistic,
        absolute=int(absolute),
        permutations=permutations,
        comparisons=comparisons,
        seed=seed,
    )


def _variances(cells: Cells, values: Floats, seed: int) -> tuple[Floats, Floats]:
    """Return the variance of each group and session, and its deviation over bootstrap samples."""
    value, error = np.full(cells.shape, np.nan), np.full(cells.shape, np.nan)
    for cell in np.ndindex(*cells.shape):
        own = values[cells.rows(*cell)]
        if len(own):
            random = chance.generator(seed, *cells.identity(*cell))
            value[cell] = own.var()
            error[cell] = chance.bootstrap(random, own, lambda rows: rows.var(axis=1)).std()
    return value, error
