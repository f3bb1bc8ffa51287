"""Means, errors and comparisons of groups, which several analyses have in common."""

from collections.abc import Sequence
from math import comb
from typing import Any, Final

import numpy as np

import oscaxr.analyses.chance as chance
from oscaxr.analyses.chance import Floats
from oscaxr.analyses.pooling import GROUP, PAIR, Cells
from oscaxr.select.stacking import SESSION

Variables = dict[str, tuple[tuple[str, ...], Any]]

OF_CELLS: Final = (GROUP, SESSION)
OF_PAIRS: Final = (GROUP, PAIR)


def mean_and_sem(values: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard error (ddof 1) over the first dim; NaN where they have none."""
    rest = values.shape[1:]
    n = len(values)
    mean = values.mean(axis=0) if n else np.full(rest, np.nan)
    sem = values.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.full(rest, np.nan)
    return np.asarray(mean), np.asarray(sem)


def each_mean(cells: Cells, values: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard error of values (roi, ...) of each group and session."""
    found = [mean_and_sem(values[cells.rows(*cell)]) for cell in np.ndindex(*cells.shape)]
    shape = (*cells.shape, *values.shape[1:])
    mean, sem = (np.reshape(part, shape) for part in zip(*found, strict=True))
    return mean, sem


def moments(values: Floats) -> Floats:
    """Return values and their squares (n, 2): what means and variances are made of."""
    return np.stack([values, np.square(values)], axis=-1)


def of_sums(sums: Floats, n: int, statistic: str) -> Floats:
    """Return the mean or the variance (ddof 0) from the sums of n :func:`moments`."""
    mean = sums[..., 0] / n
    return np.asarray(mean if statistic == "mean" else sums[..., 1] / n - np.square(mean))


def compare_sessions(
    cells: Cells,
    values: Floats,
    *,
    statistic: str,
    permutations: int,
    seed: int,
    comparisons: int,
) -> Variables:
    """Compare a statistic of values (roi,) between the sessions of each group, two-tailed.

    ROIs are permuted between two sessions; the values of tracked ones are exchanged within each.
    """
    pairs = cells.pairs()
    shape = (len(cells.groups), len(pairs))
    difference, share, least = (np.full(shape, np.nan) for _ in range(3))
    for group, place in np.ndindex(*shape):
        first, second = pairs[place]
        rows = cells.rows(group, first), cells.rows(group, second)
        if not (len(rows[0]) and len(rows[1])):
            continue
        if cells.tracked:
            rows = cells.paired(group, first, second)
        both = [values[own] for own in rows]
        # Centred, so that squares lose nothing by rounding.
        centre = np.concatenate(both).mean()
        one, other = (moments(own - centre) for own in both)
        n_one, n_other = map(len, both)
        ways = 2**n_one if cells.tracked else comb(n_one + n_other, n_one)
        least[group, place] = chance.least_p(ways, permutations, comparisons)
        random = chance.generator(seed, *cells.identity(group, first, second))
        total = one.sum(axis=0) + other.sum(axis=0)
        if cells.tracked:
            sums = other.sum(axis=0) - chance.swap_sums(random, permutations, other - one)
        else:
            mixed = np.concatenate([one, other])
            sums = chance.choice_sums(random, permutations, mixed, len(other))
        null = of_sums(sums, len(other), statistic) - of_sums(total - sums, len(one), statistic)
        observed = of_sums(other.sum(axis=0), len(other), statistic)
        observed = observed - of_sums(one.sum(axis=0), len(one), statistic)
        difference[group, place] = observed
        size = np.abs(np.concatenate([one, other])).mean(axis=0)
        scale = size[0 if statistic == "mean" else 1]
        share[group, place] = chance.share_below(observed, null, scale)
    return {
        "difference": (OF_PAIRS, difference),
        "difference_least_p": (OF_PAIRS, least),
        **p_values(share, OF_PAIRS, "two", comparisons, "difference_"),
    }


def p_values(
    share: Floats, dims: Sequence[str], tail: chance.Tail, comparisons: int, prefix: str = ""
) -> Variables:
    """Return raw and corrected p of the shares of nulls that lie below what was observed."""
    raw = chance.raw_p(share, tail)
    p = chance.corrected_p(raw, tail, comparisons)
    return {f"{prefix}raw_p": (tuple(dims), raw), f"{prefix}p": (tuple(dims), p)}


def checked(
    permutations: int, seed: int | None, comparisons: int, tail: chance.Tail = "two"
) -> tuple[int, int]:
    """Return the number of permutations and the seed of a comparison, if they will do."""
    permutations = chance.check_permutations(permutations)
    chance.check_resolution(permutations, tail, comparisons)
    return permutations, chance.seed_of(seed)
