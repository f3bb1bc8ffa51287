"""The check of a Dataset: nothing to say of a sound session, all there is to say of others."""

import io
import warnings
from typing import Any

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import InvalidRoiWarning, SchemaError
from oscaxr.model.dataset import Problem, Report, check_structure, validate
from oscaxr.model.schema import SESSION


@pytest.fixture
def session(memory_session: xr.Dataset) -> xr.Dataset:
    return memory_session.copy(deep=True)


def wheres(report: Report, level: str = "error") -> list[str]:
    return [problem.where for problem in report.at_level(level)]  # type: ignore[arg-type]


def test_sound_session(session: xr.Dataset) -> None:
    report = validate(session, traces=True)
    assert report == ()
    assert str(report) == "no problems found"
    report.raise_errors("session")
    assert session.osca.validate() == report


def test_derived_sessions_stay_sound(session: xr.Dataset) -> None:
    for ds in (
        session.isel(roi=[3, 1]),
        session.drop_vars(["roi_mask", "pupil_diameter", "valid"]),
        session.load(),
        session.assign(more=("roi", np.arange(7))).drop_vars("more"),
        session.transpose(),
        session.chunk(),
        session.assign_coords(condition=3),
    ):
        assert not wheres(validate(ds)), validate(ds)


def test_structure_reads_no_values(session: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError("values were read")

    monkeypatch.setattr(xr.Variable, "values", property(fail))
    assert check_structure(session) == ()


@pytest.mark.parametrize("name", [name for name, spec in SESSION.items() if spec.required])
def test_required_names(session: xr.Dataset, name: str) -> None:
    ds = session.drop_vars(name)
    assert Problem("error", name, "is missing") in validate(ds)
    assert not wheres(check_structure(ds, dropped=[name]))


@pytest.mark.parametrize(
    ("name", "variable", "words"),
    [
        ("dff", ("time", np.zeros(2797)), "has dims ('time',)"),
        ("dff", (("roi", "time"), np.zeros((7, 2797), int)), "dtype int64, not one of kind float"),
        ("roi_mask", (("roi", "height", "width"), np.zeros((7, 64, 64))), "not one of kind bool"),
        ("tracking_id", ("roi", np.full(7, np.nan)), "not one of kind int"),
        ("stimulus_type", ("segment", np.zeros(179)), "not one of kind str"),
        ("run_velocity", ("time", np.zeros(2797)), "has dims ('time',)"),
        ("template_gabors", (("a", "b"), np.zeros((2, 2))), "has dims ('a', 'b')"),
    ],
)
def test_dims_and_dtypes(session: xr.Dataset, name: str, variable: Any, words: str) -> None:
    report = validate(session.assign({name: variable}))
    (message,) = [problem.message for problem in report if problem.where == name]
    assert words in message


def test_indexes_and_rates(session: xr.Dataset) -> None:
    report = validate(session.drop_indexes("time"))
    assert Problem("error", "time", "is not an index") in report
    for rate in (0.0, -3.0):
        assert wheres(validate(session.assign_attrs(twop_fps=rate))) == ["twop_fps"]
    session.attrs["twop_fps"] = "fast"
    del session.attrs["stim_fps"]
    assert wheres(validate(session)) == ["twop_fps", "stim_fps"]


def test_clocks(session: xr.Dataset) -> None:
    times = session.time.values.copy()
    times[[10, 11]] = times[[11, 10]]
    report = validate(session.assign_coords(time=times))
    assert Problem("error", "time", "does not increase at 1 place(s): 10") in report
    times[20] = np.nan
    assert "time" in wheres(validate(session.assign_coords(time=times)))


def test_ids(session: xr.Dataset) -> None:
    report = validate(session.assign_coords(roi_id=("roi", [1, 2, 3, 3, 5, 6, 6])))
    assert Problem("error", "roi_id", "is repeated: 3, 6") in report
    report = validate(session.assign_coords(tracking_id=("roi", [0, 1, 1, -1, -1, -1, -1])))
    assert Problem("error", "tracking_id", "is given to several ROIs: 1") in report
    report = validate(session.assign_coords(tracking_id=("roi", [0, 1, 3, -1, -1, -1, -1])))
    assert wheres(report) == []
    assert wheres(report, "note") == ["tracking_id"]


@pytest.mark.parametrize(
    ("column", "row", "value", "words"),
    [
        ("stimulus_type", 3, "movie", "unknown stimulus types: 'movie'"),
        ("start_frame_twop", 0, -3, "beyond the recording"),
        ("stop_frame_stim", -1, 10**6, "beyond the recording"),
        ("start_time", 30, 0.0, "start_time decreases"),
    ],
)
def test_segments(session: xr.Dataset, column: str, row: int, value: Any, words: str) -> None:
    session[column].values[row] = value
    assert any(words in problem.message for problem in validate(session).at_level("error"))


def test_segments_that_fit_badly(session: xr.Dataset) -> None:
    moved = session.copy(deep=True)
    moved["start_frame_twop"].values[5] -= 4
    report = validate(moved)
    assert wheres(report) == []
    assert wheres(report, "warning") == ["start_frame_twop", "start_frame_twop"]
    messages = " ".join(problem.message for problem in report)
    assert "more than 2 frames from start_time in segment(s) 5" in messages
    assert "gap or overlap after segment(s) 4" in messages


def test_long_lists_are_cut(session: xr.Dataset) -> None:
    frames = session.start_frame_stim
    session["start_frame_stim"] = frames.copy(data=np.maximum(frames.values - 6, 0))
    (problem,) = validate(session).at_level("warning")
    assert problem.where == "start_frame_stim"
    assert ", ... (17" in problem.message


def test_missing_running_data(session: xr.Dataset) -> None:
    session["run_velocity"].values[100:200] = np.nan
    (problem,) = validate(session)
    assert problem.level == "warning"
    assert "2.01%" in problem.message


def test_invalid_traces_only_on_request(spec: ox.sample.SampleSpec) -> None:
    ds = ox.sample.session(spec)
    ds["dff"].values[50, [2, 5]] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert validate(ds) == ()
    with pytest.warns(InvalidRoiWarning, match="roi 2, 5"):
        (problem,) = validate(ds, traces=True)
    assert (problem.level, problem.where) == ("warning", "dff")
    assert "2 ROI(s)" in problem.message


def test_unknown_variables_are_a_note(session: xr.Dataset) -> None:
    report = validate(session.assign(extra=("roi", np.arange(7))))
    assert wheres(report, "note") == ["extra"]
    assert wheres(report) == []


def test_all_problems_at_once(session: xr.Dataset) -> None:
    ds = session.drop_vars(["dff", "unexpected"])
    ds = ds.assign_coords(roi_id=("roi", np.zeros(7, int)))
    ds.attrs["twop_fps"] = 0.0
    report = validate(ds)
    assert set(wheres(report)) == {"dff", "unexpected", "roi_id", "twop_fps"}
    with pytest.raises(SchemaError) as caught:
        report.raise_errors("session 7")
    message = str(caught.value)
    assert message.startswith("session 7 is not a sound session")
    assert message.count("\n  - ") == 4
    buffer = io.StringIO()
    print(report, file=buffer)
    assert buffer.getvalue().count("error: ") == 4


def test_what_is_not_a_session() -> None:
    for ds in (xr.Dataset(), xr.Dataset({"x": ("y", [1, 2])})):
        report = validate(ds)
        assert {"dff", "time", "stimulus_type", "twop_fps"} <= set(wheres(report))
