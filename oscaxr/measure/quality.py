"""How good the traces are: invalid ROIs, signal to noise, correlations between ROIs."""

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.arrays.columns import (
    BUDGET_BYTES,
    column_reader,
    finite_columns,
    map_columns,
    stored_width,
    time_blocks,
)
from oscaxr.arrays.percentiles import nan_percentiles
from oscaxr.errors import MissingVariableError, WindowError
from oscaxr.model import names as n

FloatArray = npt.NDArray[np.float64]

NOISE_PERCENTILE: Final = 95.0
CORRELATION_WINDOW: Final = 4

_SNR_VARIABLES: Final = {
    "snr": ("signal-to-noise ratio", "1"),
    "signal": ("mean of the values above the noise threshold", ""),
    "noise_mean": ("mean of the noise", ""),
    "noise_std": ("standard deviation of the noise", ""),
    "noise_threshold": ("95th percentile of the noise", ""),
}

# Few enough rows that intermediate arrays stay in the processor's caches.
_ROWS: Final = 4
Result = TypeVar("Result")


def invalid_rois(ds: xr.Dataset | xr.DataArray) -> xr.DataArray:
    """Find the ROIs with NaN or infinite values in their traces.

    Parameters
    ----------
    ds : xarray.Dataset or xarray.DataArray
        A session, or its ``dff``, (time, roi) in any order.

    Returns
    -------
    xarray.DataArray
        (roi), bool, with the coordinates of the ROIs.

    Raises
    ------
    MissingVariableError
        If there are no traces.

    Examples
    --------
    >>> invalid_rois(xr.DataArray([[0.0, np.nan], [1.0, 2.0]], dims=("time", "roi"))).values
    array([False,  True])
    """
    dff = full_traces(ds)
    found = labelled_by_roi(dff, ~finite_columns(dff, n.TIME, BUDGET_BYTES))
    found.attrs = {"long_name": "ROI trace has NaN or infinite values"}
    return found.rename("invalid")


def snr(ds: xr.Dataset | xr.DataArray) -> xr.Dataset:
    """Estimate the signal-to-noise ratio of each ROI from its full trace.

    Parameters
    ----------
    ds : xarray.Dataset or xarray.DataArray
        A session, or its ``dff``, (time, roi) in any order; not scaled.

    Returns
    -------
    xarray.Dataset
        ``snr``, ``signal``, ``noise_mean``, ``noise_std`` and ``noise_threshold``, (roi), with the
        coordinates of the ROIs. ``snr`` is a plain number, the others are in the unit of the
        traces.

    Raises
    ------
    MissingVariableError
        If there are no traces.

    Notes
    -----
    The noise is taken to be symmetric about the median: its sample is the values at or below the
    median, and their mirror images about it. The threshold is the 95th percentile of the normal
    distribution with the mean and standard deviation (ddof 0) of that sample. The signal is the
    mean of the values above the threshold, and the ratio is signal over noise standard deviation.
    NaNs are left out; a trace that never passes its threshold has NaN.

    Examples
    --------
    >>> trace = np.r_[np.tile([-1.0, 0.0, 1.0], 10), 10.0]
    >>> found = snr(xr.DataArray(trace[:, np.newaxis], dims=("time", "roi")))
    >>> found.signal.values, found.noise_mean.values
    (array([10.]), array([0.]))
    """
    dff = full_traces(ds)

    def kernel(rows: npt.NDArray[Any], _: slice) -> FloatArray:
        return np.concatenate([_signal_and_noise(part) for part in few_rows(rows)])

    nothing = np.empty((0, len(_SNR_VARIABLES)))
    values = np.concatenate([nothing, *map_rois(dff, kernel)])
    units = dff.attrs.get("units", "1")
    found = {}
    for column, (name, (long_name, own_units)) in zip(
        values.T, _SNR_VARIABLES.items(), strict=True
    ):
        found[name] = labelled_by_roi(dff, column)
        found[name].attrs = {"long_name": long_name, "units": own_units or units}
    return xr.Dataset(found)


