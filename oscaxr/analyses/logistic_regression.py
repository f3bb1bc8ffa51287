"""Multinomial logistic regression of many labellings at once, solved in the span of the rows."""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from oscaxr.errors import CriterionError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

# A fit ends when its logits are certain to be this near to those of the best one: the loss is
# strongly convex, so that weights are no further from the best ones than the gradient is long.
_LOGIT_TOLERANCE: Final = 1e-4
_MOST_STEPS: Final = 2000
_HISTORY: Final = 5
# Of a loss, its last bits: it cannot be seen to fall by less.
_ROUNDING: Final = 1e-14
# Of the weights, the gradients and the history of a block of fits: they stay in the cache.
_BLOCK_BYTES: Final = 3_000_000
# The curvature that a fitted row typically has, p (1 - p): of the steps' scale, not of the result.
_TYPICAL_CURVATURE: Final = 0.01


class Span(NamedTuple):
    """Features of rows in the basis of their own span: few numbers a row, the same products."""

    train: Floats
    """(problem, row, component)"""
    test: Floats
    squares: Floats
    """Sum over training rows of the squares of each component, (problem, component)."""


def span_of(train: Floats, test: Floats) -> Span:
    """Turn features (problem, row, feature) into components: as many as rows, or features, at most.

    A linear model with a penalty on the length of its weights has weights within the span of the
    training rows, so that its fits and its predictions are the same in these components.
    """
    n_rows, n_features = train.shape[1:]
    if n_features < n_rows:
        squares, axes = np.linalg.eigh(train.mT @ train)
        return Span(train @ axes, test @ axes, np.maximum(squares, 0))
    squares, axes = np.linalg.eigh(train @ train.mT)
    # Directions that the rows have by rounding only are none.
    real = squares > squares[:, -1:] * (n_rows * np.finfo(float).eps)
    squares = np.where(real, squares, 0)
    lengths = np.sqrt(squares)
    inverse = np.divide(1, lengths, out=np.zeros_like(lengths), where=real)
    return Span(axes * lengths[:, None], test @ train.mT @ axes * inverse[:, None], squares)


