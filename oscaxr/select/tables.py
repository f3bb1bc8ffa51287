"""The stimulus table as tables: pandas, blocks, onset pairs, parameters of each patch."""

from typing import Any, Never

import numpy as np
import pandas as pd
import xarray as xr

from oscaxr.errors import CriterionError, MissingVariableError, WindowError, few
from oscaxr.model import names as n
from oscaxr.model.schema import SEGMENT_COLUMNS
from oscaxr.model.segments import Clock, check_clock
from oscaxr.model.traces import check_same_session
from oscaxr.renamed import refuse_keywords
from oscaxr.select.criteria import segment_part, select_segments
from oscaxr.select.frames import segments_at

# The parameters that distinguish blocks, by stimulus.
_BLOCK_PARAMETERS = {
    n.GABORS: ("gabor_kappa",),
    n.VISFLOW: ("main_flow_direction", "square_size", "square_number"),
    n.GRAYSCREEN: (),
}
# What blocks are measured in, and how their length is called then.
_LENGTHS = {
    "segment": "num_segments",
    "frame_stim": "num_frames_stim",
    "frame_twop": "num_frames_twop",
    "time": "duration",
}


def segment_table(ds: xr.Dataset, /, **unknown: Never) -> pd.DataFrame:
    """Return the stimulus table as pandas, with the published columns in their order.

    Parameters
    ----------
    ds : xarray.Dataset
        A session, or a selection of its segments.

    Returns
    -------
    pandas.DataFrame
        One row a segment, indexed by segment number. ``attrs["units"]`` has the units of columns.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ox.segment_table(ox.sample.session(n_rois=4, scale=0.02)).columns[:3].tolist()
    ['stimulus_type', 'stimulus_template_name', 'unexpected']
    """
    refuse_keywords("segment_table", unknown, ())
    segments = segment_part(ds)
    columns = {key: segments[name].values for key, name in SEGMENT_COLUMNS if name in segments}
    frame = pd.DataFrame(columns, index=pd.Index(segments[n.SEGMENT].values, name=n.SEGMENT))
    given = {key: segments[name].attrs for key, name in SEGMENT_COLUMNS if name in segments}
    frame.attrs["units"] = {key: attrs["units"] for key, attrs in given.items() if "units" in attrs}
    return frame


def blocks(ds: xr.Dataset, /, *, stimulus: Any = None, **unknown: Never) -> xr.Dataset:
    """Return the blocks of consecutive segments of one stimulus type.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    stimulus : str or list of str, optional
        Only the blocks of these.

    Returns
    -------
    xarray.Dataset
        Dim ``block`` (the number that segments carry): first segment, the segment after the last,
        frames on both clocks, times, stimulus type and parameters.

    Raises
    ------
    CriterionError
        If one block holds several values of a parameter, or segments were left out of it.

    Examples
    --------
    >>> import oscaxr as ox
    >>> blocks = ox.blocks(ox.sample.session(n_rois=4, scale=0.02), stimulus="visflow")
    >>> blocks.sizes["block"]
    2
    """
    refuse_keywords("blocks", unknown, ("stimulus",))
    segments = select_segments(ds, stimulus=stimulus)
    _check_whole_blocks(segments)
    number = segments[n.BLOCK].values
    first = np.flatnonzero(np.diff(number, prepend=-1))
    last = np.append(first[1:], len(number)) - 1 if len(number) else first
    numbers = segments[n.SEGMENT].values
    edges = {"start_segment": numbers, "stop_segment": numbers + 1}
    segments = segments.assign_coords({name: (n.SEGMENT, edge) for name, edge in edges.items()})
    start, stop = segments.isel({n.SEGMENT: first}), segments.isel({n.SEGMENT: last})
    values: dict[str, Any] = {"stimulus_type": start["stimulus_type"].values}
    for unit, length in _LENGTHS.items():
        begin, end = start[f"start_{unit}"].values, stop[f"stop_{unit}"].values
        values |= {f"start_{unit}": begin, f"stop_{unit}": end, length: end - begin}
    wanted = set(values["stimulus_type"].tolist())
    for stimulus_type, parameters in _BLOCK_PARAMETERS.items():
        for name in parameters if stimulus_type in wanted else ():
            _check_constant(segments, name)
            values[name] = start[name].values
    attrs = {name: segments[name].attrs for name in values if name in segments.variables}
    return xr.Dataset(
        {name: (n.BLOCK, data, attrs.get(name, {})) for name, data in values.items()},
        coords={
            n.BLOCK: (n.BLOCK, start[n.BLOCK].values, segments[n.BLOCK].attrs),
            **{name: coord for name, coord in segments.coords.items() if not coord.dims},
        },
    )


