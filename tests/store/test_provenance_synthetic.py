"""Exports of sample sessions say that they are synthetic, and name nothing to cite."""

from pathlib import Path

import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.model.schema import DATASET_ATTRS
from oscaxr.model.synthetic import ATTRS
from oscaxr.store.current import provenance_of
from sample_forms import as_recorded


@pytest.fixture(params=["s.nc", "s.zarr"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / request.param


def assert_honest(found: dict) -> None:
    assert found["synthetic"] == 1
    assert found["dandiset"] == ATTRS["dandiset"]
    assert found["citation"] == ATTRS["references"]


def test_a_session(few_session: xr.Dataset, target: Path) -> None:
    ox.save(few_session, target)
    assert_honest(provenance_of(target))
    with ox.open_exported(target) as ds:
        assert {name: ds.attrs[name] for name in ATTRS} == ATTRS
        assert_honest(ds.encoding["provenance"])
    other = target.with_stem("other")
    with ox.open_exported(target) as ds:
        ox.save(ds.drop_attrs(), other)
    assert_honest(provenance_of(other))


def test_sequences_and_means(few_session: xr.Dataset, target: Path) -> None:
    segments = few_session.osca.select(gabor_frame="U")
    u = few_session.osca.sequences("dff", segments, pre=0.1, post=0.3)
    for number, one in enumerate((u, u.mean("sequence", keep_attrs=False))):
        path = target.with_stem(str(number))
        ox.save(one, path)
        assert_honest(provenance_of(path))


@pytest.mark.slow
def test_a_tree(few_session: xr.Dataset, target: Path) -> None:
    recorded = few_session.drop_vars("session_id").assign_attrs(DATASET_ATTRS)
    del recorded.attrs["synthetic"]
    tree = xr.DataTree.from_dict({"/a/made": few_session, "/b/recorded": recorded})
    ox.save(tree, target)
    with ox.open_exported(target) as found:
        for node in found.subtree:
            about = node.encoding.get("provenance", {})
            if node.path in ("/", "/a", "/a/made"):
                assert_honest(about)
            else:
                assert "synthetic" not in about
                assert about["dandiset"] == DATASET_ATTRS["dandiset"]


@pytest.mark.slow
def test_a_recorded_session(sample_path: Path, target: Path, tmp_path: Path) -> None:
    with ox.open_session(as_recorded(sample_path, tmp_path)) as ds:
        ox.save(ds, target, variables=["run_velocity"])
    found = provenance_of(target)
    assert "synthetic" not in found
    assert found["dandiset"] == DATASET_ATTRS["dandiset"]
    assert found["citation"] == DATASET_ATTRS["references"]
