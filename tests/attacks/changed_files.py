"""Files that change while a Dataset of them is open: replaced, rewritten, cut, grown, removed."""

import os
import pickle
import random
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import oscaxr as ox
from oscaxr.errors import OscaxrError
from tests.attacks import Outcome

CASES = 240
QUICK = range(0, CASES, 60)

FORMS = ("contiguous", "gzip", "original", "zarr", "zarr.zip", "nc")
FRAMES = xr.DataArray(np.add.outer([500, 90, 700], np.arange(20)), dims=("window", "frame"))
READS: dict[str, Callable[[xr.Dataset], Any]] = {
    "windows": lambda ds: ds.dff.isel(time=FRAMES),
    "one ROI": lambda ds: ds.dff.isel(roi=1),
    "masks": lambda ds: ds.roi_mask,
    "pupil": lambda ds: ds.pupil_diameter,
}


def replaced(path: Path, other: Path) -> None:
    """Put another file in its place."""
    shutil.copy(other, path.with_name("new"))
    path.with_name("new").replace(path)


def replaced_at_the_same_time(path: Path, other: Path) -> None:
    """Put another file in its place, with the times of the first."""
    status = path.stat()
    replaced(path, other)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def rewritten(path: Path, other: Path) -> None:
    """Write other content into it."""
    path.write_bytes(other.read_bytes())


def flipped(path: Path, other: Path) -> None:
    """Change its bytes in place, its size as it was."""
    with path.open("r+b") as file:
        size = path.stat().st_size
        for place in range(0, size, max(1, size // 500)):
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ 0x55]))


def cut(path: Path, other: Path) -> None:
    """Cut it short."""
    os.truncate(path, path.stat().st_size * 2 // 3)


def grown(path: Path, other: Path) -> None:
    """Write on at its end."""
    with path.open("ab") as file:
        file.write(b"more")


def removed(path: Path, other: Path) -> None:
    """Remove it."""
    path.unlink()


MOMENTS = ("at once", "after a read", "pickled")
CHANGES = (replaced, replaced_at_the_same_time, rewritten, flipped, cut, grown, removed)


def attack(folder: Path, cases: range) -> Iterator[Outcome]:
    """Change the files of a session, before the first read or after it, and read."""
    spec = ox.sample.SampleSpec(n_rois=5, n_tracked=2, scale=0.02, field_shape=(48, 50))
    # Of the same size, and other numbers.
    specs = [spec, replace(spec, seed=spec.seed + 1)]
    every = list(product(FORMS, CHANGES, READS, MOMENTS))
    random.Random(1).shuffle(every)
    made: dict[str, list[Path]] = {}
    for number in cases:
        form, change, name, moment = every[number % len(every)]
        if form not in made:
            made[form] = [_made(folder / form / str(one.seed), form, one) for one in specs]
        first, second = made[form]
        target = folder / str(number) / first.name
        (shutil.copytree if first.is_dir() else shutil.copy)(first, _parent_of(target))
        harm, opened = _met(target, partial(_change, change, target, second), READS[name], moment)
        shutil.rmtree(target.parent)
        yield Outcome(f"{number}: {form} {change.__name__}, {name} {moment}", opened, harm)


def _made(folder: Path, form: str, spec: Any) -> Path:
    if form in ("contiguous", "gzip"):
        return ox.sample.write_nwb(spec, folder, layout=form)
    if form == "original":
        return ox.sample.write_original(spec, folder, pickle_protocol=2)
    folder.mkdir(parents=True)
    return ox.save(ox.sample.session(spec), folder / f"session.{form}")


def _parent_of(target: Path) -> Path:
    target.parent.mkdir()
    return target


def _change(change: Callable[[Path, Path], None], target: Path, other: Path) -> None:
    """Change a file, or all files of a folder that the other has, too."""
    if target.is_file():
        change(target, other)
        return
    for path in sorted(target.rglob("*")):
        counterpart = other / path.relative_to(target)
        if path.is_file() and counterpart.is_file() and path.stat().st_size:
            change(path, counterpart)


def _met(
    target: Path, change: Callable[[], None], read: Callable[[xr.Dataset], Any], moment: str
) -> tuple[tuple[str, ...], bool]:
    """Return what harm was done, and whether anything was read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with ox.open_session(target) as ds:
            expected = read(ds).values
        with ox.open_session(target) as ds:
            if moment == "after a read":
                read(ds).values  # noqa: B018
            lazy = read(ds)
            sent = pickle.dumps(lazy) if moment == "pickled" else b""
            change()
            try:
                found = (pickle.loads(sent) if sent else lazy).values
            except OscaxrError:
                return (), False
            except Exception as error:
                return (f"{type(error).__name__}: {error}",), False
    same = np.array_equal(found, expected, equal_nan=found.dtype.kind == "f")
    return (() if same else ("other numbers, without a word",)), True
