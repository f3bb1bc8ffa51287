"""Running and pupil, or ROIs, over pairs of expected and unexpected runs of a session."""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.analyses.discrimination import GROUP
from oscaxr.analyses.splits import PUBLISHED, REFERENCE, RESPONSE, check_split, session_name
from oscaxr.errors import CriterionError
from oscaxr.measure.statistics import mean
from oscaxr.measure.transform import Window
from oscaxr.model import names as n
from oscaxr.select.criteria import select_segments
from oscaxr.select.sequences import reduced, sequences

BEHAVIOUR: Final = (n.RUN_VELOCITY, n.PUPIL_DIAMETER)
PAIR: Final = "pair"
SEM: Final = "_sem"

Numbers = npt.NDArray[np.intp]


def block_responses(
    ds: xr.Dataset,
    names: str | Iterable[str] = BEHAVIOUR,
    stimulus: str = n.GABORS,
    *,
    window: Window | None = None,
    keep_last: bool = True,
    scale: bool = False,
    interpolate: bool = False,
    **criteria: Any,
) -> xr.Dataset:
    """Return mean responses in each pair of an expected run and the unexpected run after it.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    names : str or iterable of str, optional
        Variables, by default running and pupil diameter.
    stimulus : {"gabors", "visflow"}, optional
        Runs are those of D and U Gabor frames, or of the segments of visual flow.
    window : tuple of float, optional
        Where the mean over time begins and ends, s from the start of each segment; by default
        (0, 0.6) for Gabors and (0, 1) for visual flow.
    keep_last : bool, optional
        False leaves out the last pair, as the published code does by mistake.
    scale, interpolate : bool, optional
        As for :func:`oscaxr.sequences`; the papers do neither.
    **criteria
        Further criteria on the segments, as for :func:`split`.

    Returns
    -------
    xarray.Dataset
        For each name, the mean over the sequences of a run and, with the ending ``_sem``, its
        standard error (ddof 1), of dims (group, pair) or (group, pair, roi) in the variable's unit;
        and ``n_sequences`` and ``first_segment`` (group, pair). The groups are ``"expected"`` and
        ``"unexpected"``; ``block`` lies along ``pair``, which is in the order of time.

    Raises
    ------
    CriterionError
        If a stimulus or criterion is not known, or there are no such pairs.
    MissingVariableError
        If the session lacks one of `names`.
    WindowError
        If the window is empty, or leaves the recording in all sequences.

    Warns
    -----
    DroppedSequencesWarning
        If windows leave the recording.

    Notes
    -----
    The definition of Gillon, Pina et al. (2024): first the mean over the frames of each sequence,
    leaving out missing ones, then that over sequences. A run ends with its block, and sequences
    that come too close to an end of the recording on the clock of any of `names` are in no run.

    Examples
    --------
    >>> import oscaxr as ox
    >>> found = ox.analyses.block_responses(ox.sample.session(n_rois=4, scale=0.1))
    >>> found["run_velocity"].dims, found.group.values.tolist()
    (('group', 'pair'), ['expected', 'unexpected'])
    """
    check_split("unexpected", stimulus)
    wanted = [names] if isinstance(names, str) else list(names)
    if not wanted:
        raise CriterionError(f"names={names!r}: name one variable or more")
    asked = {**PUBLISHED[stimulus], **REFERENCE[stimulus], **criteria}
    segments = select_segments(ds, stimulus=stimulus, **asked)
    start, stop = RESPONSE[stimulus] if window is None else window
    averages = []
    for name in wanted:
        windows = sequences(
            ds, name, segments, pre=-start, post=stop, scale=scale, interpolate=interpolate
        )
        averages.append(reduced(windows, lambda part: mean(part, n.REL_TIME)))
    averages = list(xr.align(*averages, join="inner"))
    first = averages[0]
    starts = _run_starts(first["unexpected"].values, first[n.BLOCK].values)
    pairs = _pairs(first, starts)[:, : None if keep_last else -1]
    if not pairs.size:
        raise CriterionError(
            f"{session_name(ds)} has no unexpected run of {stimulus} that follows an expected one"
        )
    lengths = np.diff(np.append(starts, first.sizes[n.SEQUENCE]))
    found = xr.Dataset(coords={GROUP: ["expected", "unexpected"]})
    for name, average in zip(wanted, averages, strict=True):
        found = found.assign(_of_runs(name, average, starts, pairs))
    known = {
        "n_sequences": (lengths[pairs], "number of sequences"),
        "first_segment": (first[n.SEQUENCE].values[starts][pairs], "first segment of the run"),
    }
    facts = {
        key: coord.variable
        for average in averages
        for key, coord in average.coords.items()
        if n.SEQUENCE not in coord.dims
    }
    block = (PAIR, first[n.BLOCK].values[starts][pairs[0]], first[n.BLOCK].attrs)
    return found.assign(
        {key: ((GROUP, PAIR), values, {"long_name": name}) for key, (values, name) in known.items()}
    ).assign_coords({**facts, n.BLOCK: block})


def _run_starts(unexpected: npt.NDArray[np.float64], block: npt.NDArray[np.int64]) -> Numbers:
    """Return where runs of like segments begin; each ends with its block."""
    changes = (np.diff(unexpected) != 0) | (np.diff(block) != 0)
    return np.flatnonzero(np.append(True, changes)) if len(block) else np.zeros(0, np.intp)


def _pairs(sequences: xr.DataArray, starts: Numbers) -> Numbers:
    """Return the numbers of expected runs and of the unexpected ones that follow: (2, pair)."""
    unexpected = sequences["unexpected"].values[starts]
    block = sequences[n.BLOCK].values[starts]
    rises = (unexpected[:-1] == 0) & (unexpected[1:] == 1) & (np.diff(block) == 0)
    before = np.flatnonzero(rises)
    return np.stack([before, before + 1])


def _of_runs(
    name: str, average: xr.DataArray, starts: Numbers, pairs: Numbers
) -> dict[str, xr.Variable]:
    """Return mean and standard error over the sequences of the runs of each pair."""
    others = [dim for dim in average.dims if dim != n.SEQUENCE]
    values = average.transpose(n.SEQUENCE, *others).values
    lengths = np.diff(np.append(starts, len(values)))
    present = ~np.isnan(values)
    count = np.add.reduceat(present, starts, axis=0, dtype=np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.add.reduceat(np.where(present, values, 0.0), starts, axis=0) / count
        deviations = np.where(present, values - np.repeat(means, lengths, axis=0), 0.0)
        squares = np.add.reduceat(np.square(deviations), starts, axis=0)
        sem = np.where(count > 1, np.sqrt(squares / (count - 1) / count), np.nan)
    dims = (GROUP, PAIR, *others)
    attrs = {key: average.attrs[key] for key in ("units", "long_name") if key in average.attrs}
    described = attrs | {"long_name": f"standard error of {attrs.get('long_name', name)}"}
    return {
        name: xr.Variable(dims, means[pairs], attrs),
        name + SEM: xr.Variable(dims, sem[pairs], described),
    }
