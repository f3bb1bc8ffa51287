"""How an ROI tells unexpected from expected responses: an index and its permutation percentile."""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.errors import CriterionError, MissingVariableError, SessionMismatchError
from oscaxr.model import names as n
from oscaxr.model.invalid_rois import KEPT, Invalid, without_invalid

Floats = npt.NDArray[np.float64]

SIGNIFICANT_PERCENTILES: Final = (2.5, 97.5)
"""An index whose percentile lies outside of these is significant."""

# Memory for the permutations of one block, and for the responses they are applied to.
BLOCK_BYTES: Final = 64_000_000

# Sums over shuffled sequences are taken from centred responses of unit variance, so this bounds
# the rounding of their means and variances whatever the unit of the responses.
_ROUNDING: Final = 1e-13
# Variances below this are rounding: the two groups of responses are constant.
_NO_VARIANCE: Final = 1e-12

_IDENTITY: Final = ("mouse_id", "session_id", n.ROI, n.ROI_ID, n.TRACKING_ID)
_OTHER_SEQUENCE: Final = "_unexpected_sequence"


def unexpected_index(
    expected: xr.DataArray,
    unexpected: xr.DataArray,
    *,
    permutations: int = 1000,
    seed: int | Sequence[int] = 0,
    dim: Hashable = n.SEQUENCE,
    invalid: Invalid | None = None,
) -> xr.Dataset:
    """Compare unexpected with expected responses: d-prime, and its percentile among permutations.

    Parameters
    ----------
    expected, unexpected : xarray.DataArray
        Integrated responses to expected and to unexpected stimuli, of dims (roi, sequence) or
        (tracking_id, sequence) in any order, in memory or on dask. They may differ in the number
        of sequences only. Any other dims are kept likewise.
    permutations : int, optional
        How often the labels are shuffled over the sequences.
    seed : int or sequence of int, optional
        Seed of the shuffling, zero or more. The same seed gives the same shuffles for every ROI.
    dim : str, optional
        The dim that is shuffled, and goes.
    invalid : {"drop", "keep"}, optional
        What to do with ROIs that the session's files list as invalid (``listed_invalid``; original
        layout): leave them out, with a note of how many, or keep them. By default they are kept
        where they were when the sequences were extracted (the attribute ``invalid_rois_kept``),
        and else left out.

    Returns
    -------
    xarray.Dataset
        Over the dims that are left:

        - ``index`` (float64, without unit): (mean unexpected - mean expected) /
          sqrt((variance unexpected + variance expected) / 2);
        - ``percentile`` (float64, 0 to 100) of the index among those of the permutations;
        - ``significant`` (bool): the percentile is below 2.5 or above 97.5;
        - ``n_expected``, ``n_unexpected`` (int64): how many responses there were.

    Raises
    ------
    MissingVariableError
        If an array lacks `dim`.
    SessionMismatchError
        If the two are not of the same ROIs, in the same order, of the same session.
    CriterionError
        If `permutations` is not positive, or `seed` is negative.

    Notes
    -----
    The published definition: variances with ddof 0, and permutations whose index equals the actual
    one count half (within rounding: a tie is one whatever the order of summation).

    A NaN response is left out of its ROI alone, whose labels are then shuffled over the others, so
    that all permutations have as many unexpected responses as the ROI really has. Where nothing
    is left of either kind, a response is infinite, or all responses are equal, ``index`` and
    ``percentile`` are NaN. Two constant, different groups have an infinite index.

    A result depends on the responses of its own ROI and on the seed, not on how many ROIs are
    given at once, on chunks or on the memory available. Memory is bounded, beyond the responses
    themselves, by blocks of permutations.

    Examples
    --------
    >>> expected = xr.DataArray([[1.0, 2.0, 3.0, 2.0, 1.0, 3.0]], dims=("roi", "sequence"))
    >>> unexpected = xr.DataArray([[7.0, 8.0, 9.0]], dims=("roi", "sequence"))
    >>> found = unexpected_index(expected, unexpected, permutations=200)
    >>> found["index"].values.round(3), found["significant"].values
    (array([7.348]), array([ True]))
    """
    _require(expected, unexpected, dim)
    if permutations < 1:
        raise CriterionError(f"permutations={permutations}: at least one is needed")
    if np.min(seed) < 0:
        raise CriterionError(f"seed={seed!r}: it is zero or more")
    if invalid is None and any(KEPT in one.attrs for one in (expected, unexpected)):
        invalid = "keep"
    expected, unexpected = (without_invalid(one, invalid) for one in (expected, unexpected))
    bare = [array.drop_vars(_along(array, dim)) for array in (expected, unexpected)]
    parts = xr.apply_ufunc(
        _compare,
        bare[0],
        bare[1].rename({dim: _OTHER_SEQUENCE}),
        kwargs={"permutations": int(permutations), "seed": seed},
        input_core_dims=[[dim], [_OTHER_SEQUENCE]],
        output_core_dims=[[]] * 5,
        join="exact",
        dask="parallelized",
        output_dtypes=[np.float64, np.float64, np.bool_, np.int64, np.int64],
        dask_gufunc_kwargs={"allow_rechunk": True},
    )
    dims = [other for other in expected.dims if other != dim]
    result = xr.Dataset(
        {
            name: part.transpose(*dims).assign_attrs(attrs)
            for (name, attrs), part in zip(_ATTRS.items(), parts, strict=True)
        }
    )
    result.attrs = {
        "permutations": int(permutations),
        "seed": int(seed) if isinstance(seed, int | np.integer) else [int(part) for part in seed],
    }
    return result


