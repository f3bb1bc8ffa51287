"""Sample sessions say that they are synthetic, whatever is done with them; recorded ones never."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.model.schema import DATASET_ATTRS
from oscaxr.model.synthetic import ATTRS, MARK, MOUSE_IDS, SESSION_IDS, is_synthetic
from sample_forms import as_recorded
from small_sessions import small_spec


def assert_synthetic(ds: xr.Dataset) -> None:
    assert is_synthetic(ds)
    assert {name: ds.attrs[name] for name in ATTRS} == ATTRS
    words = " ".join(map(str, ds.attrs.values()))
    for name in ("dandiset", "institution", "references"):
        assert ds.attrs[name].startswith("none: synthetic")
        assert DATASET_ATTRS[name] not in words
    (title,) = [line for line in repr(ds).splitlines() if line.startswith("    title:")]
    assert "SYNTHETIC" in title


def assert_recorded(ds: xr.Dataset) -> None:
    assert not is_synthetic(ds)
    assert {name: ds.attrs[name] for name in DATASET_ATTRS} == DATASET_ATTRS
    assert "synthetic" not in ds.attrs


def test_the_attributes_stand_for_those_of_the_dataset() -> None:
    assert ATTRS.keys() - {"synthetic"} == DATASET_ATTRS.keys()


def test_samples_of_all_formats(
    memory_session: xr.Dataset, sample_path: Path, original_folders: dict[str, Path]
) -> None:
    assert_synthetic(memory_session)
    for path in (sample_path, original_folders["soma"]):
        with (
            ox.open_session(path) as ds,
            xr.open_dataset(path, engine="oscaxr") as other,
        ):
            assert_synthetic(ds)
            assert_synthetic(other)


def test_a_table_does_not_make_them_real(sample_path: Path, spec: ox.sample.SampleSpec) -> None:
    table = ox.sample.sample_session_table([spec]).assign(notes="good")
    with ox.open_session(sample_path, table=table) as ds:
        assert_synthetic(ds)
        assert ds.attrs["notes"] == "good"


def test_recorded_sessions(
    sample_path: Path, original_folders: dict[str, Path], tmp_path: Path
) -> None:
    with ox.open_session(as_recorded(sample_path, tmp_path)) as ds:
        assert_recorded(ds)
    folder = Path(shutil.copytree(original_folders["soma"], tmp_path / "soma"))
    with h5py.File(next(folder.glob("*_sync.h5")), "r+") as file:
        del file.attrs[MARK]
    with ox.open_session(folder, drop_variables=["session_id", "mouse_id"]) as ds:
        assert_recorded(ds)


@pytest.mark.shared
def test_example_sessions_stand_for_recorded_ones(shared: Path) -> None:
    for path in (shared / "sessions").rglob("*ses-758519303*.nwb"):
        with pytest.warns(ox.errors.DroppedFramesWarning), ox.open_session(path) as ds:
            assert_recorded(ds)


def test_what_is_computed_of_samples(memory_session: xr.Dataset) -> None:
    ds = memory_session
    u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=0.1, post=0.3)
    both = ds.osca.sequences(["dff", "run_velocity"], [3], post=0.3, clock="twop")
    for one in (u, both, both.run_velocity, u.osca.integrate(), ox.stats(u, "sequence")):
        assert one.attrs["synthetic"] == 1
    mean = u.mean(keep_attrs=False)
    for one in (u, mean, ox.stats(u, dim="sequence"), ds.osca.select(stimulus="gabors")):
        assert is_synthetic(one)
    second = ox.sample.session(small_spec(session_id=SESSION_IDS[1], session_number=2))
    assert is_synthetic(ox.align_tracked([ds.dff.mean("time"), second.dff.mean("time")]))


@pytest.mark.parametrize(
    ("ids", "is_one"),
    [
        ({"session_id": SESSION_IDS[0]}, True),
        ({"session_id": SESSION_IDS[-1]}, True),
        ({"mouse_id": MOUSE_IDS[0]}, True),
        ({"session_id": ("part", [758519303, SESSION_IDS[5]])}, True),
        ({"session_id": ("part", [np.nan, SESSION_IDS[5]])}, True),
        ({"session_id": SESSION_IDS[-1] + 1}, False),
        ({"session_id": 758519303, "mouse_id": 408021}, False),
        ({"session_id": "900000001x"}, False),
        ({}, False),
    ],
)
def test_ids_alone(ids: dict, is_one: bool) -> None:
    assert is_synthetic(xr.DataArray([0, 1], dims="part", coords=ids)) is is_one
    assert is_synthetic(xr.Dataset(coords=ids)) is is_one
