"""Pictures of single panels: what they show, and of which ROIs."""

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from drawn import overlapping
from made_groups import TIME, results
from oscaxr import analyses
from oscaxr.figures import group_pictures, pictures
from oscaxr.figures import session_results as of_session


@pytest.fixture
def figure():
    from matplotlib.figure import Figure

    return Figure(layout="constrained")


def test_an_enlarged_roi_is_the_same_in_all_sessions(figure):
    specs = ox.sample.mouse_specs(scale=0.02, n_rois=6, n_tracked=5)
    fields = {
        f"session {k}": of_session.FIELD.compute(ox.sample.session(spec), {})
        for k, spec in enumerate(specs)
    }
    # Its own session would have another one in the middle.
    other = fields["session 1"]
    grown = other["roi_mask"].values.copy()
    grown[np.argmin(grown.sum(axis=(1, 2)))] = True
    fields["session 1"] = other.assign(roi_mask=(other["roi_mask"].dims, grown))
    pictures.enlarged_fields(figure, fields)
    named = [ax.get_xlabel() for ax in figure.axes]
    assert len(named) == 3
    assert len(set(named)) == 1
    assert named[0].startswith("tracked ROI ")
    assert not overlapping(figure)


def test_a_gap_says_which_panel_it_is_and_why(figure):
    pictures.say_gap(figure, "figure 9B", "there is session 2 only")
    (words,) = figure.texts
    assert words.get_text() == "figure 9B cannot be drawn\n\nthere is session 2 only"


def indices(random, n_rois, group, session):
    values = random.normal(0.1 * session, 0.4, n_rois)
    percentile = np.clip(50 + 100 * values, 0, 100)
    significant = np.abs(percentile - 50) > 47.5
    parts = {"index": values, "percentile": percentile, "significant": significant}
    return {name: ("roi", own) for name, own in parts.items()}


@pytest.mark.parametrize(
    "draw",
    [
        "statistics",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("significant", "distributions")),
    ],
)
def test_names_of_many_mice_do_not_run_into_each_other(figure, draw):
    figure.set_size_inches(9, 4.2)
    by = ["line", "plane", "mouse_id", "session"]
    pooled = analyses.pool(results(indices, (15, 16, 17)), by)
    found = {
        "significant": lambda: analyses.percent_significant(pooled),
        "statistics": lambda: analyses.usi_statistics(pooled, permutations=100, seed=1),
        "distributions": lambda: analyses.pool(results(indices, (15, 16))),
    }[draw]()
    name = {"significant": "percent_significant", "distributions": "indices"}.get(draw, draw)
    getattr(group_pictures, draw)(figure, {name: found})
    assert not overlapping(figure)


@pytest.mark.slow
def test_labels_of_rows_do_not_run_into_each_other(figure):
    told = {"long_name": "running velocity", "units": "cm/s"}

    def traces(random, n_rois, group, session):
        values = random.normal(size=(2, n_rois, len(TIME[1])))
        frames = ("rel_time", np.arange(len(TIME[1])))
        dims = ("group", "roi", "rel_time")
        return {"mean": (dims, values, told), "rel_time": TIME, "rel_frame": frames}

    made = [one.assign_coords(group=["expected", "unexpected"]) for one in results(traces, (2,))]
    found = analyses.group_means(analyses.pool(made), "mean").isel(session=[0])
    group_pictures.traces(figure, {"running": found, "pupil": found})
    assert not overlapping(figure)


def test_an_example_and_its_shuffles_are_named(figure):
    null = np.random.default_rng(0).normal(0, 0.2, 200)
    one = xr.Dataset({"index": 0.5, "percentile": 99.8, "null": ("permutation", null)})
    pictures.example_null(figure, {"example": one})
    named = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert named == ["percentiles 2.5 and 97.5", "index: percentile 99.8"]


def test_what_is_synthetic_is_said_where_nothing_else_is(figure):
    signs = {"synthetic": 1}
    ax = figure.subplots()
    ax.set_xlabel("a label as wide as the axes " * 2)
    figure.suptitle("4A  example ROIs", x=0.01, ha="left")
    pictures.say_synthetic(figure, {"a": xr.Dataset(attrs=signs)})
    assert "synthetic data" in [one.get_text() for one in figure.texts]
    assert not overlapping(figure)
