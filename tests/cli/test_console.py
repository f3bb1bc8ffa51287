"""What the command line says and writes: JSON, tables, counts, files."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from oscaxr.cli.console import counted, new_file, plain, table_text
from oscaxr.errors import ExportError


def test_json_has_neither_nan_nor_numpy():
    value = {
        1: np.arange(3, dtype="int16"),
        "nan": [math.nan, -math.inf, np.float32("inf"), 1.5],
        "path": Path("a"),
        "flag": np.bool_(True),
        "word": np.str_("x"),
        "none": None,
        "scalar": np.array(2.0),
        "table": pd.DataFrame({"a": [1.0, math.nan]}),
    }
    text = json.dumps(plain(value), allow_nan=False)
    assert json.loads(text) == {
        "1": [0, 1, 2],
        "nan": [None, None, None, 1.5],
        "path": "a",
        "flag": True,
        "word": "x",
        "none": None,
        "scalar": 2.0,
        "table": [{"a": 1.0}, {"a": None}],
    }


def test_tables_are_as_wide_as_what_they_hold():
    text = table_text(["word", "n"], [["x" * 90, "1"], ["", "1000"]], ["word"])
    lines = ["word" + " " * 86 + "     n", "x" * 90 + "     1", " " * 90 + "  1000"]
    assert text.split("\n") == lines
    text = table_text(["word", "n"], [["a\tb", "1"], ["[red]", "2"], ["\u6f22", "3"]], ["word"])
    assert text == "word       n\na       b  1\n[red]      2\n\u6f22         3"


def test_counts_are_said_in_order():
    assert counted(["written", "failed", "written"]) == "2 written, 1 failed"
    assert counted([]) == ""


def test_a_file_that_fails_leaves_what_was_there(tmp_path):
    out = tmp_path / "u.csv"
    out.write_text("old")

    def fail() -> None:
        with new_file(out, overwrite=True) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with pytest.raises(ExportError, match=r"cannot write .*below a file\.csv: "):
        new_file(out / "below a file.csv", overwrite=False).__enter__()
    assert [path.name for path in tmp_path.iterdir()] == ["u.csv"]
    assert out.read_text() == "old"
