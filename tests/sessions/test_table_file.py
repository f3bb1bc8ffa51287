"""Files that look like a session table, and lose or change something when they are simply read."""

import pytest

from oscaxr.errors import TableError
from oscaxr.sessions import table_file
from oscaxr.sessions.table import session_table

HEADER = "sessid,mouseid,mouse_n,sess_n,nrois,notes"
ROWS = ["758519303,408021,1,1,96,", "759189643,408021,1,2,74,", "759660390,408021,1,3,107,"]


@pytest.fixture
def written(tmp_path):
    def write(*lines, encoding="utf-8", newline="\n"):
        path = tmp_path / "mouse_df.csv"
        path.write_bytes(newline.join([*lines, ""]).encode(encoding))
        return path

    return write


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_endings_and_marks_change_nothing(written, encoding, newline):
    table = session_table(written(HEADER, *ROWS, encoding=encoding, newline=newline))
    assert table.columns[0] == "session_id"
    assert table.n_rois.tolist() == [96, 74, 107]


def test_two_columns_of_one_name_are_refused(written):
    rows = [f"{row},{number}" for number, row in enumerate(ROWS)]
    with pytest.raises(TableError, match="has more than one column n_rois"):
        session_table(written(f"{HEADER},nrois", *rows))


def test_rows_that_stray_quotes_hide_are_named(written):
    first, second, third = ROWS
    for lines in (
        (f'{first}"late', second, f'{third}"x'),
        (first.replace("758519303", '"758519303') + '"', second),
    ):
        path = written(HEADER, *lines)
        with pytest.raises(TableError, match=r"759189643|quote|cannot be read"):
            session_table(path)
    with pytest.raises(TableError, match="hold the rows of 759189643, 759660390: a quote"):
        session_table(written(HEADER, f'{first}"late', second, f'{third}"'))
    # Notes may have lines.
    table = session_table(written(HEADER, f'{first}"late,\n2 times"', second))
    assert table.notes.tolist() == ["late,\n2 times", ""]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-le"])
def test_other_encodings_are_said_to_be_that(written, encoding):
    with pytest.raises(TableError, match="not a table in UTF-8"):
        session_table(written(HEADER, *ROWS, encoding=encoding))


def test_a_number_with_a_nul_is_not_cut_short(written):
    with pytest.raises(TableError, match="NUL bytes"):
        session_table(written(HEADER, ROWS[0].replace("96", "9\x006")))


def test_other_files_are_refused_by_their_beginning(tmp_path, sample_path, monkeypatch):
    with pytest.raises(TableError, match="not a table in UTF-8"):
        session_table(sample_path)
    monkeypatch.setattr(table_file, "_MOST_BYTES", 2**20)
    path = tmp_path / "long.csv"
    path.write_bytes(b"x" * (2**20 + 1))
    with pytest.raises(TableError, match="more than 1 MiB"):
        session_table(path)


@pytest.mark.parametrize("number", [2**53 + 1, 2**63 - 1])
def test_long_numbers_are_exact(written, number):
    assert session_table(written(HEADER, ROWS[0].replace("96", str(number)))).n_rois[0] == number


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, f"{2**53 + 1}.0", "9" * 400, "1e400"])
def test_numbers_that_would_be_others_are_refused(written, number):
    with pytest.raises(TableError, match=r"nrois is '.*', not a whole number"):
        session_table(written(HEADER, ROWS[0].replace("96", str(number))))
