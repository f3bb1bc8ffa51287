"""NWB files of which one thing, or a few, are not as they should be; each by its seed."""

import random
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import oscaxr as ox
from tests.attacks import Outcome
from watched import Try, harm, watch

CASES = 600
_OPHYS = "processing/ophys"
_BEHAVIOR = "processing/behavior"
NUMBERS = {
    "dff": f"{_OPHYS}/DfOverF/RoiResponseSeries/data",
    "time": f"{_OPHYS}/DfOverF/RoiResponseSeries/timestamps",
    "roi_id": f"{_OPHYS}/ImageSegmentation/PlaneSegmentation/id",
    "max_projection": f"{_OPHYS}/PlaneImages/max_projection",
    "run_velocity": f"{_BEHAVIOR}/BehavioralTimeSeries/running_velocity/data",
    "pupil_diameter": f"{_BEHAVIOR}/PupilTracking/pupil_diameter/data",
    "pupil_center_x": f"{_BEHAVIOR}/PupilTracking/pupil_position_x/data",
    "start_time": "intervals/trials/start_time",
    "start_frame_twop": "intervals/trials/start_frame_twop",
}
"""Variables, and the datasets whose numbers they are to have."""
QUICK = range(0, 16, 3)
LAYOUTS = ("gzip", "contiguous")
Change = Callable[[random.Random, h5py.File, str], None]
_INVALID = b"\xff\xfe\x00odd"
_HUGE = 10**12
_NOT_POSSIBLE = (OSError, RuntimeError, TypeError, ValueError, LookupError, AttributeError)


def attack(folder: Path, cases: range) -> list[Outcome]:
    """Open and read every mutant, in a process that is watched."""
    spec = ox.sample.SampleSpec(n_rois=4, n_tracked=2, scale=0.02, field_shape=(48, 50))
    whole = [ox.sample.write_nwb(spec, folder / layout, layout=layout) for layout in LAYOUTS]
    done = {}
    for seed in cases:
        source = whole[seed % len(whole)]
        target = folder / str(seed) / source.name
        (target.parent / "outside").mkdir(parents=True)
        done[target] = f"{seed}: {mutate(source, target, seed)}"
    found = watch(done, warm=whole, how=["session"])
    return [_outcome(done[path], path, tries[0]) for path, tries in found.items()]


def _outcome(case: str, path: Path, met: Try) -> Outcome:
    wrong = harm(met)
    if met.error and not met.ours:
        wrong.append(f"{met.error}: {met.said[:300]}")
    if not met.error:
        wrong += _other_numbers(path)
    hopeless = met.error in ("death", "TookTooLong") and not _h5py_survives(path)
    return Outcome(case, not met.error, tuple(wrong), "as plain h5py" if hopeless else "")


def _other_numbers(path: Path) -> list[str]:
    """Say which variables have other numbers than h5py reads of the same bytes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with ox.open_session(path) as ds, h5py.File(path) as file:
            return [
                f"{name} has other numbers than {place}"
                for name, place in NUMBERS.items()
                if name in ds and not _is_same(ds[name].values, file.get(place))
            ]


def _is_same(found: np.ndarray, stored: h5py.Dataset | None) -> bool:
    if stored is None:
        return True
    factor, offset = (
        float(np.ravel(stored.attrs.get(name, default))[0])
        for name, default in (("conversion", 1.0), ("offset", 0.0))
    )
    plain = stored[()].astype(float).ravel() * factor + offset
    found = found.ravel().astype(float)
    # Outliers of running are missing, and ROIs are in the order of their traces.
    kept = ~np.isnan(found) if len(found) == len(plain) else slice(None)
    return np.array_equal(found[kept], plain[kept]) or np.array_equal(
        np.sort(found), np.sort(plain)
    )


_PLAIN = """
import sys, h5py
def visit(name, item):
    try:
        dict(item.attrs)
        if isinstance(item, h5py.Dataset) and item.size < 10**8:
            item[()]
    except Exception:
        pass
try:
    h5py.File(sys.argv[1]).visititems(visit)
except Exception:
    pass
