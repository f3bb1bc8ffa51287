"""What chance gives: permutations, p values and their intervals, the same for every analysis."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, cast

import numpy as np
import numpy.typing as npt

from oscaxr.errors import CriterionError, RenamedError

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Tail = Literal["two", "high", "low"]

ALPHA: Final = 0.05
"""What is significant, before it is divided by the number of comparisons."""

BLOCK_BYTES: Final = 64_000_000
"""Memory for the permutations of one block, and what they are applied to."""

BOOTSTRAPS: Final = 10_000
"""The papers' number of bootstrap samples."""

# Permutations drawn at once: few enough to stay in the processor's cache.
_DRAWN: Final = 500
_SUMMED: Final = 250
# Sums are equal if they differ by less than this share of the largest.
_ROUNDING: Final = 1e-12
_TAILS: Final = ("two", "high", "low")
# What is said of two sessions that are compared begins with this.
_BETWEEN: Final = "difference_"
_PUBLISHED_TAILS: Final = {"2": "two", "hi": "high", "lo": "low"}


# -- random numbers ------------------------------------------------------------------------------
def seed_of(seed: int | None) -> int:
    """Return a seed, drawn anew for None: it belongs in the attributes of the result."""
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> np.uint64(1))
    if not _is_whole(seed) or seed < 0:
        raise CriterionError(f"seed={seed!r}: it is a whole number, zero or more, or None")
    return int(seed)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def generator(seed: int, *identity: int) -> np.random.Generator:
    """Return the random numbers of a session, or a group: the same whatever else is analysed.

    `identity` is what it is known by, such as the session id; it is mixed into the seed.
    """
    return np.random.default_rng((seed, *identity) if identity else seed)


def check_permutations(permutations: int) -> int:
    """Return a number of permutations, at least one."""
    if not _is_whole(permutations) or permutations < 1:
        raise CriterionError(f"permutations={permutations!r}: at least one is needed")
    return int(permutations)


def permutations_if_any(permutations: int, seed: int | None) -> dict[str, int]:
    """Return what is stated of permutations that may be none, 0: how many, and of which seed."""
    seed = seed_of(seed)
    if _is_whole(permutations) and permutations == 0:
        return {"permutations": 0}
    return {"permutations": check_permutations(permutations), "seed": seed}


