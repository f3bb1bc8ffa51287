"""What is replaced when samples are written: samples as they were written, and nothing else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import pandas as pd
import pytest

from oscaxr.errors import OscaxrError
from oscaxr.model.synthetic import MARK, WORDS
from oscaxr.sample import SampleExistsError, SampleSpec, write_mouse, write_nwb, write_original
from oscaxr.sample.place import taking_place, why_not_ours

TINY = SampleSpec(scale=0.004, n_rois=2, n_tracked=1, field_shape=(48, 48))
MOUSE = {"scale": 0.004, "n_rois": (2, 2, 2), "n_tracked": 1}


def contents(folder: Path) -> dict[str, bytes | str]:
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An NWB file, a folder of the original layout, and the table. Not to be changed."""
    folder = tmp_path_factory.mktemp("written")
    write_mouse(folder, **MOUSE)
    write_original(TINY, folder)
    return folder


@pytest.fixture
def copy(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "copy"))


def the(pattern: str) -> Callable[[Path], Path]:
    return lambda folder: next(folder.rglob(pattern))


NWB, TABLE, ORIGINAL = the("*000001_*.nwb"), the("mouse_df.csv"), the("ophys_session_*")


def overwrite_mouse(folder: Path) -> None:
    write_mouse(folder, **MOUSE, overwrite=True)


def overwrite_nwb(folder: Path) -> None:
    write_nwb(TINY, folder, overwrite=True)


def overwrite_original(folder: Path) -> None:
    write_original(TINY, folder, overwrite=True)


# -- what somebody else put there -----------------------------------------------------------------
def unmark(path: Path) -> None:
    """Take away what a recorded session has not, either."""
    with h5py.File(path, "r+") as file:
        del file.attrs[MARK]


def as_link(path: Path) -> None:
    moved = path.rename(path.with_name("mine"))
    path.symlink_to(moved)


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "mine.txt").write_text("mine")


def rows(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def changed(path: Path) -> None:
        change(pd.read_csv(path, dtype=str, keep_default_na=False)).to_csv(path, index=False)

    return changed


def inside(pattern: str, change: Callable[[Path], object]) -> Callable[[Path], None]:
    return lambda folder: change(next(folder.rglob(pattern))) and None


def words(path: Path) -> object:
    return path.write_text("mine")


def another_mark(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs[MARK] = json.dumps([1])


REAL = ["758519303", "20180926T172917", "1", "408021"]
FOREIGN = {
    "a real NWB file": (NWB, unmark, "is not marked as a sample"),
    "a file of something else": (NWB, words, "no file that can be recognised"),
    "an empty file": (NWB, lambda path: path.write_bytes(b""), "no file that can be recognised"),
    "a link": (NWB, as_link, "is a link"),
    "a folder in place of a file": (NWB, as_folder, "is not marked as a sample"),
    "a table with a real session": (
        TABLE,
        rows(lambda t: pd.concat([t, t.iloc[:1].assign(sessid=REAL[0], notes="")])),
        f"no samples: {REAL[0]}",
    ),
    "a table with notes": (TABLE, rows(lambda t: t.assign(notes="good")), "no samples: 900000001"),
    "a table with own columns": (TABLE, rows(lambda t: t.assign(mine=1)), "not the session table"),
    "a table of something else": (TABLE, words, "is not the session table"),
    "an empty table": (TABLE, lambda path: path.write_text(""), "is no table that can be read"),
    "a table without rows": (TABLE, rows(lambda t: t.iloc[:0]), "is not the session table"),
    "a binary table": (TABLE, lambda path: path.write_bytes(b"\xff\0"), "is no table"),
    "a table that is a link": (TABLE, as_link, "is a link"),
    "a file beside those of a session": (
        ORIGINAL, lambda path: (path / "notes.txt").write_text("mine"), "changed: notes.txt",
    ),
    "a file deep in a session": (
        ORIGINAL, inside("processed", lambda p: (p / "mine.png").write_text("mine")), "mine.png",
    ),
    "a link in a session": (
        ORIGINAL, lambda path: (path / "mine").symlink_to("/tmp"), "changed: mine",
    ),
    "a changed file of a session": (ORIGINAL, inside("*_dff.h5", words), "_dff.h5"),
    "a real session": (ORIGINAL, inside("*_sync.h5", unmark), "is not marked as a sample"),
    "an odd mark": (ORIGINAL, inside("*_sync.h5", another_mark), "is marked in another way"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_sample_is_never_replaced(copy: Path, name: str) -> None:
    find, put, says = FOREIGN[name]
    path = find(copy)
    put(path)
    before = contents(copy)
    overwrite = overwrite_original if find is ORIGINAL else overwrite_mouse
    with pytest.raises(SampleExistsError, match=r"overwrite=True replaces only samples") as caught:
        overwrite(copy)
    assert isinstance(caught.value, OscaxrError)
    assert f"{path} " in str(caught.value)
    assert says in str(caught.value)
    assert contents(copy) == before
    with pytest.raises(SampleExistsError, match="Already there"):
        (write_original if find is ORIGINAL else write_nwb)(TINY, copy)
    assert contents(copy) == before


def test_all_that_is_in_the_way_is_named_at_once(copy: Path) -> None:
    for number, path in enumerate(sorted(copy.rglob("*.nwb"))):
        if number:
            path.write_text("mine")
    words(TABLE(copy))
    with pytest.raises(SampleExistsError) as caught:
        overwrite_mouse(copy)
    assert str(caught.value).count("\n  - ") == 3


def state(path: Path) -> tuple[int, int]:
    return path.stat().st_ino, path.stat().st_ctime_ns


@pytest.mark.slow
def test_samples_are_replaced(copy: Path) -> None:
    # Written twice, a file may have the inode again that the first of them had.
    before = {find(copy): state(find(copy)) for find in (NWB, TABLE, ORIGINAL)}
    # A file that is gone is none that could be lost.
    next(ORIGINAL(copy).rglob("*_dff.h5")).unlink()
    overwrite_mouse(copy)
    overwrite_original(copy)
    overwrite_nwb(copy)
    for path, old in before.items():
        assert state(path) != old
        assert why_not_ours(path) == ""
    assert not list(copy.rglob(".*"))


def test_what_comes_while_a_sample_is_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "s.nwb"

    def write(overwrite: bool) -> None:
        with taking_place(path, overwrite=overwrite) as partial:
            partial.write_text("sample")
            words(path)

    for overwrite in (False, True):
        path.unlink(missing_ok=True)
        with pytest.raises(SampleExistsError):
            write(overwrite)
        assert contents(tmp_path) == {"s.nwb": b"mine"}


def test_files_say_that_they_are_samples(written: Path) -> None:
    with h5py.File(NWB(written)) as file:
        assert file.attrs[MARK] == WORDS
        assert file["session_description"][()].decode() == WORDS
    assert set(pd.read_csv(TABLE(written))["notes"]) == {WORDS}
