"""How much of each ROI's activity running, pupil and stimulus explain."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from oscaxr.analyses.ridge import explained, sums_of
from oscaxr.arrays.columns import time_blocks
from oscaxr.errors import CriterionError, MissingVariableError, WindowError
from oscaxr.measure.quality import full_traces, labelled_by_roi
from oscaxr.model import names as n
from oscaxr.model.invalid_rois import Invalid, without_invalid
from oscaxr.model.segments import recording_frames
from oscaxr.model.traces import interpolate
from oscaxr.select.alignment import tracked as tracked_rois
from oscaxr.select.frames import frame_lookup, segments_at

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

BEHAVIOUR: Final = {"running": n.RUN_VELOCITY, "pupil": n.PUPIL_DIAMETER}
STIMULUS: Final = "stimulus"
LAGS: Final[dict[str, tuple[float, ...]]] = {
    "running": (-0.5, 0.0, 0.5),
    "pupil": (-0.5, 0.0, 0.5),
    STIMULUS: (0.0, 0.3, 0.6),
}
"""How long before the response each predictor is taken, s; negative is after it."""

# What makes a kind of segment. A gray screen is none: what is shown is compared with it.
_KIND: Final = (
    *("stimulus_type", "gabor_frame", "gabor_mean_orientation"),
    *("main_flow_direction", "unexpected"),
)
_PENALTIES: Final = np.logspace(-6, 0, 7)
_BLOCK_BYTES: Final = 32 * 2**20


def explained_variance(
    ds: xr.Dataset,
    predictors: Sequence[str] = ("running", "pupil", "stimulus"),
    *,
    lags: Mapping[str, Sequence[float]] | None = None,
    folds: int = 5,
    piece: float = 60.0,
    tracked: bool = False,
    invalid: Invalid = "drop",
) -> xr.Dataset:
    """Say how much of each ROI's dF/F running, pupil and stimulus explain, together and alone.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    predictors : sequence of {"running", "pupil", "stimulus"}, optional
        ``"running"`` and ``"pupil"`` are velocity and diameter, missing frames filled;
        ``"stimulus"`` is which kind of segment is shown: of Gabors each frame, mean orientation
        and expectation, of visual flow each direction and expectation, against gray screen.
    lags : mapping, optional
        How long before the response each predictor is taken, s, several times each; negative ones
        are after it. By default -0.5, 0 and 0.5 for behaviour, and 0, 0.3 and 0.6 for the stimulus.
    folds : int, optional
        Into how many parts the recording is dealt, each of which is predicted from the others.
    piece : float, optional
        Length of the pieces that are dealt to the parts in turn, s.
    tracked : bool, optional
        Take the tracked ROIs only, in tracking order.
    invalid : {"drop", "keep"}, optional
        Whether ROIs that the files list as invalid are left out.

    Returns
    -------
    xarray.Dataset
        Over ``roi`` or ``tracking_id``, shares of the variance (1 is all of it; below 0 is worse
        than the mean), with the coordinates of the ROIs and of the session:

        - ``explained``: by all predictors together;
        - ``unique`` (predictor): by all, less by all but this one;
        - ``alone`` (predictor): by this one only.

        NaN for ROIs with NaN or infinite values, or without variance. The attribute ``stimuli``
        names the stimuli that were shown, which ``"stimulus"`` tells apart: of a session without
        Gabors, it is visual flow alone.

    Raises
    ------
    CriterionError
        If predictors, lags or folds are not known or cannot be used.
    MissingVariableError
        If the session lacks a predictor, or it has no values, or nothing but gray screens.
    WindowError
        If the session was cut along a clock, or is too short for its parts.
    TrackingError
        If tracked ROIs are asked for and there are none.

    Notes
    -----
    Ridge regression over the two-photon frames within the stimulus, predictors standardised; the
    penalty of each ROI, 1e-6 to 1 times the number of frames, is the one that predicts the parts
    fitted to best, each from the rest of them. Variance explained is 1 less the squared errors on
    parts not fitted to, over those of the mean of the parts fitted to. Pieces of a minute are dealt
    in turn, so that slow changes of a session do not tell parts apart. The recording is read once.

    The papers compare responses with running and pupil; this model is not theirs.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> found = explained_variance(ds, piece=10)
    >>> found["unique"].sizes
    Frozen({'predictor': 3, 'roi': 4})
    """
    wanted = _checked(ds, predictors, lags, folds)
    if not 0 < piece < np.inf:
        raise CriterionError(f"piece={piece!r}: it is a length, s, larger than 0")
    source = tracked_rois(ds) if tracked else without_invalid(ds, invalid)
    n_frames, fps = recording_frames(ds, "twop"), float(ds.attrs["twop_fps"])
    design = _Design.of(ds, wanted, fps)
    length = max(1, round(piece * fps))
    if n_frames < folds * length:
        raise WindowError(
            f"the recording of {n_frames / fps:.4g} s is too short for {folds} parts of pieces of "
            f"{piece:g} s: give a shorter piece"
        )
    parts = np.arange(n_frames) // length % folds
    dff = full_traces(source)
    others = [dim for dim in dff.dims if dim != n.TIME]
    blocks = _blocks(dff, design, parts)
    with np.errstate(invalid="ignore", over="ignore"):
        sums = sums_of(blocks, folds, design.n_columns, dff.sizes[others[0]]).standardised()
        of = {
            which: explained(sums.with_columns(design.columns(which)), _PENALTIES)
            for which in _models(tuple(wanted))
        }
    whole = of[tuple(wanted)]
    without = [of[rest] if rest else 0.0 for rest in _rests(tuple(wanted))]
    result = xr.Dataset(
        {
            "explained": labelled_by_roi(dff, whole),
            "unique": _stacked(dff, [whole - part for part in without]),
            "alone": _stacked(dff, [of[(name,)] for name in wanted]),
        }
    ).assign_coords(predictor=list(wanted))
    for name, words in _LONG_NAMES.items():
        result[name].attrs = {"long_name": words, "units": "1"}
    told: dict[str, Any] = {"stimuli": ", ".join(design.stimuli)}
    told |= {f"lags_{name}": [float(lag) for lag in seconds] for name, seconds in wanted.items()}
    return result.assign_attrs(folds=folds, piece_s=float(piece), **told)


_LONG_NAMES: Final = {
    "explained": "share of the variance that all predictors explain",
    "unique": "share of the variance that only this predictor explains",
    "alone": "share of the variance that this predictor explains alone",
}


def _stacked(dff: xr.DataArray, rows: list[Floats]) -> xr.DataArray:
    return xr.concat([labelled_by_roi(dff, row) for row in rows], "predictor")


def _rests(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return all names but each in turn."""
    return [tuple(other for other in names if other != name) for name in names]


