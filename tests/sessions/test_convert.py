"""Many sessions converted by one call: what it returns, what it refuses, which it finds."""

import importlib
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import CriterionError, FailedSessionsWarning, OscaxrWarning, SessionsFailedError
from oscaxr.sessions import convert as module
from oscaxr.store.current import provenance_of

NAMES = [f"sub-900001_ses-{number}" for number in (900000001, 900000002, 900000003)]


@pytest.fixture(scope="module")
def data(mouse_folder):
    return mouse_folder


@pytest.fixture(scope="module")
def paths(data):
    return sorted(data.rglob("*.nwb"))


def convert(sources, folder, **options):
    """Convert in this process: quicker, where only the results matter."""
    return ox.convert(sources, folder, workers=1, **options)


def statuses(results):
    return {one.session: one.status for one in results}


# -- the results ----------------------------------------------------------------------------------
@pytest.mark.slow
def test_results_say_what_became_of_each_session(data, paths, tmp_path):
    told = []
    results = convert(data, tmp_path, progress=lambda done, total: told.append((done, total)))
    assert statuses(results) == dict.fromkeys(NAMES, "written")
    assert told[0] == (0, 3)
    assert told[-1] == (3, 3)
    for one, path in zip(results, paths, strict=True):
        assert one.target == str(tmp_path / f"{one.session}.zarr")
        assert one.bytes > 0
        assert (one.reason, one.notes, one.traceback) == ("", (), "")
        with ox.open_session(one.target) as export, ox.open_session(path) as source:
            xr.testing.assert_identical(export.load(), source.load())
    again = convert([str(path) for path in paths], str(tmp_path), verify=True)
    assert statuses(again) == dict.fromkeys(NAMES, "verified")
    assert [one.bytes for one in again] == [one.bytes for one in results]


@pytest.mark.slow
def test_what_differs_fails_and_says_how_to_replace_it(paths, tmp_path):
    convert(paths[0], tmp_path, dtype=np.float32)
    with pytest.raises(SessionsFailedError, match="other options") as caught:
        convert(paths[:2], tmp_path)
    failed, written = caught.value.results
    assert (failed.status, written.status) == ("failed", "written")
    assert failed.reason.endswith("overwrite=True replaces it.")
    assert "TargetExistsError" in failed.traceback
    assert list(caught.value.failures) == NAMES[:1]
    with pytest.warns(FailedSessionsWarning, match=NAMES[0]):
        results = convert(paths[:2], tmp_path, errors="collect")
    assert statuses(results) == {NAMES[0]: "failed", NAMES[1]: "verified"}
    results = convert(paths[0], tmp_path, overwrite=True)
    assert statuses(results) == {NAMES[0]: "replaced"}


@pytest.mark.slow
def test_sessions_are_opened_with_the_options_given(paths, original_folders, tmp_path):
    options = {"include": "squares", "drop_variables": "pupil_diameter"}
    convert(paths[0], tmp_path, **options)
    with ox.open_session(tmp_path / f"{NAMES[0]}.zarr") as export:
        assert "square_x" in export
        assert "pupil_diameter" not in export
    assert statuses(convert(paths[0], tmp_path, **options)) == {NAMES[0]: "verified"}
    folder = original_folders["dend"]
    for segmentation in ("allen", "extr"):
        target = tmp_path / segmentation
        (one,) = convert(folder, target, segmentation=segmentation, keep_decoded=tmp_path / "kept")
        with ox.open_session(one.target) as export:
            assert export.attrs["segmentation"] == segmentation
    with pytest.raises(SessionsFailedError, match="was made from"):
        convert(folder, tmp_path / "extr", segmentation="allen")


def test_facts_of_a_table(data, paths, tmp_path):
    (one,) = convert(paths[1], tmp_path, table=data / "table.csv", dtype="float32")
    assert provenance_of(one.target)["parameters"]["dtype"] == "float32"
    with ox.open_session(one.target) as export:
        assert (int(export.mouse), int(export.session)) == (1, 2)