def blocks(permutations: int, bytes_each: int) -> Iterator[int]:
    """Divide permutations into blocks of bounded memory, and yield how many each has."""
    step = max(1, BLOCK_BYTES // max(1, bytes_each))
    for start in range(0, permutations, step):
        yield min(step, permutations - start)


def _drawn(random: np.random.Generator, count: int, n: int, k: int) -> Iterator[npt.NDArray[Any]]:
    """Yield choices of `k` of `n` for some permutations at once, in one buffer: (k, permutation).

    The first steps of a shuffle (Fisher and Yates), each for all permutations of a block.
    """
    width = max(1, min(count, _DRAWN, BLOCK_BYTES // (8 * n + 24 * k + 1)))
    unshuffled = np.repeat(np.arange(n, dtype=np.int16 if n < 2**15 else np.int32), width)
    pool, chosen = np.empty_like(unshuffled), np.empty((k, width), unshuffled.dtype)
    scaled, places = np.empty((width, k), np.uint64), np.empty((k, width), np.uint64)
    steps = np.arange(k, dtype=np.uint64)
    for start in range(0, count, width):
        size = min(width, count - start)
        # Each step swaps its own place with itself or a later one.
        keys = random.integers(1 << 32, size=(size, k), dtype=np.uint32)
        np.multiply(keys, n - steps, out=scaled[:size])
        scaled >>= np.uint64(32)
        np.add(scaled.T, steps[:, None], out=places)
        places *= np.uint64(width)
        places += np.arange(width, dtype=np.uint64)
        np.copyto(pool, unshuffled)
        for step, swapped in enumerate(places.view(np.intp)):
            pool.take(swapped, out=chosen[step], mode="clip")
            pool[swapped] = pool[step * width : (step + 1) * width]
        yield chosen[:, :size]


def choice_sums(random: np.random.Generator, permutations: int, values: Floats, k: int) -> Floats:
    """Return the sums of `k` of the values (n, ...), chosen at random `permutations` times."""
    n = len(values)
    # To choose the others is the same, and takes fewer steps where they are few.
    fewer = min(k, n - k)
    drawn = _drawn(random, permutations, n, fewer)
    sums = np.concatenate([values.take(chosen, axis=0).sum(axis=0) for chosen in drawn])
    return sums if fewer == k else np.asarray(values.sum(axis=0) - sums)


def difference_null(
    random: np.random.Generator, permutations: int, values: Floats, n_second: int
) -> Floats:
    """Return the difference of means, second minus first, of values (n,) in random groups."""
    n = len(values)
    # Centred values lose nothing by rounding where the mean is far from zero.
    centred = values - values.mean()
    sums = choice_sums(random, permutations, centred, n_second)
    return np.asarray(sums / n_second - (centred.sum() - sums) / (n - n_second))


def choice_blocks(
    random: np.random.Generator, permutations: int, n: int, k: int, columns: int = 0
) -> Iterator[Indices]:
    """Choose `k` of `n`, each choice as likely as any other: yield (permutations of a block, k).

    They are to be summed over, in `columns` columns.
    """
    # Few enough for what is computed of the sums to stay in the processor's cache, too.
    step = max(1, BLOCK_BYTES // max(BLOCK_BYTES // _SUMMED, 64 * k + 48 * columns))
    for drawn in _drawn(random, permutations, n, k):
        chosen = drawn.T.astype(np.intp)
        for start in range(0, len(chosen), step):
            yield chosen[start : start + step]


def labels_of(chosen: Indices, n: int) -> Any:
    """Return the labels of chosen rows (permutation, k), 1 of `n`, as a sparse matrix.

    Its product with values (n, column) is their sums over these rows, in the values' precision.
    """
    from scipy.sparse import csr_array

    count, k = chosen.shape
    starts = np.arange(count + 1, dtype=np.int32) * k
    # Few of the labels are 1: a sparse product is twice as fast as a dense one.
    ones = np.ones(chosen.size, np.float32)
    return csr_array((ones, chosen.astype(np.int32).ravel(), starts), (count, n))


def swap_sums(random: np.random.Generator, permutations: int, values: Floats) -> Floats:
    """Return sums of values (n, columns) over a random half: each row is in it or not, by a coin.

    Of shape (permutations, columns). Where the values are what exchanging the two members of a
    pair changes, this is what exchanging them at random changes.
    """
    n, columns = values.shape
    sums = np.empty((permutations, columns))
    done = 0
    for count in blocks(permutations, 12 * n + 8 * columns):
        # Of a dtype whose stream does not depend on how many are drawn at once.
        coins = random.integers(2, size=(count, n), dtype=np.uint32)
        sums[done : done + count] = coins.astype(np.float64) @ values
        done += count
    return sums


def shuffled_products(
    random: np.random.Generator, permutations: int, fixed: Floats, shuffled: Floats
) -> Floats:
    """Return the sums of products of values (n,) with others in random orders: (permutations,)."""
    n = len(fixed)
    products = [
        random.permuted(np.broadcast_to(shuffled, (count, n)), axis=1) @ fixed
        for count in blocks(permutations, 16 * max(1, n))
    ]
    return np.concatenate(products)


def bootstrap(
    random: np.random.Generator,
    values: Floats,
    statistic: Callable[[Floats], Floats],
    samples: int = BOOTSTRAPS,
) -> Floats:
    """Return a statistic of rows of the values (n, ...), drawn with replacement: (samples, ...).

    The statistic takes (samples of a block, n, ...) and reduces the second dim.
    """
    n = len(values)
    parts = [
        statistic(values[random.integers(n, size=(count, n))])
        for count in blocks(samples, 24 * max(1, values.size))
    ]
    return np.concatenate(parts)


# -- p values ------------------------------------------------------------------------------------
def check_tail(tail: str) -> Tail:
    """Return which tails of a null distribution count."""
    if tail in _TAILS:
        return cast("Tail", tail)
    if str(tail) in _PUBLISHED_TAILS:
        raise RenamedError(f'tail={tail!r} is now tail="{_PUBLISHED_TAILS[str(tail)]}"')
    raise CriterionError(f"tail={tail!r}: it is 'two', 'high' or 'low'")


def check_comparisons(comparisons: int) -> int:
    """Return a number of comparisons, at least one."""
    if not _is_whole(comparisons) or comparisons < 1:
        raise CriterionError(f"comparisons={comparisons!r}: a whole number, at least 1, is needed")
    return int(comparisons)


def share_below(observed: Any, null: Floats, scale: Any = 0.0) -> Floats:
    """Return the share of a null (permutation, ...) below what was observed, ties counting half.

    Equal within rounding is equal; `scale` is the size of what was subtracted to get them, which
    rounding is relative to. NaN where the observed value or a permuted one is NaN.
    """
    observed = np.asarray(observed, np.float64)
    largest = np.maximum(np.maximum(np.abs(observed), np.abs(null).max(axis=0)), scale)
    rounding = np.where(np.isfinite(largest), _ROUNDING * largest, 0.0)
    below = (null < observed - rounding).mean(axis=0)
    not_above = (null <= observed + rounding).mean(axis=0)
    unknown = np.isnan(observed) | np.isnan(null).any(axis=0)
    return np.where(unknown, np.nan, (below + not_above) / 2)


def raw_p(share: Any, tail: Tail = "two") -> Floats:
    """Return the share of the null at least as extreme, in the nearer tail if both count."""
    share = np.asarray(share, np.float64)
    sides = {"two": np.minimum(share, 1 - share), "high": 1 - share, "low": share}
    return np.asarray(sides[check_tail(tail)])


def corrected_p(raw: Any, tail: Tail = "two", comparisons: int = 1) -> Floats:
    """Return p of a share of the null: for both tails, and all comparisons (Bonferroni)."""
    factor = check_comparisons(comparisons) * (2 if check_tail(tail) == "two" else 1)
    return np.minimum(np.asarray(raw, np.float64) * factor, 1.0)


def check_resolution(
    permutations: int, tail: Tail = "two", comparisons: int = 1, alpha: float = ALPHA
) -> None:
    """Refuse permutations too few for any to lie beyond the corrected bounds."""
    share = alpha / check_comparisons(comparisons) / (2 if check_tail(tail) == "two" else 1)
    # Rounding is no reason to refuse the number that the message asks for.
    least = int(np.ceil(1 / share - 1e-9))
    if permutations < least:
        raise CriterionError(
            f"{permutations} permutations cannot resolve p < {alpha:g} in {comparisons} "
            f"comparison(s), tail={tail!r}: {least} or more are needed. Give more permutations, or "
            "fewer comparisons"
        )


def resolution(permutations: int, factor: float = 1.0) -> float:
    """Return the p below which permutations cannot tell, corrected by a factor."""
    return min(1.0, factor / (permutations + 1))


def least_p(arrangements: int, permutations: int, comparisons: int) -> float:
    """Return the least two-tailed p that there can be, however large an effect is.

    Of the arrangements that labels can have at all, the one observed is a tie, and counts half.
    """
    raw = max(1 / (2 * arrangements), resolution(permutations))
    return float(corrected_p(raw, "two", comparisons))


def permutations_of(attrs: Mapping[Any, Any], name: str) -> tuple[int, float]:
    """Return of how many permutations a p of a result is, and how it was corrected.

    None, 0, if it is of no permutations. The attributes are those of the result.
    """
    is_between = name.startswith(_BETWEEN)
    kind = name.removeprefix(_BETWEEN)
    if kind not in ("p", "raw_p"):
        return 0, 1.0
    own = [attrs.get(word) for word in ("sequence_permutations", "shuffles", "permutations")]
    counts = [int(one) for one in (own[-1:] if is_between else own) if one]
    if not counts:
        return 0, 1.0
    # What compares sessions always has two tails; decoding has the upper one.
    tail = "two" if is_between else attrs.get("tail", "high" if "shuffles" in attrs else "two")
    factor = attrs.get("comparisons", 1) * (2 if tail == "two" else 1)
    return counts[0], 1.0 if kind == "raw_p" else float(factor)


def null_interval(
    null: Floats, tail: Tail = "two", comparisons: int = 1, alpha: float = ALPHA
) -> Floats:
    """Return the lower bound, the median and the upper bound of a null (permutation, ...).

    Of shape (..., 3). What lies outside is significant after correction; with one tail, the other
    bound is the null's extreme. NaN where a permuted value is NaN.
    """
    check_resolution(len(null), tail, comparisons, alpha)
    outside = 100 * alpha / comparisons
    bounds: dict[str, tuple[float, float, float]] = {
        "two": (outside / 2, 50.0, 100 - outside / 2),
        "high": (0.0, 50.0, 100 - outside),
        "low": (outside, 50.0, 100.0),
    }
    return np.moveaxis(np.percentile(null, bounds[check_tail(tail)], axis=0), 0, -1)


def q_values(p: Any) -> Floats:
    """Return q of each p (Benjamini and Hochberg): the false discovery rate if it counts; NaN stay.

    All p of the array are of one family.
    """
    from scipy.stats import false_discovery_control

    p = np.asarray(p, np.float64)
    known = ~np.isnan(p)
    q = np.full(p.shape, np.nan)
    if known.any():
        q[known] = false_discovery_control(p[known])
    return q


# -- counts --------------------------------------------------------------------------------------
def binomial_interval(n: Any, share: Any, comparisons: int = 1, alpha: float = ALPHA) -> Floats:
    """Return lower bound, median and upper bound of the share of `n` that has a probability."""
    from scipy.stats import binom

    outside = alpha / check_comparisons(comparisons)
    n, share = (np.asarray(part, np.float64)[..., None] for part in (n, share))
    with np.errstate(invalid="ignore"):
        return np.asarray(binom.ppf([outside / 2, 0.5, 1 - outside / 2], n, share) / n, np.float64)


def binomial_raw_p(count: Any, n: Any, share: Any) -> Floats:
    """Return how likely a count at least as extreme is, on its own side, if `share` is true."""
    from scipy.stats import binom

    count = np.asarray(count)
    return np.asarray(
        np.minimum(binom.cdf(count, n, share), binom.sf(count - 1, n, share)), np.float64
    )
