"""Arrays of a text pickle that differ in their content alone: most of a log is made of these.

One pattern takes each of a hundred thousand, which opcode by opcode takes ten times as long.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from oscaxr.errors import FormatError
from oscaxr.formats.original.stored_arrays import QuotedText, StoredArray, StoredDtype

# What the memo may get, or not; and an array as Python 2 wrote it, once its parts are in the memo.
_PUT: Final = rb"(?:p(\d{1,9})\n)?+"
_HEAD: Final = rb"g%b\n\(g%b\n\(I0\nt{put}g%b\nt{put}R{put}\(I1\n\(%bt{put}g%b\nI0%b\nS".replace(
    b"{put}", _PUT
)
_TAIL: Final = rb"\n" + _PUT + rb"t" + _PUT + rb"b"
_NUMBER: Final = rb"(\d{1,9})"
_ANY_HEAD: Final = re.compile(
    _HEAD.replace(_PUT, rb"(?:p\d{1,9}\n)?+")
    % (_NUMBER, _NUMBER, _NUMBER, rb"((?:I\d{1,9}\n){0,8}+)", _NUMBER, rb"([01])")
)
_FIRST: Final = (0,)
# To make a pattern takes as long as to do without one for some arrays.
_MOST_PATTERNS: Final = 100
_SHORT: Final = 50  # bytes


@dataclass(frozen=True)
class _Like:
    """What arrays have in common."""

    numbers: tuple[int, ...]
    shape: tuple[int, ...]
    is_fortran: bool
    head: re.Pattern[bytes]
    tail: re.Pattern[bytes]


class SimilarArrays:
    """Takes similar arrays out of a pickle, and puts into its memo what is new."""

    def __init__(self, content: bytes, memo: dict[int, Any], maker: Any, kind: Any) -> None:
        self._content = content
        self._memo = memo
        self._named = (maker, kind)
        self._known: dict[tuple[bytes, ...], _Like] = {}

    def take(self, position: int) -> tuple[list[StoredArray], int]:
        """Return the arrays that begin at a place, appended one by one to a list, and their end."""
        like = self._like(position)
        parts = like and [self._memo.get(number) for number in like.numbers]
        if not like or not parts or parts[:2] != [*self._named]:
            return [], position
        letter, dtype = parts[2:]
        head = like.head.match(self._content, position)
        if type(letter) is not str or type(dtype) is not StoredDtype or head is None:
            return [], position
        found = self._take(like, letter, dtype, head)
        if [self._memo.get(number) for number in like.numbers] != parts:
            raise FormatError("it gives a number of its memo to several things")
        return found

    def _like(self, position: int) -> _Like | None:
        found = _ANY_HEAD.match(self._content, position)
        if found is None:
            return None
        parts = found.groups()
        if parts not in self._known and len(self._known) < _MOST_PATTERNS:
            maker, kind, letter, sizes, dtype, order = parts
            head = _HEAD % parts
            self._known[parts] = _Like(
                numbers=tuple(map(int, (maker, kind, letter, dtype))),
                shape=tuple(int(size[1:]) for size in sizes.split()),
                is_fortran=order == b"1",
                head=re.compile(head),
                tail=re.compile(_TAIL + rb"(a" + head + rb")?+"),
            )
        return self._known.get(parts)

    def _take(
        self, like: _Like, letter: str, dtype: StoredDtype, head: re.Match[bytes]
    ) -> tuple[list[StoredArray], int]:
        content, memo = self._content, self._memo
        arrays: list[StoredArray] = []
        start, given, new, form = head.groups()
        arguments = (self._named[1], _FIRST, letter)
        position, begin = head.start(), head.end()
        while True:
            end = content.find(b"\n", begin)
            tail = like.tail.match(content, end)
            # Between quotes of one kind.
            if tail is None or content[begin] != content[end - 1] or content[begin] not in b"'\"":
                return arrays, position
            text, state, following, *numbers = tail.groups()
            data: Any = QuotedText(content, begin + 1, end - 1)
            if end - begin < _SHORT:
                data = data.text
            array = StoredArray(like.shape, dtype, like.is_fortran, data)
            if start:
                memo[int(start)] = _FIRST
            if given:
                memo[int(given)] = arguments
            if new:
                memo[int(new)] = array
            if form:
                memo[int(form)] = like.shape
            if text:
                memo[int(text)] = data
            if state:
                memo[int(state)] = (1, like.shape, dtype, like.is_fortran, data)
            arrays.append(array)
            if following is None:
                return arrays, tail.end()
            start, given, new, form = numbers
            position, begin = tail.start(3), tail.end()
