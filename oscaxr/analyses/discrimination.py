"""How each ROI tells two groups of responses apart: an index and its permutation percentile."""

from collections.abc import Hashable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from oscaxr.analyses.chance import (
    BLOCK_BYTES,
    check_resolution,
    generator,
    permutations_if_any,
)
from oscaxr.analyses.shuffled_indices import (
    Operation,
    index_of,
    null_of,
    percentile_of,
    standardised,
)
from oscaxr.arrays.columns import thread_count
from oscaxr.errors import CriterionError, MissingVariableError, SessionMismatchError
from oscaxr.model import names as n
from oscaxr.model.invalid_rois import KEPT, Invalid, without_invalid

Floats = npt.NDArray[np.float64]

OPERATIONS: Final = ("d-prime", "diff", "rel_diff")
"""The indices of the papers."""
GROUP: Final = "group"
"""The dim of two groups of responses."""

SIGNIFICANT_PERCENTILES: Final = (2.5, 97.5)
"""An index whose percentile lies outside of these is significant."""

_IDENTITY: Final = ("mouse_id", "session_id", n.ROI, n.ROI_ID, n.TRACKING_ID)
# Of either group: a mean needs one, a variance two.
_LEAST_RESPONSES: Final = {"d-prime": 2, "diff": 1, "rel_diff": 1}
_OTHER_SEQUENCE: Final = "_second_sequence"
_PERMUTATION: Final = "permutation"


def discrimination_index(
    first: xr.DataArray,
    second: xr.DataArray,
    *,
    operation: Operation = "d-prime",
    permutations: int = 0,
    seed: int | None = None,
    dim: Hashable = n.SEQUENCE,
    invalid: Invalid | None = None,
    keep_null: bool = False,
) -> xr.Dataset:
    """Compare two groups of responses of each ROI: an index, and its percentile among permutations.

    Parameters
    ----------
    first, second : xarray.DataArray
        Integrated responses, such as the groups of :func:`split`, of dims (roi, sequence) or
        (tracking_id, sequence) in any order, in memory or on dask. They may differ in the number
        of sequences only. Any other dims are kept likewise.
    operation : {"d-prime", "diff", "rel_diff"}, optional
        What is computed of the means m and variances v (ddof 0) of the two groups:
        (m2 - m1) / sqrt((v2 + v1) / 2), m2 - m1, or (m2 - m1) / (m2 + m1).
    permutations : int, optional
        How often the labels are shuffled over the sequences, 40 times or more, with which an index
        can be significant; 0 gives the index alone.
    seed : int, optional
        Seed of the shuffling, zero or more; drawn anew by default. The session id, where it is a
        coordinate, is mixed into it, so that the shuffles of different sessions are independent.
        The same seed gives the same shuffles for every ROI.
    dim : str, optional
        The dim that is shuffled, and goes.
    invalid : {"drop", "keep"}, optional
        What to do with ROIs that the session's files list as invalid (``listed_invalid``; original
        layout): leave them out, with a note of how many, or keep them. By default they are kept
        where they were when the sequences were extracted (the attribute ``invalid_rois_kept``),
        and else left out.
    keep_null : bool, optional
        Whether to return the indices of the shuffled labels, too: 8 bytes for each permutation and
        ROI, so choose ROIs first where there are many.

    Returns
    -------
    xarray.Dataset
        Over the dims that are left:

        - ``index`` (float64): without unit; for ``"diff"`` in that of the responses;
        - ``percentile`` (float64, 0 to 100) of the index among those of the permutations;
        - ``significant`` (bool): the percentile is below 2.5 or above 97.5;
        - ``n_sequences`` (int64, with the dim ``group``): how many responses there were;
        - ``null`` (float64, with the dim ``permutation``), if asked for: the index of each
          permutation, of which ``percentile`` follows.

        Without permutations, no percentile and significance. The attributes ``operation``,
        ``permutations`` and ``seed`` say how it was made.

    Raises
    ------
    MissingVariableError
        If an array lacks `dim`.
    SessionMismatchError
        If the two are not of the same ROIs, in the same order, of the same session.
    CriterionError
        If `operation` is not known, `permutations` or `seed` is no number that it may be, there
        are too few permutations for any index to be significant, none of which to keep the null,
        or a group has no responses, or for d-prime, which needs their variance, fewer than two.

    Notes
    -----
    The definitions of Gillon, Pina et al. (2024): permutations whose index equals the actual one
    count half (within rounding: a tie is one whatever the order of summation).

    A NaN response is left out of its ROI alone, whose labels are then shuffled over the others, so
    that all permutations have as many responses of each group as the ROI really has. Where nothing
    is left of either group (for d-prime one response, which has no variance), or a response is
    infinite, ``index`` and ``percentile`` are NaN, and so they are of what has no such index:
    d-prime of responses that are all equal, the relative difference of means whose sum is 0. Two
    constant, different groups have an infinite d-prime.

    A result depends on the responses of its own ROI and on the seed, not on how many ROIs are
    given at once, on chunks or on the memory available. Memory is bounded, beyond the responses
    themselves, by blocks of permutations.

    Examples
    --------
    >>> expected = xr.DataArray([[1.0, 2.0, 3.0, 2.0, 1.0, 3.0]], dims=("roi", "sequence"))
    >>> unexpected = xr.DataArray([[7.0, 8.0, 9.0]], dims=("roi", "sequence"))
    >>> found = discrimination_index(expected, unexpected, permutations=200, seed=0)
    >>> found["index"].values.round(3), found["significant"].values
    (array([7.348]), array([ True]))
    """
    _require_responses(first, second, dim, operation)
    told: dict[str, Any] = {"operation": operation, **permutations_if_any(permutations, seed)}
    if told["permutations"]:
        # With fewer, an index beyond all of them would be called significant.
        check_resolution(permutations)
    elif keep_null:
        raise CriterionError("keep_null=True needs permutations: give how many, 40 or more")
    if invalid is None and any(KEPT in one.attrs for one in (first, second)):
        invalid = "keep"
    first, second = (without_invalid(one, invalid) for one in (first, second))
    bare = [array.drop_vars(_along(array, dim)) for array in (first, second)]
    session = first.coords.get("session_id")
    kwargs = {
        "operation": operation,
        "permutations": told["permutations"],
        "seed": (told.get("seed", 0), *([int(session)] if session is not None else [])),
        "keep_null": keep_null,
    }
    kinds = _KINDS[: 4 + keep_null]
    parts = xr.apply_ufunc(
        _compare,
        bare[0],
        bare[1].rename({dim: _OTHER_SEQUENCE}),
        kwargs=kwargs,
        input_core_dims=[[dim], [_OTHER_SEQUENCE]],
        output_core_dims=[core for core, _ in kinds],
        join="exact",
        dask="parallelized",
        output_dtypes=[dtype for _, dtype in kinds],
        dask_gufunc_kwargs={
            "allow_rechunk": True,
            "output_sizes": {GROUP: 2, **({_PERMUTATION: permutations} if keep_null else {})},
        },
    )
    dims = [GROUP, *(other for other in first.dims if other != dim), _PERMUTATION]
    result = xr.Dataset(
        {
            name: part.transpose(*dims, missing_dims="ignore").assign_attrs(attrs)
            for (name, attrs), part in zip(_ATTRS.items(), parts, strict=False)
        },
        attrs=told,
    )
    if operation == "diff":
        for name in {"index", "null"} & {*result}:
            result[name].attrs["units"] = first.attrs.get("units", "1")
    result = result.assign_coords({GROUP: ["first", "second"]})
    return result if told["permutations"] else result.drop_vars(["percentile", "significant"])


