"""What a linear decoder tells of the stimulus from the responses of a session's ROIs."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final, Literal, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.analyses.chance import check_resolution, generator, raw_p, seed_of, share_below
from oscaxr.analyses.decoding_splits import Division, check_classes, counts_of, divisions
from oscaxr.analyses.logistic_regression import fitted_logits, span_of
from oscaxr.analyses.splits import PUBLISHED, REFERENCE
from oscaxr.arrays.percentiles import partitioned_percentiles
from oscaxr.errors import CriterionError, InvalidRoiWarning, MissingVariableError, few, warn
from oscaxr.measure.transform import Window
from oscaxr.model import names as n
from oscaxr.model.invalid_rois import Invalid
from oscaxr.select.alignment import tracked as tracked_rois
from oscaxr.select.criteria import select_segments
from oscaxr.select.sequences import sequences

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

ORIENTATION: Final = "gabor_mean_orientation"
WINDOW: Final[Window] = (0.0, 0.45)
TIME_COURSE_WINDOW: Final[Window] = (-0.9, 0.6)

# The U frames of a sequence are this many degrees on from the D frames that they replace.
_U_ON: Final = 90.0
# The frames of the sequences that are expected.
_EXPECTED: Final = ("A", "B", "C", "D")
_ATTRS: Final[dict[str, dict[str, str]]] = {
    "score": {"long_name": "balanced accuracy of each division", "units": "1"},
    "mean": {"long_name": "mean balanced accuracy over divisions", "units": "1"},
    "sem": {"long_name": "standard error of the mean balanced accuracy", "units": "1"},
    "n_sequences": {"long_name": "number of sequences of each class"},
    "shuffled": {"long_name": "balanced accuracy with permuted training labels", "units": "1"},
    "p": {"long_name": "share of permuted accuracies as high as the mean", "units": "1"},
}


def decode(
    ds: xr.Dataset,
    coordinate: str = ORIENTATION,
    stimulus: str = n.GABORS,
    *,
    window: Window | None = None,
    time_course: bool = False,
    counts: Mapping[Any, int] | Literal["unexpected", "all"] | None = None,
    splits: int = 100,
    shuffles: int = 0,
    train: float = 0.75,
    penalty: float = 1.0,
    estimator: Any = None,
    seed: int | None = None,
    tracked: bool = False,
    invalid: Invalid = "drop",
    **criteria: Any,
) -> xr.Dataset:
    """Decode a coordinate of the segments from the responses of all ROIs.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    coordinate : str, optional
        The coordinate of the segments whose values are to be told apart, such as
        ``"gabor_mean_orientation"``, ``"unexpected"`` or ``"main_flow_direction"``.
    stimulus : {"gabors", "visflow"}, optional
        The stimulus.
    window : tuple of float, optional
        Where the responses begin and end, s from the start of the segment, the end excluded. By
        default (0, 0.45), and (-0.9, 0.6) for a time course.
    time_course : bool, optional
        Decode from each frame alone, instead of from all frames together.
    counts : mapping, "unexpected" or "all", optional
        How many sequences to take, at random in each division, by class. ``"unexpected"``, for the
        orientation of A, B, C or D: of each as many as there are U sequences of the orientation 90
        degrees on, so that they and U are decoded alike; it is the default for D. Otherwise all are
        taken.
    splits : int, optional
        How often the sequences are divided into those to learn from and those to test on.
    shuffles : int, optional
        How many fits with permuted training labels there are, over all divisions: none, or 20 or
        more.
    train : float, optional
        Share of the sequences to learn from.
    penalty : float, optional
        Weight of half the squared length of the decoder's weights.
    estimator : scikit-learn classifier, optional
        Anything with ``fit`` and ``predict`` that scikit-learn can clone, in place of the papers'
        decoder. It is given dF/F as it is, (sequence, ROI and frame), so scaling belongs in it.
    seed : int, optional
        Seed of divisions and permutations, with the session id mixed in; drawn anew for None. The
        attribute ``seed`` says which it was.
    tracked : bool, optional
        Take the tracked ROIs only.
    invalid : {"drop", "keep"}, optional
        As for :func:`oscaxr.sequences`: whether ROIs that the files list as invalid are left out.
    **criteria
        Further criteria on the segments (:func:`oscaxr.select_segments`). By default Gabors have
        ``gabor_kappa=16`` and ``gabor_frame="D"`` for their orientation, ``["D", "U"]`` for others;
        visual flow has ``square_size=128``. ``gabor_frame="U"`` decodes the orientation of U.

    Returns
    -------
    xarray.Dataset
        All but the last over ``rel_time``, too, for a time course:

        - ``score`` (split): balanced accuracy on the sequences to test on, 0 to 1;
        - ``mean``, ``sem``: over divisions (ddof 1);
        - ``shuffled`` (shuffle): balanced accuracy of each fit with permuted labels;
        - ``p``: the share of ``shuffled`` at or above the mean, ties counting half;
        - ``n_sequences`` (the coordinate): how many sequences of each class were taken.

    Raises
    ------
    CriterionError
        If a criterion is not known, a number cannot be used, shuffles are too few for any p to be
        significant, the classes or their sequences are too few, or no ROI is left.
    MissingVariableError
        If the segments have no such coordinate.
    MissingLibraryError
        If scikit-learn is not installed (``pip install 'oscaxr[analyses]'``).
    TrackingError
        If tracked ROIs are asked for and there are none.

    Warns
    -----
    DroppedSequencesWarning
        If windows leave the recording.
    InvalidRoiWarning
        If ROIs with NaN or infinite responses were left out; ``rois_left_out`` counts them.

    Notes
    -----
    The decoder of Gillon, Pina et al. (2024), figures 10 and 11: each ROI is centred on its median
    and divided by its spread (95th less 5th percentile) over training sequences and frames (each
    frame alone in a time course; an ROI without spread is left out of that division); then
    multinomial logistic regression with balanced classes. It is solved in the span of the training
    sequences, which gives the classes that scikit-learn gives in the space of all ROIs and frames;
    divisions, scaling and span are shared by the permutations of a division.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> found = decode(ds, gabor_frame="D", counts="all", splits=5, seed=1)
    >>> found["score"].sizes, found.attrs["chance"]
    (Frozen({'split': 5}), 0.25)
    """
    _check_arguments(window, splits, shuffles, penalty)
    seed = seed_of(seed)
    wanted = _criteria(coordinate, stimulus, criteria)
    start, stop = window or (TIME_COURSE_WINDOW if time_course else WINDOW)
    source = tracked_rois(ds) if tracked else ds
    cut = partial(sequences, source, n.DFF, pre=-start, post=stop, invalid=invalid)
    windows = cut(_segments(ds, coordinate, stimulus, wanted))
    classes, labels = np.unique(windows[coordinate].values, return_inverse=True)
    present = np.bincount(labels, minlength=len(classes))
    is_matched = counts is None and coordinate == ORIENTATION and wanted["gabor_frame"] == "D"
    taken: Ints | None = None
    if counts == "unexpected" or is_matched:
        taken = _counts_of_unexpected(ds, classes, wanted, cut)
    elif isinstance(counts, Mapping):
        taken = counts_of(counts, classes)
    elif counts not in (None, "all"):
        raise CriterionError(f"counts={counts!r}: they are a mapping, 'unexpected' or 'all'")
    check_classes(classes, present, taken, train, few(_session(ds)))
    random = generator(seed, *_session(ds))
    dealt = divisions(labels, splits, random, train=train, counts=taken)
    responses, left_out = _responses(windows, few(_session(ds)))
    decoder = _Decoder(responses, labels, len(classes), time_course, penalty, estimator)
    result = _decoded(decoder, dealt, shuffles, random)
    result["n_sequences"] = ((coordinate,), present if taken is None else taken)
    scalars = {name: coord.variable for name, coord in ds.coords.items() if not coord.dims}
    result = result.assign_coords({coordinate: classes, **scalars})
    if time_course:
        result = result.assign_coords({name: windows[name] for name in (n.REL_TIME, n.REL_FRAME)})
    for name in result.data_vars:
        result[name].attrs = _ATTRS[str(name)]
    told = {"splits": splits, "shuffles": shuffles, "train": train, "penalty": float(penalty)}
    where = {"coordinate": coordinate, "stimulus": stimulus, "window": [float(start), float(stop)]}
    where["criteria"] = ", ".join(
        f"{name}={getattr(value, '__name__', repr(value))}" for name, value in wanted.items()
    )
    rois = {"n_rois": len(responses), "rois_left_out": left_out}
    return result.assign_attrs(seed=seed, chance=1 / len(classes), **told, **where, **rois)


def _check_arguments(window: Any, splits: Any, shuffles: Any, penalty: Any) -> None:
    problems = [
        f"{name}={number!r}: it is a whole number, {least} or more"
        for name, number, least in (("splits", splits, 2), ("shuffles", shuffles, 0))
        if not isinstance(number, int | np.integer) or isinstance(number, bool) or number < least
    ]
    if not isinstance(penalty, int | float | np.number) or not 0 < penalty < np.inf:
        problems.append(f"penalty={penalty!r}: it is a number larger than 0")
    if window is not None and np.shape(window) != (2,):
        problems.append(f"window={window!r}: it is where responses begin and end, (s, s)")
    if problems:
        raise CriterionError("; ".join(problems))
    if shuffles:
        check_resolution(shuffles, "high")


def _criteria(coordinate: str, stimulus: str, criteria: dict[str, Any]) -> dict[str, Any]:
    """Return the criteria on the segments: the papers', and those asked for."""
    if stimulus not in PUBLISHED:
        raise CriterionError(f"stimulus={stimulus!r}: it is {' or '.join(PUBLISHED)}")
    frame = {"gabor_frame": "D"} if coordinate == ORIENTATION else REFERENCE[stimulus]
    return {**PUBLISHED[stimulus], **frame, **criteria}


