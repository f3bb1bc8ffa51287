"""Results in the output folder: the same when they are read, and known by what made them."""

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.figures import kept_results
from oscaxr.figures import session_results as of_session


@pytest.fixture(scope="module")
def session():
    return ox.sample.session(n_rois=4, n_tracked=2, scale=0.05)


@pytest.mark.parametrize(
    "recipe",
    [of_session.TRACES, of_session.INDICES, of_session.BLOCKS, of_session.FIELD, of_session.ONSET],
    ids=lambda recipe: recipe.name,
)
def test_what_is_kept_comes_back_identical(recipe, session, tmp_path):
    result = recipe.compute(session, recipe.parameters(40, 2, 1))
    path = tmp_path / kept_results.name_of(recipe.name, 900_000_001)
    kept_results.keep(result, path, "made")
    xr.testing.assert_identical(kept_results.kept(path, "made"), result)
    assert kept_results.kept(path, "made otherwise") is None


def test_it_is_known_by_session_analysis_parameters_and_version(monkeypatch, mice):
    path = next(mice.folder.rglob("*900000001*.nwb"))
    with ox.open_session(path) as plain, ox.open_session(path, table=mice.rows) as with_table:
        identities = [kept_results.identity_of(one) for one in (plain, with_table)]
    with ox.open_session(path) as again:
        assert kept_results.identity_of(again) == identities[0]
    made = {
        kept_results.made_from(identity, name, parameters)
        for identity in identities
        for name in ("a", "b")
        for parameters in ({}, {"seed": 1}, {"seed": 2})
    }
    monkeypatch.setattr(kept_results, "version", lambda name: "999")
    made.add(kept_results.made_from(identities[0], "a", {}))
    assert len(made) == 2 * 2 * 3 + 1


def test_a_file_that_has_changed_makes_another_session(tmp_path):
    spec = ox.sample.SampleSpec(n_rois=2, n_tracked=1, scale=0.02)
    path = ox.sample.write_nwb(spec, tmp_path)
    found = []
    for _ in range(2):
        with ox.open_session(path) as ds:
            found.append(kept_results.identity_of(ds))
        path.touch()
    assert found[0] != found[1]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_what_is_cut_short_is_no_result(share, session, tmp_path):
    path = tmp_path / "one.nc"
    kept_results.keep(of_session.QUALITY.compute(session, {}), path, "made")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert kept_results.kept(path, "made") is None


@pytest.mark.parametrize("length", [100_000, 300_000], ids=["plain", "compressed"])
def test_what_the_disk_has_changed_is_no_result(length, tmp_path):
    path = tmp_path / "one.nc"
    result = xr.Dataset({"a": ("b", np.linspace(1.0, 2.0, length))})
    kept_results.keep(result, path, "made")
    whole = path.read_bytes()
    # Nearly all of it is values.
    at = len(whole) // 2
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    assert kept_results.kept(path, "made") is None
    path.write_bytes(whole)
    xr.testing.assert_identical(kept_results.kept(path, "made"), result)


def test_another_file_is_no_result(tmp_path):
    path = tmp_path / "one.nc"
    assert kept_results.kept(path, "made") is None
    xr.Dataset({"a": ("b", np.arange(3))}).to_netcdf(path)
    assert kept_results.kept(path, "made") is None
