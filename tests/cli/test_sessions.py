"""Numbers of mice and sessions, as words of the command line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscaxr.cli.sessions import numbers
from oscaxr.errors import CriterionError, command_line_words


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5), st.booleans()), min_size=1))
def test_numbers_and_ranges(parts):
    text = ",".join(f"{a}-{a + more}" if ranged else str(a) for a, more, ranged in parts)
    expected = []
    for first, more, ranged in parts:
        number = first
        while number <= first + (more if ranged else 0):
            expected.append(number)
            number += 1
    assert numbers("mouse", text) == expected


def test_no_numbers():
    assert numbers("mouse", None) is None
    for text in ("", "a", "1-", "-1", "1,,2", "1.5"):
        with command_line_words(), pytest.raises(CriterionError, match="--mouse"):
            numbers("mouse", text)
