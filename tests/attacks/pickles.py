"""Stimulus logs that are damaged, each by its seed, and some that are made to do harm."""

import os
import pickle
import pickletools
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

import oscaxr as ox
from oscaxr.errors import OscaxrError
from oscaxr.files.direct import DirectFile
from oscaxr.formats.original.pickles import Ignored, load
from oscaxr.formats.original.stored_arrays import StoredArray
from tests.attacks import Outcome
from tests.attacks.made_pickles import MADE, made
from watched import OUTSIDE, Try, harm, watch

N_MUTANTS: Final = 500
CASES = N_MUTANTS + len(MADE)
QUICK = range(N_MUTANTS - 3, N_MUTANTS + 3)
_AT_ONCE: Final = 50
_MOST_MEMO: Final = 10**6
_VALUES: Final = (str, bytes, int, float, bool, type(None), np.generic, datetime, date, timedelta)


def attack(folder: Path, cases: range) -> Iterator[Outcome]:
    """Open a session with each log, in a process that is watched."""
    spec = ox.sample.SampleSpec(n_rois=2, n_tracked=0, scale=0.01, field_shape=(48, 50))
    whole = [
        ox.sample.write_original(spec, folder / f"protocol-{protocol}", pickle_protocol=protocol)
        for protocol in (0, 2)
    ]
    logs = [next(path.glob("*_stim.pkl")) for path in whole]
    mutants = [Mutants(log.read_bytes()) for log in logs]
    for first in range(0, len(cases), _AT_ONCE):
        done = {}
        for case in cases[first : first + _AT_ONCE]:
            which = case % len(whole)
            target = folder / str(case) / whole[which].name
            outside = target.parent / OUTSIDE
            outside.mkdir(parents=True)
            shutil.copytree(whole[which], target, copy_function=os.link)
            log = target / logs[which].name
            log.unlink()
            if case < N_MUTANTS:
                name, content = mutants[which].mutant(case)
            else:
                name, content = made(mutants[which].log, case - N_MUTANTS, bytes(outside / "file"))
            log.write_bytes(content)
            done[target] = f"{case}: {name}"
        found = watch(done, warm=whole, how=["session"])
        for target, tries in found.items():
            is_mutant = int(target.parent.name) < N_MUTANTS
            log = target / logs[0].name if is_mutant else None
            yield _outcome(done[target], tries[0], log)
            shutil.rmtree(target.parent)


def _outcome(case: str, met: Try, log: Path | None) -> Outcome:
    wrong = harm(met)
    if met.error and not met.ours:
        wrong.append(f"{met.error}: {met.said[:300]}")
    if not met.error and not wrong and log is not None:
        wrong += _differences(log)
    return Outcome(case, not met.error, tuple(wrong))


