"""Indices of two groups of responses among those of shuffled labels, in plain arrays."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from oscaxr.analyses.chance import BLOCK_BYTES, Indices, choice_blocks, labels_of

Floats = npt.NDArray[np.float64]
Operation = Literal["d-prime", "diff", "rel_diff"]

# Sums over shuffled sequences are taken from centred responses of unit variance, so this bounds
# the rounding of their means and variances whatever the unit of the responses.
_ROUNDING: Final = 1e-13
# Variances below this are rounding: the two groups of responses are constant.
_NO_VARIANCE: Final = 1e-12
# Half the distance of numbers near 1: by how much a result is rounded.
_SINGLE: Final = float(np.finfo(np.float32).eps) / 2
# What the second-level caches of processors hold: responses are gone through many times.
_CACHED_BYTES: Final = 3 * 2**19


class Responses(NamedTuple):
    """Responses (sequence, ROI), of which the last `n_second` are of the second group."""

    # They are `scale` x (values + `offset`): the values are centred and of unit variance.
    values: Floats
    n_second: int
    offset: Floats
    scale: Floats


def standardised(values: Floats, n_second: int) -> Responses:
    """Centre each column and give it unit variance; constant ones become zeros."""
    least, most = values.min(axis=0), values.max(axis=0)
    largest = _or_one(np.maximum(np.abs(least), np.abs(most)))
    # Near 1, so that no square of what is left after centring is too large or too small.
    values = values / largest
    centre = np.where(least == most, values[0], values.mean(axis=0))
    values -= centre
    spread = _or_one(np.sqrt(np.einsum("ij,ij->j", values, values) / len(values)))
    values /= spread
    return Responses(values, n_second, centre / spread, largest * spread)


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
    def shares(self) -> tuple[float, float]:
        """What one row counts for in the mean of the chosen rows, and of the others."""
        return 1 / self.n_chosen, 1 / (self.n_rows - self.n_chosen)

    @property
    def weight(self) -> float:
        return sum(self.shares)

    @property
    def lost(self) -> float:
        """What summed squares exceed the mean variance by, times the square of the difference."""
        ours, others = self.shares
        return (ours**2 + others**2) / (2 * self.weight**2)

    def terms(self, values: Floats) -> list[Floats]:
        """Return what is summed over the chosen rows: the difference and, for d-prime, squares.

        All values sum to 0, and their squares to `n_rows`.
        """
        difference = values * (self.sign * self.weight)
        if self.operation != "d-prime":
            return [difference]
        ours, others = self.shares
        squares = np.square(values)
        squares *= (ours - others) / 2
        squares += self.n_rows * others / (2 * self.n_chosen)
        return [difference, squares]

    def divisor(
        self, sums: Sequence[npt.NDArray[Any]], offset: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """Return what the difference is divided by."""
        if self.operation == "diff":
            return np.ones_like(sums[0])
        if self.operation == "rel_diff":
            ours, others = self.shares
            slope = (ours - others) / (self.sign * self.weight)
            return np.asarray(sums[0] * slope + 2 * offset)
        variance = np.square(sums[0])
        variance *= -self.lost
        variance += sums[1]
        return np.asarray(np.sqrt(variance, out=variance))

    def exact(self, sums: Sequence[Floats], offset: Floats) -> tuple[Floats, Floats]:
        """Return index and divisor, which is NaN or 0 where it is so but for rounding."""
        divisor = self.divisor(sums, offset)
        if self.operation == "rel_diff":
            divisor = _or_nan(divisor, offset)
        else:
            divisor = np.where(np.square(divisor) >= _NO_VARIANCE, divisor, 0.0)
        return sums[0] / divisor, divisor

    def factor(self, index: Floats) -> Floats:
        """Return what turns summed squares into the signed square of this d-prime's difference.

        To tell which of two is larger then takes neither root nor quotient.
        """
        square = np.square(index)
        return np.asarray(np.copysign(square, index) / (1 + self.lost * square))

    def rounding(self, index: Floats, offset: Floats) -> tuple[Floats, Floats]:
        """Return by how much single precision may change an excess over `index`.

        And how large a divisor must be for that.
        """
        # A sum of k terms is off by k roundings of the sum of their sizes, which, as all squares
        # sum to `n_rows`, is at most sqrt(k n) for values, and n for squares.
        relative = (self.n_chosen + 4) * _SINGLE
        largest = self.weight * np.sqrt(self.n_chosen * self.n_rows)
        of_difference = relative * largest
        least = np.zeros_like(index)
        if self.operation == "d-prime":
            squares = np.abs(self.factor(index)) * (self.n_rows * self.shares[0] / 2)
            # The sign of the excess is that of the difference where this is larger.
            reach = 1.01 * np.sqrt(squares) + 4 * of_difference
            bound = of_difference * (2 * reach + 3 * of_difference) + relative * squares
            return bound + 4 * _SINGLE * (np.square(reach) + squares), least
        if self.operation == "diff":
            return of_difference + 8 * _SINGLE * np.abs(index), least
        largest_divisor = largest + 2 * np.abs(offset)
        of_divisor = of_difference + 4 * _SINGLE * largest_divisor
        bound = of_difference + np.abs(index) * (of_divisor + 8 * _SINGLE * largest_divisor)
        return bound, 2 * of_divisor


def _sums_of(responses: Responses, operation: Operation) -> _Sums:
    values, n_second, _, _ = responses
    # To choose the others is the same, and takes fewer steps where they are few.
    is_second = n_second <= len(values) - n_second
    n_chosen = min(n_second, len(values) - n_second)
    return _Sums(len(values), n_chosen, 1 if is_second else -1, operation)


def null_of(
    responses: Responses, operation: Operation, permutations: int, random: np.random.Generator
) -> Floats:
    """Return the index of each column for shuffled labels: (permutation, column)."""
    values, _, offset, scale = responses
    how = _sums_of(responses, operation)
    terms = how.terms(values)
    drawn = choice_blocks(random, permutations, *how[:2], len(terms) * values.shape[1])
    labels = (labels_of(chosen, how.n_rows) for chosen in drawn)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [how.exact([own @ part for part in terms], offset)[0] for own in labels]
    null = np.concatenate(parts)
    return null * scale if operation == "diff" else null


def percentile_of(
    responses: Responses,
    operation: Operation,
    permutations: int,
    random: np.random.Generator,
    threads: int = 1,
) -> Floats:
    """Return the percentile of each column's index among those of shuffled labels."""
    values, n_second, offset, _ = responses
    n_rows, n_columns = values.shape
    how = _sums_of(responses, operation)
    terms = how.terms(values)
    actual = slice(-n_second, None) if how.sign > 0 else slice(-n_second)
    with np.errstate(divide="ignore", invalid="ignore"):
        index, divisor = how.exact([part[actual].sum(axis=0) for part in terms], offset)
        tolerance = _ROUNDING * (1 / np.abs(divisor) + np.abs(index) / np.square(divisor))
    tolerance = np.where(divisor == 0, 0.0, tolerance)
    bounds = index - tolerance, index + tolerance
    width = max(1, _CACHED_BYTES // (4 * n_rows * len(terms)))
    decisions = [
        _Decision(how, [part[:, columns] for part in terms], index[columns], offset[columns])
        for columns in (slice(start, start + width) for start in range(0, n_columns, width))
    ]

    def score(chosen: Indices) -> Floats:
        # Nearly all are decided in single precision, which takes half the time.
        labels = labels_of(chosen, n_rows)
        parts = [decide(labels) for decide in decisions]
        is_below, is_open = (np.hstack(part) for part in zip(*parts, strict=True))
        twice, unknown = 2.0 * np.count_nonzero(is_below, axis=0), np.zeros(n_columns)
        # Few are: in one dim they are found many times faster than in two.
        rows, columns = np.unravel_index(np.flatnonzero(is_open), is_open.shape)
        step = max(1, BLOCK_BYTES // (64 * how.n_chosen))
        for start in range(0, len(rows), step):
            column = columns[start : start + step]
            own = values[chosen[rows[start : start + step]], column[:, np.newaxis]]
            with np.errstate(divide="ignore", invalid="ignore"):
                sums = [part.sum(axis=1) for part in how.terms(own)]
                shuffled, _ = how.exact(sums, offset[column])
            found = [shuffled < bounds[0][column], shuffled <= bounds[1][column]]
            twice += np.bincount(column, np.sum(found, axis=0), n_columns)
            unknown += np.bincount(column, np.isnan(shuffled), n_columns)
        return np.stack([twice, unknown])

    drawn = choice_blocks(random, permutations, n_rows, how.n_chosen, len(terms) * n_columns)
    twice, unknown = sum(_in_threads(score, drawn, threads), np.zeros((2, n_columns)))
    return np.where(unknown > 0, np.nan, twice * (50.0 / permutations))


class _Decision:
    """Which shuffled indices of some columns are clearly below the index, and which not clear."""

    def __init__(self, how: _Sums, terms: Sequence[Floats], index: Floats, offset: Floats) -> None:
        self.how = how
        with np.errstate(invalid="ignore", over="ignore"):
            if how.operation == "d-prime":
                terms = [terms[0], terms[1] * how.factor(index)]
            bound, least = how.rounding(index, offset)
            self.terms = [part.astype(np.float32, order="C") for part in terms]
            self.index, self.offset = index.astype(np.float32), offset.astype(np.float32)
            self.bound = np.nextafter(bound.astype(np.float32), np.float32(np.inf))
            self.least = np.nextafter(least.astype(np.float32), np.float32(np.inf))

    def __call__(self, labels: Any) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        with np.errstate(invalid="ignore", over="ignore"):
            excess = self._excess([labels @ part for part in self.terms])
            is_below = excess < 0
            is_clear = np.abs(excess, out=excess) > self.bound
        is_below &= is_clear
        return is_below, np.logical_not(is_clear, out=is_clear)

    def _excess(self, sums: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        """Return what has the sign of an index less the actual one, NaN where that is not known."""
        if self.how.operation == "d-prime":
            excess: npt.NDArray[np.float32] = np.abs(sums[0])
            excess *= sums[0]
            excess -= sums[1]
            return excess
        divisor = self.how.divisor(sums, self.offset)
        excess = sums[0] - self.index * divisor
        if self.how.operation == "rel_diff":
            np.negative(excess, out=excess, where=divisor < 0)
            excess[~(np.abs(divisor) > self.least)] = np.nan
        return excess


def _in_threads(
    function: Callable[[Indices], Floats], blocks: Iterable[Indices], threads: int
) -> Iterator[Floats]:
    """Yield what a function makes of each block, of which no more than needed are drawn ahead."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Floats]] = deque()
        for block in blocks:
            waiting.append(pool.submit(function, block))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
