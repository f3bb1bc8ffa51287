"""What errors say: options as their reader writes them, and nothing that may be secret."""

import pytest

from oscaxr.errors import (
    FormatError,
    MissingVariableError,
    OscaxrError,
    OscaxrWarning,
    command_line_words,
    option,
    warn,
)


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:word@host/a?word#word: no", "https://host/a no"),
        ("the table http:/user:word@host/a.csv?word is", "the table http:/host/a.csv is"),
        ("'s3://host/a#word', HTTP://host/b?word", "'s3://host/a', HTTP://host/b"),
        ("at http://host:8/a@b/c: it is gone.", "at http://host:8/a@b/c: it is gone."),
        # What is no address stays as it is.
        ("C:/me@home/a#1.nwb, a@b: c?", "C:/me@home/a#1.nwb, a@b: c?"),
    ],
)
def test_addresses_are_shown_without_what_may_be_secret(text, shown):
    for kind in (OscaxrError, FormatError, MissingVariableError):
        assert str(kind(text)) == shown
        assert repr(kind(text)) == f"{kind.__name__}({shown!r})"
    with pytest.warns(OscaxrWarning) as caught:
        warn(text, OscaxrWarning)
    assert str(caught[0].message) == shown
