"""Sessions in the original layout of which one file is damaged, each by its seed; not the log."""

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any, Final

import oscaxr as ox
from oscaxr.formats.original.files import read_tree
from tests.attacks import Outcome
from tests.attacks.nwb_mutants import mutate
from watched import OUTSIDE, harm, watch

CASES = 200
QUICK = range(4)
_SPECS: Final = ({"plane": "soma"}, {"plane": "dend"})
_ODD: Final[list[Any]] = [None, True, -1, 2**70, 1e308, float("nan"), "", "a\0b", "\ud800", []]


def attack(folder: Path, cases: range) -> list[Outcome]:
    """Open and read a session with each file, in a process that is watched."""
    small = {"n_rois": 4, "n_tracked": 2, "scale": 0.01, "field_shape": (48, 50)}
    whole = [
        ox.sample.write_original(ox.sample.SampleSpec(**small, **spec), folder / spec["plane"])
        for spec in _SPECS
    ]
    done = {}
    for seed in cases:
        choice = random.Random(seed)
        source = whole[seed % len(whole)]
        target = folder / str(seed) / source.name
        (target.parent / OUTSIDE).mkdir(parents=True)
        shutil.copytree(source, target, copy_function=os.link)
        files = read_tree(source).files
        path = files[choice.choice(sorted(set(files) - {"stimulus"}))]
        place = target / path.relative_to(source)
        place.unlink()
        if path.suffix == ".h5":
            what = mutate(path, place, seed)
        else:
            content, what = damage(choice, path.read_bytes(), is_json=path.suffix == ".json")
            place.write_bytes(content)
        done[target] = f"{seed}: {path.name}: {what}"
    found = watch(done, warm=whole, how=["session"])
    outcomes = []
    for path, (met, *_) in found.items():
        wrong = harm(met)
        if met.error and not met.ours:
            wrong.append(f"{met.error}: {met.said[:300]}")
        outcomes.append(Outcome(done[path], not met.error, tuple(wrong)))
    return outcomes


def damage(choice: random.Random, content: bytes, *, is_json: bool) -> tuple[bytes, str]:
    """Return what a text or a picture becomes, and what was done."""
    if is_json and choice.random() < 0.7:
        whole = json.loads(content)
        what = _change(choice, whole)
        return json.dumps(whole).encode(), what
    changed = bytearray(content)
    place = choice.randrange(len(changed))
    kind = choice.choice(["cut", "flip", "insert", "repeat", "empty"])
    if kind == "cut":
        del changed[place:]
    elif kind == "flip":
        changed[place] ^= 1 << choice.randrange(8)
    elif kind == "insert":
        words = [b"\x00", b"\xff\xfe", b"9" * 5000, b"1e999", b"-1", b"\n", b"[" * 100_000]
        changed[place:place] = choice.choice(words)
    elif kind == "repeat":
        changed *= 2
    else:
        changed.clear()
    return bytes(changed), f"{kind} at {place}"


def _change(choice: random.Random, node: Any) -> str:
    """Change something in what a JSON file holds; return what."""
    path = []
    while True:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        key = choice.choice(keys)
        path.append(key)
        below = node[key]
        if not isinstance(below, dict | list) or not below or choice.random() < 0.2:
            break
        node = below
    if choice.random() < 0.3:
        del node[key]
        return f"without {path}"
    node[key] = choice.choice([*_ODD, {}, [below], [below] * 3])
    return f"{node[key]!r:.40} at {path}"
