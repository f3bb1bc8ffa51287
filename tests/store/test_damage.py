"""What is missing, cut short or damaged in an export is an error that says what and where."""

import importlib
import json
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import (
    DamagedExportError,
    ExportError,
    ForeignExportError,
    FormatError,
    OscaxrError,
)
from oscaxr.store.completeness import check_complete
from oscaxr.store.open import open_exported, provenance_of
from oscaxr.store.save import save
from oscaxr.store.zarr_write import pack

SUFFIXES = [".zarr", ".zarr.zip", ".nc"]
CHUNKS = {"time": 64, "roi": 3, "segment": 50}


@pytest.fixture(scope="module")
def exports(tmp_path_factory, memory_session):
    """One export of each kind, of many chunks. Not to be written to."""
    folder = tmp_path_factory.mktemp("exports")
    return {suffix: save(memory_session, folder / f"s{suffix}", chunks=CHUNKS)
            for suffix in SUFFIXES}  # fmt: skip


@pytest.fixture
def copy(exports, tmp_path):
    """Return a function that copies an export, to be damaged."""

    def copied(suffix):
        path = tmp_path / f"copy{suffix}"
        (shutil.copytree if exports[suffix].is_dir() else shutil.copy)(exports[suffix], path)
        return path

    return copied


def chunk_files(path):
    return sorted(file for file in path.rglob("*") if file.is_file() and file.name != "zarr.json")


def load_all(path):
    with open_exported(path) as ds:
        ds.load()


def test_every_chunk_is_written(tmp_path):
    """Also one that holds the fill value only, in shards too."""
    ds = xr.Dataset(
        {
            "zeros": ("x", np.zeros(2000)),
            "nans": ("x", np.full(2000, np.nan)),
            "off": ("x", np.zeros(2000, bool)),
            "least": ("x", np.full(2000, np.iinfo("i4").min, "i4")),
            "empty": ("x", np.full(2000, "")),
            "missing": ("x", np.full(2000, "(missing)")),
            "zero": ((), 0.0),
        }
    )
    path = save(ds, tmp_path / "s.zarr", chunks={"x": 20})
    check_complete(path)
    with open_exported(path) as found:
        xr.testing.assert_identical(found, ds)
    zarr = importlib.import_module("zarr")
    for name, variable in ds.variables.items():
        array = zarr.open_array(path / str(name), mode="r")
        # In zarr's words: of 100 chunks in one shard, or of the one of a scalar.
        assert array.nchunks_initialized == array.nchunks, name
        if variable.ndim:
            assert array.shards is not None


def test_a_missing_chunk_is_named(copy):
    reference = copy(".zarr")
    files = chunk_files(reference)
    assert len(files) > 30
    for file in files[::5]:
        content = file.read_bytes()
        file.unlink()
        variable = file.relative_to(reference).parts[0]
        with pytest.raises(DamagedExportError) as caught:
            check_complete(reference)
        told = str(caught.value)
        assert "missing" in told
        for word in (str(reference), variable, file.relative_to(reference).as_posix()):
            assert word in told
        with pytest.raises(DamagedExportError, match=f"of {variable} is missing"):
            load_all(reference)
        file.write_bytes(content)
    load_all(reference)
    check_complete(reference, deep=True)


def test_a_missing_chunk_is_not_plausible_to_plain_readers(copy):
    path = copy(".zarr")
    for name in ("dff", "start_frame_twop", "stimulus_type"):
        shutil.rmtree(path / name / "c")
    plain = xr.open_zarr(path)
    assert np.isnan(plain["dff"].values).all()
    assert (plain["start_frame_twop"].values < 0).all()
    assert set(plain["stimulus_type"].values) == {"(missing)"}


