"""Percentiles that are decided in single precision where they can be, against plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from how_many import examples
from oscaxr.analyses import chance, shuffled_indices
from oscaxr.analyses.discrimination import OPERATIONS
from oscaxr.analyses.shuffled_indices import (
    _Decision,
    _Sums,
    index_of,
    percentile_of,
    standardised,
)


def plain_index(first, second, operation):
    difference = second.mean() - first.mean()
    if operation == "diff":
        return difference
    if operation == "rel_diff":
        both = second.mean() + first.mean()
        # Relative to 0, but for rounding, there is no difference.
        return difference / both if abs(both) > 1e-12 else np.nan
    return difference / np.sqrt((second.var() + first.var()) / 2)


def columns(seed, n):
    """Responses of a few kinds: noise, heavy tails, few values, a large mean."""
    random = np.random.default_rng(seed)
    noise = random.normal(size=(n, 6))
    noise[:, 1] **= 3
    noise[:, 2] = np.round(noise[:, 2] * 2)
    noise[:, 3] += 1e4
    noise[:, 4] = random.integers(2, size=n) + 1.0
    noise[:, 5] = np.exp(3 * noise[:, 5]) * 1e-5
    return noise


@given(st.integers(0, 99), st.integers(20, 200), st.floats(0.02, 0.98), st.sampled_from(OPERATIONS))
@settings(max_examples=examples(48))
def test_equals_a_plain_loop(seed, n, share, operation):
    values, n_second = columns(seed, n), max(2, min(n - 2, round(share * n)))
    responses = standardised(values, n_second)
    index = [plain_index(c[:-n_second], c[-n_second:], operation) for c in values.T]
    np.testing.assert_allclose(index_of(responses, operation), index, rtol=1e-7, atol=1e-11)
    found = percentile_of(responses, operation, 60, chance.generator(seed))
    random, fewer = chance.generator(seed), min(n_second, n - n_second)
    score = np.zeros(len(index))
    for _ in range(60):
        (chosen,) = next(chance.choice_blocks(random, 1, n, fewer))
        one, other = values[chosen], np.delete(values, chosen, axis=0)
        first, second = (other, one) if n_second <= n - n_second else (one, other)
        for k in range(len(index)):
            shuffled = plain_index(first[:, k], second[:, k], operation)
            is_tie = np.isclose(shuffled, index[k], rtol=1e-9, atol=1e-12 if k != 3 else 1e-9)
            if np.isnan(shuffled):
                score[k] = np.nan
            score[k] += 0.5 if is_tie else float(shuffled < index[k])
    np.testing.assert_allclose(found, 100 * score / 60, atol=1e-9)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_columns_are_decided_a_few_at_a_time(operation, monkeypatch):
    responses = standardised(columns(0, 50), 7)
    options = responses, operation, 300
    whole = percentile_of(*options, chance.generator(0))
    monkeypatch.setattr(shuffled_indices, "_CACHED_BYTES", 1000)
    np.testing.assert_array_equal(percentile_of(*options, chance.generator(0)), whole)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("n_second", [30, 400, 770])
def test_single_precision_decides_rightly_and_nearly_all(operation, n_second):
    values = columns(3, 800)
    _, _, offset, _ = responses = standardised(values, n_second)
    fewer = min(n_second, 800 - n_second)
    how = _Sums(800, fewer, 1 if fewer == n_second else -1, operation)
    chosen = np.concatenate([*chance.choice_blocks(chance.generator(1), 3000, 800, fewer)])
    terms = how.terms(responses.values)
    labels = chance.labels_of(chosen, 800)
    fine = [labels @ part for part in terms]
    assert fine[0].dtype == np.float64
    exact, _ = how.exact(fine, offset)
    index = np.median(exact, axis=0)
    decide = _Decision(how, terms, index, offset)
    assert {part.dtype for part in decide.terms} == {np.dtype(np.float32)}
    is_below, is_open = decide(labels)
    decided = ~is_open
    np.testing.assert_array_equal(is_below[decided], (exact < index)[decided])
    smooth = decided[:, [0, 1, 5]] if operation != "rel_diff" else decided[:, [5]]
    assert smooth.mean() > 0.98
