"""Results of many sessions as one: all their ROIs in a row, grouped by line, plane and session."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.errors import (
    AmbiguousSessionError,
    MissingVariableError,
    SchemaError,
    TrackingError,
    few,
    listed,
)
from oscaxr.model import names as n
from oscaxr.model.synthetic import SIGN, is_synthetic
from oscaxr.select.alignment import session_items
from oscaxr.select.stacking import SESSION, SESSION_ID

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

GROUP: Final = "group"
PAIR: Final = "pair"
BOUND: Final = "bound"
BOUNDS: Final = ("low", "median", "high")
POOLED_SESSION: Final = "pooled_session"
"""The dim of what is said of a session as a whole, with the session ids as its index."""
N_POOLED: Final = "n_pooled"

_BY: Final = ("line", "plane", SESSION)
RESPONSE_GROUP: Final = "response_group"
"""What the groups of a split are called where groups of sessions are."""
MOUSE_ID: Final = "mouse_id"
# What says of a session whose it is goes along with each of its ROIs.
_FACTS: Final = ("line", "plane", SESSION, MOUSE_ID, "mouse", SESSION_ID, "run_type", "depth")
_RESULT: Final = "result"
# What results say of how they were computed, and have to say alike.
_ALIKE: Final = ("stimulus", "split", "operation", "against")


def pool(results: Any, by: str | Sequence[str] = _BY, *, dim: str = n.ROI) -> xr.Dataset:
    """Put the ROIs of many sessions in a row, so that they can be grouped.

    Parameters
    ----------
    results : xarray.DataTree, mapping, or iterable of xarray.Dataset or xarray.DataArray
        Results of sessions, as from :func:`oscaxr.map_sessions`, or as made one by one: over
        ``roi``, or ``tracking_id`` for tracked ROIs, with the scalar coordinates of their session.
    by : str or sequence of str, optional
        What a group has in common: scalar coordinates of the sessions. The sessions of a group are
        compared with each other if ``"session"`` is among them; otherwise all are one.
    dim : str, optional
        What is put in a row, if not the ROIs.

    Returns
    -------
    xarray.Dataset
        The variables over ``roi``, which has no index: ``session_roi`` says which ROI of its
        session (``session_id``) each is. ``line``, ``plane``, ``session``, ``mouse_id`` and
        ``group``, the words of `by` but for the session, lie along it, so that
        ``pooled.groupby(["group", "session"])`` has the papers' groups. What is said of sessions
        as a whole lies along ``pooled_session``, the ids of the sessions.

    Raises
    ------
    SchemaError
        If results lack the coordinates, do not have the same variables, dims and labels, or are
        not of the same stimulus, split and operation.
    AmbiguousSessionError
        If a session is there twice.

    Notes
    -----
    Sessions are in the order of their ids, ROIs in that of their labels, whatever the order in
    which they are given. Sessions of different frame rate are put on ``rel_frame``, and cut to the
    frames that all have. The dim ``group`` of a split, as of expected and unexpected responses, is
    ``response_group`` beside the groups of sessions.

    Examples
    --------
    >>> import oscaxr as ox
    >>> mouse = [ox.sample.session(spec) for spec in ox.sample.mouse_specs(scale=0.05, n_rois=4)]
    >>> pooled = pool([ox.snr(ds) for ds in mouse])
    >>> dict(pooled.sizes), str(pooled.group.values[0])
    ({'roi': 12, 'pooled_session': 3}, 'L23-Cux2 soma')
    """
    by = (by,) if isinstance(by, str) else tuple(by)
    items = [(label, _as_dataset(label, item)) for label, item in session_items(results)]
    if not items:
        raise SchemaError("no results of sessions were given")
    _check(items, by)
    items.sort(key=lambda item: int(item[1][SESSION_ID]))
    # Tracked ROIs have their order from the dim that they had.
    is_tracked = dim == n.ROI and n.TRACKING_ID in items[0][1].dims
    parts = _on_common_frames([_in_a_row(content, dim) for _, content in items])
    shared = set.intersection(*(set(part.coords) for part in parts))
    parts = [part.drop_vars(set(part.coords) - shared) for part in parts]
    of_rois = _joined([_with_facts(part, by, dim) for part in parts], dim)
    pooled = of_rois.merge(_of_sessions(parts, dim), combine_attrs="drop_conflicts")
    keys = [key for key in by if key != SESSION]
    words = [[str(value) for value in pooled[key].values] for key in keys]
    labels = [" ".join(row) for row in zip(*words, strict=True)] if keys else ["all"]
    group = np.array(labels if keys else labels * pooled.sizes[dim], dtype="U")
    pooled = pooled.assign_coords({GROUP: (dim, group)})
    return pooled.assign_attrs(pooled_by=list(by), tracked=int(is_tracked))


def _as_dataset(label: str, item: Any) -> xr.Dataset:
    """Return a result as a Dataset, with the labels of its ROIs as a coordinate."""
    if isinstance(item, xr.DataArray):
        name = _RESULT if item.name is None or item.name in item.coords else item.name
        item = item.rename(None).to_dataset(name=name)
    if not isinstance(item, xr.Dataset):
        raise SchemaError(f"{label}: is a {type(item).__name__}, neither a Dataset nor a DataArray")
    return item


def _check(items: Sequence[tuple[str, xr.Dataset]], by: Sequence[str]) -> None:
    """Refuse results that cannot be pooled, naming all that is wrong."""
    problems = []
    known = [{str(name) for name, coord in ds.coords.items() if not coord.dims} for _, ds in items]
    for (label, _), own in zip(items, known, strict=True):
        lacking = sorted({*by, SESSION_ID, MOUSE_ID} - own)
        if lacking:
            problems.append(f"{label}: lacks {', '.join(lacking)}; it has {few(sorted(own))}")
    if problems:
        raise SchemaError(
            f"results need the scalar coordinates of their sessions to be pooled:{listed(problems)}"
        )
    first_label, first = items[0]
    shapes = {name: set(array.dims) for name, array in first.data_vars.items()}
    for label, ds in items[1:]:
        own_shapes = {name: set(array.dims) for name, array in ds.data_vars.items()}
        unlike = {str(k) for k in {*shapes, *own_shapes} if shapes.get(k) != own_shapes.get(k)}
        if unlike:
            problems.append(f"{label} and {first_label} differ in {', '.join(sorted(unlike))}")
        problems += [
            f"{label} has {word}={ds.attrs.get(word)!r}, {first_label} {first.attrs.get(word)!r}"
            for word in _ALIKE
            if ds.attrs.get(word) != first.attrs.get(word)
        ]
    if problems:
        raise SchemaError(
            "the results do not have the same variables and dims, or are not of the same analysis:"
            f"{listed(problems)}"
        )
    ids = [int(ds[SESSION_ID]) for _, ds in items]
    twice = sorted({one for one in ids if ids.count(one) > 1})
    if twice:
        raise AmbiguousSessionError(f"session(s) {twice} are among the results more than once")


def _in_a_row(content: xr.Dataset, dim: str) -> xr.Dataset:
    """Put the rows of a result in the order of their labels, on a dim that has no index."""
    own = n.TRACKING_ID if dim == n.ROI and n.TRACKING_ID in content.dims else dim
    if own not in content.dims:
        raise SchemaError(
            f"session {int(content[SESSION_ID])}: the result has no dim {dim!r}, but "
            f"{few(sorted(map(str, content.dims)))}"
        )
    if own not in content.coords:
        content = content.assign_coords({own: np.arange(content.sizes[own])})
    content = content.isel({own: np.argsort(content[own].values, kind="stable")})
    content = content.drop_indexes(own)
    # Of tracked ROIs, `roi` is there beside the tracking id; `group` may be those of a split.
    names = {dim: f"session_{dim}", GROUP: RESPONSE_GROUP}
    content = content.rename({old: new for old, new in names.items() if old in content.variables})
    return content.rename_dims({own if own != dim else names[dim]: dim})


def _on_common_frames(parts: Sequence[xr.Dataset]) -> list[xr.Dataset]:
    """Put windows on frames, and keep those that all sessions have."""
    if not any(n.REL_TIME in part.dims for part in parts):
        return list(parts)
    if not all(n.REL_FRAME in part.coords for part in parts):
        raise SchemaError("windows of sessions are pooled by 'rel_frame', which some results lack")
    on_frames = [part.swap_dims({n.REL_TIME: n.REL_FRAME}) for part in parts]
    frames = reduce(np.intersect1d, [part[n.REL_FRAME].values for part in on_frames])
    if not len(frames):
        raise SchemaError("the windows of the sessions have no frame in common")
    cut = [part.sel({n.REL_FRAME: frames}) for part in on_frames]
    # Rates differ by a millionth or by a hundredth: the labels of all are those of their mean.
    seconds = np.mean([part[n.REL_TIME].values for part in cut], axis=0)
    return [
        part.assign_coords({n.REL_TIME: (n.REL_FRAME, seconds, part[n.REL_TIME].attrs)})
        for part in cut
    ]


def _with_facts(part: xr.Dataset, by: Sequence[str], dim: str) -> xr.Dataset:
    """Return what lies along the rows, with the facts of their session along them."""
    size = part.sizes[dim]
    part = part[[name for name, array in part.data_vars.items() if dim in array.dims]]
    facts = [key for key in dict.fromkeys((*_FACTS, *by)) if key in part.coords]
    along = {key: (dim, np.repeat(part[key].values, size), part[key].attrs) for key in facts}
    kept = [name for name, coord in part.coords.items() if coord.dims]
    return part.drop_vars(set(part.coords) - set(kept)).assign_coords(along)


def _of_sessions(parts: Sequence[xr.Dataset], dim: str) -> xr.Dataset:
    """Return what is said of sessions as a whole, and how many rows each has."""
    whole = []
    for part in parts:
        names = [name for name, array in part.data_vars.items() if dim not in array.dims]
        own = part[names].assign({N_POOLED: part.sizes[dim]})
        gone = [k for k, coord in own.coords.items() if dim in coord.dims or not coord.dims]
        whole.append(own.drop_vars(gone))
    joined = _joined(whole, POOLED_SESSION)
    return joined.assign_coords({POOLED_SESSION: [int(part[SESSION_ID]) for part in parts]})


def _joined(parts: Sequence[xr.Dataset], dim: str) -> xr.Dataset:
    """Lay results beside each other, whose labels along all other dims are the same."""
    try:
        return xr.concat(
            parts,
            dim,
            data_vars="all",
            coords="minimal",
            compat="override",
            join="exact",
            combine_attrs="drop_conflicts",
        )
    except ValueError as error:
        raise SchemaError(
            f"results of the sessions do not lie beside each other: {error}"
        ) from None


@dataclass(frozen=True)
class Cells:
    """The groups of pooled results, and which ROIs are of each group and session."""

    pooled: xr.Dataset

    def __post_init__(self) -> None:
        if GROUP not in self.pooled.coords or "pooled_by" not in self.pooled.attrs:
            raise MissingVariableError(
                "these are no pooled results: pool the results of sessions first (analyses.pool)"
            )

    @property
    def dim(self) -> str:
        """What is in a row: ROIs, if nothing else was asked for."""
        return str(self.pooled[GROUP].dims[0])

    @property
    def tracked(self) -> bool:
        """Whether the ROIs are the same in all sessions of a mouse."""
        return bool(self.pooled.attrs.get("tracked", 0))

    @property
    def origin(self) -> dict[str, int]:
        """What results say of samples: computing leaves the ids of the sessions behind."""
        return {SIGN: 1} if is_synthetic(self.pooled) else {}

    @cached_property
    def by(self) -> list[str]:
        """What a group has in common."""
        return [str(key) for key in np.atleast_1d(self.pooled.attrs["pooled_by"])]

    @cached_property
    def groups(self) -> list[str]:
        """The words of the groups, in order."""
        return sorted(set(self.pooled[GROUP].values.tolist()))

    @cached_property
    def sessions(self) -> list[int]:
        """The numbers of the sessions, or one number for all of them."""
        return sorted(set(self.pooled[SESSION].values.tolist())) if SESSION in self.by else [0]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of groups, and of sessions."""
        return len(self.groups), len(self.sessions)

    def pairs(self, *, consecutive: bool = False) -> list[tuple[int, int]]:
        """Return the places of sessions that are compared, first and second."""
        places = range(len(self.sessions))
        return [(i, j) for i in places for j in places if (j == i + 1 if consecutive else j > i)]

    @cached_property
    def _rows(self) -> dict[tuple[int, int], Rows]:
        group = np.searchsorted(self.groups, self.pooled[GROUP].values)
        session = np.zeros_like(group)
        if SESSION in self.by:
            session = np.searchsorted(self.sessions, self.pooled[SESSION].values)
        cells = np.ndindex(*self.shape)
        return {cell: np.flatnonzero((group == cell[0]) & (session == cell[1])) for cell in cells}

    def rows(self, group: int, session: int) -> Rows:
        """Return which ROIs are of a group and a session, by their places."""
        return self._rows[group, session]

    def identity(self, group: int, *sessions: int) -> tuple[int, ...]:
        """Return what tells a group's random numbers from another's: the ids of its sessions."""
        rows = np.concatenate([self.rows(group, session) for session in sessions])
        return tuple(sorted(set(self.pooled[SESSION_ID].values[rows].tolist())))

    def values(self, name: str) -> xr.DataArray:
        """Return a variable of the pooled results, the rows first."""
        if name not in self.pooled:
            raise MissingVariableError(
                f"the pooled results have no {name!r}, but {few(sorted(map(str, self.pooled)))}"
            )
        return self.pooled[name].transpose(self.dim, ...)

    def paired(self, group: int, first: int, second: int) -> tuple[Rows, Rows]:
        """Return the rows of tracked ROIs in two sessions, in the same order."""
        both = [self.rows(group, session) for session in (first, second)]
        keys = [
            list(zip(self.pooled[MOUSE_ID].values[rows].tolist(), ids.tolist(), strict=True))
            for rows in both
            for ids in [self.pooled[n.TRACKING_ID].values[rows]]
        ]
        places = [
            rows[sorted(range(len(own)), key=own.__getitem__)]
            for rows, own in zip(both, keys, strict=True)
        ]
        if sorted(keys[0]) != sorted(keys[1]) or len(set(keys[0])) < len(keys[0]):
            lone = sorted(set(keys[0]) ^ set(keys[1]))
            raise TrackingError(
                f"{self.groups[group]}: sessions {self.sessions[first]} and "
                f"{self.sessions[second]} do not have the same tracked ROIs: (mouse id, tracking "
                f"id) {few(lone)} in one of them only. Keep those that are in both"
            )
        return places[0], places[1]

    def dataset(
        self, variables: Mapping[str, tuple[tuple[str, ...], Any]], pairs: Any = None
    ) -> xr.Dataset:
        """Return arrays of dims (group, session, ...) or (group, pair, ...) with their labels."""
        keys = [key for key in self.by if key != SESSION]
        first = [np.flatnonzero(self.pooled[GROUP].values == group)[0] for group in self.groups]
        coords: dict[str, Any] = {GROUP: self.groups, SESSION: self.sessions}
        coords |= {key: (GROUP, self.pooled[key].values[first]) for key in keys}
        if any(BOUND in dims for dims, _ in variables.values()):
            coords[BOUND] = list(BOUNDS)
        if pairs is not None:
            named = [(self.sessions[i], self.sessions[j]) for i, j in pairs]
            coords[PAIR] = np.array([f"{i}-{j}" for i, j in named], dtype="U")
            coords["first_session"] = (PAIR, np.array([i for i, _ in named], int))
            coords["second_session"] = (PAIR, np.array([j for _, j in named], int))
        result = xr.Dataset(dict(variables), coords, self.origin)
        if SESSION in self.by:
            return result
        return result.isel({SESSION: 0}, drop=True).drop_dims(PAIR, errors="ignore")

    def counts(self) -> dict[str, tuple[tuple[str, ...], Any]]:
        """Return how many ROIs (or other rows) and mice each group and session has."""
        mice = self.pooled[MOUSE_ID].values
        cells = list(np.ndindex(*self.shape))
        n_rows = np.reshape([len(self.rows(*cell)) for cell in cells], self.shape)
        n_mice = np.reshape([len(set(mice[self.rows(*cell)])) for cell in cells], self.shape)
        return {f"n_{self.dim}s": ((GROUP, SESSION), n_rows), "n_mice": ((GROUP, SESSION), n_mice)}
