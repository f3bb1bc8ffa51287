"""Datasets of HDF5 files in every storage form, read lazily, against h5py and numpy."""

import os
import pickle
import shutil
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import oscaxr as ox
from oscaxr.arrays.lazy import OrthogonalArray
from oscaxr.errors import FormatError, UnsafeLinkError
from oscaxr.files import chunks
from oscaxr.files.hdf5 import Hdf5File, open_file, remedy_for
from oscaxr.files.hdf5_arrays import DatasetReader

SHAPE = (61, 9)
VALUES = np.random.default_rng(0).normal(size=SHAPE)


def _compact(group: h5py.Group, name: str) -> None:
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple(SHAPE)
    dataset = h5py.h5d.create(group.id, name.encode(), h5py.h5t.NATIVE_DOUBLE, space, dcpl=creation)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, VALUES)


def _mixed_filters(group: h5py.Group, name: str) -> None:
    # HDF5 may skip a filter for a chunk and says so in the chunk's mask.
    dataset = group.create_dataset(name, SHAPE, "f8", chunks=(61, 3), compression="gzip")
    dataset[:] = VALUES
    dataset.id.write_direct_chunk((0, 0), VALUES[:, :3].tobytes(), filter_mask=1)


def _odd_float(group: h5py.Group, name: str) -> None:
    # A float of two bytes with the exponent of a float32: numpy has no such dtype.
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(15, 7, 8, 0, 7)
    kind.set_size(2)
    kind.set_ebias(127)
    space = h5py.h5s.create_simple(SHAPE)
    dataset = h5py.h5d.create(group.id, name.encode(), kind, space)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, VALUES)


def _plain(dtype: str = "f8", **options: Any) -> Callable[[h5py.Group, str], None]:
    values = {"f": VALUES, "b": VALUES > 0, "u": (VALUES * 40 + 128).clip(0, 255)}

    def make(group: h5py.Group, name: str) -> None:
        data = values[np.dtype(dtype).kind].astype(dtype)
        group.create_dataset(name, data=data, **options)

    return make


STORAGE: dict[str, tuple[Callable[[h5py.Group, str], None], Any]] = {
    "contiguous_f8": (_plain(), chunks.Contiguous),
    "contiguous_big_endian": (_plain(dtype=">f8"), chunks.Contiguous),
    "contiguous_bool": (_plain(dtype="bool"), chunks.Contiguous),
    "contiguous_u1": (_plain(dtype="u1"), chunks.Contiguous),
    "gzip_f4": (_plain(dtype="f4", chunks=(10, 4), compression="gzip"), chunks.Chunked),
    "gzip_big_endian": (_plain(dtype=">f4", chunks=(10, 4), compression="gzip"), chunks.Chunked),
    "gzip_bool": (_plain(dtype="bool", chunks=(7, 9), compression="gzip"), chunks.Chunked),
    "gzip_u1": (_plain(dtype="u1", chunks=(1, 9), compression="gzip"), chunks.Chunked),
    "chunked": (_plain(chunks=(16, 2)), chunks.Chunked),
    "one_chunk": (_plain(chunks=SHAPE, compression="gzip", dtype="f4"), chunks.Chunked),
    "resizable": (_plain(chunks=(32, 4), maxshape=(None, 20)), chunks.Chunked),
    "gzip_shuffle": (
        _plain(dtype="f4", chunks=(10, 4), compression="gzip", shuffle=True),
        object,
    ),
    "gzip_fletcher": (_plain(chunks=(10, 4), compression="gzip", fletcher32=True), object),
    "fletcher": (_plain(chunks=(10, 4), fletcher32=True), object),
    "lzf": (_plain(chunks=(10, 4), compression="lzf"), object),
    "compact": (_compact, object),
    "mixed_filters": (_mixed_filters, object),
    "odd_float": (_odd_float, object),
}


@pytest.fixture(scope="module", params=["plain", "userblock"])
def storage_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("storage") / f"{request.param}.h5"
    with h5py.File(path, "w", userblock_size=1024 * (request.param == "userblock")) as file:
        for name, (make, _) in STORAGE.items():
            make(file, name)
        file.create_dataset("scalar", data=2.5)
        file.create_dataset("no_rows", data=np.empty((0, 4)))
        file.create_dataset("cube", data=np.arange(2 * 3 * 4).reshape(2, 3, 4), chunks=(1, 2, 3))
    return path


