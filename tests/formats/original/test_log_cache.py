"""The decoded stimulus log, kept: by its content, damaged, emptied, by several at once."""

import re
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import OscaxrWarning
from small_sessions import small_spec


def test_the_decoded_log_is_kept_by_its_content(original_folders, tmp_path, monkeypatch):
    folder, kept = original_folders["soma"], tmp_path / "kept"
    options = {"include": "squares", "keep_decoded": kept}
    with ox.open_session(folder, include="squares") as plain:
        for _ in range(2):
            with ox.open_session(folder, **options) as ds:
                names = [n for n in ds.variables if n not in ("valid", "invalid_reason")]
                for name in names:
                    if name.startswith(("dff_", "roi_mask")):
                        continue
                    xr.testing.assert_identical(ds[name].variable, plain[name].variable)
    (entry,) = kept.iterdir()
    # What is kept is what is read: the log itself is no longer unpickled.
    monkeypatch.setattr(
        "oscaxr.formats.original.stimulus_log.load", lambda path: pytest.fail("unpickled")
    )
    with ox.open_session(folder, **options) as ds:
        assert ds.square_x.values.any()
    assert re.fullmatch(r"[0-9a-f]{64}-\d+", entry.stem)


def test_another_log_is_not_taken_for_the_one_that_is_kept(tmp_path):
    kept = tmp_path / "kept"
    for seed in (1, 2):
        spec = small_spec(seed=seed)
        folder = ox.sample.write_original(spec, tmp_path / str(seed), pickle_protocol=2)
        with ox.open_session(folder, keep_decoded=kept) as ds, ox.open_session(folder) as plain:
            np.testing.assert_array_equal(ds.run_velocity, plain.run_velocity)
    assert len(list(kept.iterdir())) == 2


def test_the_users_cache_folder_is_the_default(original_folders, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    ox.open_session(original_folders["soma"], keep_decoded=True).close()
    assert len(list(tmp_path.glob("cache/oscaxr/decoded-logs/*"))) == 1


def damaged(entry: Path, how: str) -> None:
    content = entry.read_bytes()
    if how == "truncated":
        entry.write_bytes(content[: len(content) // 2])
    elif how == "cut":
        entry.write_bytes(content[:-100])
    elif how == "changed":
        entry.write_bytes(content[:2000] + b"other" + content[2005:])
    elif how == "emptied":
        entry.write_bytes(b"")
    else:
        entry.unlink()


@pytest.mark.parametrize(
    "how",
    [
        "cut",
        *(
            pytest.param(one, marks=pytest.mark.slow)
            for one in ("truncated", "changed", "emptied", "missing")
        ),
    ],
)
def test_a_damaged_entry_is_made_anew(original_folders, tmp_path, how):
    folder, kept = original_folders["soma"], tmp_path / "kept"
    options = {"include": "squares", "keep_decoded": kept}
    with ox.open_session(folder, **options) as ds:
        ds = ds[["run_velocity", "square_x"]].load()
    (entry,) = kept.iterdir()
    whole = entry.read_bytes()
    damaged(entry, how)
    with ox.open_session(folder, **options) as again:
        xr.testing.assert_identical(again[["run_velocity", "square_x"]].load(), ds)
    assert list(kept.iterdir()) == [entry]
    assert len(entry.read_bytes()) == len(whole)


def test_damaged_tracks_are_read_from_the_log_itself(original_folders, tmp_path):
    folder, kept = original_folders["soma"], tmp_path / "kept"
    options = {"include": "squares", "keep_decoded": kept}
    with ox.open_session(folder, **options) as ds:
        expected = ds.square_x.values
    (entry,) = kept.iterdir()
    content = bytearray(entry.read_bytes())
    with zipfile.ZipFile(entry) as archive:
        start = archive.getinfo("tracks_0.npy").header_offset
    content[start + 5000 : start + 5010] = bytes(10)
    entry.write_bytes(bytes(content))
    with ox.open_session(folder, **options) as again:
        np.testing.assert_array_equal(again.square_x, expected)


def test_squares_are_read_though_the_cache_was_emptied(original_folders, tmp_path):
    folder, kept = original_folders["soma"], tmp_path / "kept"
    with (
        ox.open_session(folder, include="squares") as plain,
        ox.open_session(folder, include="squares", keep_decoded=kept) as ds,
    ):
        shutil.rmtree(kept)
        np.testing.assert_array_equal(ds.square_x, plain.square_x)


def test_a_cache_folder_that_cannot_be_written_is_said(original_folders, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with (
        pytest.warns(OscaxrWarning, match="cannot be kept in .*file"),
        ox.open_session(original_folders["soma"], keep_decoded=tmp_path / "file") as ds,
    ):
        assert ds.run_velocity.notnull().any()


def test_several_threads_may_keep_the_same_log(original_folders, tmp_path):
    kept = tmp_path / "kept"

    def squares(_):
        with ox.open_session(original_folders["soma"], include="squares", keep_decoded=kept) as ds:
            return ds.square_x.values

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(squares, range(2))
    assert one.any()
    np.testing.assert_array_equal(one, other)
    assert len(list(kept.iterdir())) == 1


@pytest.mark.slow
def test_several_processes_may_keep_the_same_log(original_folders, tmp_path):
    kept = tmp_path / "kept"
    code = (
        "import sys, oscaxr as ox\n"
        "ds = ox.open_session(sys.argv[1], include='squares', keep_decoded=sys.argv[2])\n"
        "assert ds.square_x.values.any()\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, original_folders["soma"], kept]
    running = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait() for process in running] == [0, 0]
    assert len(list(kept.iterdir())) == 1
