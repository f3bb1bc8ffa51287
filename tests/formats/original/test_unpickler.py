"""No pickle takes more memory, time or depth than a stimulus log needs."""

import copyreg
import os
import pickle
import random
import struct
import tracemalloc

import pytest

from oscaxr.errors import FormatError, SessionNotFoundError, UnsafePickleError
from oscaxr.files.direct import DirectFile
from oscaxr.formats.original import unpickler
from oscaxr.formats.original.pickles import load

MILLION = 1_000_000
DEEP = 200_000
ORDERED = b"ccollections\nOrderedDict\n"


def read(tmp_path, content: bytes):
    path = tmp_path / "log.pkl"
    path.write_bytes(content)
    return load(DirectFile(path))


def taken(tmp_path, content: bytes) -> int:
    """Return how much memory is taken at most while something is read, or refused."""
    tracemalloc.start()
    try:
        read(tmp_path, content)
    except FormatError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


def many(part: bytes, count: int) -> bytes:
    return b"](" + part * count + b"e."


def doubled(start: bytes, twice: bytes) -> bytes:
    """Return what holds the same thing twice, which holds the same thing twice, 60 times."""
    steps = [start + b"p0\n"]
    steps += [b"0" + twice.replace(b"@", b"g%d\n" % n) + b"p%d\n" % (n + 1) for n in range(60)]
    return b"".join(steps)


@pytest.mark.parametrize("put", [b"r\x00\x00\x00\x80", b"r\xff\xff\xff\xff", b"p99999999999\n"])
def test_a_large_number_in_the_memo_takes_no_memory(tmp_path, put):
    content = b"\x80\x02N" + put + b"."
    assert read(tmp_path, content) is None
    assert taken(tmp_path, content) < MILLION


@pytest.mark.parametrize(
    "code",
    [b"\x8d", *(pytest.param(one, marks=pytest.mark.slow) for one in (b"\x8e", b"\x96", b"\x95"))],
)
def test_bytes_that_are_not_there_take_no_memory(tmp_path, code):
    for size in (2**31, 2**40, 2**62, 2**64 - 1):
        content = b"\x80\x05" + code + struct.pack("<Q", size) + b"abc"
        with pytest.raises(FormatError, match=r"log\.pkl"):
            read(tmp_path, content)
        assert taken(tmp_path, content) < MILLION


@pytest.mark.parametrize("code", [b"X", b"B", b"T", b"\x8b"])
def test_texts_and_numbers_that_are_not_there_take_no_memory(tmp_path, code):
    content = b"\x80\x03" + code + struct.pack("<i", 2**31 - 1) + b"abc"
    with pytest.raises(FormatError, match=r"log\.pkl"):
        read(tmp_path, content)
    assert taken(tmp_path, content) < MILLION


@pytest.mark.parametrize(
    "number",
    [
        *(b"I" + b"9" * 60 + b"\n", b"L" + b"9" * 5000 + b"L\n", b"I0x" + b"f" * 17 + b"\n"),
        *(b"L-18446744073709551616L\n", b"F" + b"9" * 60 + b"\n", b"F1_0.5\n", b"I1_0\n"),
        *(b"\x8a\x09" + b"\x01" * 9, b"\x8b\x00\x01\x00\x00" + b"\x01" * 256),
    ],
)
def test_numbers_are_those_of_a_computer(tmp_path, number):
    with pytest.raises(FormatError, match=r"it has (the number|an integer of)"):
        read(tmp_path, number + b".")


def test_numbers_within_bounds_are_read(tmp_path):
    content = b"(I-5\nI01\nI00\nL18446744073709551615L\nL7\nF-2.5e-300\nFnan\nFinf\nI0x10\nt."
    found = read(tmp_path, content)
    assert repr(found) == "(-5, True, False, 18446744073709551615, 7, -2.5e-300, nan, inf, 16)"


@pytest.mark.parametrize(
    "content",
    [
        b"}" + doubled(b")", b"(@@t") + b"Ns.",
        b"}(" + doubled(b")", b"(@@t") + b"Nu.",
        b"(" + doubled(b")", b"(@@t") + b"Nd.",
        b"(" + doubled(b")", b"(@@t") + b"\x91.",
        b"\x8f(" + doubled(b")", b"(@@t") + b"\x90.",
        ORDERED + b"(](](" + doubled(b")", b"(@@t") + b"NeetR.",
        b"})" + b"\x85" * DEEP + b"Ns.",
        b"}(" + b"N" * 9 + b"tNs.",
        b"}(Nl\x85Ns.",
    ],
)
def test_no_tuple_is_hashed_that_is_deep_or_endless(tmp_path, content):
    with pytest.raises(FormatError, match="a key in it is a"):
        read(tmp_path, b"\x80\x02" + content)


