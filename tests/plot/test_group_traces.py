"""Traces and time courses of groups: a panel for each group and session, as in the results."""

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from drawn import render
from made_groups import FRAMES, GROUPS, TIME, results
from oscaxr import plot
from oscaxr.analyses import decode, group_decoding, group_means, pool
from oscaxr.errors import CriterionError, MissingVariableError, WindowError
from oscaxr.plot.axes import SYNTHETIC

Figure = pytest.importorskip("matplotlib.figure").Figure

COURSE = {"rel_time": TIME, "rel_frame": ("rel_time", FRAMES)}


def traces(random, n_rois, group, session):
    expected = np.sin(FRAMES / 5) + random.normal(0, 0.3, (n_rois, 1))
    both = np.stack([expected, expected * session])
    dims = ("group", "roi", "rel_time")
    attrs = {"long_name": "mean of dF/F", "units": "1", "scaled": 1}
    return {"mean": (dims, both, attrs), "group": ["expected", "unexpected"], **COURSE}


def decoded(random, n_splits, group, session):
    mean = 0.25 + 0.1 * group * np.exp(-((FRAMES - 5) ** 2) / 40)
    return {
        "mean": ("rel_time", mean + random.normal(0, 0.01, len(FRAMES))),
        "sem": ("rel_time", np.full(len(FRAMES), 0.02)),
        "score": (("split", "rel_time"), random.normal(mean, 0.05, (n_splits, len(FRAMES)))),
        "shuffled": (("shuffle", "rel_time"), random.normal(0.25, 0.04, (200, len(FRAMES)))),
        **COURSE,
    }


TOLD = {
    "chance": 0.25,
    "coordinate": "gabor_mean_orientation",
    "stimulus": "gabors",
    "criteria": "",
}
TOLD |= {"window": [-0.9, 0.6], "splits": 8, "shuffles": 200, "train": 0.75, "penalty": 1.0}


@pytest.fixture(scope="module")
def pooled():
    made = results(traces)
    return pool([one for one in made if not (one.line == "L5-Rbp4" and one.session == 3)])


@pytest.fixture(scope="module")
def found(pooled):
    return group_means(pooled, "mean")


@pytest.fixture(scope="module")
def courses():
    return [one.assign_attrs(TOLD) for one in results(decoded, (8, 8), dim="split")]