def variable(path: Path, name: str) -> tuple[xr.Variable, Any, DatasetReader]:
    file = Hdf5File(path)
    with file.handle() as handle:
        dataset = file.get(handle, name)
        array = OrthogonalArray(DatasetReader(file, dataset))
        values = dataset[()]
    dims = ("a", "b", "c")[: len(array.shape)]
    return xr.Variable(dims, array), xr.Variable(dims, values), array.reader


@pytest.mark.parametrize("name", STORAGE)
def test_storage_is_read_right(storage_file: Path, name: str) -> None:
    lazy, eager, reader = variable(storage_file, name)
    matrix = xr.Variable(("s", "t"), [[4, 5, 6], [58, 59, 60], [0, 1, 2], [4, 5, 6]])
    gappy = xr.Variable(("s", "t"), [[4, 6], [60, 0]])
    for key in (
        {},
        {"a": slice(8, 31)},
        {"a": slice(50, 3, -7), "b": slice(None, None, 2)},
        {"a": [60, 0, 0, 33, 12], "b": [8, 1, 1]},
        {"a": 17},
        {"b": -1},
        {"b": np.arange(9) % 2 == 0},
        {"a": matrix},
        {"a": matrix, "b": slice(2, 8, 3)},
        {"a": gappy},
        {"a": xr.Variable("p", [60, 2]), "b": xr.Variable("p", [0, 8])},
    ):
        expected = eager.isel(key)
        found = lazy.isel(key)
        assert found.dims == expected.dims
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found.values, expected.values, err_msg=str(key))
    # Windows with a list of columns go through the chunk-wise reader.
    np.testing.assert_array_equal(
        lazy.isel(b=[7, 0]).isel(a=matrix).values, eager.isel(b=[7, 0]).isel(a=matrix).values
    )
    reader.file.close()


@pytest.mark.parametrize("name", STORAGE)
def test_fast_path_is_taken_where_it_is_safe(storage_file: Path, name: str) -> None:
    _, _, reader = variable(storage_file, name)
    expected = STORAGE[name][1]
    storage = reader._storage()
    if expected is object:
        # Either HDF5 reads it, or a path that knows the filter.
        assert storage is None or isinstance(storage, chunks.Chunked)
    elif storage_file.name == "userblock.h5":
        assert storage is None or isinstance(storage, expected)
    else:
        assert isinstance(storage, expected)
    if name in ("lzf", "compact", "mixed_filters", "odd_float"):
        assert storage is None
    reader.file.close()


def test_odd_shapes(storage_file: Path) -> None:
    for name in ("scalar", "no_rows", "cube"):
        lazy, eager, reader = variable(storage_file, name)
        np.testing.assert_array_equal(lazy.values, eager.values)
        if name == "cube":
            key = {"a": [1, 0, 1], "b": [2, 0], "c": slice(None, None, -2)}
            np.testing.assert_array_equal(lazy.isel(key).values, eager.isel(key).values)
        reader.file.close()


def _index(size: int) -> st.SearchStrategy[Any]:
    bound = st.none() | st.integers(-size, size)
    return st.one_of(
        st.builds(slice, bound, bound, st.sampled_from([None, 1, 2, 5, -1, -3])),
        st.lists(st.integers(-size, size - 1), max_size=8),
        st.integers(-size, size - 1),
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(STORAGE)),
    rows=_index(SHAPE[0]),
    columns=_index(SHAPE[1]),
    starts=st.lists(st.integers(0, SHAPE[0] - 6), min_size=1, max_size=5),
)
def test_random_selections(
    storage_file: Path, name: str, rows: Any, columns: Any, starts: list[int]
) -> None:
    lazy, eager, reader = variable(storage_file, name)
    frames = xr.Variable(("s", "t"), np.array(starts)[:, None] + np.arange(6))
    try:
        for keys in (({"a": rows, "b": columns},), ({"b": columns}, {"a": frames})):
            found, expected = lazy, eager
            for key in keys:
                found, expected = found.isel(key), expected.isel(key)
            np.testing.assert_array_equal(found.values, expected.values)
    finally:
        reader.file.close()