def roi_correlations(
    ds: xr.Dataset | xr.DataArray, window: int = CORRELATION_WINDOW
) -> xr.DataArray:
    """Correlate the full traces of every two ROIs.

    Parameters
    ----------
    ds : xarray.Dataset or xarray.DataArray
        A session, or its ``dff``, (time, roi) in any order.
    window : int, optional
        Number of frames of the rolling mean before; 1 for none.

    Returns
    -------
    xarray.DataArray
        Pearson correlations, (pair): the upper triangle of the matrix, row by row, without its
        diagonal. Coordinates ``first`` and ``second`` name the two ROIs by their labels; those of
        the session are kept.

    Raises
    ------
    MissingVariableError
        If there are no traces.
    WindowError
        If `window` is not between 1 and the number of frames.

    Notes
    -----
    The rolling mean is that of the published analyses: an even window reaches one frame further
    ahead than back, and a trace is continued beyond its ends by its mirror image. ROIs with NaN or
    infinite values have NaN with every other.

    Examples
    --------
    >>> trace = np.sin(np.arange(40.0))
    >>> traces = np.stack([trace, -2 * trace + 1], axis=1)
    >>> roi_correlations(xr.DataArray(traces, dims=("time", "roi"))).values.round(6)
    array([-1.])
    """
    dff = full_traces(ds)
    dim = roi_dim(dff)
    n_time, n_rois = dff.sizes[n.TIME], dff.sizes[dim]
    if not 1 <= window <= n_time:
        raise WindowError(f"window={window} frames: it should be 1 to {n_time} frames here")
    back, ahead = (window - 1) // 2, window // 2
    sums, products = np.zeros(n_rois), np.zeros((n_rois, n_rois))
    origin: FloatArray | None = None
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        for block, before, after in time_blocks(dff, n.TIME, BUDGET_BYTES // 4, back, ahead):
            block = block.astype(np.float64)
            if origin is None:
                # Any value near the mean keeps the sums of squares from cancelling.
                origin = block.mean(axis=0)
            block -= origin
            mirrored = np.pad(block, ((back - before, ahead - after), (0, 0)), mode="reflect")
            n_kept = len(mirrored) - window + 1
            rolled = mirrored[:n_kept].copy()
            for offset in range(1, window):
                rolled += mirrored[offset : offset + n_kept]
            rolled /= window
            sums += rolled.sum(axis=0)
            products += rolled.T @ rolled
        covariance = products - np.outer(sums, sums) / n_time
        std = np.sqrt(np.diagonal(covariance))
        correlation = np.clip(covariance / np.outer(std, std), -1.0, 1.0)
    first, second = np.triu_indices(n_rois, k=1)
    labels = dff[dim].values
    return xr.DataArray(
        correlation[first, second],
        dims="pair",
        coords={
            "first": ("pair", labels[first]),
            "second": ("pair", labels[second]),
            **{name: coord for name, coord in dff.coords.items() if not coord.dims},
        },
        name="correlation",
        attrs={"long_name": "correlation between ROIs", "units": "1", "window": int(window)},
    )


def full_traces(ds: xr.Dataset | xr.DataArray) -> xr.DataArray:
    """Return the full dF/F traces of a session, or the traces themselves."""
    if isinstance(ds, xr.Dataset):
        if n.DFF not in ds:
            raise MissingVariableError(f"the session has no {n.DFF!r}, only {list(map(str, ds))}")
        ds = ds[n.DFF]
    if set(ds.dims) not in ({n.TIME, n.ROI}, {n.TIME, n.TRACKING_ID}):
        raise MissingVariableError(
            f"{ds.name!r} has the dims {ds.dims}; full traces have {n.TIME!r} and {n.ROI!r} or "
            f"{n.TRACKING_ID!r}"
        )
    return ds


def roi_dim(data: xr.DataArray | xr.Dataset) -> str:
    """Return the dim of the ROIs."""
    for dim in (n.ROI, n.TRACKING_ID):
        if dim in data.dims:
            return dim
    raise MissingVariableError(f"none of {[*data.dims]} is of ROIs ({n.ROI}, {n.TRACKING_ID})")


def map_rois(
    dff: xr.DataArray, kernel: Callable[[npt.NDArray[Any], slice], Result]
) -> list[Result]:
    """Run a kernel over blocks of ROIs."""
    return map_columns(
        column_reader(dff, n.TIME),
        dff.sizes[n.TIME],
        dff.sizes[roi_dim(dff)],
        kernel,
        align=stored_width(dff, n.TIME),
    )


def few_rows(rows: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Give views of a few rows at a time."""
    for first in range(0, len(rows), _ROWS):
        yield rows[first : first + _ROWS]


def labelled_by_roi(dff: xr.DataArray, values: npt.NDArray[Any]) -> xr.DataArray:
    """Label values of ROIs with the coordinates of their traces."""
    coords = {key: coord for key, coord in dff.coords.items() if n.TIME not in coord.dims}
    return xr.DataArray(values, dims=[roi_dim(dff)], coords=coords)


def _signal_and_noise(rows: npt.NDArray[Any]) -> FloatArray:
    """Return signal to noise ratio, signal, noise mean, std and threshold of each row."""
    from statistics import NormalDist

    middle = nan_percentiles(rows.T, (50.0,), threads=1)[0]
    deviation = rows.astype(np.float64) - middle[:, np.newaxis]
    with np.errstate(invalid="ignore", divide="ignore"):
        # A sample with its mirror image has its mean at the median, and the same squares twice.
        below = deviation <= 0
        squares = np.where(below, deviation, 0.0) ** 2
        std = np.sqrt(squares.sum(axis=1) / np.count_nonzero(below, axis=1))
        above_middle = NormalDist().inv_cdf(NOISE_PERCENTILE / 100) * std
        signal_frames = deviation > above_middle[:, np.newaxis]
        excess = np.where(signal_frames, deviation, 0.0).sum(axis=1)
        signal = middle + excess / np.count_nonzero(signal_frames, axis=1)
        ratio = signal / std
    return np.stack([ratio, signal, middle, std, middle + above_middle], axis=1)
