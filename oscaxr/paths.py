"""What the user says of places on this computer: ``~`` is the home folder, a URL is no place."""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from oscaxr.errors import PlaceError

# What a Path makes of such an address has one slash.
_FILE: Final = re.compile(r"file:/", re.IGNORECASE)
# Of two letters or more: one is a drive. A Path has lost the second slash; chained ones are parted
# by two colons (simplecache::s3://...).
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:[/:]")


def local_path(path: str | os.PathLike[Any]) -> Path:
    """Return a place on this computer; refuse what can be none, whatever the system does of it."""
    text: object = path.__fspath__() if hasattr(path, "__fspath__") else path
    if not isinstance(text, str):
        raise PlaceError(f"{path!r} is no path: give text or a pathlib.Path")
    if _FILE.match(text):
        text = _path_of(text)
    if _SCHEME.match(text):
        raise PlaceError(
            f"{text} is an address, not a place on this computer: here only places on this "
            "computer will do. (A folder whose name ends in a colon is given by its whole path.)"
        )
    try:
        if b"\0" in os.fsencode(text):
            raise PlaceError(f"{text!r} has a NUL character in it, which no file name can have")
        place = Path(text).expanduser()
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            place.lstat()
    except UnicodeEncodeError as error:
        raise PlaceError(f"{text!r} cannot be a file name: {error}") from error
    except RuntimeError as error:
        raise PlaceError(f"{text}: whose home folder is meant? {error}") from error
    except OSError as error:
        # Too long a name, too many links on the way.
        raise PlaceError(f"{text} cannot be a place on this computer: {error.strerror}") from error
    return place


def _path_of(address: str) -> str:
    """Return the path of a ``file://`` address, which has to be of this computer."""
    parts = urlsplit(address)
    if parts.netloc not in ("", "localhost"):
        raise PlaceError(f"{address} is on {parts.netloc}: here only file:///path will do")
    from urllib.request import url2pathname

    return url2pathname(address.partition(":")[2].removeprefix(f"//{parts.netloc}"))
