"""Which Gabor frames were on the screen around the reference frame, as shading with letters."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from oscaxr.errors import CriterionError
from oscaxr.model import names as n
from oscaxr.plot import axes as parts
from oscaxr.plot.checks import require_kind, require_rel_time, require_variables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axes._secondary_axes import SecondaryAxis
    from matplotlib.collections import PolyCollection

# The gray frame G is left white; the frame that tells expected from unexpected is the darkest.
_SHADES: Final = {"A": "0.965", "B": "0.94", "C": "0.965", "D": "0.89", "U": "0.89", "G": "1"}
_SHOWN: Final = ("gabor_frame", "stimulus_type", "start_time", "stop_time")


class GaborFrameArtists(NamedTuple):
    """What :func:`shade_gabor_frames` drew.

    Parameters
    ----------
    bands : matplotlib.collections.PolyCollection
        One a frame, over the whole height of the axes.
    letters : matplotlib.axes.SecondaryAxis
        Axis along the top that names them.
    """

    bands: "PolyCollection"
    letters: "SecondaryAxis"


def shade_gabor_frames(
    ax: "Axes", ds: xr.Dataset, data: xr.DataArray | Iterable[xr.DataArray]
) -> GaborFrameArtists:
    """Shade the Gabor frames shown around the reference frame, and name them along the top.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes over ``rel_time`` with a picture of the sequences.
    ds : xarray.Dataset
        The session that they are of.
    data : xarray.DataArray or iterable of them
        Sequences (:func:`oscaxr.sequences`) of Gabor segments that are all the same frame of their
        Gabor sequence, D and U being the same.

    Returns
    -------
    GaborFrameArtists
        Bands and letters.

    Raises
    ------
    CriterionError
        If the sequences are not of Gabor segments of this session, or of different frames.
    MissingVariableError
        If they do not run over ``rel_time``.
    PlotInputError
        If other objects are given.

    Notes
    -----
    The edges are the medians over the sequences; single ones differ by a stimulus frame at most.
    The letters are A B C D/U G; G is the gray frame at the end.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=0.5, post=0.5)
    >>> ax = Figure().subplots()
    >>> drawn = shade_gabor_frames(ax, ds, u)
    >>> [tick.get_text() for tick in drawn.letters.get_xticklabels()]
    ['B', 'C', 'U', 'G']
    """
    ax = parts.own_axes(ax)
    require_kind(ds, xr.Dataset, "the session Dataset that the sequences are of")
    require_variables(ds, _SHOWN, "Gabor frames")
    wanted = "sequences, as of ds.osca.sequences(...)"
    given = [data] if isinstance(data, xr.DataArray) else list(require_kind(data, Iterable, wanted))
    for part in given:
        require_rel_time(require_kind(part, xr.DataArray, wanted))
    numbers = np.concatenate([_segment_numbers(part) for part in given])
    first = min(float(part[n.REL_TIME].values[0]) for part in given)
    last = max(float(part[n.REL_TIME].values[-1]) for part in given)
    names, edges = _frames_around(ds, numbers, first, last)
    limits = ax.get_xlim(), ax.get_ylim()
    bands = ax.broken_barh(
        [(start, stop - start) for start, stop in edges.tolist()], (0, 1),
        transform=ax.get_xaxis_transform(), zorder=-1, linewidth=0,
        facecolors=[_SHADES[name[0]] for name in names],
    )  # fmt: skip
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])
    above = ax.secondary_xaxis("top")
    middles = edges.mean(axis=1)
    inside = (middles > first) & (middles < last)
    above.set_xticks(middles[inside], np.array(names)[inside].tolist())
    above.tick_params(length=0, labelsize="small", pad=1)
    above.spines[:].set_visible(False)
    return GaborFrameArtists(bands, above)


def _segment_numbers(data: xr.DataArray) -> npt.NDArray[Any]:
    kinds = data.coords.get("stimulus_type")
    if kinds is None or kinds.dims != (n.SEQUENCE,) or not kinds.size:
        raise CriterionError(
            "Gabor frames are shaded around sequences of Gabor segments; these "
            f"({dict(data.sizes)}) do not say which segments they are of"
        )
    if (kinds.values != n.GABORS).any():
        raise CriterionError(
            "Gabor frames are shaded around Gabor segments, but some of these are "
            f"{', '.join(sorted(set(kinds.values.tolist()) - {n.GABORS}))}"
        )
    return data[n.SEQUENCE].values


def _frames_around(
    ds: xr.Dataset, numbers: npt.NDArray[Any], first: float, last: float
) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Return the names of the frames between two times, and their (start, stop) in s."""
    letters, kinds, starts, stops = (ds[name].values for name in _SHOWN)
    table = pd.Index(ds[n.SEGMENT].values)
    own = table.get_indexer(numbers)
    if (own < 0).any():
        raise CriterionError(
            f"segments {numbers[own < 0][:10].tolist()} of the sequences are not in this session"
        )
    shortest = max(float((stops - starts)[own].min()), 1e-3)
    before, after = (int(np.ceil(abs(reach) / shortest)) + 1 for reach in (first, last))
    around = numbers[:, np.newaxis] + np.arange(-before, after + 1)
    rows = table.get_indexer(around.ravel()).reshape(around.shape)
    shown = (rows >= 0) & (kinds[rows] == n.GABORS)
    reference = starts[own][:, np.newaxis]
    begin = np.where(shown, starts[rows] - reference, np.nan)
    end = np.where(shown, stops[rows] - reference, np.nan)
    kept = shown.any(axis=0)
    edges = np.stack([np.nanmedian(times[:, kept], axis=0) for times in (begin, end)], axis=1)
    names = [
        " / ".join(sorted(set(letters[column[seen]])))
        for column, seen in zip(rows[:, kept].T, shown[:, kept].T, strict=True)
    ]
    mixed = sorted({name for name in names if name not in (*_SHADES, "D / U")})
    if mixed:
        raise CriterionError(
            "the sequences are of different Gabor frames, so that none can be named: select one of "
            f"{n.GABOR_FRAMES}, or D and U, with gabor_frame=; at one time they show {mixed[0]}"
        )
    within = (edges[:, 1] > first) & (edges[:, 0] < last)
    return [name for name, keep in zip(names, within, strict=True) if keep], edges[within]
