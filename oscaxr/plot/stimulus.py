"""The images that were on the screen."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.errors import CriterionError
from oscaxr.model import names as n
from oscaxr.plot import axes as parts
from oscaxr.plot.checks import require_kind, require_variables
from oscaxr.select.images import stimulus_images
from oscaxr.select.references import find_references

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

_KIND: Final = ("stimulus_type", "gabor_frame", "main_flow_direction")
_MOST: Final = 60
_COLUMNS: Final = 5
_WIDTH_INCHES: Final = 2.1


class StimulusArtists(NamedTuple):
    """What :func:`stimulus_frames` drew.

    Parameters
    ----------
    images : list of matplotlib.image.AxesImage
        One a stimulus frame.
    frames : numpy.ndarray of int64
        (image,) the stimulus frames.
    """

    images: "list[AxesImage]"
    frames: npt.NDArray[np.int64]


def stimulus_frames(
    ds: xr.Dataset,
    segments: Any = None,
    axes: "Iterable[Axes] | None" = None,
    *,
    frames: Any = None,
) -> StimulusArtists:
    """Draw the template images that were on the screen at segments or stimulus frames.

    Parameters
    ----------
    ds : xarray.Dataset
        A session opened with ``include="templates"``.
    segments : xarray.Dataset or array_like of int, optional
        A selection of segments (:func:`oscaxr.select_segments`) or segment numbers, of which the
        first frame is drawn. By default, the first segment of each kind: of each stimulus, Gabor
        frame and direction of flow.
    axes : iterable of matplotlib.axes.Axes, optional
        At least one for each image; what is left over is emptied. New ones by default.
    frames : array_like of int, optional
        Stimulus frames, instead of segments.

    Returns
    -------
    StimulusArtists
        Images, and their stimulus frames.

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
    (9, (30, 48))
    """
    require_kind(ds, xr.Dataset, "a session Dataset")
    require_variables(ds, (*_KIND, "start_frame_stim"), "stimulus frames")
    if segments is not None and frames is not None:
        raise CriterionError("give segments or frames to draw, not both")
    by_segment = frames is None
    if by_segment:
        chosen = _one_of_each_kind(ds) if segments is None else segments
        frames = find_references(ds, "stim", segments=chosen, frames=None, times=None).frames
    wanted = np.atleast_1d(np.asarray(frames))
    if not 0 < wanted.size <= _MOST:
        raise CriterionError(
            f"{wanted.size} stimulus frames were asked for; one picture shows 1 to {_MOST}"
        )
    images = stimulus_images(ds, wanted)
    titles = _titles(ds, images, "segment" if by_segment else "frame")
    placed = _axes_for(axes, images)
    drawn = []
    for ax, image, title in zip(placed, images.values, titles, strict=False):
        drawn.append(ax.imshow(image, cmap="gray", vmin=0, vmax=255))
        ax.set_title(title, fontsize="small", pad=3)
        ax.set_xticks([])
        ax.set_yticks([])
    for ax in placed[len(drawn) :]:
        ax.set_axis_off()
    return StimulusArtists(drawn, wanted.astype(np.int64))


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
    return [
        f"{_words(kind, letter, direction)}\n{numbered} {number}"
        for kind, letter, direction, number in zip(
            *(rows[name].values.tolist() for name in _KIND),
            images[numbered].values.tolist(),
            strict=True,
        )
    ]


def _words(kind: str, letter: str, direction: str) -> str:
    if kind == n.GABORS:
        return f"Gabors, {letter}"
    return f"flow, {direction}" if kind == n.VISFLOW else "gray screen"


def _axes_for(axes: "Iterable[Axes] | None", images: xr.DataArray) -> "list[Axes]":
    parts.require_matplotlib()
    count, height, width = images.shape
    if axes is None:
        from matplotlib import pyplot

        columns = min(_COLUMNS, count)
        rows = -(-count // columns)
        size = (_WIDTH_INCHES * columns, (_WIDTH_INCHES * height / width + 0.5) * rows)
        figure = pyplot.figure(figsize=size, layout="constrained")
        return list(figure.subplots(rows, columns, squeeze=False).ravel())
    from matplotlib.axes import Axes

    wanted = f"axes to be {count} matplotlib Axes, one an image"
    flat = np.asarray(axes, dtype=object).ravel() if isinstance(axes, np.ndarray) else axes
    given = [require_kind(ax, Axes, wanted) for ax in require_kind(flat, Iterable, wanted)]
    if len(given) < count:
        raise CriterionError(f"{len(given)} axes were given for {count} images")
    return given
