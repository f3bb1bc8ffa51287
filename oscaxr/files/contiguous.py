"""Reading data that lie in one piece of a local file, straight into the result.

No memory map: a file that is cut short under a map ends the process, and what is mapped counts as
its memory.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Final

import numpy as np

from oscaxr.arrays.lazy import Array, positions, read_increasing, read_runs, runs_of
from oscaxr.files.chunks import (
    THREADED_BYTES,
    Contiguous,
    Indices,
    LocalFile,
    in_threads,
    parts_for_threads,
)

# To read on costs less than to ask again where no more than this lies between.
_NEAR_BYTES: Final = 2**13
# Read at a time where not all columns are wanted: what the processor's caches hold.
_BLOCK_BYTES: Final = 2**20


def read_contiguous(file: LocalFile, storage: Contiguous, indices: Indices) -> Array:
    """Read the outer product of the indices."""
    rows = _Rows(file, storage)
    first = positions(indices[0], storage.shape[0])
    cuts = np.flatnonzero(np.diff(first) != 1) + 1
    whole = all(
        isinstance(index, slice) and index.indices(size) == (0, size, 1)
        for index, size in zip(indices[1:], storage.shape[1:], strict=True)
    )
    if whole and len(first) * storage.row_bytes >= len(cuts) * _NEAR_BYTES:
        return rows.runs(first, cuts)
    cell = storage.row_bytes // storage.shape[1] if len(storage.shape) > 1 else 1
    near = [max(1, _NEAR_BYTES // size) for size in (storage.row_bytes, cell)][: len(indices)]
    widths = [*near, *storage.shape[2:]]
    return read_increasing(
        lambda rising: read_runs(rows, runs_of(rising, storage.shape, widths), storage.dtype),
        indices,
    )


class _Rows:
    """Data in one piece, as an array that takes slices."""

    def __init__(self, file: LocalFile, storage: Contiguous) -> None:
        self.file = file
        self.storage = storage
        self.row_bytes = storage.row_bytes

    def runs(self, rows: Array, cuts: Array) -> Array:
        """Read whole rows; between the cuts, each follows the one before."""
        out = np.empty((len(rows), *self.storage.shape[1:]), self.storage.dtype)
        if out.nbytes > THREADED_BYTES:
            shares = [part.start for part in parts_for_threads(len(rows))]
            cuts = np.union1d(cuts, shares[1:])
        bounds = list(pairwise([0, *cuts.tolist(), len(rows)]))

        def fill(part: slice) -> None:
            for a, b in bounds[part]:
                self._read(out[a:b], int(rows[a]) * self.row_bytes)

        self._shared(fill, len(bounds), out.nbytes)
        return out

    def __getitem__(self, covering: tuple[slice, ...]) -> Array:
        rows, *rest = covering
        out = np.empty([part.stop - part.start for part in covering], self.storage.dtype)
        wanted_bytes = out[:1].nbytes
        if len(rest) == 1 and self.row_bytes - wanted_bytes > _NEAR_BYTES:
            before = rest[0].start * self.storage.dtype.itemsize

            def fill(part: slice) -> None:
                for i in range(part.start, part.stop):
                    self._read(out[i], (rows.start + i) * self.row_bytes + before)

        else:
            step = max(1, _BLOCK_BYTES // self.row_bytes)

            def fill(part: slice) -> None:
                block = np.empty((step, *self.storage.shape[1:]), self.storage.dtype)
                for a in range(part.start, part.stop, step):
                    b = min(a + step, part.stop)
                    self._read(block[: b - a], (rows.start + a) * self.row_bytes)
                    out[a:b] = block[(slice(b - a), *rest)]

        self._shared(fill, len(out), len(out) * self.row_bytes)
        return out

    def _read(self, out: Array, offset: int) -> None:
        self.file.read_into(out, self.storage.offset + offset)

    def _shared(self, fill: Callable[[slice], None], length: int, n_bytes: int) -> None:
        """Share out a range between the threads, where that is worth it."""
        in_threads(
            fill, parts_for_threads(length) if n_bytes > THREADED_BYTES else [slice(0, length)]
        )
