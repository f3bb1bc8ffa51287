"""Blocks of a remote file kept on disk: bounded, neighbours fetched together, many at once."""

import gc
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from errno import ENOSPC
from itertools import groupby, pairwise
from tempfile import TemporaryFile
from threading import Lock
from typing import Final

from fsspec.caching import BaseCache

# More than a server like S3 serves to one reader without slowing down gains nothing.
CONNECTIONS: Final = 8
# A cut connection costs at most so much again.
LARGEST_REQUEST: Final = 8 * 2**20
# So much is fetched ahead of being read; a part of it may be in memory.
LARGEST_PREFETCH: Final = 64 * 2**20

Span = tuple[int, int]


class _Pause:
    """While any thread is in it, no thread searches for garbage by itself."""

    # Objects of h5py that are garbage are let go by whichever thread finds them, and that takes the
    # lock of the HDF5 library. A thread that reads for HDF5 has the lock, while it waits for those
    # that see to its connection: had one of them found such an object, both would wait for ever.

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._resumes = False

    def __enter__(self) -> None:
        was_enabled = gc.isenabled()
        # First of all: whoever has this lock must not find any either.
        gc.disable()
        with self._lock:
            self._inside += 1
            self._resumes |= was_enabled

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._resumes:
                self._resumes = False
                gc.enable()


_NO_GARBAGE: Final = _Pause()


class RangeCache(BaseCache):  # type: ignore[misc] # fsspec has no types
    """The most recently used blocks of a file, in a temporary file without a name."""

    # The caches of fsspec ask for one block at a time. Here blocks that are next to each other are
    # one request, and `prefetch` has several requests under way.
    # On disk, since what needs whole traces goes through them ROI by ROI: files that are stored
    # frame by frame would be fetched anew for every few ROIs if they did not fit.
    # The lock is never held while anything is fetched. A thread that reads for the HDF5 library has
    # that library's lock, and must not wait for a thread that may come to need it.

    name = "oscaxr-ranges"

    def __init__(
        self, blocksize: int, fetcher: Callable[[int, int], bytes], size: int, maxbytes: int
    ) -> None:
        super().__init__(blocksize, fetcher, size)
        self.blocksize: int = blocksize
        self.size: int = size
        self.capacity = min(LARGEST_PREFETCH, maxbytes // 2)
        self._most = max(1, maxbytes // blocksize)
        # Where each block is in the file, the least recently used one first.
        self._slots: OrderedDict[int, int] = OrderedDict()
        self._file = TemporaryFile(prefix="oscaxr-", buffering=0)  # noqa: SIM115 (closed below)
        self._lock = Lock()

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._slots.clear()
            self._file.close()

    def _fetch(self, start: int | None, stop: int | None) -> bytes:
        """Return the bytes of a range: what is not kept is fetched, in this thread."""
        first = max(0, start or 0)
        last = self.size if stop is None else min(stop, self.size)
        if first >= last:
            return b""
        wanted = range(first // self.blocksize, -(-last // self.blocksize))
        with _NO_GARBAGE:
            have = self._held(wanted)
            for span in self._spans(number for number in wanted if number not in have):
                have |= self._keep(span, self.fetcher(*span))
        blocks = [have[number] for number in wanted]
        blocks[-1] = blocks[-1][: last - wanted[-1] * self.blocksize]
        blocks[0] = blocks[0][first - wanted[0] * self.blocksize :]
        return b"".join(blocks)

    def prefetch(self, spans: Iterable[Span]) -> None:
        """Fetch what is missing of many ranges, several requests at a time."""
        numbers = {
            number
            for start, stop in spans
            for number in range(start // self.blocksize, -(-stop // self.blocksize))
        }
        missing = self._spans(self._missing(numbers))
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            fetched = pool.map(lambda span: self.fetcher(*span), missing)
            for span, data in zip(missing, fetched, strict=True):
                self._keep(span, data)

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes of a range."""
        return self._fetch(start, stop)

    def put(self, start: int, data: bytes) -> None:
        """Keep bytes that were fetched otherwise, from the start of a block on."""
        self._keep((start, start + len(data)), data)

    def _held(self, numbers: Iterable[int]) -> dict[int, bytes]:
        """Return those of some blocks that are kept."""
        held = {}
        with self._lock:
            for number in numbers:
                if number in self._slots:
                    self._slots.move_to_end(number)
                    self._file.seek(self._slots[number] * self.blocksize)
                    length = min(self.blocksize, self.size - number * self.blocksize)
                    held[number] = self._file.read(length)
        return held

    def _missing(self, numbers: Iterable[int]) -> list[int]:
        """Return those of some blocks that are not kept, in order; the others count as used."""
        with self._lock:
            kept = {number for number in numbers if number in self._slots}
            for number in sorted(kept):
                self._slots.move_to_end(number)
        return sorted(set(numbers) - kept)

    def _spans(self, numbers: Iterable[int]) -> list[Span]:
        """Join neighbouring blocks to requests of a bounded size."""
        most = max(1, LARGEST_REQUEST // self.blocksize)
        spans = []
        for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
            blocks = [number for _, number in run]
            bounds = [*range(blocks[0], blocks[-1] + 1, most), blocks[-1] + 1]
            spans += [
                (a * self.blocksize, min(b * self.blocksize, self.size))
                for a, b in pairwise(bounds)
            ]
        return spans

    def _keep(self, span: Span, data: bytes) -> dict[int, bytes]:
        first = span[0] // self.blocksize
        blocks = {
            first + i: data[offset : offset + self.blocksize]
            for i, offset in enumerate(range(0, len(data), self.blocksize))
        }
        with self._lock:
            try:
                for number, block in blocks.items():
                    slot = self._slots.pop(number, len(self._slots))
                    if slot >= self._most:
                        _, slot = self._slots.popitem(last=False)
                    self._file.seek(slot * self.blocksize)
                    if self._file.write(block) != len(block):
                        raise OSError(ENOSPC, "written in part")
                    self._slots[number] = slot
            except OSError:
                # A full disk: what is kept may be overwritten in part, so it is fetched again.
                self._slots.clear()
        return blocks
