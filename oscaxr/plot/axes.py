"""What all pictures share: axes, labels from attributes, colours, the line at the event."""

from collections.abc import Hashable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

from oscaxr.errors import MissingVariableError, OscaxrError
from oscaxr.model import names as n

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D

# Okabe and Ito's palette, made to be told apart with any colour vision; its black and yellow are
# left out, being the axes' colour and too pale on white.
PALETTE: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
EXPECTED: Final = PALETTE[0]
UNEXPECTED: Final = PALETTE[1]
FAINT: Final = "0.65"
STIMULUS_COLORS: Final[Mapping[str, str]] = {
    n.GABORS: PALETTE[2],
    n.VISFLOW: PALETTE[4],
    n.GRAYSCREEN: "0.85",
}


# A legend of more entries goes beside the axes; each of fewer gets this part of their height.
_MOST_ABOVE: Final = 5
_ENTRY_HEIGHT: Final = 0.09


class PlotLibraryError(OscaxrError, ImportError):
    """Matplotlib, which draws all pictures, is not installed."""


def require_matplotlib() -> None:
    """Make sure that pictures can be drawn.

    Raises
    ------
    PlotLibraryError
        If matplotlib is not installed.

    Examples
    --------
    >>> require_matplotlib()
    """
    if find_spec("matplotlib") is None:
        raise PlotLibraryError(
            "pictures need matplotlib, which is not installed here. Install it with\n"
            '  python -m pip install "matplotlib>=3.9"\n'
            "(it is what the extra `plot` of oscaxr adds)"
        )


def own_axes(ax: "Axes | None") -> "Axes":
    """Return the axes, or those of a new figure.

    Parameters
    ----------
    ax : matplotlib.axes.Axes, optional
        Axes to draw into.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    PlotLibraryError
        If matplotlib is not installed.
    """
    if ax is not None:
        return ax
    require_matplotlib()
    from matplotlib import pyplot

    _, made = pyplot.subplots(layout="constrained")
    return made


def axis_label(attrs: Mapping[Any, Any], name: Hashable = None) -> str:
    """Return what to write at an axis: the long name, and the unit if there is one.

    Parameters
    ----------
    attrs : mapping
        Attributes of the array.
    name : str, optional
        What to write if the array has no long name.

    Returns
    -------
    str

    Examples
    --------
    >>> axis_label({"long_name": "running velocity", "units": "cm/s"})
    'running velocity (cm/s)'
    >>> axis_label({"long_name": "dF/F", "units": "1", "scaled": 1})
    'dF/F, scaled'
    """
    words = str(attrs.get("long_name", "" if name is None else name))
    extra = [
        word
        for key, word in (("scaled", "scaled"), ("baseline", "baseline subtracted"))
        if attrs.get(key)
    ]
    units = str(attrs.get("units", "1"))
    return ", ".join([words, *extra]) + ("" if units == "1" else f" ({units})")


def event_line(ax: "Axes", at: float = 0.0) -> "Line2D":
    """Draw the line at the reference frame.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes over ``rel_time``.
    at : float, optional
        Where, s.

    Returns
    -------
    matplotlib.lines.Line2D
    """
    return ax.axvline(at, color="0.3", linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)


def tidy(ax: "Axes") -> None:
    """Take away the upper and the right edge.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes to change.
    """
    ax.spines[["top", "right"]].set_visible(False)


def roomy_legend(ax: "Axes", entries: int, title: str = "") -> "Legend":
    """Name what was drawn, above it or beside it, never over it.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes with labelled artists.
    entries : int
        Number of them.
    title : str, optional
        What the entries have in common.

    Returns
    -------
    matplotlib.legend.Legend
    """
    rows = entries + bool(title)
    beside = rows > _MOST_ABOVE
    if not beside:
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + (high - low) * _ENTRY_HEIGHT * rows)
    # Opaque, so that the line at the event does not run through the words.
    return ax.legend(
        title=title or None,
        loc="center left" if beside else "upper right",
        bbox_to_anchor=(1, 0.5) if beside else None,
        framealpha=1,
        edgecolor="none",
        borderpad=0.2,
        handlelength=1.4,
        fontsize="small",
        title_fontsize="small",
    )


def group_colors(count: int) -> list[Any]:
    """Return colours for so many groups.

    Parameters
    ----------
    count : int
        Number of groups.

    Returns
    -------
    list
        From the palette, or from the colour map cividis where the palette is too small.

    Examples
    --------
    >>> group_colors(2)
    ['#0072B2', '#D55E00']
    """
    if count <= len(PALETTE):
        return list(PALETTE[:count])
    from matplotlib import colormaps

    return list(colormaps["cividis"](np.linspace(0, 0.95, count)))


def roi_dim(data: xr.DataArray | xr.Dataset) -> str:
    """Return the dim of the ROIs.

    Parameters
    ----------
    data : xarray.DataArray or xarray.Dataset
        With the dim ``roi`` or ``tracking_id``.

    Returns
    -------
    str

    Raises
    ------
    MissingVariableError
        If it has neither.

    Examples
    --------
    >>> roi_dim(xr.DataArray([0.0], dims="tracking_id"))
    'tracking_id'
    """
    for dim in (n.ROI, n.TRACKING_ID):
        if dim in data.dims:
            return dim
    raise MissingVariableError(
        f"the data have the dims {[str(dim) for dim in data.dims]}, none of them of ROIs "
        f"({n.ROI!r} or {n.TRACKING_ID!r})"
    )


def require_rel_time(data: xr.DataArray | xr.Dataset) -> None:
    """Make sure that data run over ``rel_time``.

    Parameters
    ----------
    data : xarray.DataArray or xarray.Dataset
        Sequences, or what is left of them.

    Raises
    ------
    MissingVariableError
        If they do not.

    Examples
    --------
    >>> require_rel_time(xr.DataArray([0.0], dims="rel_time"))
    """
    if n.REL_TIME not in data.dims:
        raise MissingVariableError(
            f"the data have the dims {[str(dim) for dim in data.dims]}; this picture is over "
            f"{n.REL_TIME!r}. Take sequences first: ds.osca.sequences(...)"
        )