def _models(names: tuple[str, ...]) -> set[tuple[str, ...]]:
    """Return what predicts in each of the models that are compared."""
    return {names, *_rests(names), *((name,) for name in names)} - {()}


def _checked(
    ds: xr.Dataset, predictors: Any, lags: Mapping[str, Sequence[float]] | None, folds: Any
) -> dict[str, tuple[float, ...]]:
    """Return the lags of each predictor asked for."""
    names = [predictors] if isinstance(predictors, str) else list(predictors)
    given = {} if lags is None else dict(lags)
    odd = [name for name in (*names, *given) if name not in LAGS]
    if odd or not names or len({*names}) < len(names):
        raise CriterionError(
            f"predictors={predictors!r}, lags of {[*given]}: give one or more of {[*LAGS]}, each "
            "once"
        )
    if not isinstance(folds, int | np.integer) or folds < 3:
        raise CriterionError(f"folds={folds!r}: three parts are needed at least")
    missing = [BEHAVIOUR[name] for name in names if name in BEHAVIOUR and BEHAVIOUR[name] not in ds]
    if missing:
        raise MissingVariableError(
            f"this session has no {', '.join(missing)}: leave it out of predictors="
        )
    wanted = {name: tuple(given.get(name, LAGS[name])) for name in names}
    for name, seconds in wanted.items():
        if not seconds or not np.isfinite(seconds).all():
            raise CriterionError(f"lags of {name}: {seconds}; give one or more in seconds")
    return wanted


