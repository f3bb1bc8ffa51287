"""Files and folders that are read and written alike, here and in a store."""

import pytest

from oscaxr.errors import SessionNotFoundError, TargetExistsError, UnsafePathError
from oscaxr.files.folders import (
    file_here,
    folder_here,
    new_file,
    new_folder,
    object_folder,
    size_of,
)
from oscaxr.files.remote import place_of

fsspec = pytest.importorskip("fsspec")


@pytest.fixture(params=["here", "store"])
def root(request, tmp_path):
    if request.param == "here":
        yield tmp_path / "root"
        return
    yield place_of("memory://root/of/all")
    store = fsspec.filesystem("memory")
    if store.exists("/root"):
        store.rm("/root", recursive=True)


def write(target, text, **options):
    with new_file(target, **{"overwrite": False} | options) as path:
        path.write_text(text)


def test_a_file_appears_and_is_read(root):
    target = root / "a.txt"
    assert size_of(target) is None
    write(target, "one")
    assert size_of(target) == 3
    assert size_of(root) is None
    with file_here(target) as path:
        assert path.read_text() == "one"
    with pytest.raises(TargetExistsError):
        write(target, "other")
    write(target, "other", overwrite=True)
    with folder_here(root) as folder:
        assert [one.read_text() for one in folder.iterdir()] == ["other"]


def test_who_checks_may_refuse(root):
    def refuse(place):
        raise ValueError(f"{place.name} is mine")

    write(root / "a.txt", "one", check=refuse)
    with pytest.raises(ValueError, match=r"a\.txt is mine"):
        write(root / "a.txt", "other", overwrite=True, check=refuse)
    with pytest.raises(ValueError, match=f"{root.name} is mine"):
        new_folder(root, last="a.txt", overwrite=True, check=refuse).__enter__()
    assert size_of(root / "a.txt") == 3


def test_a_folder_takes_the_place_of_another(root):
    for number in range(2):
        with new_folder(root, first="b/one", last="last", overwrite=bool(number)) as path:
            (path / "b").mkdir(parents=True)
            for name in ("b/one", "last", f"of{number}"):
                (path / name).write_text(str(number))
    with folder_here(root) as folder:
        found = {one.name: one.read_text() for one in folder.rglob("*") if one.is_file()}
    assert found == {"one": "1", "last": "1", "of1": "1"}


def test_what_fails_leaves_nothing(root):
    with pytest.raises(RuntimeError):
        broken(root)
    assert size_of(root / "a.txt") is None


def broken(root):
    with new_file(root / "a.txt", overwrite=False) as path:
        path.write_text("half")
        raise RuntimeError


def test_no_copy_leads_out_of_its_folder(tmp_path):
    folder = object_folder(place_of("memory://root"))
    with pytest.raises(UnsafePathError, match="leads out of the folder"):
        folder.get(tmp_path / "in", ["../a.txt"])
    with pytest.raises(SessionNotFoundError):
        folder.get(tmp_path / "in", ["a.txt"])
    assert not (tmp_path / "a.txt").exists()
