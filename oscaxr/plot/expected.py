"""Responses to what was expected beside those to what was not."""

from typing import TYPE_CHECKING, Any, Final

import xarray as xr

from oscaxr.errors import CriterionError
from oscaxr.measure.transform import baseline as subtract_baseline
from oscaxr.model import names as n
from oscaxr.plot import axes
from oscaxr.plot.checks import PlotInputError, require_kind
from oscaxr.plot.responses import ResponseArtists, responses
from oscaxr.select.criteria import select_segments
from oscaxr.select.sequences import sequences

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What is expected and what is not, in the words of the criteria. Visual flow is unexpected from
# the first segment of a run on, so the first ones are compared.
_COMPARED: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    n.GABORS: ({"gabor_frame": "D"}, {"gabor_frame": "U"}),
    n.VISFLOW: (
        {"stimulus": n.VISFLOW, "unexpected": 0, "run_start": True},
        {"stimulus": n.VISFLOW, "unexpected": 1, "run_start": True},
    ),
}


def expected_unexpected(
    data: xr.Dataset | tuple[xr.DataArray, xr.DataArray],
    ax: "Axes | None" = None,
    *,
    stimulus: str = n.GABORS,
    name: str = n.DFF,
    pre: float = 1.0,
    post: float = 1.0,
    scale: bool = False,
    baseline: float | None = None,
) -> ResponseArtists:
    """Draw the responses to what was expected and to what was not.

    Parameters
    ----------
    data : xarray.Dataset or two xarray.DataArray
        A session; or the sequences of expected and of unexpected segments.
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; new ones by default.
    stimulus : {"gabors", "visflow"}, optional
        Of a session, D and U Gabor frames, or the first segments of each run of expected and of
        unexpected flow.
    name : str, optional
        Variable of the session.
    pre, post : float, optional
        Seconds before and after the start of the segments.
    scale : bool, optional
        Scale the traces of the session as :func:`oscaxr.sequences` does.
    baseline : float, optional
        Subtract from each sequence the mean of its first so many seconds.

    Returns
    -------
    ResponseArtists
        Lines and bands, expected first.

    Raises
    ------
    CriterionError
        If `stimulus` is neither of these, or the two are different quantities.
    PlotInputError
        If `data` are neither a session nor two arrays.
    WindowError
        If there are no sequences of one kind.
    PlotLibraryError
        If matplotlib is not installed.

    Notes
    -----
    Of a session's Gabors, the frames shown before and after are shaded and named along the top.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> drawn = expected_unexpected(ds, Figure().subplots())
    >>> [line.get_label().split(",")[0] for line in drawn.lines]
    ['expected (D)', 'unexpected (U)']
    """
    words = ("expected", "unexpected")
    pair: tuple[xr.DataArray, xr.DataArray]
    if isinstance(data, xr.Dataset):
        if stimulus not in _COMPARED:
            raise CriterionError(
                f"stimulus={stimulus!r} is not compared; it may be {sorted(_COMPARED)}"
            )
        chosen = [select_segments(data, **criteria) for criteria in _COMPARED[stimulus]]
        found = [sequences(data, name, part, pre=pre, post=post, scale=scale) for part in chosen]
        pair = (found[0], found[1])
        if stimulus == n.GABORS:
            words = ("expected (D)", "unexpected (U)")
    else:
        pair = _pair(data)
    groups: dict[str, xr.DataArray] = {}
    for word, part in zip(words, pair, strict=True):
        count = f", {part.sizes[n.SEQUENCE]} sequences" if n.SEQUENCE in part.dims else ""
        groups[word + count] = part if baseline is None else subtract_baseline(part, baseline)
    of_gabors = data if isinstance(data, xr.Dataset) and stimulus == n.GABORS else None
    return responses(groups, ax, colors=(axes.EXPECTED, axes.UNEXPECTED), gabor_frames=of_gabors)


def _pair(data: Any) -> tuple[xr.DataArray, xr.DataArray]:
    wanted = "a session, or the sequences of expected and of unexpected segments as two arrays"
    given = require_kind(data, (tuple, list), wanted)
    if len(given) != 2:
        raise PlotInputError(f"this picture needs {wanted}; it was given {len(given)} of them")
    expected, unexpected = (require_kind(part, xr.DataArray, wanted) for part in given)
    return expected, unexpected
