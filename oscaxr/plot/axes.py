"""What all pictures share: checks of what is drawn, axes, labels, colours, legends."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import xarray as xr

from oscaxr.errors import CriterionError, MissingVariableError, OscaxrError, few
from oscaxr.model import names as n
from oscaxr.model.schema import SESSION
from oscaxr.model.synthetic import is_synthetic
from oscaxr.select.alignment import session_items

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.collections import LineCollection
    from matplotlib.figure import FigureBase
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

    Panels = Iterable[Axes] | FigureBase | None

Kind = TypeVar("Kind")


class Artists(SimpleNamespace):
    """What a picture drew, each part by its name: the function that drew it lists them.

    Examples
    --------
    >>> Artists(lines=[], event=None).lines
    []
    """


class PlotInputError(OscaxrError, TypeError):
    """A picture was asked of an object that it cannot be made of."""


def require_kind(given: object, kind: type[Kind] | tuple[type[Kind], ...], wanted: str) -> Kind:
    """Return what was given if it is of the kind that a picture needs."""
    if not isinstance(given, kind):
        raise PlotInputError(f"this picture needs {wanted}; it was given: {type(given).__name__}")
    return given


def sessions_in(given: Any) -> list[xr.Dataset]:
    """Return the sessions that were given together."""
    wanted = "several sessions: a list of them, or a tree (oscaxr.open_sessions)"
    if isinstance(given, xr.Dataset | xr.DataArray | str) or not isinstance(given, Iterable):
        raise PlotInputError(f"this picture needs {wanted}; it was given: {type(given).__name__}")
    return [require_kind(ds, xr.Dataset, wanted) for _, ds in session_items(given)]


def require_numbers(data: xr.DataArray) -> None:
    """Make sure that data are numbers."""
    if data.dtype.kind not in "fiub":
        raise PlotInputError(f"this picture needs numbers; {data.name!r} has dtype {data.dtype}")


def require_rel_time(data: xr.DataArray | xr.Dataset) -> None:
    """Make sure that data run over ``rel_time``."""
    if n.REL_TIME not in data.dims:
        raise MissingVariableError(
            f"the data have the dims {[str(dim) for dim in data.dims]}; this picture is over "
            f"{n.REL_TIME!r}. Take sequences first: ds.osca.sequences(...)"
        )


def require_session(ds: xr.Dataset, names: Iterable[str], picture: str) -> None:
    """Make sure that this is a session, and has what a picture shows."""
    require_kind(ds, xr.Dataset, "a session Dataset")
    missing = [name for name in names if name not in ds.variables]
    if missing:
        where = f"in session {int(ds['session_id'])}" if "session_id" in ds.coords else "here"
        absent = ", ".join(map(repr, missing))
        raise MissingVariableError(f"{picture} cannot be drawn: there is no {absent} {where}")


def require_result(found: object, names: Iterable[str], maker: str) -> xr.Dataset:
    """Return what an analysis found, if it has what a picture shows."""
    result = require_kind(found, xr.Dataset, f"what {maker} returns")
    missing = [name for name in names if name not in result.variables]
    if missing:
        raise MissingVariableError(
            f"this picture needs what {maker} returns: the Dataset has no "
            f"{', '.join(map(repr, missing))}, but {few(sorted(map(str, result)))}"
        )
    return result


def require_one_quantity(labels: Mapping[str, str]) -> None:
    """Make sure that what shares an axis is one quantity in one unit."""
    if len(set(labels.values())) > 1:
        which = ", ".join(f"{name!r} is {label}" for name, label in labels.items())
        raise CriterionError(f"these do not share an axis: {which}. Draw them on axes of their own")


# Okabe and Ito's palette, made to be told apart with any colour vision; its black and yellow are
# left out, being the axes' colour and too pale on white.
PALETTE: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
EXPECTED: Final = PALETTE[0]
UNEXPECTED: Final = PALETTE[1]
FAINT: Final = "0.65"
SYNTHETIC: Final = "synthetic data"
STIMULUS_COLORS: Final[Mapping[str, str]] = {
    n.GABORS: PALETTE[2],
    n.VISFLOW: PALETTE[4],
    n.GRAYSCREEN: "0.85",
}


_WHICH: Final = ("mouse", "session", "session_id")
# A legend of more entries goes beside the axes; each of fewer gets this part of their height, or
# so many inches in low ones.
_MOST_ABOVE: Final = 5
_ENTRY_HEIGHT: Final = 0.09
_ENTRY_INCHES: Final = 0.19
# More entries than these stand in two columns.
_MOST_IN_COLUMN: Final = 15


class PlotLibraryError(OscaxrError, ImportError):
    """Matplotlib, which draws all pictures, is not installed."""


def require_matplotlib() -> None:
    """Make sure that pictures can be drawn."""
    if find_spec("matplotlib") is None:
        raise PlotLibraryError(
            "pictures need matplotlib (the extra `plot` of oscaxr). Install it with\n"
            '  python -m pip install "matplotlib>=3.9"'
        )


def own_axes(ax: "Axes | None", size: tuple[float, float] | None = None) -> "Axes":
    """Return the axes, or those of a new figure."""
    wanted = "ax to be one matplotlib Axes"
    (own,) = own_panels(None if ax is None else [ax], wanted, figsize=size)
    return own


def own_panels(
    axes: "Panels", wanted: str, *, figsize: tuple[float, float] | None = None, **grid: Any
) -> "list[Axes]":
    """Return the axes that were given together, or those of a (new) figure, row by row."""
    require_matplotlib()
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

    if axes is None:
        from matplotlib import pyplot

        axes = pyplot.figure(layout="constrained", figsize=figsize)
    if isinstance(axes, FigureBase):
        made = axes.subplots(squeeze=False, **grid)
        axes.align_ylabels()
        return list(made.ravel())
    flat = axes.ravel() if isinstance(axes, np.ndarray) else axes
    return [require_kind(ax, Axes, wanted) for ax in require_kind(flat, Iterable, wanted)]


def own_rows(
    axes: "Panels", rows: Sequence[str], heights: Sequence[float] | None = None
) -> "list[Axes]":
    """Return the axes of a picture of several rows, or those of a new figure."""
    wanted = f"axes to be {len(rows)} matplotlib Axes, for {', '.join(rows)}"
    panels = own_panels(axes, wanted, nrows=len(rows), sharex=True, height_ratios=heights)
    if len(panels) != len(rows):
        raise CriterionError(f"{len(panels)} axes were given, not {len(rows)}: {', '.join(rows)}")
    return panels


def axis_label(attrs: Mapping[Any, Any], name: Hashable = None) -> str:
    """Return what to write at an axis: the long name, and the unit if there is one."""
    words = [str(attrs.get("long_name", "" if name is None else name))]
    words += ["scaled"] if attrs.get("scaled") else []
    words += ["baseline subtracted"] if attrs.get("baseline") else []
    units = str(attrs.get("units", "1"))
    return ", ".join(words) + ("" if units == "1" else f" ({units})")


def event_line(ax: "Axes") -> "Line2D":
    """Draw the line at the reference frame."""
    return ax.axvline(0, color="0.3", linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)


def session_words(shown: Iterable[xr.Dataset | xr.DataArray]) -> str:
    """Say which sessions these are of: by mouse and session, or by their ids; as far as known."""
    names = []
    for one in shown:
        known = {name: one.coords[name] for name in _WHICH if name in one.coords}
        said = {name: str(coord.item()) for name, coord in known.items() if not coord.dims}
        mouse = f"mouse {said['mouse']}" if "mouse" in said else ""
        number = said.get("session", "" if mouse else said.get("session_id", ""))
        names.append((mouse, number))
    by_mouse: dict[str, list[str]] = {}
    for mouse, number in dict.fromkeys(names):
        by_mouse.setdefault(mouse, []).extend([number] if number else [])
    return "; ".join(filter(None, map(_mouse_words, by_mouse, by_mouse.values())))


def _mouse_words(mouse: str, numbers: Sequence[str]) -> str:
    plural = "s" if len(numbers) > 1 else ""
    which = f"session{plural} {', '.join(numbers)}" if numbers else ""
    return ", ".join(filter(None, [mouse, which]))


def say_session(ax: "Axes", *shown: xr.Dataset | xr.DataArray, pad: float | None = None) -> None:
    """Say above axes which session they show, and that it is synthetic where any of it is."""
    # At the sides, where a title of the user's own leaves them.
    style: Any = {"fontsize": "small", "color": "0.4", "pad": pad}
    if not ax.get_title("left"):
        ax.set_title(session_words(shown), loc="left", **style)
    if any(map(is_synthetic, shown)):
        ax.set_title(SYNTHETIC, loc="right", **style)


def say_missing(ax: "Axes", name: str) -> None:
    """Say in otherwise empty axes that a session lacks what they should show."""
    ax.set_yticks([])
    ax.spines[["left", "top", "right"]].set_visible(False)
    say_inside(ax, f"this session has no {SESSION[name].long_name}", "0.4")


def say_inside(ax: "Axes", words: str, color: str = "0.5") -> None:
    """Write into the middle of axes that show nothing else."""
    ax.text(
        0.5, 0.5, words, transform=ax.transAxes, ha="center", va="center",
        color=color, fontsize="small",
    )  # fmt: skip


def draw_level(ax: "Axes", at: float = 0.0, label: str = "") -> None:
    """Draw the level that values are compared with, behind them."""
    ax.axhline(at, color="0.3", linewidth=0.8, linestyle=(0, (4, 3)), zorder=1, label=label)


def draw_lines(
    ax: "Axes",
    x: Any,
    values: Any,
    *,
    power: float,
    fainter: float = 1.0,
    autolim: bool = True,
    **style: Any,
) -> "LineCollection":
    """Draw a line for each row of the values, fainter the more there are of them."""
    from matplotlib.collections import LineCollection

    # They must not run together into a dark patch.
    alpha = np.clip((15 / max(1, len(values))) ** power, 0.02, 0.8)
    paths = np.stack(np.broadcast_arrays(x, values), axis=-1)
    lines = LineCollection(list(paths), alpha=fainter * float(alpha), **style)
    ax.add_collection(lines, autolim=autolim)
    return lines


def few_ticks(axis: "Axis", most: int = 6, *, integer: bool = True) -> None:
    """Put few ticks at round numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=most, steps=[1, 2, 5, 10], integer=integer))


