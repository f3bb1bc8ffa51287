"""Responses of groups of sessions: means, differences with their nulls, and behaviour."""

from typing import Any, Final

import numpy as np
import xarray as xr

import oscaxr.analyses.chance as chance
from oscaxr.analyses.chance import Floats
from oscaxr.analyses.group_comparisons import (
    OF_CELLS,
    Variables,
    checked,
    compare_sessions,
    each_mean,
    p_values,
)
from oscaxr.analyses.pooling import BOUND, N_POOLED, POOLED_SESSION, RESPONSE_GROUP, Cells
from oscaxr.errors import CriterionError, MissingVariableError, SchemaError
from oscaxr.model import names as n
from oscaxr.select.stacking import SESSION_ID

DIFFERENCE: Final = "difference"
NULL: Final = "null"
_N_ROIS: Final = "n_rois"


def group_means(
    pooled: xr.Dataset,
    name: str,
    *,
    permutations: int = 0,
    comparisons: int = 1,
    seed: int | None = None,
) -> xr.Dataset:
    """Return the mean over the ROIs of each group, and compare it between sessions.

    Parameters
    ----------
    pooled : xarray.Dataset
        Pooled results (:func:`oscaxr.analyses.pool`).
    name : str
        Which variable: (roi,), or with further dims, such as traces.
    permutations : int, optional
        How often two sessions are permuted; with 0 they are not compared. Of variables over ROIs
        alone.
    comparisons : int, optional
        By how many comparisons p is corrected (Bonferroni).
    seed : int, optional
        Seed of the permutations; drawn anew, and stated in the attributes, if None.

    Returns
    -------
    xarray.Dataset
        Over (group, session, ...), in the unit of the variable: ``mean`` and ``sem`` (ddof 1) over
        the pooled ROIs, and ``n_rois`` and ``n_mice``. With permutations also, over (group, pair):
        ``difference`` of the means (second session - first), ``difference_raw_p`` and
        ``difference_p``, two-tailed, and ``difference_least_p``: below it no p can be, with so few
        ROIs and permutations. Where it is 0.05 or more, nothing can be significant.

        NaN where a session is not there, or a value of it is NaN.

    Raises
    ------
    MissingVariableError
        If these are no pooled results, or have no such variable.
    CriterionError
        If permutations are too few for the corrected p, or the variable has further dims.
    TrackingError
        If sessions do not have the same tracked ROIs.

    Notes
    -----
    ROIs are permuted over both sessions; those of tracked ones are exchanged within each ROI.

    References
    ----------
    Gillon, Pina et al. 2024, figures 2A and 2C.

    Examples
    --------
    >>> import oscaxr as ox
    >>> mouse = [ox.sample.session(spec) for spec in ox.sample.mouse_specs(scale=0.05, n_rois=4)]
    >>> found = group_means(ox.analyses.pool([ox.snr(ds) for ds in mouse]), "snr")
    >>> found["mean"].dims, found.n_rois.values
    (('group', 'session'), array([[4, 4, 4]]))
    """
    cells = Cells(pooled)
    array = cells.values(name)
    values = array.values.astype(np.float64)
    mean, sem = each_mean(cells, values)
    rest = [str(dim) for dim in array.dims[1:]]
    dims = (*OF_CELLS, *rest)
    variables: Variables = {"mean": (dims, mean), "sem": (dims, sem), **cells.counts()}
    attrs: dict[str, Any] = {"variable": name}
    told = chance.permutations_if_any(permutations, seed)
    if told["permutations"]:
        _require_rows_alone(array, name, cells.dim)
        permutations, seed = checked(permutations, told["seed"], comparisons)
        variables |= compare_sessions(
            cells,
            values,
            statistic="mean",
            permutations=permutations,
            seed=seed,
            comparisons=comparisons,
        )
        attrs |= {"permutations": permutations, "comparisons": comparisons, "seed": seed}
    result = cells.dataset(variables, cells.pairs() if permutations else None)
    own = {
        key: coord for key, coord in array.coords.items() if coord.dims and {*coord.dims} <= {*rest}
    }
    return _named(result, name, array).assign_coords(own).assign_attrs(attrs)


def _named(result: xr.Dataset, name: str, array: xr.DataArray, of: str = "{}") -> xr.Dataset:
    """Say what the means are of, in which unit."""
    what = of.format(array.attrs.get("long_name", name))
    what = what if what.startswith("mean ") else f"mean {what}"
    kept = {key: array.attrs[key] for key in ("units", "scaled") if key in array.attrs}
    result["mean"].attrs = {"long_name": what, **kept}
    result["sem"].attrs = {"long_name": f"standard error of the {what}", **kept}
    return result


