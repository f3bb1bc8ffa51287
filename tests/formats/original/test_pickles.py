"""Stimulus logs are hostile input: nothing in them is run, and only plain values come out."""

import collections
import contextlib
import copyreg
import datetime
import os
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest

from oscaxr.errors import FormatError, UnsafePickleError
from oscaxr.files.direct import DirectFile
from oscaxr.formats.original.pickles import ADMITTED, Ignored, load
from oscaxr.formats.original.stored_arrays import StoredArray, stack

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def read(tmp_path, content: bytes):
    path = tmp_path / "log.pkl"
    path.write_bytes(content)
    return load(DirectFile(path))


class Calls:
    """Pickles to a call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


HOSTILE = {
    "system": (os.system, "touch {target}"),
    "eval": (eval, "open({target!r}, 'w')"),
    "exec": (exec, "open({target!r}, 'w')"),
    "popen": (subprocess.Popen, ["touch", "{target}"]),
    "open": (open, "{target}", "w"),
    "getattr": (getattr, "text", "upper"),
    "import": (__import__, "os"),
    "loads": (pickle.loads, b"."),
    "numpy load": (np.load, "{target}"),
    "numpy savetxt": (np.savetxt, "{target}", [1.0]),
    "memmap": (np.memmap, "{target}", "uint8", "w+", 0, 3),
    "partial": (__import__("functools").partial, print),
    "reconstructor": (copyreg._reconstructor, dict, object, None),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", HOSTILE)
def test_calls_are_refused_and_named_in_every_protocol(tmp_path, name, protocol):
    target = tmp_path / "was-here"
    function, *arguments = HOSTILE[name]
    arguments = [a.format(target=str(target)) if isinstance(a, str) else a for a in arguments]
    content = pickle.dumps({"stimuli": [Calls(function, *arguments)]}, protocol=protocol)
    with pytest.raises(UnsafePickleError, match="refers to") as error:
        read(tmp_path, content)
    assert f".{function.__name__}, which" in str(error.value)
    assert not target.exists()


@pytest.mark.parametrize(
    "content",
    [
        # Python 2 names, by the opcodes of protocol 0 and 1, and extension codes.
        b"cos\nsystem\n(S'touch %s'\ntR.",
        b"cposix\nsystem\n(S'touch %s'\ntR.",
        b"(S'touch %s'\nios\nsystem\n.",
        b"c__builtin__\neval\n(S'1+1'\ntR.",
        b"(c__builtin__\neval\nS'1+1'\no.",
        b"ccopy_reg\n_reconstructor\n(c__builtin__\nobject\nc__builtin__\nobject\nNtR.",
        b"\x80\x02cnumpy\nload\n(X\x01\x00\x00\x00atR.",
        b"cnumpy.core.multiarray\nfromfile\n(S'%s'\ntR.",
        b"cnumpy\nndarray.__class__\n.",
    ],
)
def test_opcodes_by_hand_are_refused(tmp_path, content):
    target = tmp_path / "was-here"
    with pytest.raises(UnsafePickleError, match="refers to"):
        read(tmp_path, content.replace(b"%s", str(target).encode()))
    assert not target.exists()


def test_dotted_names_do_not_lead_through_admitted_ones(tmp_path):
    def short(text):
        return b"\x8c" + bytes([len(text)]) + text.encode()

    for module, name in [("datetime", "datetime.__class__"), ("collections", "OrderedDict.copy")]:
        content = b"\x80\x04" + short(module) + short(name) + b"\x93."
        with pytest.raises(UnsafePickleError, match=r"refers to"):
            read(tmp_path, content)


def test_persistent_and_extension_references_are_refused(tmp_path):
    for content in (b"P123\n.", b"\x80\x02I1\nQ."):
        with pytest.raises(UnsafePickleError, match="outside the file"):
            read(tmp_path, content)
    copyreg.add_extension("os", "system", 0x1234)
    try:
        content = b"\x80\x02\x83" + struct.pack("<H", 0x1234) + b"."
        with pytest.raises(UnsafePickleError, match=r"os\.system"):
            read(tmp_path, content)
    finally:
        copyreg.remove_extension("os", "system", 0x1234)


@pytest.mark.parametrize("place", ADMITTED)
def test_what_is_admitted_cannot_be_changed(tmp_path, place):
    module, name = place
    before = ADMITTED[place]
    state = b"}(S'__call__'\nI1\nS'__setstate__'\nI1\nuN\x86"
    for build in (b"N" + state[:-2] + b"\x86b", state + b"b", b"}S'a'\nI1\nsb"):
        with pytest.raises(FormatError):
            read(tmp_path, f"c{module}\n{name}\n".encode() + build + b".")
    assert ADMITTED[place] is before
    assert load_array(tmp_path).tolist() == [1.0, 2.0]


def load_array(tmp_path):
    return read(tmp_path, pickle.dumps(np.array([1.0, 2.0]), protocol=2)).array()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_objects_in_arrays_are_refused(tmp_path, protocol):
    content = pickle.dumps(np.array([{}, 1], dtype=object), protocol=protocol)
    with pytest.raises(UnsafePickleError, match="dtype 'O"):
        read(tmp_path, content)


@pytest.mark.parametrize("dtype", ["i4,f8", [("a", "O")], [("a", "f8")]])
def test_arrays_of_records_are_refused(tmp_path, dtype):
    with pytest.raises(UnsafePickleError, match="dtype"):
        read(tmp_path, pickle.dumps(np.zeros(2, dtype), protocol=2))


def test_array_subclasses_and_unknown_states_are_refused(tmp_path):
    with pytest.raises(UnsafePickleError, match=r"MaskedArray|_mareconstruct"):
        read(tmp_path, pickle.dumps(np.ma.masked_array([1, 2], [True, False]), protocol=2))
    start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    dtype = b"cnumpy\ndtype\n(S'i4'\ntR"
    states = [b"I1\nb.", b"(I1\ntb.", b"(I1\n(I2\ntS'i4'\nI00\nS'1234'\ntb."]
    states += [b"(I255\n(I1\nt" + dtype + b"I00\nS'1234'\ntb."]
    states += [b"(I1\n(I1\nt" + dtype + b"(I3\nS'<'\nNNtbI00\nS'1234'\ntb."]
    states += [b"(I1\n(I1\nt" + dtype + b"(I9\nS'<'\nNNNI-1\nI-1\ntbI00\nS'1234'\ntb."]
    for state in states:
        with pytest.raises(UnsafePickleError):
            read(tmp_path, start + state)
    for arguments in (b"(I0\n)S'b'\nt", b"(cnumpy\nndarray\nt", b"(cnumpy\nndarray\n))t"):
        with pytest.raises(FormatError):
            read(tmp_path, b"cnumpy.core.multiarray\n_reconstruct\n" + arguments + b"R.")


def test_an_array_holds_as_many_bytes_as_it_says(tmp_path):
    found = read(tmp_path, pickle.dumps(np.arange(4), protocol=2))
    found.shape = (5,)
    with pytest.raises(FormatError, match="32 bytes"):
        found.array()
    found.shape = (-4,)
    with pytest.raises(FormatError, match="shape"):
        found.array()
    found.shape = (2**62, 2**62)
    with pytest.raises(FormatError, match="32 bytes"):
        found.array()
    found.data = b""
    for shape in ((0, 2**62), (0,) * 100):
        found.shape = shape
        with pytest.raises(FormatError, match="an array has the shape"):
            found.array()


def test_admitted_values_have_no_attributes_to_replace(tmp_path):
    mapping = b"ccollections\nOrderedDict\n(tR"
    for state in (b"}S'get'\nI1\nsb.", b"N}S'get'\nI1\ns\x86b."):
        with pytest.raises(FormatError):
            read(tmp_path, mapping + state)


VALUES = {
    "float64": np.linspace(0, 1, 7),
    "float32": np.linspace(0, 1, 7, dtype=np.float32).reshape(7, 1),
    "int16": np.arange(12, dtype=np.int16).reshape(3, 4),
    "big-endian": np.arange(5, dtype=">i4"),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "bool": np.array([True, False]),
    "bytes": np.array([b"ab", b"c"]),
    "text": np.array(["ab", "ç"]),
    "empty": np.zeros((0, 3)),
    "scalar array": np.array(3.0),
    "high bytes": np.arange(256, dtype=np.uint8),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", VALUES)
def test_arrays_come_back_in_every_protocol(tmp_path, name, protocol):
    found = read(tmp_path, pickle.dumps(VALUES[name], protocol=protocol))
    assert isinstance(found, StoredArray)
    array = found.array()
    np.testing.assert_array_equal(array, VALUES[name])
    assert array.dtype == VALUES[name].dtype


def python2(array):
    """What Python 2 wrote with protocol 0: the bytes of an array as a quoted text."""
    quoted = repr(array.tobytes())[1:].encode()
    shape = "".join(f"I{size}\n" for size in array.shape).encode()
    code = array.dtype.str[1:].encode()
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n("
        + shape
        + b"tcnumpy\ndtype\n(S'"
        + code
        + b"'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS"
        + quoted
        + b"\ntb"
    )


def test_python_2_arrays_come_back(tmp_path):
    for array in (np.arange(256, dtype=np.uint8), np.array([[1, -2, 300]], "<i2")):
        np.testing.assert_array_equal(read(tmp_path, python2(array) + b".").array(), array)
    numpy2 = python2(np.arange(3.0)).replace(b"numpy.core", b"numpy._core")
    np.testing.assert_array_equal(read(tmp_path, numpy2 + b".").array(), np.arange(3.0))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_values_come_back(tmp_path, protocol):
    value = {
        "number": np.float64(2.5),
        "dict": collections.OrderedDict([("b", 1), ("a", 2)]),
        "when": datetime.datetime(2018, 9, 26, 17, 29),
        "day": datetime.date(2018, 9, 26),
        "long": datetime.timedelta(seconds=3),
        "bytes": b"\x00\xff",
        "nested": [(1, 2.0), "text", None, True, {3}],
    }
    assert read(tmp_path, pickle.dumps(value, protocol=protocol)) == value if protocol > 3 else True
    value.pop("nested")
    found = read(tmp_path, pickle.dumps(value, protocol=protocol))
    assert found == value
    assert list(found["dict"]) == ["b", "a"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_random_generators_are_passed_over(tmp_path, protocol):
    found = read(tmp_path, pickle.dumps({"rng": np.random.RandomState(0)}, protocol=protocol))
    assert isinstance(found["rng"], Ignored)
    old = b"cnumpy.random\n__RandomState_ctor\n(tR(S'MT19937'\nI1\ntb."
    assert isinstance(read(tmp_path, old), Ignored)


def test_many_arrays_are_stacked(tmp_path):
    arrays = [np.arange(6, dtype=np.int16).reshape(3, 2) + i for i in range(50)]
    found = read(tmp_path, pickle.dumps(arrays, protocol=2))
    np.testing.assert_array_equal(stack(found), np.array(arrays))
    turned = read(tmp_path, pickle.dumps([np.asfortranarray(a) for a in arrays], protocol=2))
    np.testing.assert_array_equal(stack(turned), np.array(arrays))
    with pytest.raises(FormatError, match="differ"):
        stack(read(tmp_path, pickle.dumps([arrays[0], arrays[0][:2]], protocol=2)))
    with pytest.raises(FormatError, match="something else"):
        stack([*found, 3])


@pytest.mark.parametrize("cut", [0, 1, 10, 200, -1])
def test_a_truncated_log_says_so(tmp_path, cut):
    content = pickle.dumps({"a": np.arange(100)}, protocol=2)
    with pytest.raises(FormatError, match=r"log\.pkl is not a stimulus log"):
        read(tmp_path, content[:cut])


def test_damaged_logs_never_raise_anything_else(tmp_path):
    rng = np.random.default_rng(0)
    content = bytearray(pickle.dumps({"a": np.arange(20), "b": [1.0, "x"]}, protocol=2))
    for _ in range(300):
        damaged = bytearray(content)
        for at in rng.integers(0, len(content), 3):
            damaged[at] = rng.integers(0, 256)
        with contextlib.suppress(FormatError):
            read(tmp_path, bytes(damaged))


def test_nothing_is_imported_by_a_refused_pickle(tmp_path):
    path = tmp_path / "log.pkl"
    path.write_bytes(b"cantigravity\nfly\n(tR.")
    code = (
        "import sys\nfrom pathlib import Path\nfrom oscaxr.files.direct import DirectFile\n"
        "from oscaxr.formats.original.pickles import load\n"
        f"try:\n    load(DirectFile(Path({str(path)!r})))\n"
        "except Exception as error:\n    print(type(error).__name__)\n"
        "assert 'antigravity' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "UnsafePickleError"