def tidy(ax: "Axes") -> None:
    """Take away the upper and the right edge."""
    ax.spines[["top", "right"]].set_visible(False)


def roomy_legend(
    ax: "Axes",
    entries: int,
    title: str = "",
    handles: "Sequence[Artist] | None" = None,
    *,
    below: int = 0,
) -> "Legend":
    """Name what was drawn, above it or beside it, never over it; leave rows `below` what is above.

    Of several handles, only those are named.
    """
    rows = entries + bool(title)
    beside = rows > _MOST_ABOVE
    if not beside:
        room_above(ax, rows + below)
    # Opaque, so that the line at the event does not run through the words.
    return ax.legend(
        handles=handles,
        ncols=1 + (beside and rows > _MOST_IN_COLUMN),
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


def room_above(ax: "Axes", rows: float) -> None:
    """Make room for rows of words above what is drawn."""
    inches = ax.bbox.height / ax.figure.dpi
    # What is drawn keeps half of the height at least.
    share = min(rows * _ENTRY_INCHES / inches, 0.5)
    low, high = ax.get_ylim()
    more = (high - low) * max(rows * _ENTRY_HEIGHT, share / (1 - share))
    # Without `auto`, what is drawn later (here, or into axes that share y) may be off scale.
    ax.set_ylim(low, high + more, auto=None)


def say_above(ax: "Axes", words: str) -> "Text":
    """Write into the upper left corner of axes, over whatever is there."""
    return ax.text(
        0.02, 0.98, words, transform=ax.transAxes, va="top", fontsize="small", zorder=4,
        bbox={"facecolor": "w", "edgecolor": "none", "pad": 1},
    )  # fmt: skip


def beside_legend(ax: "Axes", handles: "Sequence[Artist]") -> "Legend":
    """Name what was drawn to the right of an image."""
    return ax.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1), borderaxespad=0,
        frameon=False, handlelength=1.2, fontsize="small",
    )  # fmt: skip


def group_colors(count: int) -> list[Any]:
    """Return colours for so many groups."""
    if count <= len(PALETTE):
        return list(PALETTE[:count])
    from matplotlib import colormaps

    return list(colormaps["cividis"](np.linspace(0, 0.95, count)))
