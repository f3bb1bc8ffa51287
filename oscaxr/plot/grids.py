"""Groups in panels: one row for each group, one column for each session."""

from collections.abc import Callable, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import xarray as xr

import oscaxr.plot.axes as axes
from oscaxr.analyses.pooling import GROUP, Cells
from oscaxr.errors import CriterionError, WindowError
from oscaxr.measure.quality import roi_dim
from oscaxr.select.stacking import SESSION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    Given = axes.Panels | Axes

# Of one panel, and of what stands beside all of them, inches.
_PANEL: Final = (2.4, 1.9)
_BESIDE: Final = (3.0, 0.6)
# Letters in a line of the legend beside them.
_WRAPPED: Final = 26


class Grid(NamedTuple):
    """What is drawn in each panel, and the names of rows and columns."""

    parts: list[list[xr.Dataset | None]]
    """None where a group has no such session."""
    rows: list[str]
    columns: list[str]

    @classmethod
    def of_groups(cls, found: xr.Dataset, name: str) -> "Grid":
        """Return results over (group, session, ...); what one of them was selected from, too."""
        whole = found.expand_dims([dim for dim in (GROUP, SESSION) if dim not in found[name].dims])
        rows, columns = (_words(whole, dim) for dim in (GROUP, SESSION))
        parts: list[list[xr.Dataset | None]] = [
            [whole.isel({GROUP: row, SESSION: column}) for column in range(len(columns))]
            for row in range(len(rows))
        ]
        return cls(_known(parts, name), rows, columns).checked(found)

    @classmethod
    def of_rois(cls, found: xr.Dataset, name: str) -> "Grid":
        """Return results over ROIs: those of one session, or pooled ones by group and session."""
        if GROUP not in found.coords or "pooled_by" not in found.attrs:
            part = found if found.sizes[roi_dim(found[name])] else None
            return cls([[part]], [""], [""]).checked(found)
        cells = Cells(found)
        columns = [f"session {k}" for k in cells.sessions] if SESSION in cells.by else [""]
        parts: list[list[xr.Dataset | None]] = [
            [found.isel({cells.dim: cells.rows(g, s)}) for s in range(len(columns))]
            for g in range(len(cells.groups))
        ]
        kept = [[p if p is not None and p.sizes[cells.dim] else None for p in row] for row in parts]
        return cls(kept, cells.groups, columns).checked(found)

    def checked(self, found: xr.Dataset) -> "Grid":
        """Return the grid if there is anything in it."""
        if not any(part is not None for row in self.parts for part in row):
            raise WindowError(f"there is nothing to draw: the results are {dict(found.sizes)}")
        return self


def _words(found: xr.Dataset, dim: str) -> list[str]:
    labels = found[dim].values if dim in found.coords else np.array([""] * found.sizes[dim])
    return [f"{SESSION} {one}" if dim == SESSION and one != "" else str(one) for one in labels]


def _known(
    parts: Sequence[Sequence[xr.Dataset | None]], name: str
) -> list[list[xr.Dataset | None]]:
    """Leave out what has no value at all."""
    return [
        [p if p is not None and np.isfinite(p[name].values).any() else None for p in row]
        for row in parts
    ]


def draw_grid(
    found: xr.Dataset,
    grid: Grid,
    given: "Given",
    draw: "Callable[[Axes, xr.Dataset], Any]",
    *,
    xlabel: str,
    ylabel: str,
    share_y: bool | str = True,
) -> "tuple[list[Any], list[Axes]]":
    """Draw each part into its panel; return what was drawn, row by row, and the panels.

    What is drawn for a group that lacks a session is None.
    """
    panels = _own(given, len(grid.rows), len(grid.columns), share_y)
    drawn = []
    for place, ax in enumerate(panels):
        row, column = divmod(place, len(grid.columns))
        part = grid.parts[row][column]
        axes.tidy(ax)
        if part is None:
            axes.say_inside(ax, "no value")
        drawn.append(None if part is None else draw(ax, part))
        if row == 0 and grid.columns[column]:
            ax.set_title(grid.columns[column], fontsize="medium", loc="left")
        if column == 0:
            lines = [grid.rows[row], *ylabel.split("\n")]
            # Longer ones would run into those of the next row.
            ax.set_ylabel("\n".join(fill(line, _WRAPPED) for line in lines if line))
        if row == len(grid.rows) - 1 and column == (len(grid.columns) - 1) // 2:
            # Once, in the middle: it is wider than a panel.
            ax.set_xlabel(xlabel)
    axes.say_session(panels[len(grid.columns) - 1], found)
    return drawn, panels


def by_kind(drawn: Sequence[Any], count: int) -> list[list[Any]]:
    """Return what was drawn in each panel, a list for each kind; None where nothing was."""
    return [[None if one is None else one[kind] for one in drawn] for kind in range(count)]


def name_parts(panels: "list[Axes]", drawn: Sequence[Any], columns: int, *words: str) -> None:
    """Name what was drawn in the panels, once: above a single one, beside several."""
    ax = next(ax for ax, one in zip(panels, drawn, strict=True) if one is not None)
    for word in words:
        ax.plot([], [], " ", label=word)
    handles, labels = ax.get_legend_handles_labels()
    if len(panels) == 1:
        legend = axes.roomy_legend(ax, len(labels))
    else:
        for handle, label in zip(handles, labels, strict=True):
            handle.set_label(fill(label, _WRAPPED))
        legend = axes.beside_legend(panels[columns - 1], handles)
    for shown in legend.legend_handles:
        # What is faint where there are many is to be recognised.
        if shown is not None:
            shown.set_alpha(1)


def _own(given: "Given", n_rows: int, n_columns: int, share_y: bool | str) -> "list[Axes]":
    """Return the panels that were given, or those of a new figure."""
    count = n_rows * n_columns
    wanted = f"axes to be {count} matplotlib Axes" if count > 1 else "ax to be one matplotlib Axes"
    axes.require_matplotlib()
    from matplotlib.axes import Axes

    size = (_BESIDE[0] + n_columns * _PANEL[0], _BESIDE[1] + n_rows * _PANEL[1])
    panels = axes.own_panels(
        [given] if isinstance(given, Axes) else given,
        wanted,
        figsize=None if count == 1 else size,
        nrows=n_rows,
        ncols=n_columns,
        sharex=True,
        sharey=share_y,
    )
    if len(panels) != count:
        raise CriterionError(
            f"{len(panels)} axes were given, not {count}: {n_rows} group(s) of {n_columns} "
            "session(s), row by row"
        )
    return panels