@pytest.mark.parametrize("options", [{}, {"compression": False}, {"compression": "gzip"}])
def test_any_changed_byte_of_a_zarr_chunk_is_found(tmp_path, memory_session, options):
    ds = memory_session[["dff"]].isel(time=slice(300))
    path = save(ds, tmp_path / "s.zarr", chunks={"time": 100, "roi": 2}, **options)
    rng = np.random.default_rng(0)
    for file in chunk_files(path)[::3]:
        content = file.read_bytes()
        damaged = bytearray(content)
        damaged[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        file.write_bytes(damaged)
        with pytest.raises(DamagedExportError, match="damaged") as caught:
            load_all(path)
        assert str(path) in str(caught.value)
        with pytest.raises(DamagedExportError):
            check_complete(path, deep=True)
        file.write_bytes(content)
    check_complete(path, deep=True)


@pytest.mark.parametrize("where", ["shard", "file"])
def test_a_chunk_that_is_cut_short(copy, where):
    path = copy(".zarr")
    place = {"shard": "dff", "file": "time"}[where]
    file = chunk_files(path / place)[0]
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(DamagedExportError, match=f"of {place} is damaged or cut short"):
        load_all(path)
    with pytest.raises(DamagedExportError):
        check_complete(path, deep=where == "file")
    file.write_bytes(b"")
    with pytest.raises(DamagedExportError):
        load_all(path)
    with pytest.raises(DamagedExportError, match="cut short"):
        check_complete(path)


def test_a_chunk_that_is_no_file(copy):
    path = copy(".zarr")
    file = chunk_files(path / "dff")[0]
    file.unlink()
    file.mkdir()
    with pytest.raises(DamagedExportError, match="cannot be read"):
        load_all(path)


@pytest.mark.parametrize("suffix", [".zarr.zip", ".nc"])
@hypothesis.settings(
    max_examples=25, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(part=st.floats(0, 0.9999))
def test_a_file_that_is_cut_short(exports, tmp_path, suffix, part):
    path = tmp_path / f"cut{suffix}"
    content = exports[suffix].read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    for read in (load_all, provenance_of, check_complete, ox.open_session):
        with pytest.raises(DamagedExportError) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "NWB" not in str(caught.value)
        assert isinstance(caught.value, FormatError | ExportError)
    with pytest.warns(ox.OscaxrWarning, match="left out"):
        tree = ox.open_sessions([path], errors="collect")
    assert "DamagedExportError" in tree.attrs["failures"]


@hypothesis.settings(
    max_examples=40, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(data=st.data())
def test_garbage_in_metadata(exports, tmp_path, data):
    """Whatever is in zarr.json: an error of ours, or the session as it was."""
    path = tmp_path / "s.zarr"
    if not path.exists():
        shutil.copytree(exports[".zarr"], path)
    document = path / "zarr.json"
    content = bytearray((exports[".zarr"] / "zarr.json").read_bytes())
    start = data.draw(st.integers(0, len(content) - 1))
    content[start : start + data.draw(st.integers(0, 200))] = data.draw(st.binary(max_size=20))
    document.write_bytes(content)
    with suppress(OscaxrError):
        load_all(path)


@pytest.mark.parametrize("content", [None, b"", b"nothing", b"{}", b"[1]", b'{"zarr_format": 3}'])
def test_a_folder_without_metadata(copy, content):
    path = copy(".zarr")
    (path / "zarr.json").unlink()
    if content is not None:
        (path / "zarr.json").write_bytes(content)
    with pytest.raises(ExportError, match=r"copy\.zarr"):
        open_exported(path)


def test_metadata_that_are_not_gathered_in_one_place(copy, memory_session):
    """Other tools may drop the gathered metadata, an extension of the format."""
    path = copy(".zarr")
    zarr = importlib.import_module("zarr")
    group = zarr.open_group(path, mode="r+", use_consolidated=False)
    group.attrs["oscaxr_note"] = "changed"
    document = json.loads((path / "zarr.json").read_text())
    document.pop("consolidated_metadata", None)
    (path / "zarr.json").write_text(json.dumps(document))
    with open_exported(path) as ds:
        xr.testing.assert_identical(ds, memory_session)


def test_what_others_wrote(tmp_path, memory_session):
    xr.Dataset({"a": 1}).to_netcdf(tmp_path / "three.nc", format="NETCDF3_64BIT")
    xr.Dataset({"a": 1}).to_netcdf(tmp_path / "four.nc")
    xr.Dataset({"a": 1}).to_zarr(tmp_path / "two.zarr", zarr_format=2)
    xr.Dataset({"a": 1}).to_zarr(tmp_path / "three.zarr", zarr_format=3, consolidated=False)
    for path in tmp_path.iterdir():
        with pytest.raises(ForeignExportError, match="plain xarray"):
            open_exported(path)


def test_an_export_that_was_written_again_by_others(exports, tmp_path, memory_session):
    """Chunks that are laid out otherwise are read through zarr, by its rules."""
    path = tmp_path / "again.zarr"
    with xr.open_zarr(exports[".zarr"]) as plain:
        for variable in plain.variables.values():
            variable.encoding = {"_FillValue": None}
        plain.to_zarr(path, zarr_format=3, consolidated=False)
    with open_exported(path) as ds:
        xr.testing.assert_identical(ds, memory_session)
        rows = [5, 2, 2, 100]
        xr.testing.assert_identical(
            ds["dff"].isel(time=rows, roi=[3, 0]), memory_session["dff"].isel(time=rows, roi=[3, 0])
        )


def test_packed_again_with_compression(copy, tmp_path):
    path = tmp_path / "again.zarr.zip"
    with (
        zipfile.ZipFile(copy(".zarr.zip")) as old,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(DamagedExportError, match="zip -0"):
        open_exported(path)


def test_packed_by_hand(copy, tmp_path, memory_session):
    path = tmp_path / "by hand.zarr.zip"
    pack(copy(".zarr"), path)
    with open_exported(path) as ds:
        xr.testing.assert_identical(ds, memory_session)


@pytest.mark.parametrize("suffix", [".zarr", ".zarr.zip"])
def test_another_store_under_the_name(copy, memory_session, suffix):
    path = copy(suffix)
    with open_exported(path) as ds:
        save(memory_session.isel(time=slice(500)), path, overwrite=True)
        with pytest.raises(DamagedExportError, match="Open it again"):
            ds["dff"].load()
        (shutil.rmtree if suffix == ".zarr" else Path.unlink)(path)
        with pytest.raises(DamagedExportError, match="removed"):
            ds["pupil_diameter"].load()


def test_a_netcdf_file_that_was_not_written_to_its_end(copy):
    path = copy(".nc")
    h5py = importlib.import_module("h5py")
    with h5py.File(path, "r+") as file:
        del file["dff"]
        file.create_dataset("dff", (1000, 7), "f8", chunks=(100, 7))
    with pytest.raises(DamagedExportError, match="10 of 10 chunks of /dff were never written"):
        check_complete(path)


def test_a_damaged_compressed_chunk_of_netcdf(copy):
    path = copy(".nc")
    h5py = importlib.import_module("h5py")
    with h5py.File(path, "r") as file:
        place = file["dff"].id.get_chunk_info(0)
    with path.open("r+b") as file:
        file.seek(place.byte_offset + place.size // 2)
        file.write(b"\x55" * 20)
    check_complete(path)
    with pytest.raises(DamagedExportError, match=r"copy\.nc"):
        check_complete(path, deep=True)
    with pytest.raises(FormatError, match=r"copy\.nc"):
        load_all(path)
