"""Sequences as the hierarchical pandas frames of the published code, and back.

The published frames hold one column of values, whose levels say what the values are and how they
were processed. The levels of the rows say where each value belongs: ``ROIs`` (running and pupil
data have none), ``sequences`` and, unless the sequences are integrated, ``time_values``.
"""

import math
import re
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from oscaxr.errors import SchemaError
from oscaxr.model import names as n
from oscaxr.model.schema import SEQUENCES, SESSION

ROIS: Final = "ROIs"
SEQUENCES_LEVEL: Final = "sequences"
TIME_VALUES: Final = "time_values"

DATATYPES: Final = {
    n.DFF: "roi_traces",
    n.RUN_VELOCITY: "run_velocity",
    n.PUPIL_DIAMETER: "pup_diam",
    n.PUPIL_CENTER_X: "pup_center_x",
    n.PUPIL_CENTER_Y: "pup_center_y",
    n.PUPIL_CENTER_SHIFT: "pup_center_diff",
}
"""Published word of each variable."""

# The published filter of the running velocity, which the files' values have gone through.
_RUN_FILTER: Final = {"filter_ks": 5, "diff_thr": 50}
_YES_NO: Final = {0: "no", 1: "yes"}


def to_hierarchical_frame(
    sequences: xr.DataArray, *, window: tuple[float, float] | None = None
) -> pd.DataFrame:
    """Return sequences as a frame of the published analysis code.

    Parameters
    ----------
    sequences : xarray.DataArray
        Sequences of dF/F, running or pupil data, with or without ``rel_time``. The order of ROIs
        (e.g. the tracking order) and of sequences stays.
    window : tuple of float, optional
        Seconds before and after the reference frame. The labels of time are then spread evenly from
        ``-window[0]`` to ``window[1]``, as they are published; by default they are true ones,
        frames / rate.

    Returns
    -------
    pandas.DataFrame
        One column, with the levels ``datatype``, ``bad_rois_removed`` (dF/F), ``interpolated`` (the
        others), ``scaled``, ``baseline``, ``integrated`` and, for dF/F, ``smoothing`` and
        ``fluorescence``, for running ``filter_ks`` and ``diff_thr``.

    Raises
    ------
    SchemaError
        If it is not an array of sequences of one of these variables.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=0, post=0.6)
    >>> frame = to_hierarchical_frame(u)
    >>> frame.index.names
    FrozenList(['ROIs', 'sequences', 'time_values'])
    """
    if sequences.name not in DATATYPES or n.SEQUENCE not in sequences.dims:
        raise SchemaError(f"{sequences.name!r} is no array of sequences of {', '.join(DATATYPES)}")
    roi_dim = _roi_dim(sequences)
    dims = [dim for dim in (roi_dim, n.SEQUENCE, n.REL_TIME) if dim in sequences.dims]
    surplus = set(sequences.dims) - set(dims)
    if surplus:
        raise SchemaError(f"{sequences.name!r} has the dims {surplus}, which the frames have not")
    levels: dict[str, Any] = {}
    if roi_dim is not None:
        levels[ROIS] = sequences[n.ROI].values
    levels[SEQUENCES_LEVEL] = np.arange(sequences.sizes[n.SEQUENCE])
    if n.REL_TIME in dims:
        times = sequences[n.REL_TIME].values
        if window is not None:
            times = np.linspace(-window[0], window[1], len(times))
        levels[TIME_VALUES] = times
    columns = _columns(sequences)
    return pd.DataFrame(
        sequences.transpose(*dims).values.reshape(-1, 1),
        index=pd.MultiIndex.from_product(list(levels.values()), names=list(levels)),
        columns=pd.MultiIndex.from_tuples([tuple(columns.values())], names=list(columns)),
    )


def from_hierarchical_frame(
    frame: pd.DataFrame, *, like: xr.DataArray | None = None
) -> xr.DataArray:
    """Return a frame of the published analysis code as sequences.

    Parameters
    ----------
    frame : pandas.DataFrame
        One column of ROI, running or pupil data.
    like : xarray.DataArray, optional
        Sequences of the same ROIs, sequences and frames, whose coordinates the result gets: the
        frame has only numbers for sequences.

    Returns
    -------
    xarray.DataArray
        Of dims (roi, sequence, rel_time), those that the frame has. Order of ROIs as in the frame.

    Raises
    ------
    SchemaError
        If the frame is not such a frame, lacks values, or does not fit `like`.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=0, post=0.6)
    >>> from_hierarchical_frame(to_hierarchical_frame(u), like=u).identical(u)
    True
    """
    name, facts = _facts_of(frame)
    dims = {ROIS: n.ROI, SEQUENCES_LEVEL: n.SEQUENCE, TIME_VALUES: n.REL_TIME}
    present = [level for level in dims if level in frame.index.names]
    if set(frame.index.names) != set(present) or SEQUENCES_LEVEL not in present:
        raise SchemaError(f"the rows have levels {list(frame.index.names)}, not {', '.join(dims)}")
    labels = {level: frame.index.unique(level).to_numpy() for level in present}
    n_expected = math.prod(map(len, labels.values()))
    if n_expected != len(frame) or frame.index.has_duplicates:
        raise SchemaError(
            f"rows are missing or there twice: the frame has {len(frame)}, its levels make "
            f"{n_expected}"
        )
    # The rows may be in any order; that of the labels is kept.
    cube = frame.iloc[:, 0].rename(name).to_xarray().sel(labels).transpose(*present)
    found = cube.rename({level: dims[level] for level in present})
    found.attrs = {**SESSION[name].attrs, **facts}
    if like is not None:
        return _like(found, like)
    for dim in found.dims:
        known = SEQUENCES.get(str(dim)) or SESSION[str(dim)]
        found[dim].attrs = known.attrs
    return found