def test_large_reads_use_threads_and_are_right(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(6000, 200)).astype("f4")
    with h5py.File(tmp_path / "large.h5", "w") as file:
        file.create_dataset("plain", data=values)
        file.create_dataset("gzip", data=values, chunks=(500, 50), compression="gzip")
    starts = np.array([5900, 0, 17, 3000, 17] * 30)
    frames = xr.Variable(("s", "t"), starts[:, None] + np.arange(60))
    rows = np.random.default_rng(2).integers(0, 6000, 5000)
    for name in ("plain", "gzip"):
        lazy, _, reader = variable(tmp_path / "large.h5", name)
        np.testing.assert_array_equal(lazy.values, values)
        np.testing.assert_array_equal(lazy.isel(a=rows).values, values[rows])
        np.testing.assert_array_equal(lazy.isel(a=frames).values, values[frames.values])
        reader.file.close()


@pytest.mark.parametrize("name", ["contiguous_f8", "gzip_f4", "gzip_shuffle", "lzf", "chunked"])
def test_reading_and_closing_leave_no_descriptor(
    storage_file: Path, name: str, open_files: Callable[[Path], list[str]]
) -> None:
    lazy, _, reader = variable(storage_file, name)
    loaded = lazy.values
    selected = lazy.isel(a=[3, 1]).values
    assert len(open_files(storage_file)) == 1
    reader.file.close()
    assert open_files(storage_file) == []
    # What was read outlives the file.
    np.testing.assert_array_equal(loaded[[3, 1]], selected)


def test_deleting_releases_the_handle(
    storage_file: Path, open_files: Callable[[Path], list[str]]
) -> None:
    lazy, eager, reader = variable(storage_file, "gzip_f4")
    del lazy, eager, reader
    assert open_files(storage_file) == []


def test_reading_again_opens_again(storage_file: Path) -> None:
    lazy, eager, reader = variable(storage_file, "lzf")
    reader.file.close()
    np.testing.assert_array_equal(lazy.values, eager.values)
    reader.file.close()


def test_another_reader_may_have_the_file_open(storage_file: Path) -> None:
    lazy, eager, reader = variable(storage_file, "lzf")
    with h5py.File(storage_file) as file:
        np.testing.assert_array_equal(file["lzf"][()], lazy.values)
    reader.file.close()
    with h5py.File(storage_file), open_file(str(storage_file)):
        np.testing.assert_array_equal(lazy.values, eager.values)
    reader.file.close()
    with h5py.File(storage_file, locking=False), open_file(str(storage_file)):
        np.testing.assert_array_equal(lazy.values, eager.values)
    reader.file.close()


