"""Arrays that are read many at a time are those that are read one opcode at a time."""

import io
import pickle

import numpy as np
import pytest

from oscaxr.errors import FormatError
from oscaxr.files.direct import DirectFile
from oscaxr.formats.original.pickles import load
from oscaxr.formats.original.similar_arrays import SimilarArrays
from oscaxr.formats.original.stored_arrays import StoredArray, stack
from oscaxr.sample.pickler import Python2Pickler


def dumped(value) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, 0).dump(value)
    return file.getvalue()


def read(tmp_path, content: bytes):
    path = tmp_path / "log.pkl"
    path.write_bytes(content)
    return load(DirectFile(path))


def arrays(count, shape=(5, 2), dtype="i2"):
    rng = np.random.default_rng(count)
    return [
        rng.integers(0, 255, (*shape, np.dtype(dtype).itemsize), "u1").view(dtype)[..., 0]
        for _ in range(count)
    ]


@pytest.fixture
def counted(monkeypatch):
    """How many arrays were read at once, each time."""
    counts = []
    take = SimilarArrays.take

    def take_and_count(self, position):
        found = take(self, position)
        counts.append(len(found[0]))
        return found

    monkeypatch.setattr(SimilarArrays, "take", take_and_count)
    return counts


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((105, 2), "i2"), ((3,), "f8"), ((), "u1"), ((0, 2), "i4"), ((1, 1, 1), "u1")],
)
def test_similar_arrays_are_read_at_once(tmp_path, counted, shape, dtype):
    expected = arrays(50, shape, dtype)
    found = read(tmp_path, dumped({"a": expected, "b": 1.5}))
    assert found["b"] == 1.5
    # But for the first, whose parts are not in the memo before.
    assert max(counted) >= 48
    np.testing.assert_array_equal(stack(found["a"]), np.array(expected))
    assert stack(found["a"]).dtype == dtype


def test_numbers_in_the_memo_may_be_missing(tmp_path, counted):
    import re

    content = dumped(arrays(20))
    used = set(re.findall(rb"g(\d+)\n", content))
    fewer = re.sub(rb"p(\d+)\n", lambda put: put[0] if put[1] in used else b"", content)
    assert len(fewer) < len(content) - 500
    np.testing.assert_array_equal(stack(read(tmp_path, fewer)), np.array(arrays(20)))
    assert max(counted) >= 18


def test_different_arrays_follow_one_another(tmp_path):
    mixed = [*arrays(3), *arrays(3, (4,)), *arrays(3, (4,), "f8"), *arrays(2)]
    found = read(tmp_path, dumped([mixed, (mixed[0], 5), mixed[:2]]))
    for one, expected in zip(found[0], mixed, strict=True):
        np.testing.assert_array_equal(one.array(), expected)
    np.testing.assert_array_equal(found[1][0].array(), mixed[0])
    assert [len(part) for part in found] == [len(mixed), 2, 2]


def test_what_was_read_at_once_can_be_referred_to(tmp_path):
    content = dumped(arrays(4, (30, 2)))
    plain = pickle.loads(content[:-1] + b".", encoding="latin1")
    numbers = [
        int(line[1:]) for line in content.split(b"\n") if line[:1] == b"p" and line[1:].isdigit()
    ]
    last = max(numbers)
    for number in range(last - 20, last + 1):
        again = content[:-1] + b"g%d\na." % number
        expected = pickle.loads(again, encoding="latin1")[-1]
        found = read(tmp_path, again)[-1]
        if isinstance(found, StoredArray):
            np.testing.assert_array_equal(found.array(), expected)
        elif isinstance(found, str) or found == (0,):
            assert found == expected
        else:
            assert type(found) is tuple
            assert len(found) == len(expected)
    assert len(plain) == 4


def test_content_that_is_no_text_is_an_error_where_it_is_used(tmp_path):
    content = dumped(arrays(9, (40, 2)))
    place = content.rindex(b"\\x")
    found = read(tmp_path, content[:place] + b"\\xZZ" + content[place + 4 :])
    np.testing.assert_array_equal(stack(found[:-1]), np.array(arrays(9, (40, 2)))[:-1])
    for use in (found[-1].array, lambda: stack(found)):
        with pytest.raises(FormatError, match="content is not bytes"):
            use()


def test_quotes_belong_together(tmp_path):
    content = dumped(arrays(9, (40, 2)))
    place = max(content.rindex(quote + b"\np") for quote in (b"'", b'"'))
    with pytest.raises(FormatError, match="must be quoted"):
        read(tmp_path, content[:place] + b"x" + content[place + 1 :])


def test_a_number_of_the_memo_is_given_once(tmp_path):
    content = dumped(arrays(9))
    maker = content.index(b"_reconstruct\np") + len(b"_reconstruct\np")
    number = content[maker : content.index(b"\n", maker)]
    put = content.rindex(b"Rp") + 2
    end = content.index(b"\n", put)
    with pytest.raises(FormatError, match="a number of its memo to several things"):
        read(tmp_path, content[:put] + number + content[end:])