def fitted_logits(span: Span, labels: Ints, n_classes: int, *, penalty: float = 1.0) -> Floats:
    """Fit every labelling of the training rows; return the logits of the test rows.

    Parameters
    ----------
    span : Span
        Training and test rows of each problem.
    labels : ndarray of int
        (labelling, row): classes of the training rows, 0 to `n_classes` - 1, those of each
        labelling as often as of the others.
    n_classes : int
        How many classes there are.
    penalty : float, optional
        Weight of half the squared length of the weights (the inverse of scikit-learn's ``C``).

    Returns
    -------
    ndarray
        (problem, labelling, class, test row), up to a number that all classes share.

    Notes
    -----
    The model of ``sklearn.linear_model.LogisticRegression(class_weight="balanced")``, of two
    classes too, where only the difference of their weights is penalised there.
    """
    counts = np.bincount(labels[0], minlength=n_classes)
    balanced = labels.shape[1] / (n_classes * counts)
    strength = penalty * (2 if n_classes == 2 else 1)
    of_one_fit = 8 * (span.train.shape[2] + 1) * n_classes * (2 * _HISTORY + 8)
    most = max(1, _BLOCK_BYTES // of_one_fit)
    many = min(len(labels), most)
    found = np.empty((len(span.train), len(labels), n_classes, span.test.shape[1]))
    for start in range(0, len(labels), many):
        some = labels[start : start + many]
        targets = (some[:, None] == np.arange(n_classes)[:, None]).astype(np.float64)
        for first in range(0, len(span.train), most // many):
            own = slice(first, first + most // many)
            part = Span(*(each[own] for each in span))
            found[own, start : start + many] = _logits(part, targets, balanced[some], strength)
    return found


def _logits(span: Span, targets: Floats, weights: Floats, penalty: float) -> Floats:
    """Fit a block; return the logits of the test rows."""
    # Components are scaled so that the loss is about as curved along each of them.
    scale = 1 / np.sqrt(penalty + _TYPICAL_CURVATURE * span.squares)
    longest = np.sqrt(np.square(span.train).sum(2).max(1)) + 1
    loss = _Loss(
        _with_constant(span.train * scale[:, None]),
        targets,
        weights,
        np.pad(penalty * scale**2, ((0, 0), (0, 1)))[:, None, None],
    )
    lengths = np.pad(1 / scale, ((0, 0), (0, 1)), constant_values=1)[:, None, None]
    best = _minimised(loss, lengths, _LOGIT_TOLERANCE * penalty / longest)
    return _product(best, _with_constant(span.test * scale[:, None]).mT)


def _with_constant(rows: Floats) -> Floats:
    return np.concatenate([rows, np.ones((*rows.shape[:2], 1))], axis=2)


def _product(many: Floats, matrix: Floats) -> Floats:
    """Multiply (problem, labelling, class, a) with (problem, a, b)."""
    flat = many.reshape(len(many), -1, many.shape[3])
    return (flat @ matrix).reshape(*many.shape[:3], -1)


class _Loss(NamedTuple):
    """Penalised negative log likelihood of weights (problem, labelling, class, component)."""

    rows: Floats
    targets: Floats
    row_weights: Floats
    penalty: Floats

    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.targets.shape[:2], self.rows.shape[2])

    def __call__(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return loss (problem, labelling) and gradient."""
        logits = _product(weights, self.rows.mT)
        logits -= logits.max(2, keepdims=True)
        of_target = np.einsum("plcr,lcr->plr", logits, self.targets)
        residual = np.exp(logits, out=logits)
        total = residual.sum(2, keepdims=True)
        loss = np.vecdot(np.log(total[:, :, 0]) - of_target, self.row_weights)
        residual *= self.row_weights[:, None] / total
        residual -= self.row_weights[:, None] * self.targets
        gradient = _product(residual, self.rows)
        pull = self.penalty * weights
        gradient += pull
        return loss + _dot(pull, weights) / 2, gradient


def _dot(one: Floats, other: Floats) -> Floats:
    """Multiply the weights of each problem and labelling, and sum."""
    shape = (*one.shape[:2], -1)
    return np.asarray(np.vecdot(one.reshape(shape), other.reshape(shape)))


def _spread(numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return numbers[:, :, None, None]


def _minimised(loss: _Loss, lengths: Floats, tolerance: Floats) -> Floats:
    """Minimise by L-BFGS, every problem and labelling at a pace of its own."""
    weights = np.zeros(loss.shape())
    value, gradient = loss(weights)
    history: list[tuple[Floats, Floats, Floats]] = []
    scale = 1 / np.maximum(np.sqrt(_dot(gradient, gradient)), 1e-300)
    direction = -gradient * _spread(scale)
    step = np.ones_like(value)
    for _ in range(_MOST_STEPS):
        scaled = gradient * lengths
        moving = np.sqrt(_dot(scaled, scaled)) > tolerance[:, None]
        if not moving.any():
            return weights
        trial = weights + _spread(step * moving) * direction
        there, slope = loss(trial)
        # Those that do not fall as they should stay, and go half as far next time.
        falls = there <= value + 1e-4 * step * _dot(direction, gradient) + _ROUNDING * abs(value)
        falls &= moving
        stay = _spread(~falls)
        np.copyto(trial, weights, where=stay)
        np.copyto(slope, gradient, where=stay)
        moved, turned = trial - weights, slope - gradient
        weights, gradient, value = trial, slope, np.where(falls, there, value)
        curvature = _dot(moved, turned)
        bent = curvature > 0
        inverse = np.divide(1, curvature, out=np.zeros_like(curvature), where=bent)
        history = [*history[1 - _HISTORY :], (moved, turned, inverse)]
        scale = np.divide(curvature, _dot(turned, turned), out=scale, where=bent)
        before, direction = direction, _direction(gradient, history, scale)
        np.copyto(direction, before, where=stay)
        step = np.where(falls, 1.0, step / 2)
    raise CriterionError(
        f"{moving.sum()} of {moving.size} fits did not come to an end in {_MOST_STEPS} steps: "
        "give a larger penalty"
    )


def _direction(
    gradient: Floats, history: list[tuple[Floats, Floats, Floats]], scale: Floats
) -> Floats:
    """Return the direction to go: minus the gradient times an approximate inverse curvature."""
    direction = -gradient
    taken = []
    for moved, turned, inverse in reversed(history):
        part = inverse * _dot(moved, direction)
        direction -= _spread(part) * turned
        taken.append(part)
    direction *= _spread(scale)
    for (moved, turned, inverse), part in zip(history, reversed(taken), strict=True):
        direction += _spread(part - inverse * _dot(turned, direction)) * moved
    return direction
