"""What is installed here: the versions that a report of a fault has to tell."""

import platform
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Final, TextIO

# Extras that bring no library of their own, or none that a session goes through.
_NOT_LISTED: Final = frozenset({"all", "docs"})
_REQUIREMENT: Final = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)(?:.*\bextra == ['\"](?P<extra>.+)['\"])?"
)


def show_versions(file: TextIO | None = None) -> None:
    """Print which versions are installed of oscaxr and of all that it uses.

    A report of a fault needs it, and so does whoever wants to repeat what was computed.

    Parameters
    ----------
    file : text stream, optional
        Where it goes; standard output unless given.

    Notes
    -----
    Required packages stand first, then optional ones, None where one is not installed. The
    libraries in C are those that h5py and netCDF4 bring: two HDF5 libraries in one process are
    usual, and mostly at peace.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ox.show_versions()
    oscaxr: ...
    python: 3...
    """
    parts = (_of_the_system(), _of_libraries(), _of_packages(optional=False))
    for part in (*parts, _of_packages(optional=True)):
        for name, found in part:
            print(f"{name}: {found}", file=file)
        print(file=file)


def _of_the_system() -> Iterator[tuple[str, str | None]]:
    """Give oscaxr, Python and the machine."""
    yield "oscaxr", version("oscaxr")
    yield "python", f"{platform.python_version()} ({platform.python_implementation()})"
    yield "platform", platform.platform()
    yield "machine", f"{platform.machine()}, {sys.byteorder}-endian"


def _of_libraries() -> Iterator[tuple[str, str | None]]:
    """Give the libraries in C; None where what brings one cannot be imported."""
    found: dict[str, str | None] = dict.fromkeys(("HDF5 (h5py)", "HDF5 (netCDF4)", "netCDF"))
    # A broken installation is what such a report is about: an OSError is one that lacks a library.
    with suppress(ImportError, OSError):
        import h5py

        found["HDF5 (h5py)"] = h5py.version.hdf5_version
    with suppress(ImportError, OSError):
        import netCDF4

        found["HDF5 (netCDF4)"] = netCDF4.__hdf5libversion__
        found["netCDF"] = netCDF4.__netcdf4libversion__
    yield from found.items()


def _of_packages(*, optional: bool) -> Iterator[tuple[str, str | None]]:
    """Give what oscaxr says that it needs, or can use, in the order of its names."""
    named = [_REQUIREMENT.match(one) for one in requires("oscaxr") or ()]
    parts = [(one["name"], one["extra"]) for one in named if one and one["name"] != "oscaxr"]
    needed = {name for name, extra in parts if extra is None}
    extras = {name for name, extra in parts if extra and extra not in _NOT_LISTED}
    for name in sorted(extras - needed if optional else needed, key=str.casefold):
        try:
            yield name, version(name)
        except PackageNotFoundError:
            yield name, None
