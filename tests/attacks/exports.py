"""Exports that were damaged, or tampered with: refused, or opened with the numbers they had."""

import hashlib
import json
import random
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

import hostile_netcdf
import oscaxr as ox
from hostile_zarr import DIGEST, Store
from small_sessions import FEW_VARIABLES, only
from tests.attacks import Outcome
from watched import OUTSIDE, Try, harm, watch

CASES = 400
QUICK = range(0, 12, 8)
_CHUNKS = {"time": 128, "roi": 4}
# Whether it is a tree, its ending, and how it is saved.
FORMS: dict[str, tuple[bool, str, dict[str, Any]]] = {
    "zarr": (False, ".zarr", {}),
    "zarr of shards": (False, ".zarr", {"chunks": _CHUNKS}),
    "plain zarr of shards": (False, ".zarr", {"chunks": _CHUNKS, "compression": False}),
    "zarr with gzip": (False, ".zarr", {"chunks": _CHUNKS, "compression": "gzip"}),
    "zip": (False, ".zarr.zip", {"chunks": _CHUNKS}),
    "plain zip": (False, ".zarr.zip", {"chunks": _CHUNKS, "compression": False}),
    "netCDF": (False, ".nc", {"chunks": _CHUNKS}),
    "plain netCDF": (False, ".nc", {"compression": False}),
    "tree in zarr": (True, ".zarr", {}),
    "tree in zip": (True, ".zarr.zip", {}),
    "tree in netCDF": (True, ".nc", {}),
}


@dataclass(frozen=True)
class Copy:
    """A copy of an export, to be damaged: a folder whose files are linked, or one file."""

    good: Path
    path: Path
    tree: bool

    @property
    def outside(self) -> Path:
        return self.path.parent / OUTSIDE


Change = Callable[[random.Random, Copy], str]


def attack(folder: Path, cases: range) -> list[Outcome]:
    """Damage exports of each kind, and read all that opens in a process that is watched."""
    forms = list(FORMS)
    goods = {form: _made(folder, form) for form in {forms[seed % len(forms)] for seed in cases}}
    done: dict[Path, tuple[str, str]] = {}
    for seed in cases:
        form = forms[seed % len(forms)]
        place = folder / str(seed)
        (place / OUTSIDE).mkdir(parents=True)
        copy = Copy(goods[form], place / f"{seed}{FORMS[form][1]}", FORMS[form][0])
        done[copy.path] = form, f"{seed}: {form}: {damage(random.Random(seed), copy)}"
    found = watch([*goods.values(), *done], warm=goods.values(), how=["exported"])
    whole = {form: found[path][0].read for form, path in goods.items()}
    assert all(whole.values())
    return [
        _outcome(case, found[path][0], path, goods[form], whole[form])
        for path, (form, case) in done.items()
    ]


def _outcome(case: str, met: Try, path: Path, good: Path, whole: str) -> Outcome:
    wrong, excused = harm(met), ""
    if met.error and not met.ours:
        wrong.append(f"{met.error}: {met.said[:300]}")
    if not met.error and met.read != whole:
        wrong.append("other numbers than were saved")
        if path.suffix == ".nc" and _plainly(path) not in ("", _plainly(good)):
            excused = "(and by plain h5py: HDF5 has no checksums of data that are not compressed)"
    return Outcome(case, not met.error, tuple(wrong), excused)


def _plainly(path: Path) -> str:
    """Return what plain h5py reads of a file; nothing where it says that something is wrong."""
    total = hashlib.sha256()
    try:
        with h5py.File(path) as file:
            for name in _datasets(file):
                total.update(repr(np.asarray(file[name][()]).tolist()).encode())
    except (OSError, RuntimeError, ValueError, KeyError):
        return ""
    return total.hexdigest()


def _made(folder: Path, form: str) -> Path:
    """Save a session, or two, of which one variable is too large for a digest of its values."""
    tree, suffix, options = FORMS[form]
    spec = ox.sample.SampleSpec(scale=0.02, n_rois=8, n_tracked=2, field_shape=(48, 50))
    ds = only(ox.sample.session(spec), FEW_VARIABLES).load()
    ds = ds.assign(other=ds["dff"] + 1)
    path = folder / "good" / f"{form.replace(' ', '_')}{suffix}"
    if not tree:
        return ox.save(ds, path, **options)
    nodes = {f"/mouse_1/session_{number}": ds.assign(dff=ds["dff"] * number) for number in (1, 2)}
    return ox.save(xr.DataTree.from_dict(nodes), path, **options)


def damage(choice: random.Random, copy: Copy) -> str:
    """Make a copy that is damaged; return what was done to it."""
    if copy.good.is_dir():
        change = choice.choice(IN_FOLDERS)
        shutil.copytree(copy.good, copy.path, copy_function=shutil.os.link)
    else:
        kinds = IN_ZIPS if copy.good.suffix == ".zip" else IN_NETCDF
        change = choice.choice([bytes_of_the_file, *kinds])
        shutil.copy(copy.good, copy.path)
    return f"{change.__name__} {change(choice, copy)}"