# -- the numbers that plain unpickling gives ------------------------------------------------------
class _Plain(pickle.Unpickler):
    """The unpickler of the standard library, for names that do no harm."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("numpy.random"):
            # Nothing of them is used.
            return lambda *_: Ignored()
        if module.startswith(("numpy", "datetime", "collections", "_codecs")):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name}")


def _differences(path: Path) -> list[str]:
    """Say where a log that opens is read otherwise than plainly."""
    content = path.read_bytes()
    ours = load(DirectFile(path))
    if not _is_safe(content):
        return []
    try:
        with path.open("rb") as file:
            plain = _Plain(file, encoding="latin1").load()
    except Exception as error:
        # What is not used is not read, and may be damaged.
        try:
            all(_compared("", ours, ours))
        except OscaxrError:
            return []
        return [f"it opens, where unpickling fails: {type(error).__name__}: {error}"]
    return list(_compared("log", ours, plain))[:3]


def _is_safe(content: bytes) -> bool:
    """Say whether the unpickler of the standard library survives it."""
    numbers = [
        argument
        for opcode, argument, _ in _opcodes(content)
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT")
    ]
    return max(numbers, default=0) < _MOST_MEMO


def _compared(where: str, ours: Any, plain: Any) -> Iterator[str]:
    if isinstance(ours, StoredArray):
        if ours.dtype is None:
            return
        array = ours.array()
        same = ours is plain or (array.tobytes(), array.shape) == (plain.tobytes(), plain.shape)
        if not same:
            yield f"{where}: {array!r:.60} is {plain!r:.60}"
    elif isinstance(ours, dict):
        if list(ours) != list(plain):
            yield f"{where}: keys differ"
        else:
            for key in ours:
                yield from _compared(f"{where}[{key!r}]", ours[key], plain[key])
    elif isinstance(ours, list | tuple):
        if len(ours) != len(plain):
            yield f"{where}: length differs"
        else:
            for number, (one, other) in enumerate(zip(ours, plain, strict=True)):
                yield from _compared(f"{where}[{number}]", one, other)
    elif isinstance(ours, _VALUES) and repr(ours) != repr(plain):
        # (By their repr: NaN is not equal to itself.)
        yield f"{where}: {ours!r:.60} is {plain!r:.60}"


# -- mutants ---------------------------------------------------------------------------------------
def _opcodes(content: bytes) -> list[tuple[Any, Any, int]]:
    """Return what there is up to what cannot be read."""
    found = []
    try:
        for opcode, argument, place in pickletools.genops(content):
            found.append((opcode, argument, place or 0))
    except Exception:
        return found
    return found


class Mutants:
    """Makes mutants of one log."""

    def __init__(self, log: bytes) -> None:
        self.log = log
        opcodes = _opcodes(log)
        ends = [place for *_, place in opcodes[1:]] + [len(log)]
        self.spans = [(place, end) for (*_, place), end in zip(opcodes, ends, strict=True)]
        self._kinds: dict[str, list[int]] = {}
        for number, (opcode, *_) in enumerate(opcodes):
            self._kinds.setdefault(opcode.name, []).append(number)

    def mutant(self, seed: int) -> tuple[str, bytes]:
        """Return what is done to the log, and what comes of it."""
        choice = random.Random(seed)
        content, done = bytearray(self.log), []
        # From behind, so that places before stay what they are.
        numbers = sorted(
            (self._number(choice) for _ in range(choice.choice([1, 1, 1, 3]))), reverse=True
        )
        for number in numbers:
            change = choice.choice(CHANGES)
            begin, end = self.spans[number]
            content[begin:end] = change(choice, self, bytes(content[begin:end]))
            done.append(f"{change.__name__} at {begin}")
        if choice.random() < 0.1:
            place = choice.randrange(len(content))
            del content[place:]
            done.append(f"cut at {place}")
        return "; ".join(done), bytes(content)

    def _number(self, choice: random.Random) -> int:
        """Choose any opcode, or one of any kind: of those that stand first more often."""
        if choice.random() < 0.4:
            return choice.randrange(len(self.spans))
        of_kind = self._kinds[choice.choice(list(self._kinds))]
        return of_kind[int(len(of_kind) * choice.random() ** choice.choice([1, 4]))]

    def opcode(self, choice: random.Random) -> bytes:
        """Return an opcode of the log, with its argument."""
        begin, end = self.spans[self._number(choice)]
        return self.log[begin:end]


def flip(choice: random.Random, mutants: Mutants, opcode: bytes) -> bytes:
    changed = bytearray(opcode)
    for _ in range(choice.choice([1, 1, 3])):
        changed[choice.randrange(len(changed))] ^= 1 << choice.randrange(8)
    return bytes(changed)


def remove(choice: random.Random, mutants: Mutants, opcode: bytes) -> bytes:
    return b""


def repeat(choice: random.Random, mutants: Mutants, opcode: bytes) -> bytes:
    return opcode * choice.choice([2, 2, 3, 1000])


def insert(choice: random.Random, mutants: Mutants, opcode: bytes) -> bytes:
    return mutants.opcode(choice) + opcode


def replace(choice: random.Random, mutants: Mutants, opcode: bytes) -> bytes:
    return mutants.opcode(choice)


def other_opcode(choice: random.Random, mutants: Mutants, opcode: bytes) -> bytes:
    return choice.choice(pickletools.opcodes).code.encode("latin1") + opcode[1:]


def number(choice: random.Random, mutants: Mutants, opcode: bytes) -> bytes:
    """Change a number in a text opcode: of the memo, or a value."""
    if opcode[:1] not in b"pgIFL":
        return flip(choice, mutants, opcode)
    words = [b"0", b"-1", b"7", b"16", b"2147483648", b"9" * 19, b"9" * 5000, b"1e400", b"nan"]
    words += [b"", b"0x7f", b"010", b"1_0", b" 1", b"1\x00"]
    return opcode[:1] + choice.choice(words) + b"\n"


def length(choice: random.Random, mutants: Mutants, opcode: bytes) -> bytes:
    """Change a length, or a number of the memo, in a binary opcode."""
    if len(opcode) < 2 or opcode[:1] in b"pgIFLSVc":
        return insert(choice, mutants, opcode)
    size = {b"U": 1, b"K": 1, b"h": 1, b"q": 1, b"\x8a": 1, b"M": 2}.get(opcode[:1], 4)
    value = choice.choice([0, 1, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1])
    return opcode[:1] + struct.pack("<I", value)[:size] + opcode[1 + size :]


Change = Callable[[random.Random, Mutants, bytes], bytes]
CHANGES: Final[tuple[Change, ...]] = (
    *(flip, flip, remove, repeat, insert, replace, other_opcode, number, number, length),
)
