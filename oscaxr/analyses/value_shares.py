"""How often values occur: counts in equal bins, which are small, and can be pooled."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.errors import CriterionError, MissingVariableError, WindowError
from oscaxr.model import names as n

VALUE: Final = "value"
SHARE: Final = "share"
COUNT: Final = "count"
# As in figures 6B and 7C of the dataset paper: cm/s, mm, correlations.
_LIMITS: Final[dict[Any, tuple[float, float]]] = {
    n.RUN_VELOCITY: (-20.0, 80.0),
    n.PUPIL_DIAMETER: (0.0, 5.0),
    "correlation": (-1.0, 1.0),
}


def value_shares(
    values: xr.DataArray, limits: tuple[float, float] | None = None, *, bins: int = 200
) -> xr.Dataset:
    """Count how often values occur: in a recording, or among pairs of ROIs.

    Parameters
    ----------
    values : xarray.DataArray
        Numbers of any dims, such as ``ds.run_velocity`` (stim_time), ``ds.pupil_diameter`` (time)
        or :func:`oscaxr.roi_correlations` (pair).
    limits : tuple of float, optional
        Where the first bin begins and the last one ends, in the unit of the values. By default
        those of the paper: -20 to 80 cm/s for running velocity, 0 to 5 mm for pupil diameter, -1 to
        1 for correlations.
    bins : int, optional
        Number of bins, all of the same width.

    Returns
    -------
    xarray.Dataset
        ``count`` (int64) and ``share`` (%, of all that are known), over ``value``: the middle of
        each bin, in the unit of the values; with the scalar coordinates of `values`. The attributes
        ``n_values`` and ``n_unknown`` say how many values were counted, and how many are NaN.

    Raises
    ------
    WindowError
        If the limits are no two numbers, the second above the first.
    CriterionError
        If `bins` is no whole number from 1 on, or there are no limits for such values.
    MissingVariableError
        If these are no numbers.

    Notes
    -----
    Values beyond the limits, infinite ones too, count in the outermost bins. NaNs are left out;
    of nothing else, shares are NaN.
    To average over mice, pool with a dim of their own: ``pool([one.expand_dims(trace=[0]) for one
    in results], dim="trace")``.

    References
    ----------
    Gillon, Lecoq et al. 2023, figures 6B and 7C.

    Examples
    --------
    >>> velocity = xr.DataArray([0.0, 1.0, 99.0, np.nan], dims="stim_time", name="run_velocity")
    >>> found = value_shares(velocity, bins=2)
    >>> found["value"].values, found["count"].values, found.attrs["n_unknown"]
    (array([ 5., 55.]), array([2, 1]), 1)
    """
    low, high = _limits(values, limits)
    check_bins(bins)
    known: npt.NDArray[Any] = values.values[~np.isnan(values.values)]
    counts, edges = np.histogram(np.clip(known, low, high), bins, (low, high))
    share = 100 * counts / (known.size or np.nan)
    told = {key: values.attrs[key] for key in ("long_name", "units") if key in values.attrs}
    of = "pairs of ROIs" if values.name == "correlation" else "values"
    return xr.Dataset(
        {
            COUNT: (VALUE, counts.astype(np.int64), {"long_name": f"number of {of}"}),
            SHARE: (VALUE, share, {"long_name": f"share of the {of}", "units": "%"}),
        },
        {
            VALUE: (VALUE, (edges[1:] + edges[:-1]) / 2, told),
            **{name: coord for name, coord in values.coords.items() if not coord.dims},
        },
        {"n_values": known.size, "n_unknown": values.size - known.size, "limits": [low, high]},
    )


def _limits(values: Any, limits: Any) -> tuple[float, float]:
    """Return between what values are counted."""
    if not isinstance(values, xr.DataArray) or values.dtype.kind not in "iuf":
        what = f"{values.dtype} values" if isinstance(values, xr.DataArray) else type(values)
        raise MissingVariableError(f"value_shares counts a DataArray of numbers, not {what}")
    if limits is None:
        if values.name not in _LIMITS:
            known = ", ".join(map(repr, _LIMITS))
            raise CriterionError(
                f"{values.name!r} has no limits by default, as {known} have: give limits=(low, "
                "high), between which its values are counted"
            )
        return _LIMITS[values.name]
    if np.shape(limits) != (2,) or not -np.inf < limits[0] < limits[1] < np.inf:
        raise WindowError(f"limits={limits!r}: give two numbers, the second above the first")
    return float(limits[0]), float(limits[1])


def check_bins(bins: Any) -> None:
    """Refuse what is no number of bins."""
    if isinstance(bins, bool) or not isinstance(bins, int | np.integer) or bins < 1:
        raise CriterionError(f"bins={bins!r}: a whole number, at least 1, is needed")
