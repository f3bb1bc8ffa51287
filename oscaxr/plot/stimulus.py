"""What was on the screen: template images, and the Gabor frames around responses."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

import oscaxr.plot.axes as parts
from oscaxr.errors import CriterionError, few
from oscaxr.model import names as n
from oscaxr.model.synthetic import is_synthetic
from oscaxr.plot.axes import Artists, require_kind, require_rel_time, require_session
from oscaxr.select.frames import stimulus_images
from oscaxr.select.references import find_references

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_KIND: Final = ("stimulus_type", "gabor_frame", "main_flow_direction")
_MOST: Final = 60
_COLUMNS: Final = 5
_WIDTH_INCHES: Final = 2.1


def stimulus_frames(
    ds: xr.Dataset, segments: Any = None, axes: "parts.Panels" = None, *, frames: Any = None
) -> Artists:
    """Draw the template images that were on the screen at segments or stimulus frames.

    Parameters
    ----------
    ds : xarray.Dataset
        A session opened with ``include="templates"``.
    segments : xarray.Dataset or array_like of int, optional
        A selection of segments (:func:`oscaxr.select_segments`) or segment numbers, of which the
        first frame is drawn. By default, the first segment of each kind: of each stimulus, Gabor
        frame and direction of flow.
    axes : iterable of matplotlib.axes.Axes, or matplotlib.figure.Figure, optional
        At least one for each image (what is left over is emptied), or the figure to make them in.
        New ones by default.
    frames : array_like of int, optional
        Stimulus frames, instead of segments.

    Returns
    -------
    Artists
        ``images``, and the stimulus frame of each, ``frames``.

    Raises
    ------
    MissingVariableError
        If the session was opened without templates.
    CriterionError
        If both segments and frames are given, there are more than 60 or none, or too few axes.
    WindowError
        If a segment or frame does not exist, or lies beyond its template.
    PlotInputError
        If other objects are given.
    PlotLibraryError
        If matplotlib is not installed.

    Notes
    -----
    Gray is drawn as it was shown, from 0 to 255. Above each image stand what it is, and its
    segment or stimulus frame.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> ds = ox.sample.session(n_rois=2, scale=0.02, include="templates")
    >>> drawn = stimulus_frames(ds, axes=Figure().subplots(3, 3))
    >>> len(drawn.images), drawn.images[0].get_array().shape
    (8, (30, 48))
    """
    require_session(ds, (*_KIND, "start_frame_stim"), "stimulus frames")
    if segments is not None and frames is not None:
        raise CriterionError("give segments or frames to draw, not both")
    by_segment = frames is None
    if by_segment:
        chosen = _one_of_each_kind(ds) if segments is None else segments
        frames = find_references(ds, "stim", segments=chosen, frames=None, times=None).frames
    wanted = np.atleast_1d(np.asarray(frames))
    if not 0 < wanted.size <= _MOST:
        raise CriterionError(f"{wanted.size} stimulus frames: one picture shows 1 to {_MOST}")
    images = stimulus_images(ds, wanted)
    titles = _titles(ds, images, "segment" if by_segment else "frame")
    # Each is titled: there is no room beside.
    said = [parts.session_words([ds]), parts.SYNTHETIC * is_synthetic(ds), titles[0]]
    titles[0] = "\n".join(filter(None, said))
    count, height, width = images.shape
    columns = min(_COLUMNS, count)
    rows = -(-count // columns)
    size = (_WIDTH_INCHES * columns, (_WIDTH_INCHES * height / width + 0.5) * rows)
    needed = f"axes to be {count} matplotlib Axes, one an image"
    placed = parts.own_panels(axes, needed, nrows=rows, ncols=columns, figsize=size)
    if len(placed) < count:
        raise CriterionError(f"{len(placed)} axes were given for {count} images")
    drawn = []
    for ax, image, title in zip(placed, images.values, titles, strict=False):
        drawn.append(ax.imshow(image, cmap="gray", vmin=0, vmax=255))
        ax.set_title(title, fontsize="small", pad=3)
        ax.set_xticks([])
        ax.set_yticks([])
    for ax in placed[len(drawn) :]:
        ax.set_axis_off()
    return Artists(images=drawn, frames=wanted.astype(np.int64))


def _one_of_each_kind(ds: xr.Dataset) -> npt.NDArray[Any]:
    """Return the first segment of each kind whose image is in its template."""
    table = ds[list(_KIND)].reset_coords()[list(_KIND)].to_dataframe()
    lengths = {
        str(name).removeprefix("template_"): ds[name].shape[0]
        for name in ds.data_vars
        if str(name).startswith("template_")
    }
    last = np.array([lengths.get(str(name), 1) for name in ds["stimulus_template_name"].values])
    inside = ds["start_frame_stim_template"].values < last
    first = ~table[inside].duplicated().to_numpy(bool)
    numbers: npt.NDArray[Any] = ds[n.SEGMENT].values[inside][first]
    return numbers


def _titles(ds: xr.Dataset, images: xr.DataArray, numbered: str) -> list[str]:
    rows = ds[list(_KIND)].sel({n.SEGMENT: images[n.SEGMENT].values})
    kinds, letters, directions = (rows[name].values.tolist() for name in _KIND)
    titles = []
    for k, number in enumerate(images[numbered].values.tolist()):
        kind = n.STIMULUS_WORDS.get(kinds[k], kinds[k])
        which = {n.GABORS: letters[k], n.VISFLOW: n.FLOW_WORDS.get(directions[k], directions[k])}
        words = ", ".join(filter(None, [kind, which.get(kinds[k], "")]))
        titles.append(f"{words}\n{numbered} {number}")
    return titles


# The gray frame G is left white; the frame that tells expected from unexpected is the darkest.
_SHADES: Final = {"A": "0.965", "B": "0.94", "C": "0.965", "D": "0.89", "U": "0.89", "G": "1"}
# Of small letters, and of the room between two names.
_LETTER_INCHES: Final = 0.075
_SHOWN: Final = ("gabor_frame", "stimulus_type", "start_time", "stop_time")


def shade_gabor_frames(
    ax: "Axes",
    ds: xr.Dataset,
    data: xr.DataArray | Iterable[xr.DataArray],
    *,
    height: float = 1.0,
) -> Artists:
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
    height : float, optional
        How high to shade, as a share of the height of the axes: below a legend, for example.

    Returns
    -------
    Artists
        ``bands``, a collection of one a frame; ``letters``, the axis along their top that names
        them.

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
    The letters are A B C D/U G; G is the gray frame at the end. Where a window is too long for
    all of them, the frame at the reference is named, and the same of other Gabor sequences.

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
    require_session(ds, _SHOWN, "Gabor frames")
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
        [(start, stop - start) for start, stop in edges.tolist()], (0, height),
        transform=ax.get_xaxis_transform(), zorder=-1, linewidth=0,
        facecolors=[_SHADES[name[0]] for name in names],
    )  # fmt: skip
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])
    above = ax.secondary_xaxis("top" if height == 1 else height)
    above.xaxis.set_ticks_position("top")
    middles = edges.mean(axis=1)
    inside = (middles > first) & (middles < last)
    named = inside & _fitting(ax, names, middles)
    above.set_xticks(middles[named], np.array(names)[named].tolist())
    above.tick_params(length=0, labelsize="small", pad=1)
    above.spines[:].set_visible(False)
    return Artists(bands=bands, letters=above)


def _fitting(
    ax: "Axes", names: list[str], middles: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Flag the frames whose names have room beside each other, that of the reference among them."""
    low, high = ax.get_xlim()
    inches = middles / (high - low) * ax.bbox.width / ax.figure.dpi
    # It begins at 0.
    reference = int(np.where(middles > 0, middles, np.inf).argmin())
    count = np.arange(len(names)) - reference
    widths = _LETTER_INCHES * (1 + np.array([len(name) for name in names]))
    every = 1
    while True:
        chosen: npt.NDArray[np.bool_] = count % every == 0
        kept = np.flatnonzero(chosen)
        room = np.diff(inches[kept]) - (widths[kept][1:] + widths[kept][:-1]) / 2
        if (room >= 0).all():
            return chosen
        every = max(n.SEGMENTS_PER_GABOR_SEQUENCE, 2 * every * (every > 1))


