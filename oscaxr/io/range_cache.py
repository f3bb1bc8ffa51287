"""Blocks of a remote file in memory: bounded, neighbours fetched together, many at once."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, pairwise
from threading import Lock
from typing import Final

from fsspec.caching import BaseCache

# More than a server like S3 serves to one reader without slowing down gains nothing.
CONNECTIONS: Final = 8
# A cut connection costs at most so much again.
LARGEST_REQUEST: Final = 8 * 2**20

Span = tuple[int, int]


class RangeCache(BaseCache):  # type: ignore[misc] # fsspec has no types
    """The most recently used blocks of a file.

    Parameters
    ----------
    blocksize : int
        Bytes of a block.
    fetcher : callable
        Takes start and end, returns the bytes between them.
    size : int
        Bytes of the file.
    maxbytes : int
        Bytes to keep.

    Notes
    -----
    The caches of fsspec ask for one block at a time. Here blocks that are next to each other are
    one request, and :meth:`prefetch` has several requests under way.

    The lock is never held while anything is fetched. A thread that reads for the HDF5 library has
    that library's lock, and must not wait for a thread that may come to need it.
    """

    name = "oscaxr-ranges"

    def __init__(
        self, blocksize: int, fetcher: Callable[[int, int], bytes], size: int, maxbytes: int
    ) -> None:
        super().__init__(blocksize, fetcher, size)
        self.maxbytes = maxbytes
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._lock = Lock()

    def _fetch(self, start: int | None, stop: int | None) -> bytes:
        """Return the bytes of a range: what is not in memory is fetched, in this thread."""
        first = max(0, start or 0)
        last = self.size if stop is None else min(stop, self.size)
        if first >= last:
            return b""
        wanted = range(first // self.blocksize, -(-last // self.blocksize))
        have = self._held(wanted)
        for span in self._spans(number for number in wanted if number not in have):
            have |= self._keep(span, self.fetcher(*span))
        whole = b"".join(have[number] for number in wanted)
        offset = wanted[0] * self.blocksize
        return whole[first - offset : last - offset]

    def prefetch(self, spans: Iterable[Span]) -> None:
        """Fetch what is missing of many ranges, several requests at a time.

        Parameters
        ----------
        spans : iterable of (int, int)
            Start and end of each range; together no more than fit.
        """
        numbers = {
            number
            for start, stop in spans
            for number in range(start // self.blocksize, -(-stop // self.blocksize))
        }
        have = self._held(numbers)
        missing = self._spans(sorted(numbers - set(have)))
        if len(missing) > 1:
            with ThreadPoolExecutor(min(CONNECTIONS, len(missing))) as pool:
                for span, data in zip(
                    missing, pool.map(lambda span: self.fetcher(*span), missing), strict=True
                ):
                    self._keep(span, data)
        elif missing:
            self._keep(missing[0], self.fetcher(*missing[0]))

    def put(self, start: int, data: bytes) -> None:
        """Keep bytes that were fetched otherwise, from the start of a block on."""
        self._keep((start, start + len(data)), data)

    def _held(self, numbers: Iterable[int]) -> dict[int, bytes]:
        with self._lock:
            held = {number: self._blocks[number] for number in numbers if number in self._blocks}
            for number in held:
                self._blocks.move_to_end(number)
        return held

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
            self._blocks |= blocks
            while len(self._blocks) * self.blocksize > max(self.maxbytes, self.blocksize):
                self._blocks.popitem(last=False)
        return blocks