def _session(ds: xr.Dataset) -> list[int]:
    """Return the session's id, if it has one."""
    return [int(ds["session_id"])] if "session_id" in ds.coords else []


def _segments(
    ds: xr.Dataset, coordinate: str, stimulus: str, criteria: dict[str, Any]
) -> xr.Dataset:
    """Return the segments to decode, ordered by class, then by time."""
    segments = select_segments(ds, stimulus=stimulus, **criteria)
    if coordinate not in segments.coords or segments[coordinate].dims != (n.SEGMENT,):
        columns = [name for name, coord in segments.coords.items() if coord.dims == (n.SEGMENT,)]
        raise MissingVariableError(
            f"no coordinate {coordinate!r} of segments to decode; there are {few(columns, 40)}"
        )
    if not segments.sizes[n.SEGMENT]:
        raise CriterionError(
            f"session {few(_session(ds))} has no segments of {stimulus} with {criteria}"
        )
    order = np.lexsort((segments[n.SEGMENT].values, segments[coordinate].values))
    return cast("xr.Dataset", segments.isel({n.SEGMENT: order}))


def _counts_of_unexpected(
    ds: xr.Dataset, classes: npt.NDArray[Any], criteria: dict[str, Any], cut: Any
) -> Ints:
    """Count, for each orientation of A to D, the U sequences of the orientation 90 degrees on."""
    frame = criteria.get("gabor_frame")
    if not isinstance(frame, str) or frame not in _EXPECTED:
        raise CriterionError(
            f'counts="unexpected" is for the orientation of one of the frames {[*_EXPECTED]}, not '
            f"for gabor_frame={frame!r}"
        )
    others = {name: value for name, value in criteria.items() if name != "unexpected"}
    unexpected = select_segments(ds, stimulus=n.GABORS, **{**others, "gabor_frame": "U"})
    orientations = np.empty(0)
    if unexpected.sizes[n.SEGMENT]:
        orientations = cut(unexpected)[ORIENTATION].values
    counts: Ints = (orientations == classes[:, None] + _U_ON).sum(axis=1)
    return counts


