"""What is missing, cut short or damaged in an export is an error that says what and where."""

import importlib
import json
import os
import pickle
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path

import h5py
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from how_many import examples
from oscaxr.errors import (
    DamagedExportError,
    ExportError,
    ForeignExportError,
    FormatError,
    OscaxrError,
    UncheckedExportWarning,
)
from oscaxr.store import layout
from oscaxr.store.current import check_complete, provenance_of
from oscaxr.store.open import open_exported, opened_export
from oscaxr.store.save import save
from oscaxr.store.writing import pack
from oscaxr.store.zarr_files import DIGEST

SUFFIXES = [".zarr", ".zarr.zip", ".nc"]
CHUNKS = {"time": 64, "roi": 3, "segment": 50}


@pytest.fixture(scope="module")
def exports(tmp_path_factory, few_session):
    """One export of each kind, of many chunks. Not to be written to."""
    folder = tmp_path_factory.mktemp("exports")
    return {suffix: save(few_session, folder / f"s{suffix}", chunks=CHUNKS)
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
    return sorted(file for file in path.rglob("*") if file.is_file() and file.suffix != ".json")


def load_all(path):
    with open_exported(path) as ds:
        ds.load()


@pytest.mark.slow
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
    for file in files[::20]:
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


@pytest.mark.parametrize(
    "options",
    [{}, {"compression": False}, pytest.param({"compression": "gzip"}, marks=pytest.mark.slow)],
)
def test_any_changed_byte_of_a_zarr_chunk_is_found(tmp_path, few_session, options):
    ds = few_session[["dff"]].isel(time=slice(300))
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


@pytest.mark.parametrize(
    "options", [{}, pytest.param({"compression": False}, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_whole_chunk_in_the_place_of_another_is_found(tmp_path, memory_session, options, packed):
    """Also of values that are too large for a digest of their own."""
    suffix = ".zarr.zip" if packed else ".zarr"
    chunks = {"time": 256, "roi": 7}
    ds = memory_session[["dff"]]
    older = save(ds + 1, tmp_path / f"older{suffix}", chunks=chunks, **options)
    path = save(ds, tmp_path / f"s{suffix}", chunks=chunks, **options)
    assert ds["dff"].nbytes > layout.DIGESTED_BYTES
    if packed:
        folder, other = tmp_path / "folder", tmp_path / "older"
        for one, place in ((path, folder), (older, other)):
            zipfile.ZipFile(one).extractall(place)
            one.unlink()
    else:
        folder, other = path, older
    load_all(path) if not packed else None
    file = chunk_files(folder / "dff")[0]
    file.write_bytes((other / file.relative_to(folder)).read_bytes())
    if packed:
        pack(folder, path)
    for read in (load_all, lambda where: check_complete(where, deep=True)):
        with pytest.raises(DamagedExportError, match="not the one that was written"):
            read(path)


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
    max_examples=examples(25),
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
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
    max_examples=examples(40),
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
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


def test_metadata_that_are_not_gathered_in_one_place(copy, few_session):
    """Other tools may drop the gathered metadata, an extension of the format."""
    path = copy(".zarr")
    document = json.loads((path / "zarr.json").read_text())
    del document["consolidated_metadata"]
    (path / "zarr.json").write_text(json.dumps(document))
    with open_exported(path) as ds:
        xr.testing.assert_identical(ds, few_session)
    document["attributes"]["oscaxr_note"] = "changed"
    (path / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(DamagedExportError, match="was changed since it was written"):
        open_exported(path)


def test_what_others_wrote(tmp_path, few_session):
    xr.Dataset({"a": 1}).to_netcdf(tmp_path / "three.nc", format="NETCDF3_64BIT")
    xr.Dataset({"a": 1}).to_netcdf(tmp_path / "four.nc")
    xr.Dataset({"a": 1}).to_zarr(tmp_path / "two.zarr", zarr_format=2)
    xr.Dataset({"a": 1}).to_zarr(tmp_path / "three.zarr", zarr_format=3, consolidated=False)
    for path in tmp_path.iterdir():
        with pytest.raises(ForeignExportError, match="plain xarray"):
            open_exported(path)


@pytest.mark.slow
def test_an_export_that_was_written_again_by_others(exports, tmp_path, few_session):
    """Without checksums and digest, but with what it was before: it opens with a note."""
    path = tmp_path / "again.zarr"
    with xr.open_zarr(exports[".zarr"]) as plain:
        for variable in plain.variables.values():
            variable.encoding = {"_FillValue": None}
        plain.to_zarr(path, zarr_format=3, consolidated=False)
    with pytest.warns(UncheckedExportWarning, match="carries no digest"):
        found = open_exported(path)
    with found as ds:
        xr.testing.assert_identical(ds, few_session)
        rows = [5, 2, 2, 100]
        xr.testing.assert_identical(
            ds["dff"].isel(time=rows, roi=[3, 0]), few_session["dff"].isel(time=rows, roi=[3, 0])
        )


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_what_plain_xarray_wrote_from_a_session_opens_with_a_note(tmp_path, memory_session, suffix):
    path = tmp_path / f"plain{suffix}"
    if suffix == ".nc":
        memory_session.to_netcdf(path)
    else:
        memory_session.to_zarr(path, zarr_format=3, consolidated=False)
    for opened in (open_exported, ox.open_session):
        with pytest.warns(UncheckedExportWarning, match="carries no checks"):
            found = opened(path)
        with found as ds:
            xr.testing.assert_allclose(ds["dff"], memory_session["dff"])
            assert ds.osca.validate() == ()
            u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=0.5, post=0.5)
            assert u.sizes["sequence"]
            assert not ds["roi_mask"]._in_memory
    with pytest.warns(UncheckedExportWarning):
        found = open_exported(path)
    with found as ds:
        again = save(ds, tmp_path / f"checked{suffix}")
    with open_exported(again) as ds:
        xr.testing.assert_allclose(ds, memory_session)


def test_what_plain_xarray_wrote_is_validated(tmp_path, memory_session):
    path = tmp_path / "plain.zarr"
    backward = memory_session.assign_coords(time=memory_session.time.values[::-1])
    backward.to_zarr(path, zarr_format=3, consolidated=False)
    with pytest.raises(ForeignExportError, match="not written by oscaxr") as caught:
        open_exported(path)
    assert "time" in str(caught.value)


def edited(path, change):
    """Change the attributes or values of a store or file, as other software would."""
    if path.suffix == ".nc":
        with importlib.import_module("netCDF4").Dataset(path, "a") as file:
            change(file, lambda name: file[name])
    else:
        group = importlib.import_module("zarr").open_group(path, mode="r+", use_consolidated=False)
        change(group.attrs, lambda name: group[name])


@pytest.mark.parametrize("suffix", [".zarr", pytest.param(".nc", marks=pytest.mark.slow)])
class TestDigest:
    def test_changed_values_of_small_variables_are_noticed(self, copy, suffix):
        path = copy(suffix)

        def change(attrs, variable):
            variable("depth")[...] = 1000
            variable("start_frame_twop")[3] = 77

        edited(path, change)
        with open_exported(path) as ds:
            for name in ("depth", "start_frame_twop"):
                with pytest.raises(DamagedExportError, match=f"{name} was changed"):
                    ds.variables[name].values  # noqa: B018 (it is read)
            assert ds.variables["dff"].values.size
        with pytest.raises(DamagedExportError, match="depth was changed"):
            check_complete(path)

    def test_changed_text_is_noticed(self, copy, suffix):
        path = copy(suffix)

        def change(attrs, variable):
            word = variable("plane")
            word[...] = "dend" if suffix == ".zarr" else np.array(list("dend"), "S1")

        edited(path, change)
        with pytest.raises(DamagedExportError, match="plane was changed"):
            load_all(path)

    def test_changed_attributes_are_noticed(self, copy, suffix):
        path = copy(suffix)

        def change(attrs, variable):
            if suffix == ".nc":
                variable("dff").setncattr("units", "volts")
            else:
                variable("dff").update_attributes({"units": "volts"})

        edited(path, change)
        if suffix == ".zarr":
            importlib.import_module("zarr").consolidate_metadata(path)
        for read in (open_exported, check_complete, ox.open_session):
            with pytest.raises(DamagedExportError, match="was changed since it was written"):
                read(path)

    def test_an_export_without_it_is_not_complete(self, copy, suffix):
        path = copy(suffix)
        if suffix == ".nc":
            edited(path, lambda attrs, variable: attrs.delncattr("oscaxr_digest"))
        else:
            (path / "oscaxr.json").unlink()
        with pytest.raises(DamagedExportError, match="has no digest"):
            open_exported(path)

    def test_a_digest_that_was_edited_is_noticed(self, copy, suffix):
        """Also where it was emptied, so that nothing is held against it."""
        path = copy(suffix)
        if suffix == ".nc":

            def change(attrs, variable):
                digest = json.loads(attrs.getncattr("oscaxr_digest"))
                attrs.setncattr("oscaxr_digest", json.dumps(digest | {"values": {}}))
                variable("start_frame_twop")[...] = 1

            edited(path, change)
        else:
            digest = json.loads((path / "oscaxr.json").read_text())
            digest["groups"][""]["values"] = {}
            (path / "oscaxr.json").write_text(json.dumps(digest))
        for read in (open_exported, check_complete, ox.open_session):
            with pytest.raises(DamagedExportError, match="or its digest was"):
                read(path)

    def test_a_session_that_left_a_tree_is_noticed(self, tmp_path, few_session, suffix):
        small = few_session[["run_velocity"]]
        tree = xr.DataTree.from_dict({"/mouse_1/session_1": small, "/mouse_1/session_2": small})
        path = save(tree, tmp_path / f"tree{suffix}")
        with open_exported(path) as whole:
            assert len(list(whole.leaves)) == 2
        if suffix == ".nc":
            with h5py.File(path, "a") as file:
                del file["mouse_1/session_2"]
        else:
            shutil.rmtree(path / "mouse_1/session_2")
            importlib.import_module("zarr").consolidate_metadata(path)
        for read in (open_exported, check_complete):
            with pytest.raises(DamagedExportError, match="a part of it was added, removed"):
                read(path)

    def test_is_its_identity(self, exports, tmp_path, few_session, suffix):
        def identity_of(path):
            with opened_export(path) as file:
                return file.group("").digest["identity"]

        same = save(few_session, tmp_path / f"same{suffix}", chunks=CHUNKS)
        assert identity_of(same) == identity_of(exports[suffix])
        other = save(few_session.assign_coords(depth=1), tmp_path / f"other{suffix}")
        assert identity_of(other) != identity_of(same)

    def test_exports_from_before_it_open_with_a_note(
        self, few_session, tmp_path, suffix, monkeypatch
    ):
        monkeypatch.setattr(layout.Layout, "to_json", lambda self: json.dumps(
            {**vars(self), "format": 1}))  # fmt: skip
        writer = {".zarr": "ZarrWriter", ".nc": "NetcdfWriter"}[suffix]
        writing = importlib.import_module("oscaxr.store.writing")
        monkeypatch.setattr(getattr(writing, writer), "seal", lambda self, digest: None)
        path = save(few_session, tmp_path / f"old{suffix}")
        monkeypatch.undo()
        with pytest.warns(UncheckedExportWarning, match="earlier version"):
            found = open_exported(path)
        with found as ds:
            xr.testing.assert_identical(ds, few_session)
        assert provenance_of(path)["session_id"] == 900000001


@pytest.mark.parametrize("suffix", SUFFIXES)
class TestOverwriting:
    def test_what_is_no_export_is_refused_by_name(self, tmp_path, suffix, few_session):
        ds = few_session[["pupil_diameter"]]
        path = tmp_path / f"thesis{suffix}"
        if suffix == ".zarr":
            path.mkdir()
            (path / "chapter.txt").write_text("kept")
        else:
            path.write_text("kept")
        link = tmp_path / f"link{suffix}"
        link.symlink_to(path)
        for target, words in (
            (path, rf"thesis{suffix} is there, and"),
            (link, rf"link{suffix} is a link, to .*thesis{suffix}"),
        ):
            with pytest.raises(ox.errors.UnsafeTargetError, match=words):
                save(ds, target, overwrite=True)
        kept = path / "chapter.txt" if path.is_dir() else path
        assert kept.read_text() == "kept"

    def test_a_store_of_others_is_refused(self, tmp_path, suffix, few_session):
        path = tmp_path / f"s{suffix}"
        plain = xr.Dataset({"a": 1})
        if suffix == ".nc":
            plain.to_netcdf(path)
        elif suffix == ".zarr":
            plain.to_zarr(path, zarr_format=3, consolidated=False)
        else:
            path.write_bytes(b"PK\5\6" + bytes(18))
        with pytest.raises(ox.errors.UnsafeTargetError, match="is no export"):
            save(few_session[["dff"]], path, overwrite=True)


def test_a_folder_that_holds_the_source_is_refused(tmp_path, sample_path, few_session):
    outer = save(few_session[["dff"]], tmp_path / "outer.zarr")
    source = outer / "m.nwb"
    shutil.copy(sample_path, source)
    with ox.open_session(source) as ds:
        with pytest.raises(ox.errors.UnsafeTargetError, match=r"outer\.zarr holds .*m\.nwb"):
            save(ds, outer, overwrite=True)
        with pytest.raises(ox.errors.UnsafeTargetError, match=r"m\.nwb"):
            save(ds.load(), outer, overwrite=True)
    with pytest.raises(ox.errors.UnsafeTargetError, match=r"of no export: m\.nwb"):
        save(few_session[["dff"]], outer, overwrite=True)
    assert source.exists()


def test_places_that_are_none_of_this_computer(tmp_path, few_session, monkeypatch):
    ds = few_session[["pupil_diameter"]]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExportError, match="cannot save to ftp://bucket"):
        save(ds, "ftp://bucket/o.zarr")
    monkeypatch.setenv("HOME", str(tmp_path))
    save(ds, "~/t.nc")
    assert [one.name for one in tmp_path.iterdir()] == ["t.nc"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written_is_read_back_before_it_appears(few_session, tmp_path, suffix, monkeypatch):
    """A disk that keeps other bytes than it was given."""
    store = importlib.import_module("oscaxr.store.writing")
    name = "NetcdfWriter" if suffix == ".nc" else "ZarrWriter"

    class Bad(getattr(store, name)):
        def write(self, group, one, region, values):
            super().write(group, one, region, values)
            if one.name == "dff" and suffix == ".nc":
                super().write(group, one, region, values + 1)
                self._written.pop()

        def finish(self, attrs):
            if suffix != ".nc":
                file = chunk_files(self.folder / "dff")[0]
                content = bytearray(file.read_bytes())
                content[len(content) // 2] ^= 1
                file.write_bytes(content)
            return super().finish(attrs)

    monkeypatch.setattr(store, name, Bad)
    with pytest.raises(ExportError, match="reads back otherwise"):
        save(few_session[["dff"]], tmp_path / f"s{suffix}")
    assert not list(tmp_path.iterdir())


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


def test_packed_by_hand(copy, tmp_path, few_session):
    path = tmp_path / "by hand.zarr.zip"
    pack(copy(".zarr"), path)
    with open_exported(path) as ds:
        xr.testing.assert_identical(ds, few_session)


@pytest.mark.parametrize("suffix", [".zarr", ".zarr.zip"])
def test_another_store_under_the_name(copy, few_session, suffix):
    path = copy(suffix)
    with open_exported(path) as ds:
        save(few_session.isel(time=slice(500)), path, overwrite=True)
        with pytest.raises(DamagedExportError, match="since it was opened"):
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


def test_a_store_that_took_the_place_of_one_that_was_pickled(few_session, tmp_path):
    """It has the same size and times: elsewhere, device and inode mean nothing."""
    path = save(few_session, tmp_path / "session.zarr")
    with open_exported(path) as ds:
        pickled = pickle.dumps(ds.dff)
    other = save(
        few_session.assign(run_velocity=few_session.run_velocity + 1), tmp_path / "other.zarr"
    )
    status = (path / DIGEST).stat()
    assert (other / DIGEST).stat().st_size == status.st_size
    shutil.rmtree(path)
    other.rename(path)
    os.utime(path / DIGEST, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(DamagedExportError, match="replaced by another"):
        pickle.loads(pickled).load()
