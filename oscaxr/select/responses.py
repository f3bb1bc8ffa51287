"""One row a segment: what was shown, and how the mouse and its ROIs responded."""

from typing import Any

import xarray as xr

from oscaxr.errors import MissingVariableError
from oscaxr.model import names as n
from oscaxr.select.criteria import segment_part
from oscaxr.select.references import find_references
from oscaxr.select.sequences import sequences

RESPONSES = (n.DFF, n.RUN_VELOCITY, n.PUPIL_DIAMETER)


def responses(
    ds: xr.Dataset,
    segments: Any,
    *,
    pre: float = 0.0,
    post: float = 0.6,
    names: tuple[str, ...] = RESPONSES,
    by_roi: bool = False,
    scale: bool = False,
    interpolate: bool = False,
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
    names : tuple of str, optional
        Variables to average over the window; those that the session lacks are an error.
    by_roi : bool, optional
        Keep the mean response of every ROI instead of their mean.
    scale, interpolate : bool, optional
        As for :func:`oscaxr.sequences`; dF/F is never interpolated.

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

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> table = ox.responses(ds, ds.osca.select(gabor_frame=3))
    >>> list(table.data_vars)
    ['dff', 'run_velocity', 'pupil_diameter']
    """
    missing = [name for name in names if name not in ds]
    if missing:
        raise MissingVariableError(
            f"this session has no {', '.join(missing)}; name those wanted with names="
        )
    found = find_references(ds, "twop", segments=segments, frames=None, times=None)
    columns = segment_part(ds).sel({n.SEGMENT: found.labels})
    table = columns.drop_vars(list(columns.data_vars))
    for name in names:
        filled = interpolate and name != n.DFF
        windows = sequences(
            ds, name, found.labels, pre=pre, post=post, edge="nan", scale=scale, interpolate=filled
        )
        table[name] = _mean(windows, by_roi)
    return table


def _mean(windows: xr.DataArray, by_roi: bool) -> xr.DataArray:
    complete = windows[n.TIME].notnull().all(n.REL_TIME)
    mean = windows.mean(n.REL_TIME, keep_attrs=True)
    others = [dim for dim in mean.dims if dim != n.SEQUENCE]
    if others and not by_roi:
        mean = mean.mean(others, keep_attrs=True)
    mean = mean.where(complete)
    kept = mean.drop_vars([name for name, coord in mean.coords.items() if n.SEQUENCE in coord.dims])
    return kept.rename({n.SEQUENCE: n.SEGMENT}).drop_vars(
        [name for name, coord in kept.coords.items() if not coord.dims]
    )