@pytest.mark.slow
def test_a_table_has_to_have_exports_too(data, paths, tmp_path):
    with ox.open_session(paths[1]) as ds:
        export = ox.save(ds, tmp_path / "one.zarr")
    (one,) = convert(export, tmp_path / "out", table=data / "table.csv")
    with ox.open_session(one.target) as again:
        assert (int(again.mouse), int(again.session)) == (1, 2)
    rows = pd.read_csv(data / "table.csv")
    rows[rows["sess_n"] == 3].to_csv(tmp_path / "other.csv", index=False)
    for source in (export, paths[1]):
        with pytest.raises(SessionsFailedError, match="no session with session id"):
            convert(source, tmp_path / "none", table=tmp_path / "other.csv")


@pytest.mark.slow
def test_a_table_that_is_found_need_not_have_all(data, paths, tmp_path):
    for path in paths[:2]:
        shutil.copy(path, tmp_path)
    rows = pd.read_csv(data / "table.csv")
    rows[rows["sess_n"] == 2].to_csv(tmp_path / "mouse_df.csv", index=False)
    with pytest.warns(OscaxrWarning, match=r"1 session\(s\) are not in .*mouse_df"):
        done = convert(tmp_path, tmp_path / "out")
    numbers = []
    for one in done:
        with ox.open_session(one.target) as ds:
            numbers.append(int(ds.get("session", -1)))
    assert numbers == [-1, 2]


def test_what_cannot_be_asked_for(paths, tmp_path):
    for options, says in [
        ({"format": "csv"}, "'nc'"),
        ({"errors": "ignore"}, "'raise' or 'collect'"),
        ({"folder": tmp_path / "one.zarr"}, "is the folder"),
        ({"workers": 0}, "at least one"),
    ]:
        given = {"folder": tmp_path / "out", "workers": 1, **options}
        with pytest.raises(CriterionError, match=says):
            ox.convert(paths[0], **given)
    assert not (tmp_path / "out").exists()


# -- finding the sessions -------------------------------------------------------------------------
@pytest.fixture(scope="module")
def sources():
    return importlib.import_module("oscaxr.sessions.asked")


def named(sources, words):
    return sources.named_sources(words, options={})


def test_each_session_is_found_once(sources, data, paths):
    found = named(sources, [*paths, data, paths[0]])
    assert [one.name for one in found] == NAMES
    assert [one.problem for one in found] == [""] * 3
    assert [one.places for one in found] == [(path,) for path in paths]


def test_a_folder_and_its_table_name_each_session_once(sources, data, paths):
    for words in ([data, data / "table.csv"], [data / "table.csv", data]):
        found = named(sources, words)
        assert [(one.name, one.problem) for one in found] == [(name, "") for name in NAMES]
        assert [one.places for one in found] == [(path,) for path in paths]
        assert [one.facts["session"] for one in found] == [1, 2, 3]


def test_copies_are_refused_by_name(sources, data, paths, tmp_path):
    copy = tmp_path / paths[0].name
    shutil.copy(paths[0], copy)
    first, *others = named(sources, [data, copy])
    assert str(copy) in first.problem
    assert str(paths[0]) in first.problem
    assert [one.problem for one in others] == ["", ""]
    with pytest.raises(ox.OscaxrError, match="same parts"):
        first.open()


def test_names_of_odd_files(sources, paths, tmp_path):
    odd = [tmp_path / "a" / "x.nwb", tmp_path / "b" / "x.nwb"]
    for path in odd:
        path.parent.mkdir()
    shutil.copy(paths[0], odd[0])
    odd[1].write_bytes(b"not HDF5")
    with pytest.warns(ox.OscaxrWarning, match=r"x\.nwb"):
        found = named(sources, odd)
    # By the ids inside; where there are none, by the name of the file.
    assert [one.name for one in found] == [NAMES[0], "x"]
    shutil.copy(odd[1], odd[0])
    with pytest.warns(ox.OscaxrWarning):
        found = named(sources, odd)
    assert [("same name x" in one.problem) for one in found] == [True, True]


@pytest.mark.slow
def test_a_dead_worker_fails_its_sessions(monkeypatch, tmp_path):
    source = importlib.import_module("oscaxr.sessions.open").SessionSource
    jobs = [module.Job(source((tmp_path,), name=n), tmp_path / n) for n in "ab"]
    monkeypatch.setattr(module, "convert_one", _die)
    results = module.run_jobs(jobs, tmp_path, 2, lambda done, total: None)
    assert [one.status for one in results] == ["failed", "failed"]
    assert all("worker process died" in one.reason for one in results)


def _die(job):
    os._exit(9)