def _check_whole_blocks(segments: xr.Dataset) -> None:
    numbers, block = segments[n.SEGMENT].values, segments[n.BLOCK].values
    if (np.diff(numbers)[np.diff(block) == 0] != 1).any() or (np.diff(block) < 0).any():
        raise CriterionError("segments of a block were left out or re-ordered: give the session")


def _check_constant(segments: xr.Dataset, name: str) -> None:
    table = pd.DataFrame({n.BLOCK: segments[n.BLOCK].values, name: segments[name].values})
    values = table.dropna().drop_duplicates()[n.BLOCK].value_counts()
    several = values.index[values > 1].tolist()
    if several:
        raise CriterionError(f"block(s) {several} hold several values of {name}: not as published")


def onset_pairs(ds: xr.Dataset, /, *, stimulus: Any = None, **criteria: Any) -> xr.Dataset:
    """Return where expected sequences turn unexpected, and where they turn back.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    stimulus : str or list of str, optional
        Only in these; all that have unexpected segments by default.
    **criteria
        Further criteria, as for :func:`oscaxr.select_segments`, that the first unexpected segment
        of a pair must fulfil.

    Returns
    -------
    xarray.Dataset
        Dim ``pair``, one element for each run of unexpected segments that follows an expected one
        in its block: ``to_unexpected`` is its first segment, ``to_expected`` the first expected
        segment after it (-1 where the block ends first), ``block`` its block.

    Raises
    ------
    CriterionError
        If segments were left out of a block, so that what follows what cannot be told.

    Examples
    --------
    >>> import oscaxr as ox
    >>> pairs = onset_pairs(ox.sample.session(n_rois=4, scale=0.1), stimulus="gabors")
    >>> bool((pairs.to_expected > pairs.to_unexpected).all())
    True
    """
    wanted = select_segments(ds, stimulus=stimulus, **criteria)[n.SEGMENT].values
    segments = segment_part(ds)
    _check_whole_blocks(segments)
    unexpected = segments["unexpected"].values
    block, numbers = segments[n.BLOCK].values, segments[n.SEGMENT].values
    adjacent = (np.diff(block) == 0) & (np.diff(numbers) == 1)
    rises = np.flatnonzero(adjacent & (unexpected[:-1] == 0) & (unexpected[1:] == 1)) + 1
    rises = rises[np.isin(numbers[rises], wanted)]
    falls = np.flatnonzero(adjacent & (unexpected[:-1] == 1) & (unexpected[1:] == 0)) + 1
    following = np.searchsorted(falls, rises)
    back = np.append(falls, -1)[following]
    back = np.where((back >= 0) & (block[back] == block[rises]), back, -1)
    to_expected = np.where(back >= 0, numbers[back], -1)
    first = {"long_name": "first segment of the unexpected run"}
    second = {"long_name": "first expected segment after it", "comment": "-1: the block ends"}
    return xr.Dataset(
        {
            "to_unexpected": ("pair", numbers[rises], first),
            "to_expected": ("pair", to_expected, second),
        },
        coords={
            n.BLOCK: ("pair", block[rises], segments[n.BLOCK].attrs),
            **{name: coord for name, coord in segments.coords.items() if not coord.dims},
        },
    )