class _Design(NamedTuple):
    """Predictors of every frame, as they are before lags: few numbers a frame."""

    values: dict[str, npt.NDArray[Any]]
    """Of behaviour, standardised values; of the stimulus, numbers of kinds (-1 is gray)."""
    kinds: int
    lags: dict[str, Ints]
    """In frames."""
    frames: npt.NDArray[np.bool_]
    """Which frames lie within the stimulus."""
    stimuli: list[str]
    """What is shown, but for gray screens."""

    @classmethod
    def of(cls, ds: xr.Dataset, wanted: Mapping[str, tuple[float, ...]], fps: float) -> "_Design":
        """Take the predictors from a session."""
        lags = {
            name: np.round(np.array(seconds) * fps).astype(np.intp)
            for name, seconds in wanted.items()
        }
        stim = frame_lookup(ds, "stim")
        values: dict[str, npt.NDArray[Any]] = {
            name: _behaviour(ds, BEHAVIOUR[name], stim) for name in wanted if name in BEHAVIOUR
        }
        kinds = 0
        if STIMULUS in wanted:
            values[STIMULUS], kinds = _kinds(ds)
        return cls(values, kinds, lags, stim >= 0, _stimuli(ds))

    def columns(self, names: tuple[str, ...]) -> Ints:
        """Return the columns of some predictors."""
        owners = np.repeat([*self.lags], [self._width(name) for name in self.lags])
        return np.flatnonzero(np.isin(owners, names))

    def _width(self, name: str) -> int:
        return len(self.lags[name]) * (self.kinds if name == STIMULUS else 1)

    @property
    def n_columns(self) -> int:
        return sum(map(self._width, self.lags))

    def rows(self, frames: Ints) -> Floats:
        """Return the predictors of frames, lags side by side; beyond the ends, those of the end."""
        parts = []
        for name, lags in self.lags.items():
            values = self.values[name]
            lagged = values[np.clip(frames[:, None] - lags, 0, len(values) - 1)]
            if name == STIMULUS:
                shown = lagged[..., None] == np.arange(self.kinds)
                lagged = shown.reshape(len(frames), -1).astype(np.float64)
            parts.append(lagged)
        return np.concatenate(parts, axis=1)


def _behaviour(ds: xr.Dataset, name: str, stim: Ints) -> Floats:
    """Return a trace of behaviour at every two-photon frame, standardised."""
    trace = interpolate(ds[name])
    values = np.asarray(trace.values, np.float64)
    if not np.isfinite(values).all():
        raise MissingVariableError(f"{name} of this session has no values: leave it out")
    if n.STIM_TIME in trace.dims:
        values = values[np.maximum(stim, 0)]
    deviation = values.std()
    return np.asarray((values - values.mean()) / (deviation if deviation > 0 else 1.0))


def _stimuli(ds: xr.Dataset) -> list[str]:
    return sorted({*ds["stimulus_type"].values.tolist()} - {n.GRAYSCREEN})


def _kinds(ds: xr.Dataset) -> tuple[Ints, int]:
    """Return the number of the kind of segment that each frame shows, and how many there are."""
    if not _stimuli(ds):
        raise MissingVariableError(
            "this session shows no stimulus but gray screens: leave 'stimulus' out of predictors="
        )
    codes = [np.unique(ds[name].values, return_inverse=True)[1] for name in _KIND]
    shown = np.flatnonzero(ds["stimulus_type"].values != n.GRAYSCREEN)
    kinds, numbers = np.unique(np.array(codes)[:, shown], axis=1, return_inverse=True)
    kind = np.full(ds.sizes[n.SEGMENT] + 1, -1, np.intp)  # the last is of frames without a segment
    kind[shown] = numbers
    segment = segments_at(ds, np.arange(ds.sizes[n.TIME])).values
    place = ds.indexes[n.SEGMENT].get_indexer(pd.Index(segment))
    return kind[place], kinds.shape[1]


def _blocks(
    dff: xr.DataArray, design: _Design, parts: Ints
) -> Iterator[tuple[Floats, Floats, Ints]]:
    """Go through the recording: predictors, traces and parts of the frames of each block."""
    start, origin = 0, None
    for block, _, _ in time_blocks(dff, n.TIME, _BLOCK_BYTES):
        frames = np.arange(start, start + len(block))[design.frames[start : start + len(block)]]
        traces = block[frames - start].astype(np.float64)
        start += len(block)
        if len(frames):
            # Any value near the mean keeps the sums of squares from cancelling.
            origin = traces.mean(axis=0) if origin is None else origin
            yield design.rows(frames), traces - origin, parts[frames]