_ATTRS: Final[dict[str, dict[str, str]]] = {
    "index": {"long_name": "unexpected-stimulus index", "units": "1"},
    "percentile": {
        "long_name": "percentile of the unexpected-stimulus index",
        "units": "1",
        "comment": "in the distribution of the index over permutations, ties counting half",
    },
    "significant": {
        "long_name": "unexpected-stimulus index is significant",
        "comment": "percentile below 2.5 or above 97.5",
    },
    "n_expected": {"long_name": "number of expected responses"},
    "n_unexpected": {"long_name": "number of unexpected responses"},
}


def _require(expected: xr.DataArray, unexpected: xr.DataArray, dim: Hashable) -> None:
    """Refuse arrays that cannot be of the same ROIs."""
    both = (expected, unexpected)
    for name, array in zip(("expected", "unexpected"), both, strict=True):
        if dim not in array.dims:
            raise MissingVariableError(f"{name} responses have no dim {dim!r}, but {array.dims}")
    problems = []
    sizes = [{str(d): size for d, size in one.sizes.items() if d != dim} for one in both]
    if sizes[0] != sizes[1]:
        problems.append(f"their sizes are {sizes[0]} and {sizes[1]}")
    else:
        names = {*_IDENTITY, *sizes[0]}
        problems += [
            f"their coordinates {name!r} differ"
            for name in sorted(names)
            if name in expected.coords
            and name in unexpected.coords
            and not expected[name].variable.equals(unexpected[name].variable)
        ]
    if problems:
        raise SessionMismatchError(
            f"expected and unexpected responses are not of the same ROIs: {'; '.join(problems)}. "
            "Take both from one session, in the same way"
        )


def _along(array: xr.DataArray, dim: Hashable) -> list[Hashable]:
    return [name for name, coord in array.coords.items() if dim in coord.dims]


class _Group(NamedTuple):
    """Columns (ROIs) that lack the same sequences, as shuffled together."""

    # `sequences` are the rows they have, `n_unexpected` of which, the last, are unexpected.

    columns: npt.NDArray[np.intp]
    sequences: npt.NDArray[np.intp]
    n_unexpected: int