"""


def _h5py_survives(path: Path) -> bool:
    """Say whether h5py itself gets through a file, alive and in time."""
    try:
        return not subprocess.run([sys.executable, "-c", _PLAIN, path], timeout=20).returncode
    except subprocess.TimeoutExpired:
        return False


def mutate(source: Path, target: Path, seed: int) -> str:
    """Write a mutant of a file; return what was done to it."""
    choice = random.Random(seed)
    shutil.copy(source, target)
    target.chmod(0o644)
    if choice.random() < 0.1:
        return _damage(choice, target)
    done = []
    with h5py.File(target, "r+") as file:
        for _ in range(choice.choice([1, 1, 1, 1, 2])):
            names = _names(file)
            if not names:
                break
            change = choice.choice(CHANGES)
            name = choice.choice(names)
            try:
                change(choice, file, name)
            except _NOT_POSSIBLE as error:
                done.append(f"{change.__name__} {name} (not possible: {type(error).__name__})")
            else:
                done.append(f"{change.__name__} {name}")
    return "; ".join(done)


def _names(file: h5py.File) -> list[str]:
    """Return what may be changed: not what readers of sessions do not look at."""
    names: list[str] = []

    def visit(name: str | bytes, item: Any) -> None:
        if isinstance(name, str) and not name.startswith("specifications"):
            # Groups are few, and changes of them plain.
            names.extend([name] * (4 if isinstance(item, h5py.Dataset) else 1))

    file.visititems(visit)
    return names


def _damage(choice: random.Random, target: Path) -> str:
    content = bytearray(target.read_bytes())
    kind = choice.choice(["cut", "flip", "zeros", "grow"])
    # The beginning holds what leads to all else.
    place = choice.randrange(min(len(content), choice.choice([4000, 60_000, len(content)])))
    if kind == "cut":
        content = content[:place]
    elif kind == "flip":
        for _ in range(choice.choice([1, 4])):
            content[place] ^= 1 << choice.randrange(8)
            place = (place + choice.randrange(50)) % len(content)
    elif kind == "zeros":
        length = choice.choice([8, 512, 4096])
        content[place : place + length] = bytes(len(content[place : place + length]))
    else:
        content[place:place] = choice.randbytes(choice.choice([1, 8, 4096]))
    target.write_bytes(content)
    return f"{kind} at {place}"


# -- changes of one object ------------------------------------------------------------------------
def _put(file: h5py.File, name: str, value: Any, **how: Any) -> None:
    attrs = dict(file[name].attrs)
    del file[name]
    file.create_dataset(name, data=value, **how)
    for key, one in attrs.items():
        file[name].attrs[key] = one


def delete(choice: random.Random, file: h5py.File, name: str) -> None:
    del file[name]


def become_group(choice: random.Random, file: h5py.File, name: str) -> None:
    del file[name]
    file.create_group(name)


def become_scalar(choice: random.Random, file: h5py.File, name: str) -> None:
    values = [0, -1, np.nan, "", "word", b"\x00", 2**63, True, "1" * 5000]
    _put(file, name, choice.choice(values))


def become_empty(choice: random.Random, file: h5py.File, name: str) -> None:
    kind = choice.choice(["f8", "i4", h5py.string_dtype()])
    if choice.random() < 0.5:
        _put(file, name, h5py.Empty(kind))
    else:
        shape = (0, *file[name].shape[1:]) if choice.random() < 0.5 else (0,)
        _put(file, name, None, shape=shape, dtype=kind)


def other_shape(choice: random.Random, file: h5py.File, name: str) -> None:
    values = file[name][()]
    forms: list[Callable[[Any], Any]] = [
        lambda v: v[..., None],
        lambda v: v[: len(v) // 2],
        lambda v: np.concatenate([v, v[:3]]),
        np.transpose,
        np.ravel,
        lambda v: v[:1],
        lambda v: v[None],
    ]
    _put(file, name, choice.choice(forms)(np.asarray(values)))


def other_dtype(choice: random.Random, file: h5py.File, name: str) -> None:
    values = np.asarray(file[name][()])
    kind = choice.choice(["f4", ">f8", "f2", "i1", "u8", ">i2", "?", "S3", "S40", "c16", "O"])
    if kind == "O":
        _put(file, name, np.full(values.shape, "text", object), dtype=h5py.string_dtype())
    elif values.dtype.kind in "OS":
        # Text is no number of every width.
        _put(file, name, np.ones(values.shape, kind))
    else:
        with np.errstate(invalid="ignore"):
            _put(file, name, values.astype(kind))


def odd_type(choice: random.Random, file: h5py.File, name: str) -> None:
    shape = getattr(file[name], "shape", (3,))
    kind = choice.choice(
        [
            np.dtype([("a", "f8"), ("b", "i4")]),
            h5py.ref_dtype,
            h5py.regionref_dtype,
            h5py.opaque_dtype(np.dtype("V16")),
            h5py.enum_dtype({"YES": 1, "NO": 0}, basetype="i1"),
            h5py.vlen_dtype(np.dtype("f8")),
            h5py.string_dtype("ascii", 7),
            np.dtype(("f8", (2,))),
        ]
    )
    attrs = dict(file[name].attrs)
    del file[name]
    file.create_dataset(name, shape, kind)
    file[name].attrs.update({k: v for k, v in attrs.items() if not isinstance(v, h5py.Reference)})


def odd_values(choice: random.Random, file: h5py.File, name: str) -> None:
    values = np.asarray(file[name][()])
    if values.dtype.kind == "O":
        texts = [b"", b"\xff\xfe", b"a\x00b", b" padded  ", b"9" * 400, b"-1", "\u6f22".encode()]
        changed = np.full(values.shape, choice.choice(texts), object)
        _put(file, name, changed, dtype=h5py.string_dtype())
        return
    odd = choice.choice([np.nan, np.inf, -np.inf, 0, -1, 1e300, -1e300, 2**31, 5e-324])
    part = choice.choice([slice(None), slice(0, 1), slice(-1, None), slice(1, None, 3)])
    if values.dtype.kind == "f" and values.ndim:
        with np.errstate(over="ignore"):
            values[part] = odd
    elif values.ndim:
        limits = np.iinfo(values.dtype) if values.dtype.kind in "iu" else None
        values[part] = choice.choice([0, limits.max, limits.min]) if limits else 1
    _put(file, name, values)


def shuffled(choice: random.Random, file: h5py.File, name: str) -> None:
    values = np.array(file[name][()])
    np.random.default_rng(choice.randrange(2**32)).shuffle(values)
    _put(file, name, values)


def never_written(choice: random.Random, file: h5py.File, name: str) -> None:
    dataset = file[name]
    shape, dtype, attrs = dataset.shape, dataset.dtype, dict(dataset.attrs)
    chunked = choice.random() < 0.5
    del file[name]
    made = file.create_dataset(name, shape, dtype, chunks=True if chunked else None)
    if chunked and choice.random() < 0.5 and dtype.kind != "O":
        made[: max(1, shape[0] // 2)] = 1
    made.attrs.update(attrs)


def claim(choice: random.Random, file: h5py.File, name: str) -> None:
    shape = choice.choice([(_HUGE,), (_HUGE, 4), (3, _HUGE), file[name].shape])
    chunks = tuple(min(one, 1000) for one in shape)
    attrs, dtype = dict(file[name].attrs), file[name].dtype
    del file[name]
    file.create_dataset(name, shape, dtype, chunks=chunks, compression="gzip")
    file[name].attrs.update(attrs)


def link(choice: random.Random, file: h5py.File, name: str) -> None:
    targets: list[Any] = [
        h5py.SoftLink("/nowhere"),
        h5py.SoftLink(f"/{name}"),
        h5py.SoftLink("/"),
        h5py.ExternalLink("missing.nwb", "/x"),
        h5py.ExternalLink("/etc/passwd", "/x"),
        h5py.ExternalLink("outside/secret.h5", "/x"),
        h5py.ExternalLink("../../secret.h5", "/x"),
    ]
    del file[name]
    file[name] = choice.choice(targets)


def external_storage(choice: random.Random, file: h5py.File, name: str) -> None:
    shape = file[name].shape
    del file[name]
    where = choice.choice(["/etc/passwd", "outside/raw.bin", "missing.bin"])
    file.create_dataset(name, shape, "f8", external=[(where, 0, h5py.h5f.UNLIMITED)])


def virtual(choice: random.Random, file: h5py.File, name: str) -> None:
    shape = file[name].shape
    del file[name]
    layout = h5py.VirtualLayout(shape, "f8")
    if choice.random() < 0.7:
        where = choice.choice([".", "missing.h5", "/etc/passwd"])
        layout[:] = h5py.VirtualSource(where, f"/{name}", shape)
    file.create_virtual_dataset(name, layout)


def attribute(choice: random.Random, file: h5py.File, name: str) -> None:
    attrs = file[name].attrs
    key = choice.choice([*attrs, "conversion", "offset", "unit", "rate", "neurodata_type"])
    values: list[Any] = [h5py.Empty("f8"), "", "word", np.nan, np.zeros(3), 0, -1, 1e300]
    values += [np.bytes_(_INVALID), np.array(["a", "b"], object), 2**63, "x" * 60_000]
    if choice.random() < 0.2 and key in attrs:
        del attrs[key]
    else:
        attrs[key] = choice.choice(values)


def odd_name(choice: random.Random, file: h5py.File, name: str) -> None:
    parent, _, last = name.rpartition("/")
    odd = choice.choice([_INVALID[:2], "\u6f22".encode(), b" ", b"." * 300, b"a" * 5000])
    group = file[parent] if parent else file
    group.move(last, odd) if choice.random() < 0.3 else group.create_group(odd)


CHANGES: tuple[Change, ...] = (
    *(delete, become_group, become_scalar, become_empty, other_shape, other_dtype, odd_type),
    *(odd_values, odd_values, shuffled, never_written, claim, link, external_storage, virtual),
    *(attribute, attribute, attribute, odd_name, odd_values, shuffled, other_dtype),
)
