"""Ridge regression of many traces on few predictors, tested on parts that it was not fitted to.

All of it comes from sums over the frames of each part, so that a recording is gone through once,
whatever the number of models, penalties and parts.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


class Sums(NamedTuple):
    """Sums over frames of predictors x and traces y, each by part: (part, ...)."""

    n: Floats
    x: Floats
    y: Floats
    xx: Floats
    xy: Floats
    yy: Floats

    def of(self, parts: Ints) -> "Sums":
        """Return the sums over some parts together."""
        return Sums(*(one[parts].sum(axis=0) for one in self))

    def with_columns(self, columns: Ints) -> "Sums":
        """Return the sums of some predictors only."""
        return self._replace(
            x=self.x[:, columns],
            xx=self.xx[:, columns[:, None], columns],
            xy=self.xy[:, columns],
        )

    def standardised(self) -> "Sums":
        """Give predictors unit variance over all frames; constant ones become zero."""
        whole = self.of(np.arange(len(self.n)))
        variance = np.diagonal(whole.xx) / whole.n - (whole.x / whole.n) ** 2
        varies = variance > 1e-12 * (np.diagonal(whole.xx) / whole.n)
        scale = np.divide(1, np.sqrt(variance, where=varies, out=np.ones_like(variance)))
        scale = np.where(varies, scale, 0.0)
        return self._replace(
            x=self.x * scale,
            xx=self.xx * scale[:, None] * scale,
            xy=self.xy * scale[:, None],
        )


def sums_of(
    blocks: Iterable[tuple[Floats, Floats, Ints]], n_parts: int, n_predictors: int, n_traces: int
) -> Sums:
    """Sum over blocks of predictors (frame, predictor), traces (frame, trace) and parts (frame)."""
    p, r = n_predictors, n_traces
    shapes = ((), (p,), (r,), (p, p), (p, r), (r,))
    found = Sums(*(np.zeros((n_parts, *shape)) for shape in shapes))
    for x, y, parts in blocks:
        for part in np.unique(parts):
            own = parts == part
            xs, ys = x[own], y[own]
            found.n[part] += len(xs)
            found.x[part] += xs.sum(axis=0)
            found.y[part] += ys.sum(axis=0)
            found.xx[part] += xs.T @ xs
            found.xy[part] += xs.T @ ys
            found.yy[part] += np.einsum("tr,tr->r", ys, ys)
    return found


def explained(sums: Sums, penalties: Floats) -> Floats:
    """Return how much of the variance of each trace is explained where it was not fitted: (trace).

    Every part is predicted from a fit to the others; the penalty of each trace is the one that
    predicts those best, each from the rest of them. 1 less the squared errors of the predictions
    over those of the mean of the parts fitted to.
    """
    parts = np.arange(len(sums.n))
    errors, of_means = np.zeros((2, sums.y.shape[1]))
    for part in parts:
        others = parts[parts != part]
        within = [
            _errors(sums.of(np.array([one])), _Fit.to(sums.of(others[others != one]), penalties))
            for one in others
        ]
        best = np.sum(within, axis=0).argmin(axis=0)
        fit = _Fit.to(sums.of(others), penalties)
        own = sums.of(np.array([part]))
        errors += np.take_along_axis(_errors(own, fit), best[None], axis=0)[0]
        of_means += _centred(own, fit).yy
    share = np.divide(errors, of_means, out=np.full_like(errors, np.nan), where=of_means > 0)
    return np.asarray(1 - share)


class _Fit(NamedTuple):
    """Weights (penalty, predictor, trace) and the means that they are about."""

    weights: Floats
    x: Floats
    y: Floats

    @classmethod
    def to(cls, sums: Sums, penalties: Floats) -> "_Fit":
        """Fit to sums; penalties are as many times the number of frames."""
        fit = cls(np.empty(0), sums.x / sums.n, sums.y / sums.n)
        about = _centred(sums, fit)
        variances, axes = np.linalg.eigh(about.xx)
        inverse = 1 / (np.maximum(variances, 0) + penalties[:, None] * sums.n)
        return fit._replace(weights=axes @ (inverse[..., None] * (axes.T @ about.xy)))


def _centred(sums: Sums, fit: _Fit) -> Sums:
    """Return the sums about the means of a fit."""
    x, y = sums.x - sums.n * fit.x, sums.y - sums.n * fit.y
    return sums._replace(
        x=x,
        y=y,
        xx=sums.xx - np.outer(sums.x, fit.x) - np.outer(fit.x, x),
        xy=sums.xy - np.outer(sums.x, fit.y) - np.outer(fit.x, y),
        yy=sums.yy - fit.y * (sums.y + y),
    )


def _errors(sums: Sums, fit: _Fit) -> Floats:
    """Return the squared errors of predictions of a fit, (penalty, trace)."""
    about = _centred(sums, fit)
    half = about.xx @ fit.weights - 2 * about.xy
    return np.asarray(about.yy + np.einsum("kpr,kpr->kr", fit.weights, half))
