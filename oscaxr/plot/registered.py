"""The ROI masks of several sessions in the field of one of them."""

from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

import xarray as xr

import oscaxr.plot.axes as parts
import oscaxr.plot.outlines as marks
from oscaxr.errors import CriterionError, SchemaError
from oscaxr.measure.registration import register_masks
from oscaxr.model import names as n
from oscaxr.plot.axes import Artists, require_kind, require_session, sessions_in

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_COVER: Final = 0.35
_LEGEND_LETTERS: Final = 18


def registered_masks(
    sessions: Iterable[xr.Dataset] | xr.DataTree | dict[Any, xr.DataArray],
    ax: "Axes | None" = None,
    *,
    matrices: xr.Dataset | Mapping[int, Any] | None = None,
) -> Artists:
    """Draw the ROI masks of several sessions in the field of one, in different colours.

    Parameters
    ----------
    sessions : iterable of xarray.Dataset, xarray.DataTree, or dict of xarray.DataArray
        Sessions of one mouse, or their tracked ROIs (:func:`oscaxr.tracked`), to be registered; or
        masks by name that are registered already (:func:`oscaxr.register_masks`).
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; new ones by default.
    matrices : xarray.Dataset or mapping of int to array_like, optional
        How to register sessions: what :func:`oscaxr.read_matches` read from the matching file of
        the target session, or the matrix of each session by its number (its id, if it was opened
        without a session table), the target having none.

    Returns
    -------
    Artists
        ``image``, the masks painted over each other; ``contours`` by the name of each session, a
        collection of one path an ROI.

    Raises
    ------
    CriterionError
        If there are no sessions, they are of different mice, one is given twice, or there is no
        matrix for one, or none that is the target.
    SchemaError
        If masks by name are not in one field.
    MissingVariableError
        If a session has no masks.
    PlotInputError
        If other objects are given.
    PlotLibraryError
        If matplotlib is not installed.

    Notes
    -----
    Without the target among the sessions, the field is as large as that of the first one.

    Examples
    --------
    >>> import oscaxr as ox
    >>> from matplotlib.figure import Figure
    >>> specs = ox.sample.mouse_specs(n_rois=4, n_tracked=2, scale=0.02)
    >>> first, second, _ = map(ox.sample.session, specs)
    >>> shift = [[1, 0, 2], [0, 1, -1], [0, 0, 1]]
    >>> drawn = registered_masks([first, second], Figure().subplots(), matrices={2: shift})
    >>> list(drawn.contours)
    ['session 1 (target)', 'session 2']
    """
    if isinstance(sessions, dict):
        wanted = "registered masks as arrays, by name"
        arrays = sessions.values()
        shown: Sequence[Any] = [require_kind(part, xr.DataArray, wanted) for part in arrays]
        pixels = dict(zip(map(str, sessions), map(marks.mask_pixels, shown), strict=True))
        if not pixels:
            raise CriterionError("no masks were given to draw")
    else:
        shown = sessions_in(sessions)
        pixels = _register(shown, matrices)
    shapes = {name: part.shape for name, part in pixels.items()}
    if len(set(shapes.values())) > 1:
        raise SchemaError(
            f"the masks are not in one field: {shapes}. Register them first: oscaxr.register_masks"
        )
    ax = parts.own_axes(ax, marks.FIELD_SIZE)
    colors = parts.group_colors(len(pixels))
    shape = next(iter(pixels.values())).shape
    covered = [part.counts() > 0 for part in pixels.values()]
    image = ax.imshow(marks.layered(shape, zip(covered, colors, strict=True), _COVER))
    contours = {}
    for k, (name, part) in enumerate(pixels.items()):
        # What is below must be seen where contours are the same.
        thicker = 1 + 0.6 * (len(pixels) - 1 - k)
        label = "\n".join([*wrap(name, _LEGEND_LETTERS), marks.counted(part.n_rois)])
        paths = marks.outlines(part)
        contours[name] = marks.draw_outlines(ax, paths, colors[k], label=label, thicker=thicker)
    marks.label_field(ax, shape)
    parts.say_session(ax, *shown)
    words = [str(drawn.get_label()) for drawn in contours.values()]
    parts.beside_legend(ax, list(map(marks.line_for_legend, words, colors)))
    return Artists(image=image, contours=contours)


def _register(
    opened: list[xr.Dataset], matrices: xr.Dataset | Mapping[int, Any] | None
) -> dict[str, marks.MaskPixels]:
    """Return the pixels of the masks of each session in the target's field."""
    if not opened:
        raise CriterionError("no sessions were given to draw")
    by_number: dict[int, xr.Dataset] = {}
    for ds in opened:
        # By their ids if they were opened without a session table.
        key = "session" if "session" in ds.coords else "session_id"
        require_session(ds, [n.ROI_MASK, key], "registered masks")
        by_number[int(ds[key])] = ds
    if len(by_number) < len(opened):
        raise CriterionError(f"a session is given twice, of sessions {list(by_number)}")
    mice = sorted({int(ds["mouse_id"]) for ds in opened if "mouse_id" in ds.coords})
    if len(mice) > 1:
        raise CriterionError(f"the sessions are of different mice ({mice}), so of different fields")
    found, target = _matrices(matrices, list(by_number))
    field = (opened[0] if target is None else by_number[target])[n.ROI_MASK].sizes
    shape = (field[n.HEIGHT], field[n.WIDTH])
    pixels = {}
    for number, ds in by_number.items():
        # Of each session only the places of the pixels are kept: all masks would be gigabytes.
        masks = ds[n.ROI_MASK]
        if number != target:
            masks = register_masks(masks, found[number], shape)
        pixels[f"session {number}" + " (target)" * (number == target)] = marks.mask_pixels(masks)
    return pixels


def _matrices(
    matrices: xr.Dataset | Mapping[int, Any] | None, numbers: list[int]
) -> tuple[dict[int, Any], int | None]:
    """Return the matrix of each session that is not the target, and the target's number."""
    how = (
        "give matrices=oscaxr.read_matches(path of the target session's matching file), or the "
        "matrices by session number"
    )
    if matrices is None:
        raise CriterionError(f"sessions {numbers} are not registered to each other: {how}")
    if isinstance(matrices, xr.Dataset):
        sources, own = ("source_session", "source_session_id"), ("session", "session_id")
        require_session(matrices, ["matrix", *sources, *own], "registered masks")
        found: dict[int, Any] = {}
        for name in sources:
            labels = matrices[name].values.tolist()
            found |= dict(zip(labels, matrices["matrix"].values, strict=True))
        targets = [int(matrices[name]) for name in own]
        target = next((number for number in numbers if number in targets), None)
    else:
        found = dict(require_kind(matrices, Mapping, "matrices by session number"))
        target = next((number for number in numbers if number not in found), None)
    missing = [number for number in numbers if number not in found and number != target]
    if missing:
        raise CriterionError(
            f"there is no matrix for sessions {missing}, but for sessions {sorted(found)}"
            + ("" if target is None else f" (to session {target})")
        )
    return found, target
