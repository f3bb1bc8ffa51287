"""Explained variance from sums, against scikit-learn on the frames themselves, one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from how_many import examples
from oscaxr.analyses.ridge import explained, sums_of

pytest.importorskip("sklearn")
PENALTIES = np.array([1e-3, 1e-1, 10.0])


def drawn(seed, n_frames, n_predictors, n_traces, n_parts):
    random = np.random.default_rng(seed)
    x = random.normal(3, 2, size=(n_frames, n_predictors))
    y = x[:, :1] * random.normal(size=n_traces) + random.normal(5, 3, size=(n_frames, n_traces))
    return x, y, np.arange(n_frames) // 4 % n_parts


def slow_explained(x, y, parts):
    from sklearn.linear_model import Ridge

    x = (x - x.mean(axis=0)) / x.std(axis=0)

    def predicted(train, test, penalty, trace):
        model = Ridge(alpha=penalty * train.sum()).fit(x[train], y[train, trace])
        return model.predict(x[test])

    found = []
    for trace in range(y.shape[1]):
        errors, of_means = 0.0, 0.0
        for part in np.unique(parts):
            train, test = parts != part, parts == part
            inner = []
            for penalty in PENALTIES:
                total = 0.0
                for one in np.unique(parts[train]):
                    hidden = parts == one
                    guess = predicted(train & ~hidden, hidden, penalty, trace)
                    total += ((y[hidden, trace] - guess) ** 2).sum()
                inner.append(total)
            guess = predicted(train, test, PENALTIES[np.argmin(inner)], trace)
            errors += ((y[test, trace] - guess) ** 2).sum()
            of_means += ((y[test, trace] - y[train, trace].mean()) ** 2).sum()
        found.append(1 - errors / of_means)
    return found


@given(
    seed=st.integers(0, 1000),
    n_frames=st.integers(24, 60),
    n_predictors=st.integers(1, 5),
    n_parts=st.integers(3, 5),
)
@settings(max_examples=examples(40))
def test_equals_scikit_learn(seed, n_frames, n_predictors, n_parts):
    x, y, parts = drawn(seed, n_frames, n_predictors, 2, n_parts)
    blocks = [(x[:17], y[:17], parts[:17]), (x[17:], y[17:], parts[17:])]
    sums = sums_of(blocks, n_parts, n_predictors, 2).standardised()
    np.testing.assert_allclose(explained(sums, PENALTIES), slow_explained(x, y, parts), rtol=1e-7)


def test_some_predictors_only():
    x, y, parts = drawn(0, 40, 4, 3, 3)
    whole = sums_of([(x, y, parts)], 3, 4, 3).standardised()
    some = sums_of([(x[:, [0, 2]], y, parts)], 3, 2, 3).standardised()
    found = explained(whole.with_columns(np.array([0, 2])), PENALTIES)
    np.testing.assert_allclose(found, explained(some, PENALTIES))


def test_constant_predictors_and_traces():
    """A constant predictor changes nothing; a constant trace has nothing to explain."""
    x, y, parts = drawn(0, 40, 2, 2, 3)
    y[:, 1] = 0
    found = explained(sums_of([(x, y, parts)], 3, 2, 2).standardised(), PENALTIES)
    assert np.isnan(found).tolist() == [False, True]
    more = np.concatenate([x, np.full((40, 1), 7.0)], axis=1)
    with_constant = explained(sums_of([(more, y, parts)], 3, 3, 2).standardised(), PENALTIES)
    np.testing.assert_allclose(with_constant, found)
