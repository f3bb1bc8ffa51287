"""Pictures of results of groups: which picture of the library draws which result."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import xarray as xr

from oscaxr import plot
from oscaxr.plot.axes import PALETTE
from oscaxr.plot.sections import Sections, Series, draw_series
from oscaxr.select.stacking import SESSION

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

Results = Mapping[str, xr.Dataset]

# Of a grid with a row for each group and a column for each session, inches.
_PANEL: Final = (2.4, 1.9)
_AROUND: Final = (2.4, 1.0)
# Of the name of a group, inches; and how many fit into a figure as it is.
_NAME: Final = 1.2
_FEW_GROUPS: Final = 4


def _parts(figure: "Figure", results: Results) -> "list[tuple[SubFigure, xr.Dataset]]":
    """Divide a figure into one grid for each result, beside each other, and make it large enough.

    Each part has the name of its result above it.
    """
    _make_room(
        figure, [(one.sizes["group"], one.sizes.get(SESSION, 1)) for one in results.values()]
    )
    parts = list(figure.subfigures(1, len(results), squeeze=False).ravel())
    for part, name in zip(parts, results, strict=True):
        if len(parts) > 1:
            part.suptitle(name.replace("_", " "), fontsize="small")
    return list(zip(parts, results.values(), strict=True))


def _make_room(figure: "Figure", grids: Sequence[tuple[int, int]]) -> None:
    """Make a figure large enough for grids of so many rows and columns beside each other."""
    width = sum(_AROUND[0] + _PANEL[0] * columns for _, columns in grids)
    height = _AROUND[1] + _PANEL[1] * max(rows for rows, _ in grids)
    figure.set_size_inches(width, height)


def _widen(figure: "Figure", n_groups: int, rows: int = 1) -> bool:
    """Make room for the names of many groups beside each other; return whether it was needed."""
    if n_groups <= _FEW_GROUPS:
        return False
    width, height = figure.get_size_inches()
    figure.set_size_inches(max(width, 1 + _NAME * n_groups), rows * height)
    return True


def traces(figure: "Figure", results: Results) -> None:
    """Draw the traces of each group and session."""
    for part, found in _parts(figure, results):
        plot.group_traces(found, part)


def decoding_over_time(figure: "Figure", results: Results) -> None:
    """Draw how well D and U are decoded, frame by frame, against chance."""
    for part, found in _parts(figure, results):
        plot.decoding(found, part)


def decoding(figure: "Figure", results: Results) -> None:
    """Draw how well a coordinate is decoded, against chance."""
    plot.decoding(results["decoding"], figure.subplots())


def differences(figure: "Figure", results: Results) -> None:
    """Draw the differences of each group and session, against chance."""
    plot.group_differences(results["differences"], figure.subplots())


def thirds(figure: "Figure", results: Results) -> None:
    """Draw differences in the first and in the last third, and their change, against chance."""
    first, second = figure.subplots(1, 2)
    series = [
        Series(results[f"{word}_third"], "mean", "sem", f"{word} third", p=None, color=color,
               offset=offset)
        for word, color, offset in (("first", PALETTE[0], -0.15), ("last", PALETTE[1], 0.15))
    ]  # fmt: skip
    label = "unexpected - expected, mean and SEM"
    draw_series(first, Sections(series[0].found, SESSION), series, label=label)
    plot.group_differences(results["change"], second)
    second.set_title("last third - first third", fontsize="small")


def blocks(figure: "Figure", results: Results) -> None:
    """Draw differences of running and pupil between runs, against chance."""
    words = ("running", "pupil")
    for ax, word in zip(figure.subplots(1, len(words)), words, strict=True):
        plot.group_differences(results[word], ax)


def relative(figure: "Figure", results: Results) -> None:
    """Draw relative responses, expected and unexpected."""
    plot.relative_responses(results, figure.subplots())


def comparison(figure: "Figure", results: Results) -> None:
    """Draw how the change over sessions differs between the stimuli."""
    plot.stimulus_comparison(results["comparison"], figure.subplots())


def significant(figure: "Figure", results: Results) -> None:
    """Draw percentages of positive, and of significant, indices, against chance."""
    found = results["percent_significant"]
    below = _widen(figure, found.sizes["group"], rows=2)
    first, second = figure.subplots(2, 1) if below else figure.subplots(1, 2)
    plot.percent_significant(found, first, kinds=("positive",))
    plot.percent_significant(found, second)


def tracked_indices(figure: "Figure", results: Results) -> None:
    """Draw the indices of tracked ROIs over sessions."""
    plot.tracked_usis(results["indices"], figure.subplots())


def statistics(figure: "Figure", results: Results) -> None:
    """Draw a statistic of indices over sessions."""
    _widen(figure, results["statistics"].sizes["group"])
    plot.usi_statistics(results["statistics"], figure.subplots())


def correlations(figure: "Figure", results: Results) -> None:
    """Draw correlations of indices over sessions, against chance."""
    plot.usi_correlations(results["correlations"], figure.subplots())


def scattered(figure: "Figure", results: Results) -> None:
    """Draw the index of each tracked ROI in one session against that in the next."""
    _make_room(figure, [(results["correlations"].sizes["group"], 1)])
    plot.usi_pairs(results["indices"], figure, correlations=results["correlations"])


def distributions(figure: "Figure", results: Results) -> None:
    """Draw how the indices of each group are distributed."""
    pooled = results["indices"]
    rows, columns = (len({*pooled[dim].values.tolist()}) for dim in ("group", SESSION))
    _make_room(figure, [(rows, columns)])
    plot.usi_distribution(pooled, figure)
