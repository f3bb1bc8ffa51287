"""Tables and sources that are no paths are refused in words."""

import pytest

import oscaxr as ox
from oscaxr.errors import CriterionError, PlaceError


@pytest.mark.parametrize("odd", [b"x", 5, [1], {"a": 1}])
def test_tables(tmp_path, odd):
    with pytest.raises(PlaceError, match="is no path"):
        ox.open_session(900000001, datadir=tmp_path, table=odd)


@pytest.mark.parametrize("odd", [5, None, b"x", [5]])
def test_sources(tmp_path, odd):
    with pytest.raises(PlaceError, match="is no path"):
        ox.convert(odd, tmp_path / "exports", progress=False)


def test_dtypes(tmp_path):
    with pytest.raises(CriterionError, match="dtype='x'"):
        ox.convert(tmp_path, tmp_path / "exports", dtype="x", progress=False)