# -- traces ---------------------------------------------------------------------------------------
def test_each_panel_has_its_means_and_errors(found):
    figure = Figure(figsize=(9, 7), layout="constrained")
    drawn = plot.group_traces(found, figure)
    assert len(drawn.panels) == 12
    for place, (lines, bands) in enumerate(zip(drawn.lines, drawn.bands, strict=True)):
        own = found.isel(group=place // 3, session=place % 3)
        if np.isnan(own["mean"]).all():
            assert lines is bands is None
            assert "no value" in [text.get_text() for text in drawn.panels[place].texts]
            continue
        for k, (line, band) in enumerate(zip(lines, bands, strict=True)):
            kind = own.isel(response_group=k)
            np.testing.assert_array_equal(line.get_xdata(), found.rel_time)
            np.testing.assert_array_equal(line.get_ydata(), kind["mean"])
            heights = band.get_paths()[0].vertices[:, 1]
            assert heights.max() == pytest.approx(float((kind["mean"] + kind["sem"]).max()))
            assert heights.min() == pytest.approx(float((kind["mean"] - kind["sem"]).min()))
    assert [one is None for one in drawn.lines].count(True) == 2


def test_rows_are_groups_and_columns_sessions(found):
    figure = Figure(figsize=(9, 7), layout="constrained")
    panels = plot.group_traces(found, figure).panels
    assert [ax.get_title("left") for ax in panels[:3]] == [f"session {k}" for k in (1, 2, 3)]
    assert [ax.get_ylabel().split("\n")[0] for ax in panels[::3]] == list(GROUPS)
    assert panels[0].get_ylabel().endswith("mean of dF/F, scaled")
    render(panels[0])
    boxes = [ax.get_window_extent() for ax in panels]
    legend = panels[2].get_legend().get_window_extent()
    assert all(legend.x0 >= box.x1 for box in boxes)
    words = [text.get_text() for text in panels[2].get_legend().get_texts()]
    assert words == ["expected", "unexpected", "band: SEM"]


def test_one_group_and_session_in_axes_of_ones_own(found, ax):
    drawn = plot.group_traces(found.isel(group=0, session=1), ax)
    assert drawn.panels == [ax]
    np.testing.assert_array_equal(
        drawn.lines[0][1].get_ydata(), found["mean"].isel(group=0, session=1, response_group=1)
    )
    one = plot.group_traces(found.isel(group=0, response_group=0), Figure())
    assert [len(lines) for lines in one.lines] == [1, 1, 1]


def test_wrong_numbers_of_axes_or_dims(found, ax):
    with pytest.raises(CriterionError, match=r"1 axes were given, not 12: 4 group\(s\) of 3"):
        plot.group_traces(found, ax)
    with pytest.raises(plot.PlotInputError, match="12 matplotlib Axes"):
        plot.group_traces(found, ["left"])
    with pytest.raises(CriterionError, match=r"\['third'\]"):
        plot.group_traces(found.expand_dims(third=2))
    with pytest.raises(MissingVariableError, match="over time"):
        plot.group_traces(found.isel(rel_frame=0))
    with pytest.raises(WindowError, match="nothing to draw"):
        plot.group_traces(found * np.nan)


def test_traces_of_samples_say_so(pooled):
    samples = pooled.assign_coords(session_id=pooled.session_id + 900_000_000)
    panels = plot.group_traces(group_means(samples, "mean"), Figure()).panels
    assert [ax.get_title("right") for ax in panels].count(SYNTHETIC) == 1


# -- decoding -------------------------------------------------------------------------------------
def test_time_courses_of_groups(courses):
    found = group_decoding(pool(courses, dim="split"), comparisons=2).isel(group=[0, 3])
    figure = Figure(figsize=(9, 7), layout="constrained")
    drawn = plot.decoding(found, figure)
    for place, (line, null, marks) in enumerate(
        zip(drawn.lines, drawn.nulls, drawn.marks, strict=True)
    ):
        own = found.isel(group=place // 3, session=place % 3)
        np.testing.assert_array_equal(line.get_ydata(), own["mean"])
        np.testing.assert_array_equal(marks.get_xdata(), found.rel_time[own.p.values < 0.05])
        heights = null.get_paths()[0].vertices[:, 1]
        assert heights.max() == own.null.sel(bound="high").max()
        assert heights.min() == own.null.sel(bound="low").min()
    assert len(drawn.marks[-1].get_xdata()) > 5
    render(drawn.panels[0])


def test_scores_of_groups_by_session(courses, ax):
    scores = [one.isel(rel_time=30, drop=True) for one in courses]
    found = group_decoding(pool(scores, dim="split"))
    drawn = plot.decoding(found, ax)
    middle = [one.lines[0].get_ydata() for one in drawn.points[0]]
    np.testing.assert_array_equal(middle, found["mean"])
    assert len(drawn.marks) == (found.p < 0.05).sum() > 0
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert {"chance, 95 %, high tail", "guessing, 0.25"} < set(labels)
    guess = [line for line in ax.lines if len({*line.get_ydata()}) == 1]
    assert any({*line.get_ydata()} == {0.25} for line in guess)


def test_a_session_alone(courses, ax):
    course = courses[-1].assign(p=("rel_time", np.linspace(0, 0.2, len(FRAMES))))
    drawn = plot.decoding(course, ax)
    np.testing.assert_array_equal(drawn.lines[0].get_ydata(), course["mean"])
    high = np.percentile(course.shuffled, 95, axis=0).max()
    assert drawn.nulls[0].get_paths()[0].vertices[:, 1].max() == pytest.approx(high)
    assert len(drawn.marks[0].get_xdata()) == (course.p < 0.05).sum()
    bare = plot.decoding(course.drop_vars(["shuffled", "p"]), Figure().subplots())
    assert bare.nulls == bare.marks == [None]


def test_decoded_samples(ax):
    ds = ox.sample.session(n_rois=4, scale=0.05)
    found = decode(ds, counts="all", splits=4, seed=1)
    drawn = plot.decoding(found, ax)
    assert drawn.points[0][0].lines[0].get_ydata() == [found["mean"].item()]
    assert drawn.nulls == drawn.marks == []
    assert ax.get_title("right") == SYNTHETIC
    assert ax.get_ylabel() == "balanced accuracy,\ngabor mean orientation"


def test_other_results_are_refused(found):
    with pytest.raises(MissingVariableError, match="'chance'"):
        plot.decoding(found)
    few = xr.Dataset({"mean": 0.3, "sem": 0.1, "shuffled": ("shuffle", [0.2] * 3)})
    with pytest.raises(CriterionError, match="20 or more"):
        plot.decoding(few.assign_attrs(chance=0.25))