# -- any file -------------------------------------------------------------------------------------
def _spoilt(choice: random.Random, content: bytes) -> tuple[str, bytes]:
    spoilt = bytearray(content)
    place = choice.randrange(max(1, len(spoilt)))
    kind = choice.choice(["flip", "flip", "cut", "zeros", "grow", "noise"])
    if kind == "flip":
        spoilt[place] ^= 1 << choice.randrange(8)
    elif kind == "cut":
        del spoilt[place:]
    elif kind == "zeros":
        spoilt[place : place + 64] = bytes(len(spoilt[place : place + 64]))
    elif kind == "grow":
        spoilt[place:place] = choice.randbytes(choice.choice([1, 4, 4096]))
    else:
        spoilt[place : place + 8] = choice.randbytes(len(spoilt[place : place + 8]))
    return f"{kind} at {place} of {len(content)}", bytes(spoilt)


def bytes_of_the_file(choice: random.Random, copy: Copy) -> str:
    what, content = _spoilt(choice, copy.good.read_bytes())
    copy.path.write_bytes(content)
    return f"{what} in the file"


# -- folders --------------------------------------------------------------------------------------
def _files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def _replace(copy: Copy, key: str, content: bytes) -> None:
    # Never through the link to the good one.
    (copy.path / key).unlink(missing_ok=True)
    (copy.path / key).parent.mkdir(parents=True, exist_ok=True)
    (copy.path / key).write_bytes(content)


def _chunks(choice: random.Random, names: list[str], count: int) -> list[str]:
    return choice.sample([name for name in names if not name.endswith(".json")], count)


def bytes_of_a_part(choice: random.Random, copy: Copy) -> str:
    key = choice.choice(_files(copy.path))
    what, content = _spoilt(choice, (copy.path / key).read_bytes())
    _replace(copy, key, content)
    return f"{key}: {what}"


def part_removed(choice: random.Random, copy: Copy) -> str:
    key = choice.choice(_files(copy.path))
    (copy.path / key).unlink()
    return key


def array_removed(choice: random.Random, copy: Copy) -> str:
    key = choice.choice([name for name in _files(copy.path) if name.endswith("/zarr.json")])
    shutil.rmtree((copy.path / key).parent)
    return key


def part_added(choice: random.Random, copy: Copy) -> str:
    key = choice.choice(_files(copy.path)) + choice.choice(["~", ".tmp", "0", "/../notes"])
    key = key.replace("/..", "_")
    _replace(copy, key, choice.choice([b"", b"{}", b"years of work"]))
    return key


def parts_swapped(choice: random.Random, copy: Copy) -> str:
    one, other = _chunks(choice, _files(copy.path), 2)
    contents = [(copy.path / key).read_bytes() for key in (one, other)]
    _replace(copy, one, contents[1])
    _replace(copy, other, contents[0])
    return f"{one} and {other}"


def chunk_of_another_array(choice: random.Random, copy: Copy) -> str:
    """Put a chunk in the place of its twin, of the same shape, dtype and codecs."""
    names = _files(copy.path)
    twins = [n for n in names if "dff/c/" in n and n.replace("dff/c/", "other/c/") in names]
    key = choice.choice(twins)
    _replace(copy, key, (copy.path / key.replace("dff/c/", "other/c/")).read_bytes())
    return key


def _changed_leaf(choice: random.Random, document: Any) -> str:
    """Change one thing of a JSON document, somewhere; return where."""
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        pairs = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in list(pairs):
            places.append((node, key))
            if isinstance(value, dict | list):
                walk(value)

    walk(document)
    node, key = choice.choice(places)
    value = node[key]
    if choice.random() < 0.2:
        del node[key]
        return f"-{key}"
    if isinstance(value, bool) or value is None:
        node[key] = not value
    elif isinstance(value, int | float):
        node[key] = choice.choice([value + 1, value - 1, value * 2, 0, -value, 2**40, value + 0.5])
    elif isinstance(value, str):
        words = [value[1:], value + "x", "float32", "int64", "bool", "gzip", "", "../x", "0" * 64]
        node[key] = choice.choice(words)
    else:
        node[key] = choice.choice([None, [], {}, "x", 3])
    return f"{key}: {str(value)[:30]} is {str(node[key])[:30]}"


def document_changed(choice: random.Random, copy: Copy) -> str:
    key = choice.choice([name for name in _files(copy.path) if name.endswith(".json")])
    document = json.loads((copy.path / key).read_bytes())
    what = _changed_leaf(choice, document)
    _replace(copy, key, json.dumps(document).encode())
    return f"{key} {what}"


def node_changed_and_sealed(choice: random.Random, copy: Copy) -> str:
    """Change what is said of an array everywhere, and the digest with it, as an attacker would."""
    if copy.tree:
        return document_changed(choice, copy)
    shutil.rmtree(copy.path)
    store = Store(copy.good, copy.path, copy.outside)
    name = choice.choice(["dff", "time", "run_velocity", "unexpected", "stimulus_type"])
    told: list[str] = []
    store.edit(name, lambda node: told.append(_changed_leaf(choice, node)))
    try:
        store.seal()
    except (ox.OscaxrError, KeyError, TypeError, ValueError) as error:
        told.append(f"(not sealed: {type(error).__name__})")
    return f"{name} {told}"


