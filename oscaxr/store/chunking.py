"""How long the chunks of a variable are, and how many share a file."""

import math
from collections.abc import Hashable, Mapping
from typing import Final

import xarray as xr

from oscaxr.model import names as n

# Measured on a real-size session (126,741 frames, 628 ROIs, float64, zstd), opening it and reading
# 89 windows of 60 frames, and the same with one whole ROI, ms of processor time: 256 x 32: 102, 43;
# 256 x 64: 88, 58; 128 x 64: 78, 72; 128 x 128: 69, 102. (From contiguous NWB: 51, 101.)
CHUNK_LENGTHS: Final = {
    n.TIME: 128,
    n.STIM_TIME: 131_072,
    n.ROI: 64,
    n.SEQUENCE: 128,
    n.SEGMENT: 4096,
    n.FLOW_SEGMENT: 64,
}
"""Length of a chunk along each dim; whole along others, as long as a chunk is not too big."""

MAX_CHUNK_BYTES: Final = 4 * 2**20
MAX_FILES: Final = 64
"""Variables of up to this many chunks have one file a chunk; others are sharded (zarr only)."""

SHARD_BYTES: Final = 16 * 2**20
SMALL_BYTES: Final = 2**20
"""Variables up to this size are one chunk."""


def choose_chunks(
    variable: xr.Variable, itemsize: int, lengths: Mapping[Hashable, int] | None = None
) -> tuple[int, ...]:
    """Choose the shape of the chunks of a variable."""
    lengths = lengths or {}
    whole = {dim: max(1, size) for dim, size in variable.sizes.items()}
    if math.prod(whole.values()) * itemsize > SMALL_BYTES:
        found = {dim: min(size, CHUNK_LENGTHS.get(str(dim), size)) for dim, size in whole.items()}
    else:
        found = dict(whole)
    free = [dim for dim in variable.dims if dim not in lengths]
    for dim, length in lengths.items():
        if dim in found:
            found[dim] = whole[dim] if length == -1 else min(whole[dim], int(length))
    while free and math.prod(found.values()) * itemsize > MAX_CHUNK_BYTES:
        longest = max(
            (dim for dim in free if str(dim) in CHUNK_LENGTHS), key=found.__getitem__, default=None
        )
        if longest is None or found[longest] == 1:
            longest = max(free, key=found.__getitem__)
        if found[longest] == 1:
            break
        found[longest] = -(-found[longest] // 2)
    return tuple(found.values())


def choose_shards(
    shape: tuple[int, ...], chunks: tuple[int, ...], itemsize: int
) -> tuple[int, ...] | None:
    """Choose how many chunks share a file, so that there are few files."""
    counts = [-(-size // length) for size, length in zip(shape, chunks, strict=True)]
    chunk_bytes = math.prod(chunks) * itemsize
    if math.prod(counts) <= MAX_FILES or chunk_bytes > SHARD_BYTES // 2:
        return None
    together = [1] * len(counts)
    # From the last dim on: what is together in a shard is together in the array too.
    for axis in reversed(range(len(counts))):
        room = SHARD_BYTES // (chunk_bytes * math.prod(together))
        together[axis] = max(1, min(counts[axis], room))
    return tuple(length * count for length, count in zip(chunks, together, strict=True))