def _compare(
    expected: Floats, unexpected: Floats, permutations: int, seed: int | Sequence[int]
) -> tuple[npt.NDArray[Any], ...]:
    """Return index, percentile, significance and counts of arrays of dims (..., sequence)."""
    shape = expected.shape[:-1]
    n_expected = expected.shape[-1]
    n_columns = int(np.prod(shape))
    n_sequences = n_expected + unexpected.shape[-1]
    found = np.full((2, n_columns), np.nan)
    counts = np.zeros((2, n_columns), np.int64)
    step = max(1, BLOCK_BYTES // (8 * 4 * max(1, n_sequences)))
    flat = [part.reshape(n_columns, part.shape[-1]) for part in (expected, unexpected)]
    for start in range(0, n_columns, step):
        block = slice(start, start + step)
        responses = np.concatenate([part[block].T for part in flat], dtype=np.float64)
        present = ~np.isnan(responses)
        counts[:, block] = present[:n_expected].sum(axis=0), present[n_expected:].sum(axis=0)
        for group in _groups(responses, present, n_expected):
            values = _standardised(responses[np.ix_(group.sequences, group.columns)])
            columns = start + group.columns
            found[0, columns] = _d_prime(values, group.n_unexpected)
            found[1, columns] = _percentile(values, group, n_sequences, permutations, seed)
    index, percentile = (part.reshape(shape) for part in found)
    low, high = SIGNIFICANT_PERCENTILES
    significant = (percentile < low) | (percentile > high)
    return index, percentile, significant, *(part.reshape(shape) for part in counts)


def _groups(responses: Floats, present: npt.NDArray[np.bool_], n_expected: int) -> Iterator[_Group]:
    """Group ROIs by the sequences they have, leaving out those without an index."""
    # Infinite responses have no mean; equal ones no variance and no difference.
    usable = ~np.isinf(responses).any(axis=0)
    usable &= present[:n_expected].any(axis=0) & present[n_expected:].any(axis=0)
    filled = np.where(present, responses, np.inf).min(axis=0, initial=np.inf)
    usable &= (present & (responses != filled)).any(axis=0)
    columns = np.flatnonzero(usable)
    if not columns.size:
        return
    if present[:, columns].all():
        yield _Group(columns, np.arange(len(present)), len(present) - n_expected)
        return
    patterns, inverse = np.unique(present[:, columns], axis=1, return_inverse=True)
    for number, pattern in enumerate(patterns.T):
        members = columns[inverse.ravel() == number]
        yield _Group(members, np.flatnonzero(pattern), int(pattern[n_expected:].sum()))


def _standardised(values: Floats) -> Floats:
    """Centre each column and give it unit variance: the index depends on neither."""
    values = values / np.abs(values).max(axis=0)
    values -= values.mean(axis=0)
    deviation = np.abs(values).max(axis=0)
    values /= deviation
    return cast("Floats", values / np.sqrt(np.mean(np.square(values), axis=0)))


def _d_prime(values: Floats, n_unexpected: int) -> Floats:
    """Return the index of standardised responses (sequence, roi), the last being unexpected."""
    groups = values[:-n_unexpected], values[-n_unexpected:]
    means = [group.mean(axis=0) for group in groups]
    # The mean of equal values may be off by a bit, and their variance then not quite 0.
    variances = [np.where(np.ptp(group, axis=0) == 0, 0.0, group.var(axis=0)) for group in groups]
    with np.errstate(divide="ignore"):
        index: Floats = (means[1] - means[0]) / np.sqrt((variances[0] + variances[1]) / 2)
    return index


def _percentile(
    values: Floats, group: _Group, n_sequences: int, permutations: int, seed: int | Sequence[int]
) -> Floats:
    """Return the percentile of the index of standardised responses among its permutations."""
    n_rows, n_columns = values.shape
    both = np.concatenate([values, np.square(values)], axis=1)
    totals = both.sum(axis=0)
    actual = np.zeros((1, n_rows))
    actual[:, -group.n_unexpected :] = 1.0
    index, variance = _index_of(actual @ both, totals, n_rows, group.n_unexpected)
    with np.errstate(divide="ignore", invalid="ignore"):
        tolerance = _ROUNDING * (1 / np.sqrt(variance) + np.abs(index) / variance)
    tolerance = np.where(variance > 0, tolerance, 0.0)
    below, not_above = np.zeros(n_columns), np.zeros(n_columns)
    random = np.random.default_rng(seed)
    step = max(1, BLOCK_BYTES // (8 * (4 * n_sequences + 8 * n_columns)))
    for start in range(0, permutations, step):
        count = min(step, permutations - start)
        # One number for every sequence, missing or not: the same stream whatever the block and
        # the ROI. The sequences with the smallest ones are called unexpected.
        keys = random.random((count, n_sequences))[:, group.sequences]
        chosen = np.argpartition(keys, group.n_unexpected - 1, axis=1)[:, : group.n_unexpected]
        labels = np.zeros((count, n_rows))
        np.put_along_axis(labels, chosen, 1.0, axis=1)
        shuffled, _ = _index_of(labels @ both, totals, n_rows, group.n_unexpected)
        below += (shuffled < index - tolerance).sum(axis=0)
        not_above += (shuffled <= index + tolerance).sum(axis=0)
    percentile: Floats = (below + not_above) * (50.0 / permutations)
    return percentile


def _index_of(
    sums: Floats, totals: Floats, n_rows: int, n_unexpected: int
) -> tuple[Floats, Floats]:
    """Return index and variance from sums of unexpected responses and of their squares."""
    # Both sums are side by side: (permutation, 2 x roi).
    n_columns = sums.shape[1] // 2
    of_unexpected = sums / n_unexpected
    of_expected = (totals - sums) / (n_rows - n_unexpected)
    means = of_unexpected[:, :n_columns], of_expected[:, :n_columns]
    squares = of_unexpected[:, n_columns:] + of_expected[:, n_columns:]
    variance = (squares - np.square(means[0]) - np.square(means[1])) / 2
    variance = np.where(variance < _NO_VARIANCE, 0.0, variance)
    with np.errstate(divide="ignore"):
        return (means[0] - means[1]) / np.sqrt(variance), variance
