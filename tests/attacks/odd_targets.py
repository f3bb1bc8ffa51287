"""Places to write to that are odd: each is written as told, or refused with nothing changed."""

import contextlib
import hashlib
import importlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import xarray as xr

import oscaxr as ox
from small_sessions import FEW_VARIABLES, only
from tests.attacks import Outcome

# Neither the tests nor a user write there: a folder of that user, or none, may not appear.
_NOBODY = "~nobody-of-this-name"


@dataclass(frozen=True)
class Sandbox:
    """A folder in which all happens: the working folder, the home, what is elsewhere, sources."""

    root: Path
    nwb: Path
    ds: xr.Dataset
    twin: Path

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def elsewhere(self) -> Path:
        return self.root / "elsewhere"

    def place(self, suffix: str) -> Path:
        return self.work / f"o{suffix}"


# -- targets: each prepares the sandbox and returns what is given as the place -------------------
def _foreign_folder(box: Sandbox, suffix: str) -> Any:
    (box.place(suffix) / "sub").mkdir(parents=True)
    (box.place(suffix) / "sub" / "thesis.txt").write_text("years of work")
    return box.place(suffix)


def _foreign_file(box: Sandbox, suffix: str) -> Any:
    box.place(suffix).write_text("years of work")
    return box.place(suffix)


def _foreign_zarr(box: Sandbox, suffix: str) -> Any:
    xr.Dataset({"a": ("x", [1.0, 2.0])}).to_zarr(box.place(suffix), zarr_format=2)
    return box.place(suffix)


def _foreign_netcdf(box: Sandbox, suffix: str) -> Any:
    xr.Dataset({"a": ("x", [1.0, 2.0])}).to_netcdf(box.place(suffix))
    return box.place(suffix)


def _link(box: Sandbox, suffix: str, target: Path | str) -> Any:
    box.place(suffix).symlink_to(target)
    return box.place(suffix)


def _link_to_file(box: Sandbox, suffix: str) -> Any:
    (box.elsewhere / "file").write_text("years of work")
    return _link(box, suffix, box.elsewhere / "file")


def _fifo(box: Sandbox, suffix: str) -> Any:
    os.mkfifo(box.place(suffix))
    return box.place(suffix)


def _device(box: Sandbox) -> Path:
    """Make a device that is always full; a pipe where nobody may make one."""
    path = box.elsewhere / "device"
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 7))
    except OSError:
        os.mkfifo(path)
    return path


def _parent_is_file(box: Sandbox, suffix: str) -> Any:
    (box.work / "file").write_text("years of work")
    return box.work / "file" / f"o{suffix}"


def _parent_is_link(box: Sandbox, suffix: str) -> Any:
    (box.work / "link").symlink_to(box.elsewhere)
    return box.work / "link" / f"o{suffix}"


def _source(box: Sandbox, suffix: str) -> Any:
    return box.nwb


def _within_source(box: Sandbox, suffix: str) -> Any:
    return box.nwb / f"o{suffix}"


def _beside_source(box: Sandbox, suffix: str) -> Any:
    return box.nwb.parent / f"o{suffix}"


def _within_export(box: Sandbox, suffix: str) -> Any:
    export = ox.save(box.ds, box.work / "export.zarr")
    return export / "dff" / f"o{suffix}"


def _leftover(box: Sandbox, suffix: str) -> Any:
    return box.work / f".o{suffix}.oscaxr-0123456789abcdef.partial"


def _named(name: str) -> Callable[[Sandbox, str], Any]:
    return lambda box, suffix: name.replace("*", suffix)


def _in_work(name: str) -> Callable[[Sandbox, str], Any]:
    return lambda box, suffix: f"{box.work}/{name.replace('*', suffix)}"


