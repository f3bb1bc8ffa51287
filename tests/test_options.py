"""Options of opening that are no names, or no options."""

import pytest

from oscaxr.errors import OptionError
from oscaxr.options import check_options, parts_of


@pytest.mark.parametrize("name", ["include", "drop_variables"])
@pytest.mark.parametrize("value", [5, [5], [["dff"]], b"dff"])
def test_what_is_no_name(name, value):
    with pytest.raises(OptionError, match=f"{name}=.*give a name, or several"):
        check_options({name: value})


def test_none_is_nothing():
    assert parts_of(check_options({"include": None})["include"]) == ((), True)
