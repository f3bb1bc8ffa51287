"""Running and pupil around segments."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import xarray as xr

import oscaxr.plot.axes as parts
from oscaxr.errors import CriterionError
from oscaxr.model import names as n
from oscaxr.plot.axes import require_kind, require_variables
from oscaxr.plot.responses import ResponseArtists, responses
from oscaxr.select.sequences import sequences

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROWS: Final = (n.RUN_VELOCITY, n.PUPIL_DIAMETER)


class BehaviorArtists(NamedTuple):
    """What :func:`behavior_responses` drew.

    Parameters
    ----------
    running : ResponseArtists
        Running velocity.
    pupil : ResponseArtists or None
        Pupil diameter; None if the session has none.
    """

    running: ResponseArtists
    pupil: ResponseArtists | None


def behavior_responses(
    ds: xr.Dataset,
    segments: Any,
    axes: "Iterable[Axes] | None" = None,
    *,
    pre: float = 1.0,
    post: float = 1.0,
    gabor_frames: bool = False,
) -> BehaviorArtists:
    """Draw running velocity and pupil diameter around segments, with a band for the error.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    segments : xarray.Dataset, array_like of int, or mapping of them
        A selection of segments (:func:`oscaxr.select_segments`) or segment numbers; several by
        name are drawn in a colour each.
    axes : two matplotlib.axes.Axes, optional
        For running and for the pupil. New ones by default.
    pre, post : float, optional
        Seconds before and after the start of the segments.
    gabor_frames : bool, optional
        Whether to shade and name the Gabor frames around (:func:`shade_gabor_frames`).

    Returns
    -------
    BehaviorArtists
        Lines and bands of each.

    Raises
    ------
    MissingVariableError
        If the session has no running velocity.
    CriterionError
        If there are not two axes, no segments are given, or Gabor frames cannot be shaded.
    WindowError
        If no segments are left, or they do not exist.
    PlotInputError
        If other objects are given.
    PlotLibraryError
        If matplotlib is not installed.

    Notes
    -----
    The means over sequences with their standard errors, each variable on its own clock. Frames
    without a value (blinks, dropped frames) are left out of the mean.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> drawn = behavior_responses(ds, ds.osca.select(gabor_frame="U"), Figure().subplots(2))
    >>> drawn.pupil.lines[0].axes.get_ylabel()
    'pupil diameter (mm)'
    """
    require_kind(ds, xr.Dataset, "a session Dataset")
    require_variables(ds, [n.RUN_VELOCITY], "running")
    named = isinstance(segments, Mapping) and not isinstance(segments, xr.Dataset)
    groups: Mapping[Any, Any] = segments if named else {"": segments}
    if not groups:
        raise CriterionError("no segments were given to draw the behaviour around")
    rows = parts.own_rows(axes, _ROWS)
    shade = ds if gabor_frames else None
    found: list[ResponseArtists | None] = []
    for row, name in enumerate(_ROWS):
        ax = rows[row]
        if name not in ds:
            found.append(None)
            parts.say_missing(ax, name)
            continue
        windows = {
            str(label): sequences(ds, name, chosen, pre=pre, post=post)
            for label, chosen in groups.items()
        }
        found.append(responses(windows, ax, legend=named and row == 0, gabor_frames=shade))
        if shade is not None and row > 0:
            # The letters stand above the first row only.
            ax.child_axes[-1].set_visible(False)
    rows[-1].set_xlim(rows[0].get_xlim())
    rows[-1].set_xlabel(rows[0].get_xlabel())
    rows[0].set_xlabel("")
    running, pupil = found
    assert running is not None
    return BehaviorArtists(running, pupil)
