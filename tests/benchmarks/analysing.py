"""The unexpected-stimulus index, against a plain loop over permutations.

Neither side has products that libraries of linear algebra would take several threads for.
"""

import time
from typing import Any

import numpy as np

import oscaxr as ox
from task import Case, Work, task

PERMUTATIONS, LOOPED = 10_000, 30

Array = np.ndarray[Any, Any]


def d_prime(first: Array, second: Array) -> Array:
    """Return the index of each ROI, of responses (ROI, sequence)."""
    variance = (second.var(axis=1) + first.var(axis=1)) / 2
    return np.asarray((second.mean(axis=1) - first.mean(axis=1)) / np.sqrt(variance))


def plain_loop(case: Case, found: dict[str, Array]) -> float:
    """Shuffle the labels anew for each permutation; return the seconds that all of them take."""
    start = time.perf_counter()
    first, second = (part.values for part in ox.analyses.split(case.ds, scale=False).values())
    pooled = np.concatenate([first, second], axis=1)
    index, n_second = d_prime(first, second), second.shape[1]
    once = time.perf_counter() - start
    random, below = np.random.default_rng(0), np.zeros(len(pooled))
    start = time.perf_counter()
    for _ in range(LOOPED):
        shuffled = pooled[:, random.permutation(pooled.shape[1])]
        below += d_prime(shuffled[:, n_second:], shuffled[:, :n_second]) < index
    looped = time.perf_counter() - start
    np.testing.assert_allclose(found["index"], index, rtol=1e-9)
    # A few permutations and all of them agree, within the error of the few.
    share = np.clip(found["percentile"] / 100, 0.05, 0.95)
    error = np.sqrt(share * (1 - share) / LOOPED)
    assert (np.abs(below / LOOPED - found["percentile"] / 100) < 5 * error + 1 / LOOPED).all()
    return once + looped * PERMUTATIONS / LOOPED


@task("USI, 10,000 permutations", "analyses", ("contiguous",))
def usi(case: Case) -> Work:
    found: dict[str, Array] = {}

    def ours() -> float:
        start = time.perf_counter()
        result = ox.analyses.usi(case.ds, permutations=PERMUTATIONS, seed=0)
        found.update({name: result[name].values for name in ("index", "percentile")})
        return time.perf_counter() - start

    return Work(ours, lambda: plain_loop(case, found), times_itself=True)