TARGETS: dict[str, Callable[[Sandbox, str], Any]] = {
    "plain": lambda box, suffix: box.place(suffix),
    "relative": _named("o*"),
    "ftp": _named("ftp://bucket/o*"),
    "s3 as a Path": lambda box, suffix: Path(f"s3://bucket/o{suffix}"),
    "unknown scheme": _named("unknown://x/o*"),
    "upper-case scheme": _named("HTTPS://example.org/o*"),
    "file address": lambda box, suffix: f"file://{box.place(suffix)}",
    "chained scheme": _named("simplecache::s3://bucket/o*"),
    "home": _named("~/o*"),
    "home as a Path": lambda box, suffix: Path("~") / f"o{suffix}",
    "home alone": _named("~*"),
    "nobody's home": _named(f"{_NOBODY}/o*"),
    "NUL": _in_work("a\0b*"),
    "nothing": _named("*"),
    "too long": _in_work("n" * 300 + "*"),
    "as long as may be": _in_work("n" * 240 + "*"),
    "too deep": _in_work("deep/" * 1000 + "o*"),
    "folder of others": _foreign_folder,
    "empty folder": lambda box, suffix: box.place(suffix).mkdir() or box.place(suffix),
    "file of others": _foreign_file,
    "zarr of others": _foreign_zarr,
    "netCDF of others": _foreign_netcdf,
    "file on the way": _parent_is_file,
    "link on the way": _parent_is_link,
    "link to a folder": lambda box, suffix: _link(box, suffix, box.elsewhere),
    "link to a file": _link_to_file,
    "link to nothing": lambda box, suffix: _link(box, suffix, box.elsewhere / "nothing"),
    "link to itself": lambda box, suffix: _link(box, suffix, f"o{suffix}"),
    "link to a device": lambda box, suffix: _link(box, suffix, _device(box)),
    "FIFO": _fifo,
    "read-only": _named("/proc/o*"),
    "below a device": lambda box, suffix: _device(box) / f"o{suffix}",
    "the source": _source,
    "within the source": _within_source,
    "beside the source": _beside_source,
    "within an export": _within_export,
    "trailing slash": _in_work("o*/"),
    "dots": _in_work("a/../o*"),
    "not UTF-8": _in_work("n\udcff*"),
    "lone surrogate": _in_work("n\ud800*"),
    "bytes": lambda box, suffix: os.fsencode(box.place(suffix)),
    "number": lambda box, suffix: 7,
    "none": lambda box, suffix: None,
    "upper-case ending": lambda box, suffix: box.work / f"o{suffix.upper()}",
    "reserved on Windows": _in_work("CON*"),
    "odd on Windows": _in_work('a:b?"<|>*'),
    "spaces and line breaks": _in_work(" a\nb *"),
    "dash": _named("-o*"),
    "emoji": _in_work("\N{MOUSE FACE}*"),
    "like a leftover": _leftover,
    "colon": _in_work("data:/o*"),
}
ADDRESSES = {name for name in TARGETS if name.endswith("scheme")} | {"ftp", "s3 as a Path"}


# -- what writes: each returns what it has made ---------------------------------------------------
def _save(suffix: str, **options: Any) -> Callable[[Sandbox, Any], Path]:
    return lambda box, place: ox.save(box.ds, place, **options)


def _convert(box: Sandbox, place: Any) -> Any:
    return ox.convert(box.nwb, place, workers=1, progress=False)


def _write_nwb(box: Sandbox, place: Any) -> Any:
    return ox.sample.write_nwb(_spec(), place)


def _write_original(box: Sandbox, place: Any) -> Any:
    return ox.sample.write_original(_spec(), place)


def _write_mouse(box: Sandbox, place: Any) -> Any:
    return ox.sample.write_mouse(place, scale=0.01, n_rois=(2, 2, 2), n_tracked=0)


class CommandError(Exception):
    """A command said that it failed, in words."""


def _command(*words: object) -> None:
    """Run a command in this process; raise what it says where it fails."""
    app = importlib.import_module("oscaxr.cli.main").app
    done = importlib.import_module("typer.testing").CliRunner().invoke(app, list(map(str, words)))
    if done.exit_code in (1, 2) and "mistake in oscaxr" not in done.stderr:
        raise CommandError(done.stderr)
    if done.exit_code:
        raise RuntimeError(f"exit code {done.exit_code}: {done.exception!r} {done.stderr}")


def _extract(box: Sandbox, place: Any) -> None:
    _command("extract", box.nwb, "gabor_frame=A", "--post", 0.1, f"--out={_text(place)}")


def _extract_table(box: Sandbox, place: Any) -> None:
    _command("extract", box.nwb, "gabor_frame=A", "--post=0.1", "--stats=mean", "--overwrite",
             f"--out={_text(place)}")  # fmt: skip


def _plot(box: Sandbox, place: Any) -> None:
    _command("plot", box.nwb, "overview", "--overwrite", f"--out={_text(place)}")


