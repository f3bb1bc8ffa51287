"""A session table as it lies in its file: rows of text, none of them lost on the way."""

import io
import re
from typing import Final

import pandas as pd

from oscaxr.errors import OscaxrError, TableError, few
from oscaxr.files.remote import Place, RemoteFile

# The published table has 50 sessions and 10 kB.
_MOST_BYTES: Final = 64 * 2**20
# How a row begins that stray quotes have made part of a cell.
_ROW_IN_CELL: Final = re.compile(r"[\r\n]\s*\"?(\d{6,})\"?\s*,")


def is_table(place: Place) -> bool:
    """Say whether a name is one of a session table."""
    return place.name.lower().endswith(".csv")


def read_rows(path: Place) -> pd.DataFrame:
    """Read a table as text, its columns named as in the file, even if two have one name."""
    try:
        # Without names: two columns of one name would be given different ones.
        rows = pd.read_csv(
            io.StringIO(_text(path), newline=""), dtype=str, keep_default_na=False, header=None
        )
    except (OSError, ValueError) as error:
        if isinstance(error, OscaxrError):
            raise
        raise TableError(
            f"The session table {path} cannot be read: {error}. Give the path of mouse_df.csv, and "
            "check for commas in unquoted notes."
        ) from error
    rows = rows.fillna("")
    table = rows.iloc[1:].reset_index(drop=True).set_axis(rows.iloc[0].tolist(), axis=1)
    hidden = [number for text in rows.to_numpy().ravel() for number in _ROW_IN_CELL.findall(text)]
    if hidden:
        raise TableError(
            f"The session table {path} has cells that run over several lines and hold the rows of "
            f"{few(dict.fromkeys(hidden))}: a quote is missing, or one too many."
        )
    return table


def _text(path: Place) -> str:
    """Return the text of a file, which must be no other kind of file."""
    if isinstance(path, RemoteFile):
        content = _fetched(path)
        _refuse_other_kinds(content, content)
        return content.decode("utf-8-sig")
    content = b""
    with path.open("rb") as file:
        while block := file.read(2**20):
            content += block
            _refuse_other_kinds(block, content)
    return content.decode("utf-8-sig")


def _fetched(remote: RemoteFile) -> bytes:
    """Return what is in a file on a server, up to what is too much."""
    from oscaxr.files.direct import DirectFile

    file = DirectFile(remote)
    try:
        return file.read(0, min(file.found().size, _MOST_BYTES + 1))
    finally:
        file.close()


def _refuse_other_kinds(block: bytes, content: bytes) -> None:
    if b"\0" in block:
        raise ValueError("it is not a table in UTF-8 (there are NUL bytes)")
    if len(content) > _MOST_BYTES:
        raise ValueError(f"it has more than {_MOST_BYTES >> 20} MiB")
