"""Values of a log are taken as numbers where they are some, and nothing endless is gone through."""

import numpy as np
import pytest

from oscaxr.errors import FormatError
from oscaxr.formats.original.log_values import as_array
from oscaxr.formats.original.stored_arrays import StoredArray, StoredDtype, array_of, stack


@pytest.mark.parametrize(
    "value",
    [
        *(
            [],
            [1, 2],
            (1.5, 2),
            [True, False],
            [[1, 2], [3, 4]],
            [(1, 2.0)],
            [[], []],
            [[[1]], [[2]]],
        ),
        *([np.float64(1), 2], [np.int16(3)], 5, 2.5, True, np.int32(7), [2**63, 1]),
    ],
)
def test_lists_are_those_of_numpy(value):
    found, expected = as_array(value), np.asarray(value)
    np.testing.assert_array_equal(found, expected)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (["x" * 10**6] + [1] * 10**6, "not of str"),
        ([[1, 2], [3]], r"equal length .*\[1, 2\]"),
        ([[1], 2], "not of list"),
        ([None], "not of NoneType"),
        ({"a": 1}, "an array was expected"),
        ([StoredArray()], "not of StoredArray"),
        (StoredArray(), "no content"),
        (array_of("ab", StoredDtype("S2"), ()), "an array of numbers was expected"),
        ([[[0] * 1000] * 1000] * 1000, r"shape \(1000, 1000, 1000\)"),
    ],
)
def test_what_is_no_array_of_numbers_says_so(value, words):
    with pytest.raises(FormatError, match=words):
        as_array(value)


def test_lists_of_the_same_lists_end():
    value = [1]
    for _ in range(60):
        value = [value, value]
    with pytest.raises(FormatError, match="more than a session has"):
        as_array(value)


def test_one_array_is_not_stacked_without_end():
    large = array_of("a" * 10**7, StoredDtype("u1"), (10**7,))
    with pytest.raises(FormatError, match=r"1,000 arrays of 10,000,000 bytes are more"):
        stack([large] * 1000)
    # Of these, none is converted: they have not what they say that they have.
    small = [array_of(large.data, StoredDtype("u1"), (1,)) for _ in range(10_000)]
    with pytest.raises(FormatError, match=r"shape \(1,\) holds 10000000 bytes"):
        stack(small)


@pytest.mark.parametrize("shape", [(2**62,), (2,) * 10**6, ((1,),), [1], (True,), None])
def test_a_shape_is_a_few_numbers(shape):
    for code in ("S0", "u1"):
        with pytest.raises(FormatError, match="shape"):
            array_of("", StoredDtype(code), shape).array()