def _require_rows_alone(array: xr.DataArray, name: str, dim: str) -> None:
    """Refuse variables of more than one number for each ROI, or pair, to be compared."""
    rest = [str(other) for other in array.dims if other != dim]
    if rest:
        raise CriterionError(
            f"{name!r} has the dims {rest} beside {dim!r}, of which each has to have one number to "
            "be compared: select, average or integrate first"
        )


def group_differences(
    pooled: xr.Dataset,
    *,
    tail: chance.Tail = "two",
    permutations: int = 10_000,
    comparisons: int = 1,
    seed: int | None = None,
) -> xr.Dataset:
    """Test the difference between two responses of each group by permuting sequences.

    Parameters
    ----------
    pooled : xarray.Dataset
        Pooled results (:func:`oscaxr.analyses.pool`) with ``difference`` (roi), of each ROI's mean
        responses, and ``null`` (pooled_session, permutation), the mean over the ROIs of a session
        with permuted sequences; as from :func:`oscaxr.analyses.response_difference`.
    tail : {"two", "high", "low"}, optional
        Which differences are extreme. Those between sessions always are in either tail.
    permutations : int, optional
        How often the ROIs of two sessions are permuted.
    comparisons, seed
        As for :func:`oscaxr.analyses.group_means`.

    Returns
    -------
    xarray.Dataset
        Over (group, session): ``mean`` and ``sem`` of the difference over the pooled ROIs,
        ``null_interval`` (..., bound), ``raw_p`` and ``p``; and over (group, pair) what
        :func:`oscaxr.analyses.group_means` says of sessions.

        NaN where a session is not there, or the difference of an ROI is NaN:
        ``pooled.isel(roi=pooled.difference.notnull().values)`` leaves such ROIs out.

    Raises
    ------
    MissingVariableError
        If these are no such results.
    SchemaError
        If ROIs were taken away, or added, after the null was computed.
    CriterionError
        If permutations are too few for the corrected p.

    Notes
    -----
    All ROIs of a session have the same permutation of its sequences, so the mean over them may be
    taken first: the null of a group is the mean of the nulls of its sessions, each weighted by its
    number of ROIs.

    References
    ----------
    Gillon, Pina et al. 2024, figure 2B.

    Examples
    --------
    >>> import numpy as np
    >>> import oscaxr as ox
    >>> facts = {"session_id": 1, "mouse_id": 1, "line": "L5-Rbp4", "plane": "dend", "session": 1}
    >>> null = np.random.default_rng(0).normal(size=1000)
    >>> one = xr.Dataset({"difference": ("roi", [3.0, 5.0]), "null": ("permutation", null)}, facts)
    >>> found = group_differences(ox.analyses.pool([one]), seed=1)
    >>> found["mean"].item(), found.p.item()
    (4.0, 0.0)
    """
    permutations, seed = checked(permutations, seed, comparisons)
    cells = Cells(pooled)
    array = cells.values(DIFFERENCE)
    values = array.values
    mean, sem = each_mean(cells, values)
    nulls = _group_nulls(cells)
    share, interval = np.full(cells.shape, np.nan), np.full((*cells.shape, 3), np.nan)
    for cell, null in nulls.items():
        if np.isnan(mean[cell]):  # the null leaves out what is not known, and is of other ROIs
            continue
        share[cell] = chance.share_below(mean[cell], null)
        interval[cell] = chance.null_interval(null, tail, comparisons)
    between = compare_sessions(
        cells,
        values,
        statistic="mean",
        permutations=permutations,
        seed=seed,
        comparisons=comparisons,
    )
    variables: Variables = {
        "mean": (OF_CELLS, mean),
        "sem": (OF_CELLS, sem),
        "null_interval": ((*OF_CELLS, BOUND), interval),
        **p_values(share, OF_CELLS, tail, comparisons),
        **between,
        **cells.counts(),
    }
    result = cells.dataset(variables, cells.pairs())
    result = _named(result, DIFFERENCE, array, "difference of {}")
    return result.assign_attrs(
        tail=tail,
        permutations=permutations,
        sequence_permutations=int(pooled[NULL].shape[-1]),
        comparisons=comparisons,
        seed=seed,
    )


