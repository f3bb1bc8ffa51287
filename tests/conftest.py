"""What the tests share: example sessions, small sample sessions, ways to open them."""

import gc
import os
import shutil
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import xarray as xr

import oscaxr as ox
from example_sessions import SHARED
from how_many import HYPOTHESIS_PROFILE, examples
from made_once import made_once
from object_store import ObjectStore
from oscaxr.errors import DroppedFramesWarning
from small_sessions import EACH_LAYOUT, LAYOUTS, USEFUL_VARIABLES, only, small_spec

# Processes of the tests that start from here on have a core each: more threads would wait.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# What pynapple would compile takes longer than all that the tests ask of it.
os.environ.setdefault("NUMBA_DISABLE_JIT", "1")

# What a shell runs in the background ignores Ctrl-C, and so would all that the tests start.
if (
    threading.current_thread() is threading.main_thread()
    and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]

# A gate is to say the same twice: in CI, nothing is drawn anew.
hypothesis.settings.register_profile(
    "quick", max_examples=examples(40), deadline=None, derandomize="CI" in os.environ
)
hypothesis.settings.register_profile("ci", max_examples=40, deadline=None, derandomize=True)
hypothesis.settings.register_profile("thorough", max_examples=1000, deadline=None)
hypothesis.settings.load_profile(HYPOTHESIS_PROFILE)

# Marks of xarray's own tests, some of which tests/store/test_save_xarray_suite.py runs.
XARRAY_MARKS = ("asyncio", "flaky", "network", "skip_if_param", "skip_with_dask_array")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marks known: importing those tests is an error otherwise."""
    for mark in XARRAY_MARKS:
        config.addinivalue_line("markers", f"{mark}: of xarray's own tests")


def pytest_collection() -> None:
    """Search for no garbage while the thousands of tests are made: there is none."""
    # Whenever dask slices, it leaves the search as it was when dask was imported.
    import dask.array  # noqa: F401

    gc.disable()


def pytest_collection_finish() -> None:
    """Leave the thousands of tests themselves out whenever garbage is searched for."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """Do not wait until the disk has each of thousands of files: no test cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True)
def nothing_said_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test hear what is said once in a process."""
    monkeypatch.setattr(ox.errors, "_SAID", set())


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the project's example sessions: $OSCAXR_SHARED, or ../shared."""
    if not SHARED.is_dir():
        pytest.skip(f"no example sessions in {SHARED} (set OSCAXR_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def open_shared(shared: Path) -> Callable[..., xr.Dataset]:
    """Open an example session by its id; all of them miss more running data than usual."""

    def open_session(session_id: int, **options: Any) -> xr.Dataset:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DroppedFramesWarning)
            return ox.open_session(session_id, datadir=shared / "sessions", **options)

    return open_session


@pytest.fixture(scope="session")
def spec() -> ox.sample.SampleSpec:
    """Say what the small sample session is."""
    return small_spec()


@pytest.fixture(scope="session")
def sample_paths(
    tmp_path_factory: pytest.TempPathFactory, spec: ox.sample.SampleSpec
) -> dict[str, Path]:
    """Write the small sample session as NWB, once in each form of :data:`LAYOUTS`."""

    def write(folder: Path) -> dict[str, Path]:
        session = ox.sample.make_session(spec)
        return {
            name: ox.sample.write_nwb(session, folder / name, **options)
            for name, options in LAYOUTS.items()
        }

    return made_once(tmp_path_factory.getbasetemp(), "samples", write)


@pytest.fixture(scope="session")
def sample_path(sample_paths: dict[str, Path]) -> Path:
    """Path of the small sample session, gzip float32. Not to be written to."""
    return sample_paths["gzip"]


@pytest.fixture(params=EACH_LAYOUT)
def layout_path(request: pytest.FixtureRequest, sample_paths: dict[str, Path]) -> Path:
    """Path of the small sample session in each main layout in turn. Not to be written to."""
    return sample_paths[request.param]


@pytest.fixture(params=["open_session", "engine"])
def open_both(request: pytest.FixtureRequest) -> Iterator[Callable[..., xr.Dataset]]:
    """Open a file by the function and by the xarray engine in turn; closed after the test."""
    opened: list[xr.Dataset] = []

    def open_file(path: Path | str, **options: Any) -> xr.Dataset:
        if request.param == "engine":
            ds = xr.open_dataset(path, engine="oscaxr", **options)
        else:
            ds = ox.open_session(path, **options)
        opened.append(ds)
        return ds

    yield open_file
    for ds in opened:
        ds.close()


@pytest.fixture(scope="session")
def original_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write a somatic and a dendritic session in the original layout. Not to be changed."""
    ids = {"soma": (900001, 900000001), "dend": (900002, 900000004)}

    def write(datadir: Path) -> dict[str, Path]:
        folders = {}
        for plane, (mouse_id, session_id) in ids.items():
            spec = small_spec(plane=plane, mouse_id=mouse_id, session_id=session_id, n_bad_rois=5)
            folders[plane] = ox.sample.write_original(spec, datadir, pickle_protocol=2)
        return folders

    return made_once(tmp_path_factory.getbasetemp(), "original", write)


@pytest.fixture(scope="session")
def memory_session(spec: ox.sample.SampleSpec) -> xr.Dataset:
    """Make the small sample session in memory."""
    return ox.sample.session(spec)


@pytest.fixture(scope="session")
def few_session(memory_session: xr.Dataset) -> xr.Dataset:
    """Give of the same a few variables of each kind: it is written several times as fast."""
    return only(memory_session, USEFUL_VARIABLES)


@pytest.fixture
def open_files() -> Callable[[Path], list[str]]:
    """Return a function that lists this process's open files at or below a path."""
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("open files are listed in /proc/self/fd")

    def list_open(path: Path) -> list[str]:
        gc.collect()
        targets = []
        for descriptor in descriptors.iterdir():
            try:
                targets.append(str(descriptor.readlink()))
            except OSError:  # the one of the listing itself
                continue
        return [target for target in targets if target.startswith(str(path.resolve()))]

    return list_open


@pytest.fixture(scope="session")
def mouse_with_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a mouse's three sessions, and their table. Not to be written to."""

    def write(made: Path) -> Path:
        folder = made / "my data [1]"
        ox.sample.write_mouse(folder, scale=0.02, n_rois=(5, 6, 7), n_tracked=3)
        return folder

    return made_once(tmp_path_factory.getbasetemp(), "mouse", write)


@pytest.fixture(scope="session")
def mouse_folder(tmp_path_factory: pytest.TempPathFactory, mouse_with_table: Path) -> Path:
    """The same, the table named otherwise. Not to be written to."""
    folder = tmp_path_factory.mktemp("data") / mouse_with_table.name
    shutil.copytree(mouse_with_table, folder)
    (folder / "mouse_df.csv").rename(folder / "table.csv")
    return folder


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """A store of S3's kind on this machine, which all tests of a process share."""
    pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    store = ObjectStore()
    yield store
    store.close()
