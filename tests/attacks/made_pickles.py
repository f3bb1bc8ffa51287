"""Pickles that are made to do harm: to run something, or to take all memory, time or stack."""

import pickle
import struct
from typing import Final

TARGET: Final = b"%TARGET%"
"""Stands for a path that nothing may touch."""


def text(content: bytes) -> bytes:
    """Return a text as protocol 0 has it."""
    return b"S'" + content + b"'\n"


def short(content: bytes) -> bytes:
    """Return a text as protocol 4 has it."""
    return b"\x8c" + bytes([len(content)]) + content


def named(name: str) -> bytes:
    """Return a name, as all protocols may have it."""
    module, _, last = name.rpartition(".")
    return f"c{module}\n{last}\n".encode()


TOUCH: Final = text(b"touch " + TARGET)
WRITE: Final = text(b"open('".replace(b"'", b'\\"') + TARGET + b'\\", \\"w\\")')
# Names, and the arguments with which they would do something.
CALLS: Final = {
    "os.system": TOUCH,
    "posix.system": TOUCH,
    "builtins.eval": WRITE,
    "__builtin__.eval": WRITE,
    "timeit.timeit": WRITE,
    "builtins.open": text(TARGET) + text(b"w"),
    "shutil.rmtree": text(TARGET),
    "importlib.import_module": text(b"antigravity"),
    "pickle.loads": text(b"cos\\nsystem\\n(S\\'touch " + TARGET + b"\\'\\ntR."),
    "numpy.load": text(TARGET),
    "numpy.core.multiarray.fromfile": text(TARGET),
    "_codecs.encode": text(b"a") + text(b"zlib_codec"),
    "copy_reg._reconstructor": named("builtins.dict") + named("builtins.object") + b"N",
}
CLASS: Final = named("subprocess.Popen")
LIST: Final = b"(l" + text(b"touch") + text(TARGET) + b"lp7\n"
ARRAY: Final = named("numpy.core.multiarray._reconstruct") + b"(cnumpy\nndarray\n(I0\ntS'b'\ntR"
SYSTEM: Final = short(b"os") + short(b"system") + b"\x93"


def dtype(code: bytes) -> bytes:
    """Return a dtype of numpy."""
    return b"cnumpy\ndtype\n(" + text(code) + b"I0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"


def array(shape: bytes, code: bytes, content: bytes) -> bytes:
    """Return an array of numpy: sizes as they are written, and its bytes."""
    return ARRAY + b"(I1\n(" + shape + b"t" + dtype(code) + b"I00\n" + content + b"tb"


# What could run something by other ways than a call.
EXECUTING: Final = {
    **{f"REDUCE of {name}": named(name) + b"(" + told + b"tR" for name, told in CALLS.items()},
    "INST": b"(" + TOUCH + b"ios\nsystem\n",
    "OBJ": b"(" + named("os.system") + TOUCH + b"o",
    "NEWOBJ": CLASS + b"(" + text(TARGET) + b"t\x81",
    "NEWOBJ_EX": CLASS + b"(" + text(TARGET) + b"t}\x92",
    "STACK_GLOBAL": SYSTEM + TOUCH + b"\x85R",
    "STACK_GLOBAL, dotted": short(b"datetime") + short(b"datetime.__class__") + b"\x93",
    "EXT1": b"\x82\x01(" + TOUCH + b"tR",
    "EXT2": b"\x83\x01\x01(" + TOUCH + b"tR",
    "EXT4": b"\x84\x01\x01\x01\x01(" + TOUCH + b"tR",
    "PERSID": b"Pos.system\n",
    "BINPERSID": TOUCH + b"Q",
    "BUILD of what is admitted": named("numpy.dtype")
    + b"}S'__call__'\n"
    + named("os.system")
    + b"sb",
    "BUILD with slots": named("collections.OrderedDict") + b"(tRN}S'get'\nI1\ns\x86b",
    "__setstate__": named("numpy.ndarray") + b"}S'__setstate__'\nI1\nsb",
    "__reduce__ in an array of objects": array(b"I1\n", b"O8", b"(l" + SYSTEM + TOUCH + b"\x85Ra"),
    "dtype with objects": b"cnumpy\ndtype\n((lS'O'\naI0\nI1\ntR",
    "dtype of a record": dtype(b"V8"),
    "NEXT_BUFFER": b"\x97",
    "READONLY_BUFFER of a name": named("numpy.ndarray") + b"\x98",
}


