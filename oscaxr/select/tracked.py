"""Tracked ROIs: in tracking order, by label, so that no operation can re-order them."""

import numpy as np
import xarray as xr

from oscaxr.errors import TrackingError
from oscaxr.model import names as n


def tracked(ds: xr.Dataset) -> xr.Dataset:
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
    if n.TRACKING_ID not in ds.coords or ds[n.TRACKING_ID].dims != (n.ROI,):
        if n.TRACKING_ID in ds.dims:
            return ds
        raise TrackingError(
            f"no coordinate 'tracking_id' over ROIs (coords: {', '.join(map(str, ds.coords))})"
        )
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
        raise TrackingError(
            f"tracking ids {unique[counts > 1].tolist()} are given to several ROIs each"
        )
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
