"""Processes that are killed while they write: what was there is whole, or what comes is."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
import xarray as xr

import oscaxr as ox
from tests.attacks import Outcome

CASES = 340
QUICK = range(2)
_ROOT = Path(__file__).resolve().parents[2]
# Of the time that a whole one takes, the blow falls at a random part, or somewhat after its end.
_LATEST = 1.1


def _tree(ds: xr.Dataset) -> xr.DataTree:
    return xr.DataTree.from_dict({"/mouse_1/session_1": ds, "/mouse_1/session_2": ds})


def _spec(version: str) -> ox.sample.SampleSpec:
    seed = {"old": 1, "new": 2}[version]
    return ox.sample.SampleSpec(seed=seed, scale=0.01, n_rois=2, n_tracked=0, field_shape=(48, 50))


class Work:
    """What is written, in the version that is there before and in the one that comes."""

    def __init__(self, folder: Path) -> None:
        values = np.random.default_rng(0).normal(size=(5000, 8))
        self.sets = {
            version: xr.Dataset(
                dict.fromkeys("abc", (("time", "roi"), values + at)),
                attrs={"which": version},
            )
            for at, version in enumerate(("old", "new"))
        }
        self.folder = folder / "before"
        self.sources = ox.sample.write_nwb(_spec("new"), folder / "sources").parents[1]

    def put(self, kind: str, folder: Path) -> None:
        """Put the old version into a folder: made once, and copied."""
        name, more, _ = KINDS[kind]
        made = self.folder / kind
        if not made.exists():
            made.mkdir(parents=True)
            getattr(self, name)(made, "old", *more)
        shutil.copytree(made, folder, dirs_exist_ok=True)

    def save(self, folder: Path, version: str, name: str) -> None:
        ds = self.sets[version]
        what = _tree(ds) if name.startswith("tree") else ds
        ox.save(what, folder / name, overwrite=True, chunks=None)

    def convert(self, folder: Path, version: str, form: str) -> None:
        dtype = {"old": "float32", "new": None}[version]
        ox.convert(self.sources, folder, format=form, dtype=dtype, workers=1, overwrite=True,
                   progress=False)  # fmt: skip

    def write_nwb(self, folder: Path, version: str) -> None:
        ox.sample.write_nwb(_spec(version), folder, overwrite=True)

    def write_original(self, folder: Path, version: str) -> None:
        ox.sample.write_original(_spec(version), folder, overwrite=True)


# -- what is written: by whom, and what tells its version -----------------------------------------
def _which_saved(folder: Path) -> Iterable[str]:
    for path in _targets(folder):
        with ox.open_exported(path) as found:
            parts = found.subtree if isinstance(found, xr.DataTree) else [found]
            sets = [p.to_dataset() if isinstance(p, xr.DataTree) else p for p in parts]
            sets = [ds.load() for ds in sets if ds.sizes]
            told = {ds.attrs["which"] for ds in sets}
            # The numbers of one version, all of them.
            shifts = {"old": 0, "new": 1}
            values = np.random.default_rng(0).normal(size=(5000, 8))
            for ds in sets:
                for one in ds.values():
                    np.testing.assert_array_equal(one, values + shifts[ds.attrs["which"]])
        yield "/".join(sorted(told))


def _which_converted(folder: Path) -> Iterable[str]:
    for path in _targets(folder):
        with ox.open_session(path) as ds:
            yield {"float32": "old", "float64": "new"}[str(ds.load()["run_velocity"].dtype)]


def _which_session(folder: Path) -> Iterable[str]:
    sums = {}
    for version in ("old", "new"):
        sums[version] = float(ox.sample.session(_spec(version))["run_velocity"].sum())
    for path in [*folder.rglob("sub-*.nwb"), *folder.rglob("ophys_session_*")]:
        with ox.open_session(path) as ds:
            total = float(ds.load()["run_velocity"].sum())
        near = [version for version, known in sums.items() if np.isclose(total, known, rtol=1e-6)]
        yield near[0] if near else f"neither ({total} of {sums})"


def _targets(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


Which = Callable[[Path], Iterable[str]]
KINDS: dict[str, tuple[str, tuple[str, ...], Which]] = {
    "zarr": ("save", ("s.zarr",), _which_saved),
    "zip": ("save", ("s.zarr.zip",), _which_saved),
    "netCDF": ("save", ("s.nc",), _which_saved),
    "tree in zarr": ("save", ("tree.zarr",), _which_saved),
    "tree in netCDF": ("save", ("tree.nc",), _which_saved),
    "convert to zarr": ("convert", ("zarr",), _which_converted),
    "convert to netCDF": ("convert", ("nc",), _which_converted),
    "sample in NWB": ("write_nwb", (), _which_session),
    "sample in the original layout": ("write_original", (), _which_session),
}


def attack(folder: Path, cases: range) -> Iterable[Outcome]:
    """Kill processes at random moments, and look at what they leave."""
    work = Work(folder)
    with _Anvil(work.sources) as anvil:
        for number in cases:
            yield _struck(work, anvil, folder / str(number), number)


def _struck(work: Work, anvil: "_Anvil", folder: Path, number: int) -> Outcome:
    choice = random.Random(number)
    kind = list(KINDS)[number % len(KINDS)]
    name, more, which = KINDS[kind]
    there = choice.random() < 0.75
    folder.mkdir()
    if there:
        work.put(kind, folder)
    whole = anvil.seconds(kind, folder.with_name(f"{number}-whole"))
    delay = choice.random() * _LATEST * whole
    wrong, killed = [], False
    try:
        killed = anvil.strike(kind, folder, delay)
        left = list(which(folder))
        if left not in ([["old"], ["new"]] if there else [[], ["new"]]):
            wrong.append(f"left: {left or 'nothing'}")
        getattr(work, name)(folder, "new", *more)
        if (then := list(which(folder))) != ["new"]:
            wrong.append(f"after the next: {then}")
    except Exception as error:
        wrong.append(f"{type(error).__name__}: {str(error)[:300]}")
    hidden = [path.name for path in folder.rglob(".*")]
    wrong += [f"leftover {one}" for one in hidden]
    case = f"{number}: {kind} at {delay:.3f} of {whole:.3f} s{' over an old one' * there}"
    return Outcome(case, not killed, tuple(wrong))


# -- the process whose children are killed --------------------------------------------------------
class _Anvil:
    """A process that has all imported and no threads, and forks itself for each blow."""

    def __init__(self, sources: Path) -> None:
        code = "from tests.attacks.kills import serve; serve()"
        paths = [_ROOT, _ROOT / "tests" / "fixtures", os.environ.get("PYTHONPATH", "")]
        environment = {"PYTHONPATH": os.pathsep.join(map(str, paths)), "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, str(sources)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=os.environ | environment,
        )  # fmt: skip
        self._seconds: dict[str, float] = {}

    def __enter__(self) -> "_Anvil":
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()

    def seconds(self, kind: str, folder: Path) -> float:
        """Return how long it takes if nobody comes between; measured once."""
        if kind not in self._seconds:
            folder.mkdir()
            begin = time.perf_counter()
            assert not self.strike(kind, folder, 60.0)
            self._seconds[kind] = time.perf_counter() - begin
        return self._seconds[kind]

    def strike(self, kind: str, folder: Path, delay: float) -> bool:
        """Begin a task and kill it after some time; return whether it was killed in time."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([kind, str(folder), delay]) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        if status not in (0, -signal.SIGKILL):
            raise RuntimeError(f"{kind} ended with {status}: {_trace(folder).read_text()}")
        return status != 0


def serve() -> None:
    """Fork for each line that comes, and kill the child after the time that it says."""
    folder = Path(tempfile.mkdtemp())
    work = Work(folder)
    work.sources = Path(sys.argv[1])
    _import_all()
    for line in sys.stdin:
        kind, place, delay = json.loads(line)
        child = os.fork()
        if not child:
            _work(work, kind, Path(place))
        print(_status(child, delay), flush=True)


def _import_all() -> None:
    """Import what each kind needs: the time until the blow is that of writing."""
    import dask.array  # noqa: F401
    import netCDF4  # noqa: F401
    import zarr  # noqa: F401


def _work(work: Work, kind: str, folder: Path) -> None:
    status = 1
    try:
        name, more, _ = KINDS[kind]
        getattr(work, name)(folder, "new", *more)
        status = 0
    except BaseException:
        _trace(folder).write_text(traceback.format_exc())
    finally:
        os._exit(status)


def _trace(folder: Path) -> Path:
    """Return where a task that fails says why: beside its folder."""
    return folder.with_name(f"{folder.name}.txt")


def _status(child: int, delay: float) -> int:
    until = time.monotonic() + delay
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