def doubled(start: bytes, times: int, twice: bytes) -> bytes:
    """Return what holds the same thing twice, which holds the same thing twice, and so on."""
    steps = [start + b"p900000\n"]
    steps += [
        b"0" + twice.replace(b"@", b"g%d\n" % (900_000 + n)) + b"p%d\n" % (900_001 + n)
        for n in range(times)
    ]
    return b"".join(steps)


def key(content: bytes) -> bytes:
    """Return a dict with a key."""
    return b"}" + content + b"Ns"


def many(part: bytes, count: int) -> bytes:
    """Return a list of many of the same."""
    return b"](" + part * count + b"e"


MILLION: Final = 1_000_000
GABORS: Final = b"}S'name'\nS'gabors'\ns"
TUPLES: Final = doubled(b")", 60, b"(@@t")
LISTS: Final = doubled(b"(lI1\na", 60, b"(l@a@a")
COLLIDING: Final = b"".join(
    b"\x8a\x10" + struct.pack("<QQ", n * (2**61 - 1) % 2**64, n * (2**61 - 1) >> 64) + b"N"
    for n in range(60_000)
)
PAIRS: Final = b"".join(b"J" + struct.pack("<i", n) + b"K\x01\x86N" for n in range(60_000))
# What takes memory, time or stack, wherever it stands in a log.
BOMBS: Final = {
    "memo of 2**31": b"Nr\x00\x00\x00\x80",
    "memo of 2**32": b"Nr\xff\xff\xff\xff",
    "memo of 10**12": b"Np1000000000000\n",
    "memo of many": many(b"N\x94", 3 * MILLION),
    "bytes of 2**62": b"\x8e" + struct.pack("<Q", 2**62),
    "bytes of 2**40": b"\x8e" + struct.pack("<Q", 2**40),
    "text of 2**40": b"\x8d" + struct.pack("<Q", 2**40),
    "text of 2**32": b"X\xff\xff\xff\xff",
    "string of 2**31": b"T\xff\xff\xff\x7f",
    "array of bytes of 2**40": b"\x96" + struct.pack("<Q", 2**40),
    "frame of 2**62": b"\x95" + struct.pack("<Q", 2**62),
    "integer of 2**31 bytes": b"\x8b\xff\xff\xff\x7f",
    "integer of 2**20 bytes": b"\x8b\x00\x00\x10\x00" + b"1" * 2**20,
    "integer of digits": b"L" + b"9" * MILLION + b"L\n",
    "number of digits": b"F" + b"9" * MILLION + b"\n",
    "hexadecimal digits": b"I0x" + b"9" * MILLION + b"\n",
    "deep lists": b"]" * MILLION + b"a" * (MILLION - 1),
    "deep tuples": b")" + b"\x85" * MILLION,
    "deep dicts": b"}" + b"N}" * MILLION + b"s" * MILLION,
    "deep marks": b"(" * (2 * MILLION) + b"1" * (2 * MILLION) + b"N",
    "deep key": key(b")" + b"\x85" * MILLION),
    "deep set": b"(" * 400 + b")" + b"\x85" * MILLION + b"\x91" + b"t" * 399,
    "doubled tuples": TUPLES,
    "doubled tuples as key": key(TUPLES),
    "doubled tuples in a set": b"\x8f(" + TUPLES + b"\x90",
    "doubled tuples in an OrderedDict": named("collections.OrderedDict")
    + b"(]("
    + TUPLES
    + b"N\x86etR",
    "doubled lists": LISTS,
    "keys of equal hash": b"}(" + COLLIDING + b"u",
    "many tuples as keys": b"}(" + PAIRS + b"u",
    "many sets": many(b"\x8f", 4 * MILLION),
    "many dicts": many(b"}", 4 * MILLION),
    "text encoded again and again": text(b"a" * MILLION)
    + b"p900001\n0"
    + named("_codecs.encode")
    + b"p900000\n0"
    + many(b"g900000\ng900001\n\x85R", 5000),
    "dict copied again and again": b"]("
    + b"K\x01N\x86" * 100_000
    + b"ep900001\n0"
    + named("collections.OrderedDict")
    + b"p900000\n0"
    + many(b"g900000\ng900001\n\x85R", 5000),
    "large single values": text(b"a" * 999_999)
    + b"p900001\n0"
    + dtype(b"S999999")
    + b"p900002\n0"
    + named("numpy.core.multiarray.scalar")
    + b"p900000\n0"
    + many(b"g900000\ng900002\ng900001\n\x86R", 5000),
}
# What takes them where it is looked at: instead of a part of a log.
INSTEAD: Final = {
    "wheel: doubled lists": {"items": b"N", "dx": LISTS},
    "wheel: lists of the same lists": {
        "items": b"N",
        "dx": doubled(many(b"F1.0\n", 3000), 2, b"(l" + b"@a" * 3000),
    },
    "wheel: a long text among numbers": {
        "items": b"N",
        "dx": b"](" + text(b"a" * MILLION) + b"K\x01" * MILLION + b"e",
    },
    "wheel: integers beyond all": {
        "items": b"N",
        "dx": many(b"\x8a\x08" + b"\xff" * 7 + b"\x7f", 10),
    },
    "wheel: an array without content": {"items": b"N", "dx": ARRAY},
    "wheel: a shape beyond its content": {
        "items": b"N",
        "dx": array(b"L1099511627776L\n", b"i4", text(b"aaaa")),
    },
    "wheel: values without size": {
        "items": b"N",
        "dx": array(b"L1099511627776L\n", b"S0", text(b"")),
    },
    "wheel: a shape of a million": {
        "items": b"N",
        "dx": array(b"I2\n" * MILLION, b"i4", text(b"aaaa")),
    },
    "wheel: text as array": {"items": b"N", "dx": array(b"I1\n", b"S4", text(b"aaaa"))},
    "wheel: a single value": {
        "items": b"N",
        "dx": named("numpy.core.multiarray.scalar") + b"(" + dtype(b"f8") + text(b"a" * 8) + b"tR",
    },
    "stimuli: the same one for ever": {
        "stimuli": b"}S'stim_params'\n"
        + key(b"S'elemParams'\n").replace(b"Ns", GABORS + b"s")
        + b"sp900000\n0"
        + many(b"g900000\n", MILLION)
    },
    "stimuli: doubled lists": {"stimuli": LISTS},
    "fps: endless": {"fps": b"F1e308\n", "pre_blank_sec": b"F1e308\n"},
    "fps: not a number": {"fps": b"Fnan\n"},
    "dropped frames: text": {"droppedframes": b"(" + array(b"I1\n", b"S4", text(b"aaaa")) + b"t"},
}


def made(log: bytes, number: int, target: bytes) -> tuple[str, bytes]:
    """Return what a pickle does, and the pickle: a log with something that does harm."""
    name, parts = list(MADE.items())[number]
    # The dict of the log is what is left at its end.
    added = b"".join(text(place.encode()) + part + b"s" for place, part in parts.items())
    return name, log.removesuffix(pickle.STOP) + added.replace(TARGET, target) + pickle.STOP


MADE: Final = {
    **{name: {"extra": part} for name, part in {**EXECUTING, **BOMBS}.items()},
    **INSTEAD,
}
