"""Arguments of saving that cannot be used are refused in words; chunks are those of all nodes."""

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import CriterionError, ExportContentError, MissingVariableError


@pytest.fixture(scope="module")
def ds():
    return xr.Dataset({"dff": (("roi", "time"), np.zeros((3, 40)))}, coords={"roi": [0, 1, 2]})


@pytest.mark.parametrize(
    ("error", "words", "asked"),
    [
        (ExportContentError, "dtype='x'", {"dtype": "x"}),
        (ExportContentError, "dtype=", {"dtype": {"dff": "x"}}),
        (ExportContentError, "lengths by dim", {"chunks": "x"}),
        (ExportContentError, "lengths by dim", {"chunks": 5}),
        (MissingVariableError, "names of data variables", {"variables": 5}),
        (MissingVariableError, "names of data variables", {"variables": [["dff"]]}),
        (CriterionError, "labels in a list", {"roi": {}}),
        (CriterionError, "labels in a list", {"roi": {0: 1}}),
    ],
)
def test_refused(ds, tmp_path, error, words, asked):
    with pytest.raises(error, match=words):
        ox.save(ds, tmp_path / "x.nc", **asked)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("chunks", [{"time": 20}, {"dff": {"time": 20}}])
def test_chunks_of_a_tree(ds, tmp_path, chunks):
    tree = xr.DataTree.from_dict({"/a": ds, "/b": xr.Dataset({"run": ("stim_time", [1.0])})})
    path = ox.save(tree, tmp_path / "x.nc", chunks=chunks)
    with xr.open_dataset(path, group="a") as saved:
        assert saved.dff.encoding["chunksizes"] == (3, 20)
    with pytest.raises(ExportContentError, match="no dim 'nope'; there are roi, time"):
        ox.save(tree, tmp_path / "y.nc", chunks={"nope": 2})
