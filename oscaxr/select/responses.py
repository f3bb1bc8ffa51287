"""One row a segment: what was shown, and how the mouse and its ROIs responded."""

from collections.abc import Iterable
from typing import Any, Final, Never

import numpy as np
import xarray as xr

from oscaxr.errors import MissingVariableError
from oscaxr.model import names as n
from oscaxr.model.invalid_rois import Invalid
from oscaxr.renamed import refuse_keywords
from oscaxr.select.criteria import segment_part
from oscaxr.select.references import find_references
from oscaxr.select.sequences import reduced, sequences

RESPONSES: Final = (n.DFF, n.RUN_VELOCITY, n.PUPIL_DIAMETER)


def responses(
    ds: xr.Dataset,
    /,
    segments: Any,
    *,
    pre: float = 0.0,
    post: float = 0.6,
    names: str | Iterable[str] = RESPONSES,
    by_roi: bool = False,
    scale: bool = False,
    interpolate: bool = False,
    invalid: Invalid = "drop",
    **unknown: Never,
) -> xr.Dataset:
    """Return a table with one row a segment: stimulus columns and mean responses.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    segments : xarray.Dataset or array_like of int
        A selection of segments, or segment numbers.
    pre, post : float, optional
        Window around the start of the segment, s.
    names : str or iterable of str, optional
        Variables to average over the window; those that the session lacks are an error.
    by_roi : bool, optional
        Keep the mean response of every ROI instead of their mean.
    scale, interpolate : bool, optional
        As for :func:`oscaxr.sequences`; dF/F is never interpolated.
    invalid : {"drop", "keep"}, optional
        As for :func:`oscaxr.sequences`: whether ROIs that the files list as invalid are left out.

    Returns
    -------
    xarray.Dataset
        Dim ``segment``: the stimulus columns as coordinates and one variable a name, the mean over
        the window (and over ROIs). ``.to_dataframe()`` gives it as pandas. A segment whose window
        leaves the recording has NaN.

    Raises
    ------
    MissingVariableError
        If the session lacks one of `names`.

    Notes
    -----
    NaNs are left out of the means, which are taken in float64: over the window first, then over
    ROIs. With ``interpolate=True`` these are the numbers of the published tool's
    ``get_stim_beh_sub_df``.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> table = ox.responses(ds, ds.osca.select(gabor_frame=3))
    >>> list(table.data_vars)
    ['dff', 'run_velocity', 'pupil_diameter']
    """
    refuse_keywords("responses", unknown, responses.__kwdefaults__ or ())
    wanted = [names] if isinstance(names, str) else list(names)
    missing = [name for name in wanted if name not in ds]
    if missing:
        raise MissingVariableError(f"this session has no {', '.join(missing)}: choose with names=")
    found = find_references(ds, "twop", segments=segments, frames=None, times=None)
    if isinstance(segments, xr.Dataset):
        columns = segment_part(segments)
    else:
        columns = segment_part(ds).sel({n.SEGMENT: found.labels})
    table = columns.drop_vars(list(columns.data_vars))
    for name in wanted:
        windows = sequences(
            ds,
            name,
            found.labels,
            pre=pre,
            post=post,
            edge="nan",
            scale=scale,
            interpolate=interpolate and name != n.DFF,
            invalid=invalid,
        )
        table[name] = _mean(windows, by_roi)
    return table


def _mean(windows: xr.DataArray, by_roi: bool) -> xr.DataArray:
    """Return the mean of each window, NaN where it leaves the recording, over ``segment``."""
    complete = windows[n.TIME].notnull().all(n.REL_TIME)
    bare = windows.drop_vars(
        [
            name
            for name, coord in windows.coords.items()
            if not {n.ROI, n.TRACKING_ID} & {*coord.dims}
        ]
    )
    others = [] if by_roi else [dim for dim in bare.dims if dim not in (n.SEQUENCE, n.REL_TIME)]

    def average(block: xr.DataArray) -> xr.DataArray:
        mean = block.mean(n.REL_TIME, keep_attrs=True, dtype=np.float64)
        return mean.mean(others, keep_attrs=True) if others else mean

    mean = reduced(bare, average)
    return mean.where(complete.variable).rename({n.SEQUENCE: n.SEGMENT})
