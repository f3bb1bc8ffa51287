"""Tracked ROIs: in tracking order, and joined over sessions on their label and nothing else."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Never

import numpy as np
import xarray as xr

from oscaxr.errors import SchemaError, TrackingError, listed
from oscaxr.model import names as n
from oscaxr.renamed import refuse_keywords
from oscaxr.select.stacking import SESSION, SESSION_ID, TRACKED_ROI, side_by_side, stacked

Array = np.ndarray[Any, Any]

_MOUSE_ID: Final = "mouse_id"
# The published numbers of mice start anew in the pilot.
_MOUSE: Final = ("run_type", "mouse")
# What runs on these belongs to one session alone, and cannot lie beside another's.
_OWN_DIMS: Final = frozenset({n.TIME, n.STIM_TIME, n.SEGMENT, n.FLOW_SEGMENT, n.BLOCK})
_ARRAY: Final = "_aligned"


def tracked(ds: xr.Dataset, /, **unknown: Never) -> xr.Dataset:
    """Keep the tracked ROIs, in tracking order, with ``tracking_id`` as their dim.

    Parameters
    ----------
    ds : xarray.Dataset
        A session, or any Dataset with the dim ``roi`` and the coordinate ``tracking_id``.

    Returns
    -------
    xarray.Dataset
        With the dim and index ``tracking_id`` in place of ``roi``, which stays as a coordinate.

    Raises
    ------
    TrackingError
        If the session has no tracked ROIs, or the same tracking id twice.

    Notes
    -----
    The k-th tracked ROI is the same neuron or dendrite in every tracked session of a mouse. The
    index is ascending, and xarray either keeps an index as it is or sorts it: either way this is
    the tracking order.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=6, n_tracked=3, scale=0.02)
    >>> ox.tracked(ds).tracking_id.values
    array([0, 1, 2])
    """
    refuse_keywords("tracked", unknown, ())
    if n.TRACKING_ID not in ds.coords or ds[n.TRACKING_ID].dims != (n.ROI,):
        if n.TRACKING_ID in ds.dims:
            return ds
        if n.ROI not in ds.dims:
            raise TrackingError(
                f"no coordinate 'tracking_id' over ROIs, and no ROIs (dims: {list(ds.dims)}): "
                "align before the mean over ROIs is taken; that over 'sequence' alone keeps them"
            )
        raise TrackingError(f"no coordinate 'tracking_id' over ROIs (coords: {list(ds.coords)})")
    ids = ds[n.TRACKING_ID].values
    rows = np.flatnonzero(ids != n.UNTRACKED)
    if not rows.size:
        session = f" {int(ds['session_id'])}" if "session_id" in ds.coords else ""
        raise TrackingError(
            f"session{session} has no tracked ROIs ({ds.sizes[n.ROI]} ROIs, none with a tracking "
            "id): the ROIs of its mouse were not matched over sessions"
        )
    unique, counts = np.unique(ids[rows], return_counts=True)
    if np.any(counts > 1):
        raise TrackingError(f"tracking ids {unique[counts > 1].tolist()} are given to several ROIs")
    in_order = rows[np.argsort(ids[rows], kind="stable")]
    swapped = ds.isel({n.ROI: in_order}).swap_dims({n.ROI: n.TRACKING_ID})
    swapped.set_close(ds.close)
    return swapped


def n_tracked(ds: xr.Dataset) -> int:
    """Return the number of tracked ROIs.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.

    Returns
    -------
    int

    Examples
    --------
    >>> import oscaxr as ox
    >>> ox.sample.session(n_rois=6, n_tracked=3, scale=0.02).osca.n_tracked
    3
    """
    return int((ds[n.TRACKING_ID] != n.UNTRACKED).sum())


def align_tracked(
    sessions: Any, *, dim: str = SESSION, stack: bool | None = None, **unknown: Never
) -> Any:
    """Lay sessions side by side, joined exactly on the labels of their tracked ROIs.

    Parameters
    ----------
    sessions : xarray.DataTree, mapping or iterable of xarray.Dataset or xarray.DataArray
        Sessions, sequences, or what was computed from them, in any order: each with the dim
        ``tracking_id``, or ``roi`` with the coordinate ``tracking_id``, and with the scalar
        coordinates ``mouse_id`` (or ``mouse``) and ``session`` (or ``session_id``). A tree has
        them in its leaves, as in ``/mouse_6/session_1``.
    dim : str, optional
        Name of the new dim.
    stack : bool, optional
        True gives the ROIs of any number of mice the dim ``tracked_roi``; False refuses sessions
        of several mice. By default they are stacked if there are several.

    Returns
    -------
    xarray.Dataset or xarray.DataArray
        Whichever was given. **One mouse:** dims (session, tracking_id, ...), sessions in the order
        of their numbers, which are the index; ROIs in tracking order. ``session_id``, ``depth``
        and all other facts that differ lie along ``session``, and so do the rates (``fps``,
        ``twop_fps``, ``stim_fps``); each session's ``roi`` and ``roi_id`` along
        (session, tracking_id). Facts of the mouse stay scalar.

        **Several mice:** dims (session, tracked_roi, ...). ``tracked_roi`` has no labels of its
        own: ``mouse_id`` and ``tracking_id`` along it, together, say which ROI it is; both are
        plain coordinates, which files can hold. A session that a mouse does not have is NaN (-1
        in integers, False in flags, empty in words), and ``recorded``, of dims
        (session, tracked_roi), tells so.

        In memory, unless the input is on dask.

    Raises
    ------
    TrackingError
        If tracked ROIs are absent, there twice, or not the same in all sessions of a mouse; if a
        session is given twice, or its mouse or number is not known. All problems are listed.
    SchemaError
        If the objects do not have the same variables, or labels other than ROIs' disagree.

    Notes
    -----
    ROIs are never paired by their row, nor those of one mouse with another's.

    Where the labels ``rel_time`` differ, because the frame rates do, the sessions are aligned on
    ``rel_frame``, which takes the place of the dim; ``rel_time`` then is a coordinate along
    (session, rel_frame). All sessions must have the same frames.

    Sequences of different sessions have nothing to do with each other: ``sequence`` is numbered
    from 0, shorter sessions end in missing values as above, and ``sequence_label`` (the segment
    number), with the segments' other coordinates, lies along (session, sequence). ``n_sequences``
    says how many there are. For several mice, average over them first.

    Of a whole session, what runs on its own clocks or over its segments is left out: extract
    sequences first. Coordinates that not all sessions have are left out, too, and attributes that
    are not the same in all.

    Examples
    --------
    >>> import oscaxr as ox
    >>> mouse = [ox.sample.session(spec) for spec in ox.sample.mouse_specs(scale=0.05, n_rois=4)]
    >>> u = [ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=0, post=0.6).mean(
    ...     "sequence") for ds in mouse]
    >>> aligned = align_tracked(reversed(u))
    >>> dict(aligned.sizes), aligned.session.values
    ({'session': 3, 'tracking_id': 2, 'rel_frame': 18}, array([1, 2, 3]))
    """
    refuse_keywords("align_tracked", unknown, ("dim", "stack"))
    given = session_items(sessions)
    if not given:
        raise TrackingError("no sessions were given")
    items = _prepared(given, dim)
    mice = _by_mouse(items, dim)
    if stack is False and len(mice) > 1:
        raise TrackingError(
            f"the sessions are of {len(mice)} mice ({', '.join(mice)}), whose ROIs are not the "
            "same. Align each mouse by itself, or stack them (stack=True)"
        )
    if stack and items[0].number is None:
        raise TrackingError("to stack mice, their sessions need numbers (coordinate 'session')")
    frames = _aligned_frames([item for own in mice.values() for item in own])
    for name, own in mice.items():
        mice[name] = [item._replace(content=frames(item.content)) for item in own]
    problems = [problem for name, own in mice.items() for problem in _different_rois(name, own)]
    _raise_all(
        problems,
        "all sessions of a mouse must have the same tracked ROIs (to compare those that are in all "
        "of them, select by tracking_id first), but",
    )
    names = _common_variables([item for own in mice.values() for item in own])
    together = {
        name: side_by_side([item.content for item in own], [item.label for item in own], names)
        for name, own in mice.items()
    }
    if stack or len(mice) > 1:
        result = stacked(together)
    else:
        (result,) = together.values()
    if dim != SESSION:
        result = result.drop_indexes(SESSION, errors="ignore").rename_dims({SESSION: dim})
    rois = TRACKED_ROI if TRACKED_ROI in result.dims else n.TRACKING_ID
    result = result.transpose(dim, rois, ...)
    if items[0].array_name is None:
        return result
    return result[_ARRAY].rename(items[0].array_name[0])


def session_items(sessions: Any) -> list[tuple[str, Any]]:
    """List sessions, given in one of several ways, with a label for messages."""
    if isinstance(sessions, xr.DataTree):
        return [(leaf.path, leaf.to_dataset()) for leaf in sessions.leaves if leaf.has_data]
    if isinstance(sessions, xr.Dataset | xr.DataArray):
        return [("the session", sessions)]
    if isinstance(sessions, Mapping):
        return [(str(label), item) for label, item in sessions.items()]
    return [(f"session at position {place}", item) for place, item in enumerate(sessions)]


class _Item(NamedTuple):
    """One session: its tracked ROIs in order, and who it is. `array_name` of an array only."""

    label: str
    content: xr.Dataset
    mouse: str
    number: int | None
    session_id: int | None
    array_name: tuple[Hashable] | None

    @property
    def order(self) -> int:
        return self.number if self.number is not None else int(self.session_id or 0)


def _prepared(given: Sequence[tuple[str, Any]], dim: str) -> list[_Item]:
    problems, items = [], []
    for label, item in given:
        try:
            items.append(_prepare(label, item, dim))
        except TrackingError as error:
            problems.append(f"{label}: {error}")
    if len({item.array_name is None for item in items}) > 1:
        problems.append("some are Datasets, some arrays: give all of one kind")
    _raise_all(problems)
    return items


def _prepare(label: str, item: Any, dim: str) -> _Item:
    if isinstance(item, xr.DataArray):
        name: tuple[Hashable] | None = (item.name,)
        # Sequences carry coordinates named like variables; the array's own name might be one.
        content = item.to_dataset(name=_ARRAY)
    elif isinstance(item, xr.Dataset):
        name, content = None, item
    else:
        raise TrackingError(f"is a {type(item).__name__}, neither a Dataset nor a DataArray")
    own = [key for key, variable in content.variables.items() if set(variable.dims) & _OWN_DIMS]
    if name is not None and set(item.dims) & _OWN_DIMS:
        raise TrackingError(
            f"{item.name!r} runs on the session's {item.dims}: extract sequences first"
        )
    ordered = tracked(content.drop_vars(own))
    ids = ordered[n.TRACKING_ID].values
    if (ids == n.UNTRACKED).any() or len(set(ids.tolist())) < len(ids):
        raise TrackingError(f"its tracking ids are not those of different ROIs: {ids.tolist()}")
    ordered = ordered.isel({n.TRACKING_ID: np.argsort(ids)})
    if {dim, SESSION} & set(ordered.dims):
        raise TrackingError(f"it has the dim {dim!r} already")
    facts = {str(key): coord.item() for key, coord in ordered.coords.items() if coord.ndim == 0}
    stated = (_MOUSE_ID,) if _MOUSE_ID in facts else _MOUSE if "mouse" in facts else ()
    mouse = " ".join(f"{key} {facts[key]}" for key in stated if key in facts)
    number, session_id = facts.get(SESSION), facts.get(SESSION_ID)
    if not mouse or (number is None and session_id is None):
        raise TrackingError(
            f"its mouse or session is not known: it has the scalar coordinates {sorted(facts)}, "
            "and needs mouse_id (or mouse) and session (or session_id). Keep them, or assign them "
            "with assign_coords"
        )
    return _Item(label, ordered, mouse, number, session_id, name)


def _by_mouse(items: Sequence[_Item], dim: str) -> dict[str, list[_Item]]:
    """Group sessions by mouse, in order of their numbers."""
    problems = []
    stated = {" and ".join(item.mouse.split()[::2]) for item in items}
    if len(stated) > 1:
        problems.append(f"some state {', some '.join(sorted(stated))}: give all the same")
    if len({item.number is None for item in items}) > 1:
        problems.append("some state the number of the session, some only its id")
    mice: dict[str, list[_Item]] = {}
    for item in sorted(items, key=lambda item: (item.mouse, item.order)):
        mice.setdefault(item.mouse, []).append(item)
    if len(mice) > 1 and items[0].number is None:
        problems.append(f"without session numbers, sessions of {len(mice)} mice cannot be aligned")
    for mouse, own in mice.items():
        places = [item.order for item in own]
        twice = sorted({place for place in places if places.count(place) > 1})
        if twice:
            labels = ", ".join(item.label for item in own if item.order in twice)
            problems.append(f"{mouse}: {dim} {twice} given more than once ({labels})")
    _raise_all(problems)
    return mice


def _different_rois(mouse: str, items: Sequence[_Item]) -> list[str]:
    ids = [set(item.content[n.TRACKING_ID].values.tolist()) for item in items]
    everywhere = set.union(*ids)
    return [
        f"{mouse}: session {item.order} ({item.label}) lacks the tracking ids "
        f"{sorted(everywhere - own)}"
        for item, own in zip(items, ids, strict=True)
        if own != everywhere
    ]


def _aligned_frames(items: Sequence[_Item]) -> Callable[[xr.Dataset], xr.Dataset]:
    """Return what puts every session on ``rel_frame`` where the labels ``rel_time`` differ."""
    timed = [item for item in items if n.REL_TIME in item.content.dims]
    labels = [item.content[n.REL_TIME].values for item in timed]
    if all(np.array_equal(labels[0], other) for other in labels[1:]):
        return lambda content: content
    frames = [getattr(item.content.get(n.REL_FRAME), "values", None) for item in timed]
    first = frames[0]
    if first is None or any(own is None or not np.array_equal(own, first) for own in frames):
        extents = "; ".join(
            f"{item.label}: {'no rel_frame' if own is None else _extent(own)}"
            for item, own in zip(timed, frames, strict=True)
        )
        raise SchemaError(
            f"the windows of the sessions do not have the same frames ({extents}). Keep the frames "
            "that all have, for instance with .isel(rel_time=slice(n)), or integrate first"
        )
    return lambda content: content.swap_dims({n.REL_TIME: n.REL_FRAME})


def _extent(frames: Array) -> str:
    return f"{frames[0]} to {frames[-1]}" if len(frames) else "none"


def _common_variables(items: Sequence[_Item]) -> list[Hashable]:
    """Return the names of the data variables, which all sessions must have with the same dims."""
    first = items[0]
    found = {name: set(array.dims) for name, array in first.content.data_vars.items()}
    problems = []
    for item in items[1:]:
        own = {name: set(array.dims) for name, array in item.content.data_vars.items()}
        differ = sorted({str(name) for name in own | found if own.get(name) != found.get(name)})
        if differ:
            problems.append(f"{item.label} and {first.label} differ in {', '.join(differ)}")
    _raise_all(problems, "the sessions do not have the same variables and dims", SchemaError)
    return list(found)


def _raise_all(
    problems: Sequence[str],
    heading: str = "the sessions cannot be aligned",
    error: type[Exception] = TrackingError,
) -> None:
    if problems:
        raise error(f"{heading}:{listed(problems)}")