_ATTRS: Final[dict[str, dict[str, str]]] = {
    "index": {"long_name": "discrimination index", "units": "1"},
    "percentile": {
        "long_name": "percentile of the index",
        "units": "1",
        "comment": "in the distribution of the index over permutations, ties counting half",
    },
    "significant": {
        "long_name": "index is significant",
        "comment": "percentile below 2.5 or above 97.5",
    },
    "n_sequences": {"long_name": "number of responses"},
    "null": {"long_name": "index of shuffled labels", "units": "1"},
}
# Of each of these, the dims of its own and the dtype.
_KINDS: Final[tuple[tuple[list[str], Any], ...]] = (
    ([], np.float64),
    ([], np.float64),
    ([], np.bool_),
    ([GROUP], np.int64),
    ([_PERMUTATION], np.float64),
)


def _require(first: xr.DataArray, second: xr.DataArray, dim: Hashable) -> None:
    """Refuse arrays that cannot be of the same ROIs."""
    both = (first, second)
    for name, array in zip(("first", "second"), both, strict=True):
        if dim not in array.dims:
            raise MissingVariableError(
                f"the {name} responses have no dim {dim!r}, but {array.dims}"
            )
    problems = []
    sizes = [{str(d): size for d, size in one.sizes.items() if d != dim} for one in both]
    if sizes[0] != sizes[1]:
        problems.append(f"their sizes are {sizes[0]} and {sizes[1]}")
    else:
        names = {*_IDENTITY, *sizes[0]}
        problems += [
            f"their coordinates {name!r} differ"
            for name in sorted(names)
            if name in first.coords
            and name in second.coords
            and not first[name].variable.equals(second[name].variable)
        ]
    if problems:
        raise SessionMismatchError(
            f"the two groups of responses are not of the same ROIs: {'; '.join(problems)}. "
            "Take both from one session, in the same way"
        )