def _roi_dim(sequences: xr.DataArray) -> str | None:
    """Return the dim along which ROIs lie: their own, or that of the tracking order."""
    coord = sequences.coords.get(n.ROI)
    return None if coord is None or coord.ndim != 1 else str(coord.dims[0])


def _columns(sequences: xr.DataArray) -> dict[str, Any]:
    """Return the levels of the one column, with their values."""
    attrs = sequences.attrs
    invalid = sequences.coords.get(n.LISTED_INVALID)
    baseline = re.search(r"first ([\d.]+) s", str(attrs.get("baseline", "")))
    processed = {
        "scaled": _YES_NO[int(attrs.get("scaled", 0))],
        "baseline": float(baseline[1]) if baseline else str(attrs.get("baseline", "no")),
        "integrated": _YES_NO[int(attrs.get("integrated", 0))],
    }
    columns: dict[str, Any] = {"datatype": DATATYPES[str(sequences.name)]}
    if sequences.name == n.DFF:
        removed = invalid is None or not invalid.any()
        smoothing = str(attrs.get("smoothed_frames", 0) or "no")
        columns |= {"bad_rois_removed": _YES_NO[int(removed)], **processed}
        columns |= {"smoothing": smoothing, "fluorescence": n.DFF}
    else:
        columns |= {"interpolated": _YES_NO[int(attrs.get("interpolated", 0))], **processed}
        columns |= _RUN_FILTER if sequences.name == n.RUN_VELOCITY else {}
    return columns


def _facts_of(frame: pd.DataFrame) -> tuple[str, dict[str, Any]]:
    """Return the variable that a frame holds, and the attributes that its column stands for."""
    if frame.shape[1] != 1 or "datatype" not in frame.columns.names:
        raise SchemaError(
            f"the frame has {frame.shape[1]} columns of levels {list(frame.columns.names)}; one "
            "column with the level 'datatype' is expected: choose it first"
        )
    names = map(str, frame.columns.names)
    levels = {name: frame.columns.get_level_values(name)[0] for name in names}
    words = {word: name for name, word in DATATYPES.items()}
    if levels["datatype"] not in words or levels.get("fluorescence", n.DFF) != n.DFF:
        raise SchemaError(
            f"the frame holds {levels['datatype']!r} ({levels.get('fluorescence', '')}); known are "
            f"{', '.join(words)}"
        )
    attrs: dict[str, Any] = {
        key: int(levels[key] == "yes")
        for key in ("interpolated", "scaled", "integrated")
        if key in levels
    }
    if levels.get("baseline", "no") != "no":
        attrs["baseline"] = f"over the first {levels['baseline']} s"
    if levels.get("smoothing", "no") != "no":
        attrs["smoothed_frames"] = int(levels["smoothing"])
    if attrs.get("scaled"):
        attrs["units"] = "1"
    return words[levels["datatype"]], attrs


def _like(found: xr.DataArray, like: xr.DataArray) -> xr.DataArray:
    """Give the values the labels of other sequences, which they have to fit."""
    names = {n.ROI: _roi_dim(like) or n.ROI}
    sizes = {names.get(str(dim), dim): size for dim, size in found.sizes.items()}
    problems = []
    if like.name != found.name:
        problems.append(f"it holds {found.name!r}, not {like.name!r}")
    if dict(like.sizes) != sizes:
        problems.append(f"it has {sizes}, not {dict(like.sizes)}")
    elif n.ROI in found.dims and not np.array_equal(found[n.ROI].values, like[n.ROI].values):
        problems.append(f"its ROIs are {found[n.ROI].values}, not {like[n.ROI].values}")
    if problems:
        raise SchemaError(f"the frame does not fit like=: {'; '.join(problems)}")
    values = xr.DataArray(found.values, dims=list(sizes)).transpose(*like.dims).values
    return like.copy(data=values)