def _group_nulls(cells: Cells) -> dict[tuple[int, int], Floats]:
    """Return the null of each group and session that is there, (permutation,)."""
    pooled = cells.pooled
    if NULL not in pooled or pooled[NULL].dims[:1] != (POOLED_SESSION,):
        raise MissingVariableError(
            "the pooled results have no 'null' of sessions: compute the differences with "
            "permutations"
        )
    ids = pooled[POOLED_SESSION].values
    # ROIs with an unknown difference are not in the null.
    weights = pooled[_N_ROIS if _N_ROIS in pooled else N_POOLED].values.astype(float)
    rows = np.searchsorted(ids, pooled[SESSION_ID].values)
    known = np.isfinite(cells.values(DIFFERENCE).values)
    counts = np.bincount(rows[known], minlength=len(ids))
    changed = ids[(counts != weights) & np.isin(np.arange(len(ids)), rows)]
    if len(changed):
        raise SchemaError(
            f"sessions {changed.tolist()} do not have the ROIs from whose mean the null was "
            "computed: choose ROIs before the differences are computed"
        )
    nulls = {}
    for cell in np.ndindex(*cells.shape):
        own = np.unique(rows[cells.rows(*cell)])
        if weights[own].sum():
            nulls[cell] = weights[own] / weights[own].sum() @ pooled[NULL].values[own]
    return nulls


def block_differences(
    pooled: xr.Dataset,
    name: str = n.RUN_VELOCITY,
    *,
    permutations: int = 10_000,
    comparisons: int = 1,
    seed: int | None = None,
) -> xr.Dataset:
    """Test whether behaviour differs between the blocks of pairs, in each group.

    Parameters
    ----------
    pooled : xarray.Dataset
        Responses in pairs of blocks (:func:`oscaxr.analyses.block_responses`), pooled as
        ``pool(results, dim="pair")``.
    name : str, optional
        Which variable: (response_group, pair), or differences (pair,), unexpected - expected.
    permutations : int, optional
        How often the two blocks of each pair are exchanged at random.
    comparisons, seed
        As for :func:`oscaxr.analyses.group_means`.

    Returns
    -------
    xarray.Dataset
        Over (group, session): ``mean`` and ``sem`` of the differences over the pairs of all mice,
        in the unit of the variable, ``null_interval`` (..., bound), ``raw_p`` and ``p``,
        two-tailed; ``n_pairs`` and ``n_mice``. NaN where a pair is NaN. Below ``least_p`` no p can
        be, with so few pairs and permutations, but for the luck of the draw: three pairs can be
        exchanged in eight ways, so that p is 1/8, and nothing can be significant.

    Raises
    ------
    MissingVariableError
        If these are no pooled results, or have no such variable.
    CriterionError
        If permutations are too few for the corrected p.

    References
    ----------
    Gillon, Pina et al. 2024, figure 8B.

    Examples
    --------
    >>> import oscaxr as ox
    >>> blocks = ox.analyses.block_responses(ox.sample.session(n_rois=4, scale=0.1))
    >>> found = block_differences(ox.analyses.pool([blocks], dim="pair"), "pupil_diameter", seed=1)
    >>> found.p.dims, found.n_pairs.item()
    (('group', 'session'), 3)
    >>> found.least_p.item()
    0.125
    """
    permutations, seed = checked(permutations, seed, comparisons)
    cells = Cells(pooled)
    array = cells.values(name)
    if RESPONSE_GROUP in array.dims:
        expected, unexpected = (
            array.sel({RESPONSE_GROUP: kind}, drop=True) for kind in ("expected", "unexpected")
        )
        array = (unexpected - expected).assign_attrs(array.attrs)
    _require_rows_alone(array, name, cells.dim)
    values = array.values
    mean, sem = each_mean(cells, values)
    share, interval = np.full(cells.shape, np.nan), np.full((*cells.shape, 3), np.nan)
    least = np.full(cells.shape, np.nan)
    for cell in np.ndindex(*cells.shape):
        own = values[cells.rows(*cell)]
        if not len(own):
            continue
        least[cell] = chance.least_p(2 ** len(own), permutations, comparisons)
        random = chance.generator(seed, *cells.identity(*cell))
        # Exchanging the blocks of a pair changes the sign of its difference.
        flipped = chance.swap_sums(random, permutations, own[:, None])[:, 0]
        null = mean[cell] - 2 * flipped / len(own)
        share[cell] = chance.share_below(mean[cell], null)
        interval[cell] = chance.null_interval(null, "two", comparisons)
    variables: Variables = {
        "mean": (OF_CELLS, mean),
        "sem": (OF_CELLS, sem),
        "null_interval": ((*OF_CELLS, BOUND), interval),
        **p_values(share, OF_CELLS, "two", comparisons),
        "least_p": (OF_CELLS, least),
        **cells.counts(),
    }
    return _named(cells.dataset(variables), name, array, "difference of {}").assign_attrs(
        variable=name, permutations=permutations, comparisons=comparisons, seed=seed
    )
