"""Fits of many labellings at once in the span of the rows, against scikit-learn one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from how_many import examples
from oscaxr.analyses import logistic_regression as module
from oscaxr.analyses.logistic_regression import fitted_logits, span_of
from oscaxr.errors import CriterionError
from plain_decoder import logistic

pytest.importorskip("sklearn")


def probabilities(logits):
    """Of (problem, labelling, class, row), over classes."""
    powers = np.exp(logits - logits.max(axis=2, keepdims=True))
    return powers / powers.sum(axis=2, keepdims=True)


def slow_probabilities(train, test, labels, penalty):
    """One fit after the other, in the space of all features."""
    found = []
    for rows, others in zip(train, test, strict=True):
        for one in labels:
            model = logistic(1e-9, C=1 / penalty)
            found.append(model.fit(rows, one).predict_proba(others).T)
    return np.array(found).reshape(len(train), len(labels), -1, test.shape[1])


def drawn(seed, n_problems, n_rows, n_features, n_classes, n_labellings=3):
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(n_classes), random.integers(n_classes, size=n_rows)])
    centres = random.normal(size=(n_problems, n_classes, n_features))
    train = centres[:, labels] + random.normal(size=(n_problems, len(labels), n_features))
    test = random.normal(size=(n_problems, 7, n_features))
    permuted = random.permuted(np.tile(labels, (n_labellings - 1, 1)), axis=1)
    return train, test, np.concatenate([labels[None], permuted])


@given(
    seed=st.integers(0, 1000),
    n_rows=st.integers(2, 30),
    n_features=st.integers(1, 60),
    n_classes=st.integers(2, 5),
    penalty=st.sampled_from([0.1, 1.0, 10.0]),
)
@settings(max_examples=examples(40))
def test_equals_scikit_learn(seed, n_rows, n_features, n_classes, penalty):
    train, test, labels = drawn(seed, 2, n_rows, n_features, n_classes)
    logits = fitted_logits(span_of(train, test), labels, n_classes, penalty=penalty)
    slow = slow_probabilities(train, test, labels, penalty)
    found = probabilities(logits)
    np.testing.assert_allclose(found, slow, atol=1e-4)
    # The same classes, but where two are as likely as each other within the tolerance.
    first, second = np.sort(slow, axis=2)[:, :, [-1, -2]].swapaxes(0, 2)
    clear = (first - second).swapaxes(0, 1) > 1e-3
    np.testing.assert_array_equal(found.argmax(2)[clear], slow.argmax(2)[clear])


@pytest.mark.parametrize("shape", [(12, 40), (40, 12)], ids=["few rows", "few features"])
def test_the_span_has_the_products_of_the_features(shape):
    random = np.random.default_rng(0)
    train, test = random.normal(size=(2, *shape)), random.normal(size=(2, 5, shape[1]))
    train[:, 1] = train[:, 0]  # a direction less than there are rows
    span = span_of(train, test)
    assert span.train.shape[2] == min(shape)
    np.testing.assert_allclose(span.train @ span.train.mT, train @ train.mT, atol=1e-10)
    np.testing.assert_allclose(span.test @ span.train.mT, test @ train.mT, atol=1e-10)
    np.testing.assert_allclose(span.squares, np.square(span.train).sum(1), atol=1e-10)


def test_blocks_of_fits_do_not_matter(monkeypatch):
    train, test, labels = drawn(1, 6, 20, 30, 4)
    whole = fitted_logits(span_of(train, test), labels, 4)
    monkeypatch.setattr(module, "_BLOCK_BYTES", 1)
    # Each fit ends by itself, but the steps of the others may round it otherwise.
    found = fitted_logits(span_of(train, test), labels, 4)
    np.testing.assert_allclose(probabilities(found), probabilities(whole), atol=1e-10)


def test_rows_without_any_difference_have_equal_classes():
    labels = np.array([[0, 1, 2, 2]])
    logits = fitted_logits(span_of(np.ones((1, 4, 3)), np.ones((1, 2, 3))), labels, 3)
    np.testing.assert_allclose(probabilities(logits), 1 / 3, atol=1e-6)


def test_fits_without_an_end_are_refused(monkeypatch):
    monkeypatch.setattr(module, "_MOST_STEPS", 3)
    train, test, labels = drawn(1, 1, 20, 30, 4)
    with pytest.raises(CriterionError, match=r"3 of 3 fits .* larger penalty"):
        fitted_logits(span_of(train, test), labels, 4)