def _responses(windows: xr.DataArray, session: object) -> tuple[npt.NDArray[Any], int]:
    """Return the responses of the ROIs that have them all, (roi, sequence, frame)."""
    # Summed in float64: finite float32 numbers have no infinite sum then.
    values = windows.transpose(..., n.SEQUENCE, n.REL_TIME).values
    whole = np.isfinite(values.sum(axis=(1, 2), dtype=np.float64))
    left_out = int((~whole).sum())
    if left_out == len(values):
        raise CriterionError(f"session {session}: no ROI has responses without NaN")
    if left_out:
        warn(
            f"session {session}: {left_out} of {len(values)} ROIs have NaN or infinite responses "
            "and are not decoded from",
            InvalidRoiWarning,
        )
        values = values[whole]
    return values, left_out


class _Decoder(NamedTuple):
    """What every division is decoded with."""

    responses: npt.NDArray[Any]
    labels: Ints
    n_classes: int
    by_frame: bool
    penalty: float
    estimator: Any

    def scores(self, division: Division, shuffled: Ints) -> Floats:
        """Return the balanced accuracy (problem, labelling) of true and of permuted labels."""
        train, test = division
        labellings = np.concatenate([self.labels[None, train], shuffled])
        if self.estimator is None:
            features = self._scaled(np.concatenate([train, test]), len(train))
            span = span_of(features[:, : len(train)], features[:, len(train) :])
            logits = fitted_logits(span, labellings, self.n_classes, penalty=self.penalty)
            predicted = logits.argmax(axis=2)
        else:
            predicted = np.array(
                [
                    [self._predicted(rows[train], one, rows[test]) for one in labellings]
                    for rows in self._features(self.responses)
                ]
            )
        return _balanced_accuracy(predicted, self.labels[test])

    def _features(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Turn (roi, sequence, frame) into (problem, sequence, feature)."""
        if self.by_frame:
            return values.transpose(2, 1, 0)
        return values.transpose(1, 0, 2).reshape(1, values.shape[1], -1)

    def _scaled(self, rows: Ints, n_train: int) -> Floats:
        """Return the features of rows, each ROI scaled by those that come first, to learn from."""
        values = self.responses[:, rows].astype(np.float64)
        known = values[:, :n_train]
        known = known.swapaxes(1, 2) if self.by_frame else known.reshape(len(known), -1)
        low, middle, high = partitioned_percentiles(np.array(known), (5, 50, 95))
        spread = high - low
        factor = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)
        values -= middle.reshape(len(values), 1, -1)
        values *= factor.reshape(len(values), 1, -1)
        return self._features(values)

    def _predicted(self, known: Any, labels: Ints, unknown: Any) -> Ints:
        from sklearn.base import clone

        return np.asarray(clone(self.estimator).fit(known, labels).predict(unknown), np.intp)


def _balanced_accuracy(predicted: Ints, labels: Ints) -> Floats:
    """Return the share of right predictions (..., row) in each class, averaged over classes."""
    weights = 1 / np.bincount(labels)[labels]
    return np.asarray((predicted == labels) @ (weights / weights.sum()))


def _decoded(
    decoder: _Decoder, dealt: list[Division], shuffles: int, random: np.random.Generator
) -> xr.Dataset:
    """Decode all divisions; return scores and their statistics."""
    scores, shuffled = [], []
    for division, count in zip(dealt, _shares(shuffles, len(dealt)), strict=True):
        labels = np.tile(decoder.labels[division.train], (count, 1))
        found = decoder.scores(division, random.permuted(labels, axis=1))
        scores.append(found[:, 0])
        shuffled.append(found[:, 1:].T)
    score = np.array(scores)
    parts = {"score": score, "mean": score.mean(axis=0)}
    parts["sem"] = score.std(axis=0, ddof=1) / np.sqrt(len(score))
    if shuffles:
        parts["shuffled"] = np.concatenate(shuffled)
        parts["p"] = raw_p(share_below(parts["mean"], parts["shuffled"]), "high")
    dims = {"score": "split", "shuffled": "shuffle"}
    variables = {}
    for name, values in parts.items():
        own = [dims[name]] if name in dims else []
        wide = values if decoder.by_frame else values[..., 0]
        variables[name] = ([*own, n.REL_TIME][: wide.ndim], wide)
    return xr.Dataset(variables)


def _shares(total: int, parts: int) -> Iterator[int]:
    """Divide a number into parts as equal as can be, the larger first."""
    for part in range(parts):
        yield total // parts + (part < total % parts)
