"""`save(overwrite=True)` replaces what `save` made, and nothing else."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import OscaxrError, UnsafeTargetError

SUFFIXES = [".zarr", ".zarr.zip", ".nc"]


@pytest.fixture
def small():
    return xr.Dataset({"a": ("x", [1.0, 2.0])}, attrs={"title": "small"})


def contents(path: Path) -> dict[str, bytes]:
    """Return all files at or below a path, with what is in them."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return {str(one): one.read_bytes() for one in files}


def refused(obj, path: Path, *words: str) -> None:
    """Fail unless saving there is refused by name, and all that is there stays as it was."""
    before, names = contents(path), sorted(path.parent.iterdir())
    with pytest.raises(OscaxrError) as caught:
        ox.save(obj, path, overwrite=True)
    assert isinstance(caught.value, UnsafeTargetError)
    for word in (path.name, *words):
        assert word in str(caught.value)
    assert contents(path) == before
    assert sorted(path.parent.iterdir()) == names


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_save_made_is_replaced(tmp_path, small, suffix):
    path = ox.save(small, tmp_path / f"s{suffix}")
    ox.save(small.assign(b=3), path, overwrite=True)
    with ox.open_exported(path) as ds:
        assert set(ds.data_vars) == {"a", "b"}
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_of_ones_own(tmp_path, small):
    path = tmp_path / "thesis.zarr"
    path.mkdir()
    (path / "chapter.txt").write_text("years of work")
    refused(small, path)


@pytest.mark.parametrize("name", ["notes.txt", "sub/notes.txt", "c"])
def test_an_export_with_a_file_of_ones_own(tmp_path, small, name):
    path = ox.save(small, tmp_path / "s.zarr")
    (path / name).parent.mkdir(exist_ok=True)
    (path / name).write_text("mine")
    refused(small, path, name.partition("/")[0])


@pytest.mark.parametrize("name", ["notes.txt", "c/notes.txt", "c/0x", "c/zarr.json", "b/zarr.json"])
def test_a_file_of_ones_own_within_a_variable(tmp_path, small, name):
    path = ox.save(small, tmp_path / "s.zarr")
    target = path / "a" / name
    target.parent.mkdir(exist_ok=True)
    target.write_text("mine")
    refused(small, path, f"a/{name}")


def test_a_link_within_an_export(tmp_path, small):
    path = ox.save(small, tmp_path / "s.zarr")
    (tmp_path / "folder").mkdir()
    (path / "a" / "mine").symlink_to(tmp_path / "folder")
    refused(small, path, "a/mine")


def test_an_empty_folder(tmp_path, small):
    (tmp_path / "s.zarr").mkdir()
    refused(small, tmp_path / "s.zarr")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_link_to_an_export(tmp_path, small, suffix):
    path = ox.save(small, tmp_path / f"export{suffix}")
    link = tmp_path / f"link{suffix}"
    link.symlink_to(path)
    refused(small, link, "link")
    assert link.is_symlink()


def test_a_link_to_nothing(tmp_path, small):
    """Through it, a file would appear where nobody asked for one."""
    link = tmp_path / "link.zarr"
    link.symlink_to(tmp_path / "elsewhere.zarr")
    with pytest.raises(OscaxrError, match="link"):
        ox.save(small, link, overwrite=True)
    assert not (tmp_path / "elsewhere.zarr").exists()


@pytest.mark.parametrize("opened", ["open", "loaded"])
def test_a_folder_that_holds_the_source(tmp_path, sample_path, opened):
    folder = tmp_path / "outer.zarr"
    folder.mkdir()
    shutil.copy(sample_path, folder / "m.nwb")
    with ox.open_session(folder / "m.nwb") as ds:
        refused(ds.load() if opened == "loaded" else ds, folder)


def test_an_export_that_holds_the_source(tmp_path, sample_path, small):
    folder = ox.save(small, tmp_path / "outer.zarr")
    shutil.copy(sample_path, folder / "m.nwb")
    with ox.open_session(folder / "m.nwb") as ds:
        refused(ds, folder, "m.nwb")


def test_an_export_with_the_source_deep_within(tmp_path, sample_path, small):
    folder = ox.save(small, tmp_path / "outer.zarr")
    shutil.copy(sample_path, folder / "a" / "m.nwb")
    with ox.open_session(folder / "a" / "m.nwb") as ds:
        refused(ds, folder, "m.nwb")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_source_itself(tmp_path, small, suffix):
    path = ox.save(small, tmp_path / f"s{suffix}")
    with ox.open_exported(path) as ds:
        refused(ds, path, "still read from")


def test_a_netcdf_file_that_is_not_ours(tmp_path, small):
    path = tmp_path / "s.nc"
    small.to_netcdf(path)
    refused(small, path)


def test_files_of_something_else(tmp_path, small, sample_path):
    for suffix, content in ((".nc", b"some text"), (".nc", b""), (".zarr.zip", b"PK"),
                            (".zarr", b"a file")):  # fmt: skip
        path = tmp_path / f"s{suffix}"
        path.write_bytes(content)
        refused(small, path)
    shutil.copy(sample_path, tmp_path / "nwb.nc")
    refused(small, tmp_path / "nwb.nc")


def test_a_zarr_store_that_is_not_ours(tmp_path, small):
    path = tmp_path / "s.zarr"
    small.to_zarr(path, zarr_format=3, consolidated=False)
    refused(small, path)


def test_a_damaged_export(tmp_path, small):
    """What is left of one is not known to be all that is there."""
    path = ox.save(small, tmp_path / "s.zarr")
    (path / "zarr.json").write_bytes(b"{")
    refused(small, path)


def test_nothing_is_replaced_without_overwrite(tmp_path, small):
    path = ox.save(small, tmp_path / "s.zarr")
    before = contents(path)
    with pytest.raises(ox.OscaxrError, match="exists already"):
        ox.save(small, path)
    assert contents(path) == before


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_an_export_with_an_array_of_ones_own(tmp_path, small, suffix):
    path = ox.save(small, tmp_path / f"s{suffix}")
    if suffix == ".nc":
        with h5py.File(path, "a") as file:
            file["mine"] = [1.0, 2.0]
    else:
        zarr = pytest.importorskip("zarr")
        root = zarr.open_group(path, mode="a")
        root.create_array("mine", data=np.arange(3.0), dimension_names=["x"])
        zarr.consolidate_metadata(path)
    refused(small, path)


def test_what_plain_xarray_made_of_an_export(tmp_path, small):
    export = ox.save(small, tmp_path / "s.zarr")
    path = tmp_path / "again.zarr"
    xr.open_zarr(export).drop_encoding().assign(mine=("x", [3.0, 4.0])).to_zarr(path)
    refused(small, path)


def test_an_export_that_lost_its_digest_is_replaced(tmp_path, small):
    path = ox.save(small, tmp_path / "s.zarr")
    (path / "oscaxr.json").unlink()
    ox.save(small.assign(b=3), path, overwrite=True)
    with ox.open_exported(path) as ds:
        assert "b" in ds
