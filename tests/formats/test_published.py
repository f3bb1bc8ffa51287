"""The list of the archive's files that comes with the package, and what follows from it."""

import pytest

from example_sessions import SHARED
from oscaxr.formats.identity import site_date, stamp_of
from oscaxr.formats.published import has_utc_digits, published, session_start
from oscaxr.sessions.table import session_table

TABLE = SHARED / "data" / "mouse_df.csv"
SESSION, MOUSE = 778374308, 418779


@pytest.mark.shared
@pytest.mark.skipif(not TABLE.is_file(), reason="needs ../shared/data")
def test_starts_and_days_are_those_of_the_session_table():
    table = session_table(TABLE).set_index("session_id")
    assert len(published().files) == 3 * len(table) == 150
    for one in published().files:
        row = table.loc[one.identity.session_id]
        start = session_start(one.start, one.identity.session_id, one.identity.mouse_id)
        assert stamp_of(start) == row["dandi_session_time"]
        assert (site_date(start), one.identity.mouse_id) == (row["date"], row["mouse_id"])


@pytest.mark.parametrize(
    ("session_id", "mouse_id", "expected"),
    [
        (SESSION, MOUSE, True),
        (SESSION, None, True),
        (SESSION, 418780, False),
        (None, MOUSE, True),
        (None, None, False),
        (600000001, MOUSE, False),
        (900000001, 900001, True),  # a sample
        (900000001, MOUSE, False),
        (None, 900001, True),
    ],
)
def test_whose_digits_are_utc(session_id, mouse_id, expected):
    assert has_utc_digits(session_id, mouse_id) is expected
