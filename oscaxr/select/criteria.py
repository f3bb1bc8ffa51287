"""Which segments: keyword criteria on the columns of the stimulus table."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from html import escape
from textwrap import shorten
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from oscaxr.errors import CriterionError, few, listed
from oscaxr.model import names as n
from oscaxr.model.segments import first_of_consecutive
from oscaxr.renamed import KEYWORDS, renamed_keyword
from oscaxr.select.epochs import as_epochs, lie_within, same_session

Array = np.ndarray[Any, Any]
Criterion = Any
"""A scalar, a list of scalars, a (min, max) half-open range, or a callable."""

# The columns that say something of one stimulus only; the others concern every segment.
CONCERNS: Final[dict[str, str]] = {
    "gabor_frame": n.GABORS,
    "gabor_kappa": n.GABORS,
    "gabor_mean_orientation": n.GABORS,
    "gabor_number": n.GABORS,
    "sequence_index": n.GABORS,
    "main_flow_direction": n.VISFLOW,
    "square_size": n.VISFLOW,
    "square_number": n.VISFLOW,
    "square_proportion_flipped": n.VISFLOW,
}

_WORDS: Final[dict[str, Mapping[Any, tuple[str, ...]]]] = {
    "stimulus_type": {word: (word,) for word in n.STIMULUS_TYPES},
    "gabor_frame": {**{word: (word,) for word in n.GABOR_FRAMES}, **n.GABOR_FRAME_NUMBERS},
    "main_flow_direction": {word: (full,) for word, full in n.FLOW_DIRECTION_WORDS.items()},
}


@dataclass(frozen=True)
class Step:
    """How many segments one criterion left."""

    criterion: str
    left: int


class Explanation(tuple[Step, ...]):
    """The criteria of a selection in order, with what each left; prints as a table."""

    __slots__ = ()

    def __str__(self) -> str:
        width = max((len(step.criterion) for step in self), default=0)
        return "\n".join(f"{step.criterion:<{width}}  {step.left:>6}" for step in self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = (f"<tr><td>{escape(one.criterion)}</td><td>{one.left:,}</td></tr>" for one in self)
        return f"<table>{''.join(rows)}</table>"


def select_segments(
    ds: xr.Dataset,
    /,
    *,
    stimulus: Criterion = None,
    run_start: bool | list[bool] | None = None,
    within: xr.Dataset | None = None,
    explain: bool = False,
    **criteria: Criterion,
) -> Any:
    """Select segments by criteria on the columns of the stimulus table.

    Parameters
    ----------
    ds : xarray.Dataset
        A session, or an earlier selection.
    stimulus : str or list of str, optional
        ``"gabors"``, ``"visflow"``, ``"grayscreen"``. Where it is not given, the stimuli that the
        other criteria concern; all of them if they concern none in particular.
    run_start : bool or list of bool, optional
        True keeps, of the segments that fulfil all other criteria, the first of each run of
        consecutive ones (a run ends with its block); ``[False]`` keeps those that are not first,
        and False, as None or ``[True, False]``, all of them. (The coordinate of this name is about
        all segments: it tells where expected turns to unexpected, or back.)
    within : xarray.Dataset, optional
        Epochs of the session (:func:`epochs`, :func:`running_bouts`), or the blocks or segments of
        another selection: keeps the segments that lie wholly within one of them. What does so only
        in part is left out; `explain` says how many segments these are.
    explain : bool, optional
        Also return how many segments each criterion left.
    **criteria
        Named like the coordinate: a scalar, a list, a ``(min, max)`` range (half-open) for
        numbers that are not of a few values, or a callable that takes the column and returns flags.
        ``None`` is no constraint.
        ``gabor_frame`` takes letters or the published numbers (3 is D or U),
        ``main_flow_direction`` any of right/temp/temporal and left/nasal, ``segment`` segment
        numbers. A criterion that does not concern a segment's stimulus does not constrain it: with
        ``stimulus="visflow"``, ``gabor_frame="U"`` leaves all visual flow (`explain` says so).

    Returns
    -------
    segments : xarray.Dataset
        The variables and coordinates over ``segment``, in the order of the table; empty if no
        segment fulfils all criteria.
    explanation : Explanation
        Only with ``explain=True``.

    Raises
    ------
    CriterionError
        If a criterion is unknown, or a value lies outside the experiment's domain; all such
        problems are listed. If `within` are no epochs, or those of another session.

    Notes
    -----
    Equivalent to the published tool's ``get_segs_by_criteria``; ``run_start=True`` to its
    ``remconsec``.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> segments, explanation = ox.select_segments(
    ...     ds, stimulus="gabors", gabor_frame="U", gabor_kappa=16, explain=True
    ... )
    >>> set(segments.gabor_frame.values.tolist())
    {'U'}
    >>> explanation[0].criterion
    "stimulus = 'gabors'"
    """
    problems: list[str] = []
    if stimulus is not None and criteria.get("stimulus_type") is not None:
        problems.append("give stimulus= or stimulus_type=, not both: they are the same")
    keep_first = None
    try:
        keep_first = _of_runs(run_start)
    except CriterionError as error:
        problems.append(str(error))
    given = {"stimulus_type": stimulus, **criteria} if stimulus is not None else dict(criteria)
    given = {name: value for name, value in given.items() if value is not None}
    segments = segment_part(ds)
    # Not their values: of an export, each would be read.
    table = {str(name): segments.variables[name] for name in segments.coords}
    columns = {name: column for name, column in table.items() if column.dims == (n.SEGMENT,)}
    implied = "stimulus_type" not in given
    given = _with_stimuli(given)
    keep = np.ones(segments.sizes[n.SEGMENT], bool)
    steps = []
    for name, value in given.items():
        if name not in columns:
            problems.append(_unknown(name, columns))
            continue
        try:
            fulfils = _fulfils(name, columns[name].values, value)
        except CriterionError as error:
            problems.append(str(error))
            continue
        shown = _shown(name, value, implied)
        if name in CONCERNS:
            concerned = columns["stimulus_type"].values == CONCERNS[name]
            fulfils |= ~concerned
            if keep.any() and not (keep & concerned).any():
                shown += f" (concerns {CONCERNS[name]} only)"
        keep &= fulfils
        steps.append(Step(shown, int(keep.sum())))
    if problems:
        raise CriterionError(f"cannot select segments:{listed(problems)}")
    if within is not None:
        steps.append(_keep_within(keep, segments, within))
    positions = np.flatnonzero(keep)
    if keep_first is not None:
        numbers, block = (columns[name].values[positions] for name in (n.SEGMENT, n.BLOCK))
        in_order = np.argsort(numbers, kind="stable")
        first = np.empty(len(positions), bool)
        first[in_order] = first_of_consecutive(numbers[in_order], block[in_order])
        positions = positions[first == keep_first]
        steps.append(Step(f"run_start = {run_start}", len(positions)))
    selected = segments.isel({n.SEGMENT: positions})
    return (selected, Explanation(steps)) if explain else selected


def _keep_within(keep: npt.NDArray[np.bool_], segments: xr.Dataset, within: Any) -> Step:
    """Drop the segments that do not lie within epochs from those that are kept."""
    epochs = as_epochs(within)
    same_session(segments, epochs)
    start, stop = (segments[name].values for name in ("start_time", "stop_time"))
    wholly, partly = lie_within(start, stop, epochs)
    split = int((keep & partly).sum())
    keep &= wholly
    number = epochs.sizes[n.EPOCH]
    shown = f"within {number} epoch{'' if number == 1 else 's'}"
    return Step(shown + (f" ({split} more in part)" if split else ""), int(keep.sum()))


def _of_runs(run_start: Any) -> bool | None:
    """Say whether to keep the first of each run, the others, or (None) all."""
    run_start = _unwrapped(run_start)
    if isinstance(run_start, tuple):
        raise CriterionError(_no_range("run_start", run_start))
    if isinstance(run_start, bool | None):
        return run_start or None
    wanted = _listed(run_start)
    if not wanted or not all(isinstance(item, bool) for item in wanted):
        raise CriterionError(
            f"run_start = {run_start!r}: not known; True keeps the first of each run, [False] the "
            "others, False all"
        )
    return wanted[0] if len(set(wanted)) == 1 else None


def segment_part(ds: xr.Dataset) -> xr.Dataset:
    """Return the part of a session that runs over segments: stimulus table and patches."""
    if n.SEGMENT not in ds.dims:
        hint = "give a session or selection"
        if n.SEQUENCE in ds.dims:
            hint = "of sequences, take u.isel(sequence=u.gabor_frame == 'U')"
        raise CriterionError(f"no dim 'segment' in {tuple(ds.sizes)}: {hint}")
    part = ds.drop_dims(set(ds.dims) - {n.SEGMENT, n.PATCH})
    if any(part.variables[name].chunks is not None for name in part.coords):
        # All at once: each column on its own would be a graph, or a pool of processes, of its own.
        columns = part.drop_vars(list(part.data_vars)).compute()
        return part.assign_coords(columns.coords)
    return part


def _with_stimuli(given: dict[str, Any]) -> dict[str, Any]:
    """Add the stimuli that the criteria concern, where none are named."""
    concerned = {CONCERNS[name] for name in given if name in CONCERNS}
    if "stimulus_type" in given or not concerned:
        return given
    return {"stimulus_type": sorted(concerned), **given}


def _shown(name: str, value: Any, implied: bool) -> str:
    if isinstance(value, xr.DataArray | np.ndarray | pd.Series | pd.Index):
        value = _listed(value)
    text = shorten(repr(value), 60, placeholder=" ...")
    if name != "stimulus_type":
        return f"{name} = {text}"
    return f"stimulus = {text}" + " (implied)" * implied


def _unknown(name: str, columns: Collection[str]) -> str:
    if name in KEYWORDS:
        return renamed_keyword(name, [*columns, "stimulus", "run_start"])
    near = get_close_matches(name, columns, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown criterion {name!r}{hint} (there are: {', '.join(sorted(columns))}, stimulus)"


def _fulfils(name: str, column: Array, value: Any) -> Array:
    """Flag the segments whose column fulfils a criterion."""
    if callable(value):
        return _from_callable(name, column, value)
    if isinstance(value, tuple):
        if name in _WORDS or name in n.NUMBER_DOMAINS or column.dtype.kind not in "iuf":
            raise CriterionError(_no_range(name, value))
        return _in_range(name, column, value)
    wanted = _listed(value)
    if name in _WORDS:
        return np.isin(column, _words(name, wanted))
    if column.dtype.kind in "iufb":
        return np.isin(column, _numbers(name, wanted))
    return np.isin(column, [str(item) for item in wanted])


def _no_range(name: str, value: tuple[Any, ...]) -> str:
    return (
        f"{name} = {value!r}: a tuple is a range (min, max), and {name} has none; give a list: "
        f"{name}={[*value]!r}"
    )


def _from_callable(name: str, column: Array, function: Callable[[Array], Any]) -> Array:
    flags = np.asarray(function(column))
    if flags.shape != column.shape or flags.dtype != np.bool_:
        raise CriterionError(
            f"{name}: the callable should return one flag a segment, a bool array of shape "
            f"{column.shape}, but gave {flags.dtype} of shape {flags.shape}"
        )
    return flags.copy()


def _in_range(name: str, column: Array, bounds: tuple[Any, ...]) -> Array:
    numbers = [np.asarray(bound) for bound in bounds]
    if len(bounds) != 2 or any(bound.ndim or bound.dtype.kind not in "iuf" for bound in numbers):
        raise CriterionError(
            f"{name} = {bounds!r}: a tuple is a range (min, max), max exclusive; or give a list"
        )
    low, high = numbers
    if not low <= high:
        raise CriterionError(f"{name} = {bounds!r}: the range is upside down")
    inside: Array = (column >= low) & (column < high)
    return inside


def _listed(value: Any) -> list[Any]:
    if isinstance(value, slice):
        raise CriterionError(f"{value!r} is a slice; a range is a tuple (min, max), max exclusive")
    if isinstance(value, xr.DataArray | pd.Series | pd.Index):
        value = value.to_numpy()
    if isinstance(value, np.ndarray | np.generic):
        return list(value.ravel().tolist())
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return [value]
    listed = sorted(value, key=str) if isinstance(value, set | frozenset) else list(value)
    return [_unwrapped(item) for item in listed]


def _unwrapped(item: Any) -> Any:
    """Return the plain scalar in a numpy or xarray one."""
    is_array = isinstance(item, np.ndarray | np.generic | xr.DataArray)
    return item.item() if is_array and item.ndim == 0 else item


def _words(name: str, wanted: list[Any]) -> list[str]:
    known = _WORDS[name]
    odd = [key for key in wanted if isinstance(key, bool) or key not in list(known)]
    if odd:
        raise CriterionError(f"{name} = {_quoted(odd)}: not known; allowed are {_quoted(known)}")
    return [word for key in wanted for word in known[key]]


def _numbers(name: str, wanted: list[Any]) -> list[float]:
    odd = [item for item in wanted if not isinstance(item, int | float) or _is_huge(item)]
    known = n.NUMBER_DOMAINS.get(name)
    if known is not None and not odd:
        odd = [item for item in wanted if item not in known]
    if odd:
        allowed = "numbers" if known is None else ", ".join(f"{number:g}" for number in known)
        raise CriterionError(f"{name} = {_quoted(odd)}: not known; allowed are {allowed}")
    return [float(item) for item in wanted]


def _is_huge(item: float) -> bool:
    """Say whether a whole number is too large to become a float."""
    return isinstance(item, int) and item.bit_length() > 1000


def _quoted(items: Iterable[Any]) -> str:
    return few(map(repr, items), 12)