WRITER = """
import sys, h5py
with h5py.File(sys.argv[1], "a") as file:
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_a_file_that_another_program_writes_is_not_read(storage_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "written.h5"
    shutil.copy(storage_file, path)
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(FormatError, match=r"written\.h5: another program is writing this file"):
            Hdf5File(path)
        writer.communicate()
    with Hdf5File(path).handle() as file:
        assert "lzf" in file


@pytest.mark.parametrize("name", ["contiguous_f8", "gzip_f4", "lzf"])
def test_pickle_opens_by_path(storage_file: Path, name: str) -> None:
    lazy, eager, reader = variable(storage_file, name)
    lazy.values  # noqa: B018
    again = pickle.loads(pickle.dumps(lazy.isel(a=slice(3, 9))))
    np.testing.assert_array_equal(again.values, eager.values[3:9])
    reader.file.close()


@pytest.mark.parametrize(
    "storage_file",
    ["plain", pytest.param("userblock", marks=pytest.mark.slow)],
    indirect=True,
    scope="module",
)
def test_pickle_in_another_process(storage_file: Path) -> None:
    lazy, eager, reader = variable(storage_file, "gzip_f4")
    code = "import pickle, sys; v = pickle.loads(sys.stdin.buffer.read()); print(v.values.sum())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps(lazy),
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert float(done.stdout) == pytest.approx(float(eager.values.sum()), rel=1e-4)
    reader.file.close()


# -- links ---------------------------------------------------------------------------------------


@pytest.fixture
def linked(tmp_path: Path) -> tuple[Path, Path]:
    """Return a folder with data.h5, and a secret.h5 outside of it."""
    folder = tmp_path / "inside"
    folder.mkdir()
    for path in (folder / "data.h5", tmp_path / "secret.h5"):
        with h5py.File(path, "w") as file:
            file["x"] = VALUES
            file["group/x"] = VALUES[:5]
            file["soft"] = h5py.SoftLink("/group/x")
    return folder, tmp_path / "secret.h5"


def get(path: Path, name: str) -> Any:
    file = Hdf5File(path)
    try:
        with file.handle() as handle:
            dataset = file.get(handle, name)
            if dataset is None:
                return None
            array = OrthogonalArray(DatasetReader(file, dataset))
        return np.asarray(xr.Variable(("a", "b")[: len(array.shape)], array).values)
    finally:
        file.close()


def test_soft_links_inside_the_file(linked: tuple[Path, Path]) -> None:
    path = linked[0] / "data.h5"
    with h5py.File(path, "a") as file:
        file["deep/er/link"] = h5py.SoftLink("/soft")
        file["relative/link"] = h5py.SoftLink("sub/x")
        file["relative/sub/x"] = VALUES[:3]
        file["to_group"] = h5py.SoftLink("/group")
        file["dangling"] = h5py.SoftLink("/nowhere")
        file["loop"] = h5py.SoftLink("/loop2")
        file["loop2"] = h5py.SoftLink("/loop")
        file["self"] = h5py.SoftLink("/")
    np.testing.assert_array_equal(get(path, "deep/er/link"), VALUES[:5])
    np.testing.assert_array_equal(get(path, "relative/link"), VALUES[:3])
    np.testing.assert_array_equal(get(path, "to_group/x"), VALUES[:5])
    np.testing.assert_array_equal(get(path, "self/self/group/x"), VALUES[:5])
    for absent in ("nothing/at/all", "to_group/nothing", "x/below/a/dataset"):
        assert get(path, absent) is None
    for broken in ("dangling", "dangling/x", "loop", "loop/x"):
        with pytest.raises(FormatError, match="link"):
            get(path, broken)


def test_links_upon_links_are_followed_in_no_time(linked: tuple[Path, Path]) -> None:
    path = linked[0] / "data.h5"
    with h5py.File(path, "a") as file:
        file["chain15"] = h5py.SoftLink("/group")
        for i in range(15):
            file[f"chain{i}"] = h5py.SoftLink(f"/chain{i + 1}")
    walks = 0

    class Counted(Hdf5File):
        def _find(self, *place: Any) -> Any:
            nonlocal walks
            walks += 1
            return super()._find(*place)

    file = Counted(path)
    with file.handle() as handle:
        assert file.get(handle, "chain2/x") is not None
        assert file.get(handle, "chain2/nothing") is None
    file.close()
    assert walks < 200


def test_external_links_inside_the_folder(linked: tuple[Path, Path]) -> None:
    folder, _ = linked
    (folder / "sub").mkdir()
    shutil.copy(folder / "data.h5", folder / "sub" / "more.h5")
    with h5py.File(folder / "data.h5", "a") as file:
        file["near"] = h5py.ExternalLink("data.h5", "/group/x")
        file["below"] = h5py.ExternalLink("sub/more.h5", "/x")
        file["below_group"] = h5py.ExternalLink(str(folder / "sub" / "more.h5"), "/group")
        file["below_soft"] = h5py.ExternalLink("sub/more.h5", "soft")
        file["nothing"] = h5py.ExternalLink("sub/more.h5", "/nothing")
        # Their names in the other file mean something else here.
        del file["group"]
        file["group/x"] = VALUES[:7] * 2
    for name, expected in (
        ("near", VALUES[:7] * 2),
        ("below", VALUES),
        ("below_group/x", VALUES[:5]),
        ("below_soft", VALUES[:5]),
    ):
        np.testing.assert_array_equal(get(folder / "data.h5", name), expected)
    with pytest.raises(FormatError, match=r"link /nothing .*not there"):
        get(folder / "data.h5", "nothing")


def test_closing_closes_linked_files(
    linked: tuple[Path, Path], open_files: Callable[[Path], list[str]]
) -> None:
    folder, _ = linked
    shutil.copy(folder / "data.h5", folder / "more.h5")
    with h5py.File(folder / "data.h5", "a") as file:
        file["link"] = h5py.ExternalLink("more.h5", "/x")
    assert get(folder / "data.h5", "link").shape == SHAPE
    assert open_files(folder) == []


@pytest.mark.parametrize("relative", [True, False])
def test_external_links_outside_are_refused(linked: tuple[Path, Path], relative: bool) -> None:
    folder, secret = linked
    with h5py.File(folder / "data.h5", "a") as file:
        name = "../secret.h5" if relative else str(secret)
        file["out"] = h5py.ExternalLink(name, "/x")
        file["out_group"] = h5py.ExternalLink(name, "/group")
    for name in ("out", "out_group/x"):
        with pytest.raises(UnsafeLinkError, match=r"data\.h5.*secret\.h5.*outside.*Copy"):
            get(folder / "data.h5", name)


def test_links_by_way_of_other_files_are_refused(linked: tuple[Path, Path]) -> None:
    folder, _ = linked
    shutil.copy(folder / "data.h5", folder / "way.h5")
    with h5py.File(folder / "way.h5", "a") as file:
        file["on"] = h5py.ExternalLink("../secret.h5", "/x")
    with h5py.File(folder / "data.h5", "a") as file:
        file["out"] = h5py.ExternalLink("way.h5", "/on")
    (folder / "symbolic.h5").symlink_to(folder.parent / "secret.h5")
    with h5py.File(folder / "data.h5", "a") as file:
        file["symbolic"] = h5py.ExternalLink("symbolic.h5", "/x")
    for name in ("out", "symbolic"):
        with pytest.raises(UnsafeLinkError, match=r"secret\.h5"):
            get(folder / "data.h5", name)


def test_missing_linked_file_is_not_looked_for_elsewhere(
    linked: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, secret = linked
    # HDF5 itself falls back on the working directory.
    monkeypatch.chdir(secret.parent)
    with h5py.File(folder / "data.h5", "a") as file:
        file["out"] = h5py.ExternalLink("secret.h5", "/x")
        layout = h5py.VirtualLayout(SHAPE, "f8")
        layout[:] = h5py.VirtualSource("secret.h5", "x", SHAPE)
        file.create_virtual_dataset("virtual", layout)
    for name in ("out", "virtual"):
        with pytest.raises(FormatError, match=r"inside/secret\.h5.*no such file"):
            get(folder / "data.h5", name)


def test_external_links_in_a_loop(linked: tuple[Path, Path]) -> None:
    folder, _ = linked
    with h5py.File(folder / "data.h5", "a") as file:
        file["loop"] = h5py.ExternalLink("way.h5", "/loop")
    with h5py.File(folder / "way.h5", "w") as file:
        file["loop"] = h5py.ExternalLink("data.h5", "/loop")
    with pytest.raises(FormatError, match="circle"):
        get(folder / "data.h5", "loop")


def test_external_storage(linked: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = linked
    for where in (folder, folder.parent):
        (where / "raw.bin").write_bytes(VALUES.tobytes())
    with h5py.File(folder / "data.h5", "a") as file:
        for name, raw in (
            ("inside", folder / "raw.bin"),
            ("outside", folder.parent / "raw.bin"),
            ("relative", "raw.bin"),
        ):
            file.create_dataset(name, SHAPE, "f8", external=[(str(raw), 0, VALUES.nbytes)])
    np.testing.assert_array_equal(get(folder / "data.h5", "inside"), VALUES)
    with pytest.raises(UnsafeLinkError, match=r"external storage of /outside .*raw\.bin"):
        get(folder / "data.h5", "outside")
    # HDF5 looks for relative names from the working directory.
    monkeypatch.chdir(folder)
    np.testing.assert_array_equal(get(folder / "data.h5", "relative"), VALUES)
    monkeypatch.chdir(folder.parent)
    with pytest.raises(UnsafeLinkError, match="external storage of /relative"):
        get(folder / "data.h5", "relative")


def test_virtual_datasets(linked: tuple[Path, Path]) -> None:
    folder, secret = linked
    shutil.copy(folder / "data.h5", folder / "more.h5")
    with h5py.File(folder / "more.h5", "a") as file:
        file["out"] = h5py.ExternalLink("../secret.h5", "/x")
    with h5py.File(folder / "data.h5", "a") as file:
        for name, source, place in (
            ("here", ".", "x"),
            ("beside", "more.h5", "/x"),
            ("outside", str(secret), "/x"),
            ("by_way", "more.h5", "/out"),
            ("nothing", "more.h5", "/nothing"),
            ("itself", ".", "/itself"),
        ):
            layout = h5py.VirtualLayout(SHAPE, "f8")
            layout[:] = h5py.VirtualSource(source, place, SHAPE)
            file.create_virtual_dataset(name, layout)
    np.testing.assert_array_equal(get(folder / "data.h5", "here"), VALUES)
    np.testing.assert_array_equal(get(folder / "data.h5", "beside"), VALUES)
    for name in ("outside", "by_way"):
        with pytest.raises(UnsafeLinkError, match=r"secret\.h5"):
            get(folder / "data.h5", name)
    for name, words in {"nothing": "not there", "itself": "in a circle"}.items():
        with pytest.raises(FormatError, match=words):
            get(folder / "data.h5", name)


def test_session_file_may_itself_be_a_link(linked: tuple[Path, Path], tmp_path: Path) -> None:
    folder, _ = linked
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.h5"
    link.symlink_to(folder / "data.h5")
    np.testing.assert_array_equal(get(link, "soft"), VALUES[:5])


# -- damage --------------------------------------------------------------------------------------
def unwritten(file: h5py.File, name: str, kind: str, shape: tuple[int, ...]) -> str:
    """Make a dataset of which some was never written; return the words of the error."""
    half = shape[0] // 2
    if kind == "contiguous":
        file.create_dataset(name, shape, "f8")
        return "1 of 1 pieces"
    if kind == "chunked":
        dataset = file.create_dataset(name, shape, "f8", chunks=(half, *shape[1:]))
        dataset[:half] = 1.0
        return f"{-(-shape[0] // half) - 1} of {-(-shape[0] // half)} chunks"
    file["whole"] = np.ones(shape)
    layout = h5py.VirtualLayout(shape, "f8")
    layout[:half] = h5py.VirtualSource(".", "/whole", shape)[:half]
    file.create_virtual_dataset(name, layout)
    size = int(np.prod(shape))
    return f"{size - half * size // shape[0]} of {size} values"


@pytest.mark.parametrize("kind", ["contiguous", "chunked", "virtual"])
@pytest.mark.parametrize("part", ["dff", "run_velocity", "segment starts"])
def test_data_that_were_never_written(sample_paths, tmp_path, kind, part):
    path = tmp_path / "s.nwb"
    shutil.copy(sample_paths["gzip"], path)
    places = {
        "dff": "processing/ophys/DfOverF/RoiResponseSeries/data",
        "run_velocity": "processing/behavior/BehavioralTimeSeries/running_velocity/data",
        "segment starts": "intervals/trials/start_time",
    }
    with h5py.File(path, "a") as file:
        place = places[part]
        shape, attrs = file[place].shape, dict(file[place].attrs)
        del file[place]
        words = unwritten(file, place, kind, shape)
        file[place].attrs.update(attrs)
    with (
        pytest.raises(FormatError, match=rf"{words} of /{place} were never written"),
        ox.open_session(path) as ds,
    ):
        ds[part].load()


@pytest.mark.parametrize("name", ["plain", "gzip", "chunked"])
def test_damage_after_opening_is_an_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        options = {"plain": {}, "gzip": {"compression": "gzip"}, "chunked": {}}[name]
        shape = None if name == "plain" else (10, 9)
        values = np.random.default_rng(3).normal(size=(2000, 9))
        file.create_dataset("x", data=values, chunks=shape, **options)
    lazy, _, reader = variable(path, "x")
    reader._storage()
    with path.open("r+b") as raw:
        raw.truncate(path.stat().st_size // 2)
    with pytest.raises(FormatError, match=r"data\.h5.*[Ff]etch"):
        lazy.values  # noqa: B018
    reader.file.close()


def test_damaged_chunk_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("x", data=VALUES, chunks=(10, 9), compression="gzip")
        place = dataset.id.get_chunk_info(2).byte_offset
    with path.open("r+b") as raw:
        raw.seek(place)
        raw.write(b"\xff" * 64)
    lazy, _, reader = variable_without_values(path, "x")
    np.testing.assert_array_equal(lazy.isel(a=slice(0, 10)).values, VALUES[:10])
    with pytest.raises(FormatError, match=r"data\.h5: the chunk at \(2, 0\).*damaged.*Fetch"):
        lazy.isel(a=25).values  # noqa: B018
    reader.file.close()


def variable_without_values(path: Path, name: str) -> tuple[xr.Variable, None, DatasetReader]:
    file = Hdf5File(path)
    with file.handle() as handle:
        array = OrthogonalArray(DatasetReader(file, file.get(handle, name)))
    return xr.Variable(("a", "b"), array), None, array.reader


@pytest.mark.parametrize("layout", ["contiguous", "gzip"])
def test_a_file_that_is_replaced_while_open(layout, sample_paths, tmp_path):
    path = tmp_path / sample_paths[layout].name
    path.write_bytes(sample_paths[layout].read_bytes())
    with ox.open_session(path) as ds:
        ds.dff.isel(time=slice(3)).values  # noqa: B018 (where the data lie is known now)
        path.unlink()
        path.write_bytes(sample_paths[layout].read_bytes() + b"more")
        with pytest.raises(
            FormatError, match=r"(replaced by|so it was changed).* since it was opened"
        ):
            ds.dff.isel(time=slice(5)).load()


@pytest.mark.parametrize(
    "said",
    [
        "can't open directory (/usr/local/lib/plugin). Please verify its existence",
        "can't find plugin. Check either HDF5_VOL_CONNECTOR, HDF5_PLUGIN_PATH, default location",
        "required filter 'lz4' is not registered",
    ],
)
def test_a_filter_that_is_missing_is_told_from_damage(said):
    assert "hdf5plugin" in remedy_for(OSError(f"Can't synchronously read data ({said})"))
    assert "hdf5plugin" not in remedy_for(OSError("Can't synchronously read data (inflate failed)"))


def test_a_filter_that_is_not_there_is_said_to_be_that(tmp_path):
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_chunk((4,))
        creation.set_filter(32004, h5py.h5z.FLAG_OPTIONAL, ())  # lz4
        space = h5py.h5s.create_simple((4,))
        dataset = h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_DOUBLE, space, creation)
        dataset.write_direct_chunk((0,), bytes(32))
    file = Hdf5File(path)
    with file.handle() as handle:
        reader = DatasetReader(file, file.get(handle, "x"))
    with pytest.raises(FormatError, match="pip install hdf5plugin, then import hdf5plugin"):
        reader.read((slice(None),))
    file.close()


@pytest.mark.parametrize("wrong", [2, 8, 4000, 2**40])
def test_a_damaged_index_of_chunks_is_an_error(tmp_path: Path, wrong: int) -> None:
    path = tmp_path / "damaged.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.arange(32.0).reshape(8, 4), chunks=(2, 4))
    # The key of the chunk that begins at row 4: its bytes, filters, and where it belongs.
    key = struct.pack("<IIQQQ", 64, 0, 4, 0, 0)
    content = path.read_bytes()
    assert content.count(key) == 1
    path.write_bytes(content.replace(key, struct.pack("<IIQQQ", 64, 0, wrong, 0, 0)))
    file = Hdf5File(path)
    with file.handle() as handle:
        reader = DatasetReader(file, handle["x"])
    with pytest.raises(FormatError, match=r"damaged\.h5: the index of the chunks of /x is damaged"):
        reader.read((slice(None), slice(None)))
    file.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("name", ["chunked", "whole"])
def test_a_process_that_is_forked_while_another_thread_reads(tmp_path: Path, name: str) -> None:
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as written:
        written.create_dataset("chunked", data=VALUES, chunks=True, compression="lzf")
        written["whole"] = VALUES
    file = Hdf5File(path)
    with file.handle() as handle:
        reader = DatasetReader(file, handle[name])
    reading, forked = threading.Event(), threading.Event()

    def read() -> None:
        with file.handle():
            reading.set()
            forked.wait(0.3)

    thread = threading.Thread(target=read)
    thread.start()
    reading.wait()
    child = os.fork()
    if not child:
        signal.alarm(20)
        whole = tuple(slice(0, size, 1) for size in SHAPE)
        os._exit(0 if np.array_equal(reader.read(whole), VALUES) else 1)
    forked.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
    file.close()
