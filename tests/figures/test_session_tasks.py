"""All sessions: those that are missing are named, those that fail lose nothing of others."""

from dataclasses import replace

import pytest
import xarray as xr

from oscaxr import analyses
from oscaxr.errors import CriterionError, OscaxrWarning, warn
from oscaxr.figures.session_results import QUALITY, Recipe
from oscaxr.figures.session_tasks import compute, survey
from oscaxr.sessions.asked import many_sources
from oscaxr.sessions.settings import KnownTable


@pytest.fixture(scope="module")
def surveyed(mice):
    return survey(many_sources(mice.rows, datadir=mice.folder, options={}), progress=False)


def fails_on_dendrites(ds):
    warn("be careful", OscaxrWarning)
    if ds["plane"].item() == "dend":
        raise CriterionError("not on dendrites")
    return xr.Dataset({"a": ds["dff"].isel(time=0)})


def breaks(ds):
    raise ZeroDivisionError("a mistake")


FAILS = Recipe("fails", fails_on_dendrites)


def test_what_is_there_is_known_and_what_is_not_is_named(surveyed):
    there, missing = surveyed
    assert [one.id for one in there] == [900000001, 900000002, 900000003, 900000011, 900000012]
    assert [(one.group, one.number) for one in there[2:4]] == [
        ("L23-Cux2 soma", 3),
        ("L5-Rbp4 dend", 1),
    ]
    ((name, reason),) = missing.items()
    assert "900000013" in name
    assert "900000013" in reason


def test_a_session_twice_and_one_of_no_group_are_named(mice):
    (path,) = mice.folder.rglob("*900000001*.nwb")
    (source,) = many_sources([path], options={})
    there, missing = survey([source], progress=False)
    assert not there
    assert missing == {str(path): "nothing says its plane, session: give the session table"}
    known = replace(source, table=KnownTable(mice.rows))
    there, missing = survey([known, replace(known, name="again")], progress=False)
    assert len(there) == 1
    assert "more than once" in "".join(missing.values())


def test_results_are_computed_once(surveyed, tmp_path):
    there, _ = surveyed
    wanted = {QUALITY: {one.id for one in there[:2]}}
    options = {"workers": 1, "progress": False}
    first = compute(there, wanted, {QUALITY: {}}, tmp_path, **options)
    assert (first.n_computed, first.n_kept) == (2, 0)
    second = compute(there, wanted, {QUALITY: {}}, tmp_path, **options)
    assert (second.n_computed, second.n_kept) == (0, 2)
    for number in wanted[QUALITY]:
        found = [one.results[QUALITY.name][number] for one in (first, second)]
        xr.testing.assert_identical(*found)
    with there[0].source.open() as ds:
        plain = analyses.pool([QUALITY.compute(ds, {})])
    pooled = analyses.pool([second.results[QUALITY.name][there[0].id]])
    xr.testing.assert_equal(pooled, plain)
    # Other parameters are another result, in the place of the first.
    other = compute(there, wanted, {QUALITY: {"seed": 1}}, tmp_path, **options)
    assert (other.n_computed, other.n_kept) == (0, 0)
    assert "unexpected keyword" in other.failures[QUALITY.name][there[0].id]


def test_one_that_fails_is_named_and_the_others_are_kept(surveyed, tmp_path):
    there, _ = surveyed
    ids = {one.id for one in there}
    wanted = {FAILS: ids, QUALITY: ids}
    done = compute(there, wanted, {FAILS: {}, QUALITY: {}}, tmp_path, workers=1, progress=False)
    assert done.failures == {
        "fails": {900000011: "not on dendrites", 900000012: "not on dendrites"}
    }
    assert set(done.results["fails"]) == {900000001, 900000002, 900000003}
    assert set(done.results[QUALITY.name]) == ids
    assert set(done.notes) == ids
    assert done.notes[900000001] == ["be careful"]


def test_a_mistake_is_told_and_loses_nothing_else(surveyed, tmp_path):
    there, _ = surveyed
    wrong = Recipe("breaks", breaks)
    wanted = {recipe: {there[3].id} for recipe in (wrong, QUALITY, FAILS)}
    parameters = {recipe: {} for recipe in wanted}
    done = compute(there, wanted, parameters, tmp_path, workers=1, progress=False)
    assert set(done.results) == {QUALITY.name}
    assert done.failures == {
        "breaks": {there[3].id: "ZeroDivisionError: a mistake"},
        "fails": {there[3].id: "not on dendrites"},
    }


@pytest.mark.slow
def test_the_same_in_processes(surveyed, tmp_path):
    there, _ = surveyed
    wanted = {QUALITY: {one.id for one in there}}
    here = compute(there, wanted, {QUALITY: {}}, tmp_path / "a", workers=1, progress=False)
    away = compute(there, wanted, {QUALITY: {}}, tmp_path / "b", workers=2, progress=False)
    for number, result in here.results[QUALITY.name].items():
        xr.testing.assert_identical(result, away.results[QUALITY.name][number])
