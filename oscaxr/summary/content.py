"""What a summary says, as plain words: a title, lines, and sections of rows. Prints as text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

LONGEST: Final = 200
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")

Row = tuple[str, ...]


def cleaned(value: Any, most: int = LONGEST) -> str:
    """Return a value as words on one line: those of a file may be long, or steer a terminal."""
    text = str(value)
    text = text if len(text) <= most else text[: most - 3] + "..."
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def size_text(n_bytes: int) -> str:
    """Return a size in bytes, for people."""
    size, power = float(n_bytes), 0
    while size >= 1000 and power < len(_UNITS) - 1:
        size, power = size / 1000, power + 1
    return f"{size:.3g} {_UNITS[power]}" if size < 1000 else f"{size:.0f} {_UNITS[power]}"


@dataclass(frozen=True)
class Section:
    """Rows of one kind of thing, under a heading for each column (or none), and a note.

    Where it is `folded`, a notebook shows its title until it is clicked.
    """

    title: str
    rows: Sequence[Row] = ()
    headings: Row = ()
    note: str = ""
    folded: bool = False

    def __str__(self) -> str:
        lines = [self.headings, *self.rows] if self.headings else list(self.rows)
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        shown = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n  ".join([self.title, *shown, *filter(None, [self.note])])


@dataclass(frozen=True)
class Summary:
    """What matters of one object; `picture` is SVG, and no part of the text."""

    title: str
    lines: Sequence[str]
    sections: Sequence[Section]
    picture: str = ""

    def __str__(self) -> str:
        return "\n".join(["\n  ".join([self.title, *self.lines]), *map(str, self.sections)])