def _require_responses(
    first: xr.DataArray, second: xr.DataArray, dim: Hashable, operation: Operation
) -> None:
    """Refuse groups of too few responses: the variance of one value is no variance."""
    if operation not in OPERATIONS:
        words = ", ".join(map(repr, OPERATIONS))
        raise CriterionError(f"operation={operation!r} is not known; it may be {words}")
    _require(first, second, dim)
    least = _LEAST_RESPONSES[operation]
    for name, array in zip(("first", "second"), (first, second), strict=True):
        if array.sizes[dim] < least:
            raise CriterionError(
                f"operation={operation!r} needs {least} or more responses in each group, but there "
                f"are {array.sizes[dim]} {array.attrs.get(GROUP, name)} ones: take more segments"
                + (", or 'diff' or 'rel_diff', which need no variance" if least > 1 else "")
            )


def _along(array: xr.DataArray, dim: Hashable) -> list[Hashable]:
    return [name for name, coord in array.coords.variables.items() if dim in coord.dims]


def _compare(
    first: Floats,
    second: Floats,
    operation: Operation,
    permutations: int,
    seed: tuple[int, ...],
    keep_null: bool,
) -> tuple[npt.NDArray[Any], ...]:
    """Return index, percentile, significance, counts, null of arrays of dims (..., sequence)."""
    shape = first.shape[:-1]
    n_first = first.shape[-1]
    n_columns = int(np.prod(shape))
    indices = np.full((2, n_columns), np.nan)
    counts = np.zeros((n_columns, 2), np.int64)
    null = np.full((n_columns, permutations if keep_null else 0), np.nan)
    step = max(1, BLOCK_BYTES // (8 * 4 * max(1, n_first + second.shape[-1])))
    flat = [part.reshape(n_columns, part.shape[-1]) for part in (first, second)]
    for start in range(0, n_columns, step):
        block = slice(start, start + step)
        responses = np.concatenate([part[block].T for part in flat], dtype=np.float64)
        present = ~np.isnan(responses)
        counts[block] = np.stack([present[:n_first].sum(0), present[n_first:].sum(0)], axis=1)
        for rows, columns in _patterns(responses, present, n_first, operation):
            n_second = int((rows >= n_first).sum())
            is_whole = (rows.size, columns.size) == responses.shape
            own = responses if is_whole else responses[np.ix_(rows, columns)]
            group = standardised(own, n_second)
            indices[0, start + columns] = index_of(group, operation)
            if permutations:
                # All ROIs have the same shuffles, drawn anew.
                indices[1, start + columns] = percentile_of(
                    group, operation, permutations, generator(*seed), thread_count()
                )
            if keep_null:
                shuffled = null_of(group, operation, permutations, generator(*seed))
                null[start + columns] = shuffled.T
    index, percentile = indices
    percentile[np.isnan(index)] = np.nan
    low, high = SIGNIFICANT_PERCENTILES
    significant = (percentile < low) | (percentile > high)
    found = [part.reshape(shape) for part in (index, percentile, significant)]
    found += [counts.reshape(*shape, 2), null.reshape(*shape, null.shape[-1])]
    return tuple(found[: 4 + keep_null])


def _patterns(
    responses: Floats, present: npt.NDArray[np.bool_], n_first: int, operation: Operation
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Yield the sequences and the ROIs that have just these, leaving out those without an index."""
    # Infinite responses have no mean; equal ones no variance and no difference.
    usable = ~np.isinf(responses).any(axis=0)
    for group in (present[:n_first], present[n_first:]):
        usable &= group.sum(axis=0) >= _LEAST_RESPONSES[operation]
    if operation == "d-prime":
        least = np.where(present, responses, np.inf).min(axis=0, initial=np.inf)
        usable &= (present & (responses != least)).any(axis=0)
    columns = np.flatnonzero(usable)
    if not columns.size:
        return
    if present[:, columns].all():
        yield np.arange(len(present)), columns
        return
    patterns, inverse = np.unique(present[:, columns], axis=1, return_inverse=True)
    for number, pattern in enumerate(patterns.T):
        yield np.flatnonzero(pattern), columns[inverse.ravel() == number]