def test_keys_of_equal_hashes_are_few(tmp_path):
    def pairs(count):
        return (
            b"\x80\x02}("
            + b"".join(b"K\x01M%b\x86N" % struct.pack("<H", n) for n in range(count))
            + b"u."
        )

    assert len(read(tmp_path, pairs(4000))) == 4000
    with pytest.raises(FormatError, match="more than 4,096 keys in it are tuples"):
        read(tmp_path, pairs(5000))
    complex_ = b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'c16'\ntRS'%b'\ntR" % (b"a" * 16)
    with pytest.raises(UnsafePickleError, match="single values of dtype complex128"):
        read(tmp_path, b"}" + complex_ + b"Ns.")


def test_what_is_deep_takes_nothing_but_its_size(tmp_path):
    for content in (b"]" * DEEP + b"a" * (DEEP - 1), b")" + b"\x85" * DEEP):
        found = read(tmp_path, b"\x80\x02" + content + b".")
        assert len(found) == 1
        del found
    with pytest.raises(FormatError, match="nested more than 500 deep"):
        read(tmp_path, b"(" * DEEP + b"t" * DEEP + b".")


@pytest.mark.parametrize(
    "content",
    [
        b"S'" + b"a" * MILLION + b"'\np1\n0c_codecs\nencode\np0\n0" + many(b"g0\ng1\n\x85R", 30),
        b"]("
        + b"K\x01N\x86" * 30_000
        + b"ep1\n0"
        + ORDERED
        + b"p0\n0"
        + many(b"g0\ng1\n\x85R", 10),
        many(b"\x8f", 70_000),
    ],
)
def test_little_does_not_unfold_to_much(tmp_path, monkeypatch, content):
    monkeypatch.setattr(unpickler, "_MOST_COPIED", 2**24)
    with pytest.raises(FormatError, match=r"it unfolds to 16,777,216 bytes more than it has"):
        read(tmp_path, b"\x80\x04" + content)


def test_a_wide_letter_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(unpickler, "_MOST_COPIED", 10**6)
    text = "a" * 300_000 + "\u6f22"
    for protocol in (0, 2, 4):
        with pytest.raises(FormatError, match="unfolds"):
            read(tmp_path, pickle.dumps(text, protocol=protocol))
        assert read(tmp_path, pickle.dumps(text[:-1], protocol=protocol)) == text[:-1]


def test_opcodes_are_as_many_as_a_whole_session_has(tmp_path, monkeypatch):
    monkeypatch.setattr(unpickler, "MOST_OPCODES", 1000)
    assert len(read(tmp_path, many(b"N", 990))) == 990
    with pytest.raises(
        FormatError, match=r"log\.pkl is not read .* more than 1,000 opcodes.*1,004 bytes"
    ):
        read(tmp_path, many(b"N", 1000))


def test_a_file_larger_than_any_log_is_not_read(tmp_path):
    path = tmp_path / "log.pkl"
    path.touch()
    os.truncate(path, 2**40)
    with pytest.raises(FormatError, match=r"log\.pkl .* it has 1,099,511,627,776 bytes"):
        load(DirectFile(path))
    with pytest.raises(SessionNotFoundError, match=r"no file .*missing\.pkl"):
        load(DirectFile(tmp_path / "missing.pkl"))


def test_an_extension_that_somebody_resolved_is_not_trusted(tmp_path):
    copyreg.add_extension("os", "getcwd", 0x77)
    content = b"\x80\x02\x82\x77)R."
    try:
        # It is from now on in a cache of the standard library.
        assert pickle.loads(content) == os.getcwd()  # noqa: PTH109
        with pytest.raises(UnsafePickleError, match=r"os\.getcwd"):
            read(tmp_path, content)
    finally:
        copyreg.remove_extension("os", "getcwd", 0x77)
    with pytest.raises(UnsafePickleError, match="the extension 119, which nobody registered"):
        read(tmp_path, content)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_are_those_of_the_standard_library(tmp_path, protocol):
    choice = random.Random(protocol)

    def value(depth):
        kinds = [lambda: choice.randint(-(2**62), 2**62), choice.random, lambda: None]
        kinds += [lambda: choice.random() < 0.5, lambda: "tex\u00e9t\n'" * choice.randrange(40)]
        if depth:
            kinds += [lambda: [value(depth - 1) for _ in range(choice.randrange(6))]] * 2
            kinds += [lambda: tuple(value(depth - 1) for _ in range(choice.randrange(5)))]
            kinds += [lambda: {choice.randrange(9**9): value(depth - 1) for _ in range(4)}] * 2
            kinds += [lambda: {(choice.randrange(9), "a"): value(depth - 1) for _ in range(2)}]
        return choice.choice(kinds)()

    for _ in range(30):
        whole = [value(5), value(5)]
        assert read(tmp_path, pickle.dumps(whole * 2, protocol=protocol)) == whole * 2