def digest_changed(choice: random.Random, copy: Copy) -> str:
    document = json.loads((copy.path / DIGEST).read_bytes())
    what = _changed_leaf(choice, document)
    _replace(copy, DIGEST, json.dumps(document).encode())
    return what


IN_FOLDERS: list[Change] = [
    bytes_of_a_part, bytes_of_a_part, part_removed, array_removed, part_added, parts_swapped,
    chunk_of_another_array, document_changed, node_changed_and_sealed, digest_changed,
]  # fmt: skip


# -- zip files ------------------------------------------------------------------------------------
def _packed(copy: Copy, parts: list[tuple[str, bytes]]) -> None:
    with zipfile.ZipFile(copy.path, "w", zipfile.ZIP_STORED) as file:
        for name, content in parts:
            file.writestr(name, content)


def packed_again(choice: random.Random, copy: Copy) -> str:
    """Do to what is in a zip file what is done to folders; the zip file itself is sound."""
    with zipfile.ZipFile(copy.good) as file:
        parts = [(name, file.read(name)) for name in file.namelist()]
    names = [name for name, _ in parts]
    kind = choice.choice(["spoilt", "removed", "swapped", "twice", "document"])
    if kind == "swapped":
        one, other = (names.index(name) for name in _chunks(choice, names, 2))
        parts[one], parts[other] = (names[one], parts[other][1]), (names[other], parts[one][1])
        what = f"{names[one]} and {names[other]}"
    elif kind == "document":
        place = names.index(choice.choice([name for name in names if name.endswith(".json")]))
        document = json.loads(parts[place][1])
        what = f"{names[place]} {_changed_leaf(choice, document)}"
        parts[place] = names[place], json.dumps(document).encode()
    else:
        place = choice.randrange(len(parts))
        what, content = _spoilt(choice, parts[place][1])
        what = f"{names[place]} {what if kind != 'removed' else ''}"
        if kind == "removed":
            del parts[place]
        elif kind == "twice":
            parts.append((names[place], content))
        else:
            parts[place] = names[place], content
    _packed(copy, parts)
    return f"{kind} {what}"


IN_ZIPS: list[Change] = [packed_again, packed_again]


# -- netCDF files ---------------------------------------------------------------------------------
def _netcdf(choice: random.Random, copy: Copy, change: hostile_netcdf.Change, seal: bool) -> None:
    one = hostile_netcdf.Attack("", change, "", seal=seal, plain=False, opens=True)
    hostile_netcdf.make(copy.good, copy.path, copy.outside, one, seal=seal)


def _datasets(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visititems(lambda name, one: names.append(name) if isinstance(one, h5py.Dataset) else None)
    return names


def netcdf_changed(choice: random.Random, copy: Copy) -> str:
    """Change one variable by HDF5, which keeps the file sound; or seal it again afterwards."""
    told: list[str] = []

    def change(file: h5py.File, outside: Path) -> None:
        name = choice.choice(_datasets(file))
        dataset = file[name]
        kind = choice.choice(["values", "attribute", "no attribute", "gone", "renamed", "digest"])
        told.append(f"{name} {kind}")
        if kind == "values" and dataset.size and dataset.nbytes <= 60_000:
            values = dataset[()]
            dataset[...] = values[::-1] if np.ndim(values) else values
            if dataset.ndim == 0 and dataset.dtype.kind in "if":
                dataset[...] = values + 1
        elif kind == "attribute":
            dataset.attrs["units"] = np.bytes_(choice.choice([b"1", b"cm", b"Pa"]))
        elif kind == "no attribute" and len(dataset.attrs):
            del dataset.attrs[choice.choice(list(dataset.attrs))]
        elif kind == "gone":
            del file[name]
        elif kind == "renamed":
            file.move(name, f"{name}_x")
        else:
            document = json.loads(file.attrs[hostile_netcdf.DIGEST])
            told.append(_changed_leaf(choice, document))
            file.attrs[hostile_netcdf.DIGEST] = np.bytes_(json.dumps(document).encode())

    _netcdf(choice, copy, change, seal=False)
    return " ".join(told)


def netcdf_chunk_spoilt(choice: random.Random, copy: Copy) -> str:
    """Spoil the stored bytes of a chunk."""
    told: list[str] = []

    def change(file: h5py.File, outside: Path) -> None:
        chunked = [name for name in _datasets(file) if file[name].chunks]
        if not chunked:
            told.append("nothing")
            return
        name = choice.choice(chunked)
        dataset = file[name].id
        at = dataset.get_chunk_info(choice.randrange(dataset.get_num_chunks())).chunk_offset
        mask, raw = dataset.read_direct_chunk(at)
        what, content = _spoilt(choice, raw)
        told.append(f"{name} {what}")
        dataset.write_direct_chunk(at, content, mask)

    _netcdf(choice, copy, change, seal=False)
    return " ".join(told)


IN_NETCDF: list[Change] = [netcdf_changed, netcdf_changed, netcdf_chunk_spoilt]
