"""How well the sessions of groups of mice are decoded, against their shuffles."""

from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from oscaxr.analyses.chance import corrected_p, null_interval, raw_p, share_below
from oscaxr.analyses.pooling import BOUND, GROUP, MOUSE_ID, POOLED_SESSION, Cells
from oscaxr.errors import MissingVariableError, SessionMismatchError, few
from oscaxr.select.stacking import SESSION, SESSION_ID

_ALIKE: Final = (
    "coordinate", "stimulus", "criteria", "window", "splits", "shuffles", "train", "penalty",
)  # fmt: skip
_ATTRS: Final = {
    "mean": {"long_name": "mean balanced accuracy over mice", "units": "1"},
    "sem": {"long_name": "standard error over mice", "units": "1"},
    "n_mice": {"long_name": "number of mice"},
    "null": {"long_name": "interval of the mean over mice with permuted labels", "units": "1"},
    "p": {"long_name": "corrected p of the mean, upper tail", "units": "1"},
}


def group_decoding(pooled: xr.Dataset, *, comparisons: int = 1) -> xr.Dataset:
    """Average the decoding of sessions over the mice of each group, and test it against chance.

    Parameters
    ----------
    pooled : xarray.Dataset
        What :func:`decode` gave for each session, pooled by ``pool(decoded, dim="split")``.
    comparisons : int, optional
        By how many comparisons p and the null interval are corrected (Bonferroni).

    Returns
    -------
    xarray.Dataset
        Over (group, session), and ``rel_frame`` for time courses:

        - ``mean``, ``sem``: balanced accuracy over mice, 0 to 1 (ddof 1; NaN with one mouse);
        - ``n_mice``;
        - ``null`` (bound): lowest, median and significance bound of the means over mice of the
          shuffles;
        - ``p``: corrected share of these at or above ``mean``.

        The last two are there if sessions were decoded with shuffles. NaN where a session is not
        there.

    Raises
    ------
    MissingVariableError
        If these are no pooled results of :func:`decode`.
    SessionMismatchError
        If sessions were not decoded alike, or a mouse has several sessions in a group.
    CriterionError
        If the shuffles are too few for so many comparisons.

    Notes
    -----
    The k-th shuffles of the mice of a group are averaged, and only the upper tail counts.

    References
    ----------
    Gillon, Pina et al. 2024, figures 10 and 11.

    Examples
    --------
    >>> import oscaxr as ox
    >>> mouse = [ox.sample.session(spec) for spec in ox.sample.mouse_specs(scale=0.05, n_rois=4)]
    >>> decoded = [ox.analyses.decode(ds, counts="all", splits=4, seed=1) for ds in mouse]
    >>> found = group_decoding(ox.analyses.pool(decoded, dim="split"))
    >>> found["mean"].dims, found.n_mice.values
    (('group', 'session'), array([[1, 1, 1]]))
    """
    cells = Cells(pooled)
    names = [name for name in ("mean", "shuffled") if name in pooled]
    if "mean" not in names or POOLED_SESSION not in pooled["mean"].dims:
        raise MissingVariableError(
            'these are no results of decode: pool them first, analyses.pool(decoded, dim="split")'
        )
    unlike = [name for name in _ALIKE if name not in pooled.attrs]
    if unlike:
        raise SessionMismatchError(
            f"the sessions were decoded with other {few(unlike)}. Decode all of them alike"
        )
    arrays = {name: pooled[name].transpose(POOLED_SESSION, ...) for name in names}
    own = {cell: _sessions(cells, cell) for cell in np.ndindex(*cells.shape)}
    rest = tuple(str(dim) for dim in arrays["mean"].dims[1:])
    lengths = arrays["mean"].shape[1:]
    found: dict[str, Any] = {name: np.full((*cells.shape, *lengths), np.nan) for name in _ATTRS}
    found["n_mice"] = np.zeros(cells.shape, int)
    found["null"] = np.full((*cells.shape, *lengths, 3), np.nan)
    for cell, sessions in own.items():
        found["n_mice"][cell] = len(sessions)
        if not len(sessions):
            continue
        values = arrays["mean"].values[sessions]
        found["mean"][cell] = mean = values.mean(axis=0)
        if len(values) > 1:
            found["sem"][cell] = values.std(axis=0, ddof=1) / np.sqrt(len(values))
        if "shuffled" in arrays:
            null = arrays["shuffled"].values[sessions].mean(axis=0)
            found["null"][cell] = null_interval(null, "high", comparisons)
            share = raw_p(share_below(mean, null), "high")
            found["p"][cell] = corrected_p(share, "high", comparisons)
    dims = dict.fromkeys(found, (GROUP, SESSION, *rest))
    dims |= {"n_mice": (GROUP, SESSION), "null": (*dims["null"], BOUND)}
    kept = [name for name in found if "shuffled" in arrays or name not in ("null", "p")]
    result = cells.dataset({name: (dims[name], found[name]) for name in kept})
    for name in kept:
        result[name].attrs = _ATTRS[name]
    course = {k: c for k, c in arrays["mean"].coords.items() if c.dims == rest and rest}
    told = {name: pooled.attrs[name] for name in (*_ALIKE, "chance")}
    return result.assign_coords(course).assign_attrs(told, comparisons=comparisons)


def _sessions(cells: Cells, cell: tuple[int, ...]) -> Any:
    """Return the places of the sessions of a group, of which each mouse has one."""
    rows = cells.rows(*cell)
    ids, first = np.unique(cells.pooled[SESSION_ID].values[rows], return_index=True)
    mice = cells.pooled[MOUSE_ID].values[rows][first].tolist()
    if len({*mice}) < len(mice):
        twice = sorted({mouse for mouse in mice if mice.count(mouse) > 1})
        raise SessionMismatchError(
            f"{cells.groups[cell[0]]}: mice {few(twice)} have several sessions in one group. Pool "
            "by what tells these apart, such as 'session'"
        )
    return cells.pooled.indexes[POOLED_SESSION].get_indexer(pd.Index(ids))
