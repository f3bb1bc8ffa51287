"""Indices of two groups of responses among those of shuffled labels, in plain arrays."""

from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from oscaxr.analyses.chance import BLOCK_BYTES, choice_blocks, sums_of

Floats = npt.NDArray[np.float64]
Operation = Literal["d-prime", "diff", "rel_diff"]

# Sums over shuffled sequences are taken from centred responses of unit variance, so this bounds
# the rounding of their means and variances whatever the unit of the responses.
_ROUNDING: Final = 1e-13
# Variances below this are rounding: the two groups of responses are constant.
_NO_VARIANCE: Final = 1e-12
_SINGLE: Final = float(np.finfo(np.float32).eps)


class Responses(NamedTuple):
    """Responses (sequence, ROI), of which the last `n_second` are of the second group."""

    # They are `scale` x (values + `offset`): the values are centred and of unit variance.
    values: Floats
    n_second: int
    offset: Floats
    scale: Floats


def standardised(values: Floats, n_second: int) -> Responses:
    """Centre each column and give it unit variance; constant ones become zeros."""
    largest = _or_one(np.abs(values).max(axis=0))
    values = values / largest
    centre = np.where(np.ptp(values, axis=0) == 0, values[0], values.mean(axis=0))
    values -= centre
    deviation = _or_one(np.abs(values).max(axis=0))
    values /= deviation
    spread = _or_one(np.sqrt(np.mean(np.square(values), axis=0)))
    scale = deviation * spread
    return Responses(values / spread, n_second, centre / scale, largest * scale)


def _or_one(values: Floats) -> Floats:
    return np.where(values > 0, values, 1.0)


def index_of(responses: Responses, operation: Operation) -> Floats:
    """Return the index of each column."""
    parts = responses.values[: -responses.n_second], responses.values[-responses.n_second :]
    means = [part.mean(axis=0) for part in parts]
    difference = means[1] - means[0]
    if operation == "diff":
        return np.asarray(difference * responses.scale)
    if operation == "rel_diff":
        both = _or_nan(means[1] + means[0] + 2 * responses.offset, responses.offset)
        return np.asarray(difference / both)
    # The mean of equal values may be off by a bit, and their variance then not quite 0.
    variances = [np.where(np.ptp(part, axis=0) == 0, 0.0, part.var(axis=0)) for part in parts]
    with np.errstate(divide="ignore"):
        return np.asarray(difference / np.sqrt((variances[0] + variances[1]) / 2))


def _or_nan(both: npt.NDArray[Any], offset: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the sum of two means, NaN where it is 0 but for rounding."""
    return np.where(np.abs(both) > _ROUNDING * (1 + np.abs(2 * offset)), both, np.nan)


class _Sums(NamedTuple):
    """How the index, but for its unit, follows from sums over the smaller of the two groups."""

    n_rows: int
    n_chosen: int
    sign: int
    operation: Operation

    @property
    def weight(self) -> float:
        return 1 / self.n_chosen + 1 / (self.n_rows - self.n_chosen)

    def quotient(
        self, sums: npt.NDArray[Any], squares: npt.NDArray[Any], offset: npt.NDArray[Any]
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return difference and denominator; all values sum to 0, and their squares to `n_rows`."""
        ours, others = 1 / self.n_chosen, 1 / (self.n_rows - self.n_chosen)
        difference = sums * (self.sign * self.weight)
        if self.operation == "diff":
            return difference, np.ones_like(difference)
        if self.operation == "rel_diff":
            return difference, _or_nan(sums * (ours - others) + 2 * offset, offset)
        variance = squares * (ours - others)
        variance += self.n_rows * others
        variance -= np.square(sums) * (ours**2 + others**2)
        variance /= 2
        return difference, np.sqrt(np.where(variance < _NO_VARIANCE, 0.0, variance))

    def rounding(
        self, index: npt.NDArray[Any], denominator: npt.NDArray[Any], offset: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """Return a bound of what single precision may change in an index."""
        # A sum of k products is off by k eps times the sum of their sizes, which, as all squares
        # sum to `n_rows`, is at most sqrt(k n); that of squares n. Twice that, to be safe.
        eps = 2 * (self.n_chosen + 4) * _SINGLE * self.weight
        of_difference = eps * np.sqrt(self.n_chosen * self.n_rows)
        if self.operation == "diff":
            return np.full_like(index, of_difference)
        if self.operation == "rel_diff":
            of_denominator = of_difference + 16 * _SINGLE * np.abs(offset)
        else:
            largest_mean = np.sqrt(self.n_rows / self.n_chosen)
            of_variance = eps * self.n_rows + 2 * largest_mean * of_difference
            of_denominator = of_variance / denominator
        bound = (of_difference + np.abs(index) * of_denominator) / np.abs(denominator)
        return np.asarray(bound)


def percentile_of(
    responses: Responses, operation: Operation, permutations: int, random: np.random.Generator
) -> Floats:
    """Return the percentile of each column's index among those of shuffled labels."""
    values, n_second, offset, _ = responses
    n_rows, n_columns = values.shape
    # To choose the others is the same, and takes fewer steps where they are few.
    is_second = n_second <= n_rows - n_second
    how = _Sums(n_rows, min(n_second, n_rows - n_second), 1 if is_second else -1, operation)
    actual = values[-n_second:] if is_second else values[:-n_second]
    with np.errstate(divide="ignore", invalid="ignore"):
        difference, divisor = how.quotient(
            actual.sum(axis=0), np.square(actual).sum(axis=0), offset
        )
        index = difference / divisor
        tolerance = _ROUNDING * (1 / np.abs(divisor) + np.abs(index) / np.square(divisor))
    tolerance = np.where(divisor == 0, 0.0, tolerance)
    bounds = index - tolerance, index + tolerance
    powers = [values, np.square(values)] if operation == "d-prime" else [values]
    single = [one.astype(np.float32) for one in powers]
    small = index.astype(np.float32), offset.astype(np.float32)
    twice, unknown = np.zeros((2, n_columns))
    for chosen in choice_blocks(random, permutations, n_rows, how.n_chosen, 2 * n_columns):
        # Nearly all are decided in single precision, which takes half the time.
        coarse = [sums_of(chosen, one) for one in single]
        is_below, is_open = _decided(coarse, how, *small)
        twice += 2.0 * np.count_nonzero(is_below, axis=0)
        rows, columns = np.nonzero(is_open)
        step = max(1, BLOCK_BYTES // (64 * how.n_chosen))
        for start in range(0, len(rows), step):
            column = columns[start : start + step]
            own = values[chosen[rows[start : start + step]], column[:, np.newaxis]]
            sums = own.sum(axis=1), np.square(own).sum(axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                shuffled = np.divide(*how.quotient(*sums, offset[column]))
            score = [shuffled < bounds[0][column], shuffled <= bounds[1][column]]
            twice += np.bincount(column, np.sum(score, axis=0), n_columns)
            unknown += np.bincount(column, np.isnan(shuffled), n_columns)
    return np.where(unknown > 0, np.nan, twice * (50.0 / permutations))


def _decided(
    sums: list[npt.NDArray[np.float32]],
    how: _Sums,
    index: npt.NDArray[np.float32],
    offset: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which shuffled indices are clearly below the index, and which are not clear."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        difference, divisor = how.quotient(sums[0], sums[-1], offset)
        difference /= divisor
        rounding = how.rounding(difference, divisor, offset)
        rounding += 4 * _SINGLE * np.abs(index)
        difference -= index
        is_below = difference < -rounding
        return is_below, ~(is_below | (difference > rounding))
