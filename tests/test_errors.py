"""What errors say: options as their reader writes them."""

import pytest

from oscaxr.errors import command_line_words, option


@pytest.mark.parametrize(
    ("name", "value", "keyword", "shown"),
    [
        ("overwrite", True, "overwrite=True", "--overwrite"),
        ("edge", "nan", "edge='nan'", "--edge nan"),
        ("pre", -0.2, "pre=-0.2", "--pre -0.2"),
        ("datadir", None, "datadir=", "--datadir"),
        ("run_type", "prod", "run_type='prod'", "--run-type prod"),
        ("mice", [1, 2], "mice=1, 2", "--mice 1,2"),
    ],
)
def test_messages_name_options_as_their_reader_writes_them(name, value, keyword, shown):
    assert option(name, value) == keyword
    with command_line_words():
        assert option(name, value) == shown
    assert option(name, value) == keyword