def _convert_command(box: Sandbox, place: Any) -> None:
    _command("convert", "--workers=1", box.nwb, "--", _text(place))


def _text(place: Any) -> str:
    """Return a place as it may stand on a command line."""
    return os.fsdecode(place) if isinstance(place, str | bytes | os.PathLike) else str(place)


WRITERS: dict[str, tuple[str, Callable[[Sandbox, Any], Any]]] = {
    "save zarr": (".zarr", _save(".zarr")),
    "replace zarr": (".zarr", _save(".zarr", overwrite=True)),
    "save zip": (".zarr.zip", _save(".zarr.zip")),
    "replace netCDF": (".nc", _save(".nc", overwrite=True)),
    "convert": ("", _convert),
    "write_nwb": ("", _write_nwb),
    "write_original": ("", _write_original),
    "write_mouse": ("", _write_mouse),
    "extract": (".nc", _extract),
    "extract table": (".csv", _extract_table),
    "plot": (".png", _plot),
    "convert command": ("", _convert_command),
}
_SUFFIXES = (".zarr", ".zarr.zip", ".nc", ".csv", ".png")

CASES = len(TARGETS) * len(WRITERS)
QUICK = range(0, len(TARGETS), 5)


def attack(folder: Path, cases: range) -> Iterator[Outcome]:
    """Write to odd places, and look at all that is there before and after."""
    nwb = ox.sample.write_nwb(_spec(), folder / "made")
    ds = only(ox.sample.session(_spec()), FEW_VARIABLES).load()
    for number in cases:
        box = Sandbox(folder / str(number), nwb, ds, nwb)
        for name in ("work", "home", "elsewhere", "data"):
            (box.root / name).mkdir(parents=True)
        box = replace(box, nwb=box.root / "data" / "m.nwb")
        shutil.copy(nwb, box.nwb)
        with contextlib.chdir(box.work), _home(box.root / "home"):
            yield _tried(box, number)
        shutil.rmtree(box.root)


def _spec() -> ox.sample.SampleSpec:
    return ox.sample.SampleSpec(scale=0.01, n_rois=2, n_tracked=0, field_shape=(48, 50))


@contextlib.contextmanager
def _home(folder: Path) -> Iterator[None]:
    usual = os.environ.get("HOME", "")
    os.environ["HOME"] = str(folder)
    try:
        yield
    finally:
        os.environ["HOME"] = usual


def _tried(box: Sandbox, number: int) -> Outcome:
    targets, writers = list(TARGETS), list(WRITERS)
    target = targets[number % len(targets)]
    writer = writers[(number // len(targets) + number % len(targets)) % len(writers)]
    suffix, write = WRITERS[writer]
    given = TARGETS[target](box, suffix)
    before, harm, done = _digests(box.root), [], True
    try:
        write(box, given)
    except (ox.OscaxrError, CommandError):
        done = False
    except Exception as error:
        done = False
        harm.append(f"{type(error).__name__}: {error}"[:300])
    after = _digests(box.root)
    changed = sorted(name for name in before | after if before.get(name) != after.get(name))
    expected = "" if target in ADDRESSES else _expected(box, given)
    below = [name for name in changed if f"{name}/".startswith(f"{expected}/")]
    if done and not below:
        harm.append(f"nothing is at {expected}")
    # Folders on the way are made, also where it fails in the end. (Matplotlib keeps what it made.)
    on_the_way = {str(parent) for parent in Path(expected).parents} | {"work/a"}
    fine = {name for name in changed if name in on_the_way and name not in before}
    fine |= set(below) if done else set()
    wrong = [name for name in changed if name not in fine and not name.startswith("home/.")]
    harm += [f"{'changed' if name in before else 'made'} {name}" for name in wrong[:5]]
    return Outcome(f"{number}: {writer} to {target}", done, tuple(harm))


def _expected(box: Sandbox, given: Any) -> str:
    """Return where, in the sandbox, all that is written belongs."""
    try:
        place = os.path.realpath(Path(_text(given)).expanduser())
    except (ValueError, RuntimeError, OSError):
        return ""
    return os.path.relpath(place, os.path.realpath(box.root))


def _digests(root: Path) -> dict[str, str]:
    """Return what is in a folder: of files a digest, of links where they lead."""
    found = {}
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = "folder" if path.is_dir() else f"device {path.stat().st_rdev}"
    return found
