"""Zarr stores and netCDF files that somebody has tampered with; see the makers of them."""

import warnings
from pathlib import Path

import hostile_netcdf
import hostile_zarr
import oscaxr as ox
from small_sessions import FEW_VARIABLES, only
from tests.attacks import Outcome
from watched import OUTSIDE, Try, complaints, harm, watch

_MAKERS = {".zarr": hostile_zarr, ".nc": hostile_netcdf}
_ALL = [
    (suffix, kind, name)
    for suffix, maker in _MAKERS.items()
    for name, one in maker.ATTACKS.items()
    for kind in ("own", "plain")
    if kind == "own" or one.plain
]
CASES = len(_ALL)
# The suite has many more of them among its quick tests.
QUICK = range(0, 3, 2)
_CHUNKS = {"dff": {"time": 64, "roi": 2}}


def attack(folder: Path, cases: range) -> list[Outcome]:
    """Open hostile stores and files in a process that is watched, and read what opens."""
    goods = _goods(folder / "good", plain=any(_ALL[number][1] == "plain" for number in cases))
    paths = {_made(goods, folder / str(number), *_ALL[number]): number for number in cases}
    found = watch([*paths, goods[".nc", "own"]], warm=goods.values())
    whole = found[goods[".nc", "own"]][0].read
    return [_outcome(number, path, found[path], whole) for path, number in paths.items()]


def _outcome(number: int, path: Path, tries: list[Try], whole: str) -> Outcome:
    suffix, kind, name = _ALL[number]
    one = _MAKERS[suffix].ATTACKS[name]
    opens = kind == "own" and getattr(one, "opens", False)
    wrong = complaints(path, tries, one.words, whole if opens else "")
    wrong += [found for one in tries for found in harm(one) if found not in wrong]
    if (path.parent / OUTSIDE / "ran").exists():
        wrong.append("what it holds was run")
    is_open = any(not one.error for one in tries)
    return Outcome(f"{number}: {name} of {kind}{suffix}", is_open, tuple(wrong))


def _goods(folder: Path, *, plain: bool) -> dict[tuple[str, str], Path]:
    """Write the good ones, of which the hostile ones are made."""
    folder.mkdir()
    spec = ox.sample.SampleSpec(
        scale=0.02, n_rois=7, n_tracked=4, field_shape=(64, 64), dropped=0.0
    )
    ds = ox.sample.session(spec)
    small = only(ds, FEW_VARIABLES)
    made = {
        (".zarr", "own"): ox.save(small, folder / "own.zarr", chunks=_CHUNKS),
        (".nc", "own"): ox.save(small, folder / "own.nc"),
    }
    if not plain:
        return made
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what zarr says of text of fixed width
        ds.to_zarr(folder / "plain.zarr", zarr_format=3)
        ds.to_netcdf(folder / "plain.nc")
    return made | {(suffix, "plain"): folder / f"plain{suffix}" for suffix in _MAKERS}


def _made(
    goods: dict[tuple[str, str], Path], place: Path, suffix: str, kind: str, name: str
) -> Path:
    outside, good = place / OUTSIDE, goods[suffix, kind]
    outside.mkdir(parents=True)
    (outside / "canary").write_text("not to be read")
    path = place / f"{name}{suffix}"
    maker = _MAKERS[suffix]
    maker.make(good, path, outside, maker.ATTACKS[name], seal=kind == "own")
    return path