def patches(ds: xr.Dataset, /, segments: Any, **unknown: Never) -> xr.Dataset:
    """Return the parameters of each Gabor patch, for given segments in the given order.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    segments : xarray.Dataset, or array_like of int, any shape
        A selection of segments, or segment numbers, e.g. of :func:`oscaxr.segments_at` for frames
        around an event; -1 gives NaN.

    Returns
    -------
    xarray.Dataset
        ``gabor_x``, ``gabor_y``, ``gabor_size``, ``gabor_orientation`` over the dims of
        `segments` and ``patch``; NaN where not Gabor.

    Raises
    ------
    MissingVariableError
        If the session has no patch parameters.
    CriterionError
        If a segment is not in the session's table.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.02)
    >>> ox.patches(ds, ds.osca.select(gabor_frame="A").segment[:2]).gabor_size.sizes["patch"]
    30
    """
    refuse_keywords("patches", unknown, ())
    names = [name for name in n.GABOR_PATCH_VARIABLES if name in ds]
    if not names:
        raise MissingVariableError("this session has no Gabor patch parameters")
    if isinstance(segments, xr.Dataset):
        segments = segments[n.SEGMENT]
    check_same_session(ds, segments)
    wanted = segments if isinstance(segments, xr.DataArray) else xr.DataArray(segments)
    table = ds[names]
    positions = table.indexes[n.SEGMENT].get_indexer(pd.Index(wanted.values.ravel()))
    absent = (positions < 0) & (wanted.values.ravel() != -1)
    if absent.any():
        missing = few(np.unique(wanted.values.ravel()[absent]))
        raise CriterionError(f"segments {missing} are not in this session's table")
    index = wanted.variable.copy(data=np.maximum(positions, 0).reshape(wanted.shape))
    taken = table.drop_vars(
        [name for name, coord in table.coords.items() if coord.dims == (n.SEGMENT,)]
    ).isel({n.SEGMENT: index})
    exists = wanted.variable.copy(data=wanted.values != -1)
    return taken.where(xr.DataArray(exists)).assign_coords(
        {n.SEGMENT: wanted.variable, **wanted.drop_vars(n.SEGMENT, errors="ignore").coords}
        if n.SEGMENT not in wanted.dims
        else dict(wanted.coords)
    )


def patches_around(
    ds: xr.Dataset,
    /,
    frames: Any,
    *,
    pre: float,
    post: float,
    clock: Clock = "twop",
    **unknown: Never,
) -> xr.Dataset:
    """Return the parameters of each Gabor patch around reference frames.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    frames : array_like of int, (sequence,)
        Reference frames.
    pre, post : float
        Seconds before and after.
    clock : {"twop", "stim"}, optional
        Clock of the frames.

    Returns
    -------
    xarray.Dataset
        As :func:`oscaxr.patches`, over (sequence, rel_time, patch).

    Raises
    ------
    WindowError
        If the window is empty.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.02)
    >>> frames = ds.osca.select(gabor_frame="A").start_frame_twop[:2]
    >>> patches_around(ds, frames, pre=0, post=0.3).gabor_x.dims
    ('sequence', 'rel_time', 'patch')
    """
    refuse_keywords("patches_around", unknown, ("pre", "post", "clock"))
    check_clock(clock)
    check_same_session(ds, frames)
    fps = float(ds.attrs[f"{clock}_fps"])
    offsets = np.arange(-int(np.round(pre * fps)), int(np.round(post * fps)))
    if not offsets.size:
        raise WindowError(f"pre={pre} s and post={post} s make an empty window")
    reference = np.asarray(frames)
    matrix = xr.DataArray(
        reference[:, None] + offsets,
        dims=(n.SEQUENCE, n.REL_TIME),
        coords={
            n.REL_TIME: (n.REL_TIME, offsets / fps, {"units": "s"}),
            n.REL_FRAME: (n.REL_TIME, offsets),
            "reference_frame": (n.SEQUENCE, reference),
        },
    )
    return patches(ds, segments_at(ds, matrix, clock))