def _segment_numbers(data: xr.DataArray) -> npt.NDArray[Any]:
    kinds = data.coords.get("stimulus_type")
    if kinds is None or kinds.dims != (n.SEQUENCE,) or not kinds.size:
        raise CriterionError(f"sequences of {dict(data.sizes)} do not say of which segments")
    others = sorted(set(kinds.values.tolist()) - {n.GABORS})
    if others:
        raise CriterionError(f"only Gabor segments have Gabor frames; some are {few(others)}")
    return data[n.SEQUENCE].values


def _frames_around(
    ds: xr.Dataset, numbers: npt.NDArray[Any], first: float, last: float
) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Return the names of the frames between two times, and their (start, stop) in s."""
    letters, kinds, starts, stops = (ds[name].values for name in _SHOWN)
    table = pd.Index(ds[n.SEGMENT].values)
    own = table.get_indexer(numbers)
    if (own < 0).any():
        missing = few(numbers[own < 0])
        raise CriterionError(f"segments of the sequences are not in this session: {missing}")
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
            f"the sequences are of different Gabor frames (at one time, {mixed[0]}): select one of "
            f"{n.GABOR_FRAMES}, or D and U, with gabor_frame="
        )
    within = (edges[:, 1] > first) & (edges[:, 0] < last)
    return [name for name, keep in zip(names, within, strict=True) if keep], edges[within]
