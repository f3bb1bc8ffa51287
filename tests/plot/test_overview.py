"""One recording at a glance, and running and pupil around segments."""

import importlib

import numpy as np
import pytest

import oscaxr as ox
from drawn import render
from oscaxr import plot
from oscaxr.errors import CriterionError, MissingVariableError, WindowError

Figure = pytest.importorskip("matplotlib.figure").Figure


@pytest.fixture(scope="module")
def ds():
    return ox.sample.session(n_rois=15, scale=0.05)


# -- overview -----------------------------------------------------------------------------------
def test_overview(ds):
    figure = Figure(layout="constrained")
    axes = list(figure.subplots(4))
    drawn = plot.session_overview(ds, axes, bins=50)
    assert [ax.get_ylabel() for ax in axes[1:]] == [
        "running velocity\n(cm/s)",
        "pupil diameter\n(mm)",
        "mean dF/F",
    ]
    edges = np.linspace(ds.time.values[0], ds.time.values[-1], 51)
    assert axes[-1].get_xlabel().startswith("time in the session (min); each point is the mean of ")
    seconds = float(axes[-1].get_xlabel().split()[-2])
    assert seconds == pytest.approx(edges[1] - edges[0], rel=0.05)
    assert axes[0].get_title("left") == "mouse 1, session 1"
    names = {text.get_text().replace("\n", " ") for text in axes[0].texts}
    assert "Gabors" in names <= {"Gabors", "visual flow, nasal", "visual flow, temporal"}
    inside = (ds.time.values >= edges[10]) & (ds.time.values < edges[11])
    np.testing.assert_allclose(
        drawn.lines["dff"].get_ydata()[10], ds.dff.values[inside].mean(), rtol=1e-6
    )
    limits = {ax.get_xlim() for ax in axes}
    assert len(limits) == 1
    render(axes[0])


def test_stimulus_bars_cover_their_segments(ds):
    bar, *_ = plot.session_overview(ds, Figure().subplots(4)).stimuli
    assert bar.get_label() == "Gabors"
    widths = [np.ptp(path.vertices[:, 0]) for path in bar.get_paths()]
    gabors = ds.stimulus_type.values == "gabors"
    spans = (ds.stop_time - ds.start_time).values[gabors].sum() / 60
    assert sum(widths) == pytest.approx(spans, rel=0.01)


def test_overview_without_pupil_and_with_nan(ds):
    damaged = ds.drop_vars("pupil_diameter").copy()
    values = damaged.dff.values.copy()
    values[:, 3] = np.nan
    values[:40] = np.nan
    damaged["dff"] = (damaged.dff.dims, values)
    axes = Figure(layout="constrained").subplots(4)
    drawn = plot.session_overview(damaged, axes, bins=100)
    assert "pupil_diameter" not in drawn.lines
    assert np.isfinite(drawn.lines["dff"].get_ydata()).sum() > 90
    assert "no pupil diameter" in axes[2].texts[0].get_text()
    with pytest.raises(CriterionError, match="not 4: stimulus"):
        plot.session_overview(ds, axes[:2])


def test_overview_makes_its_axes_in_a_figure(ds):
    figure = Figure()
    drawn = plot.session_overview(ds, figure)
    assert [ax.get_figure() for ax in figure.axes] == [figure] * 4
    assert drawn.lines["dff"].axes is figure.axes[-1]


def test_population_mean_is_read_in_blocks(ds, monkeypatch):
    overview = importlib.import_module("oscaxr.plot.overview")
    whole = overview._mean_over_rois(ds.dff)
    monkeypatch.setattr(overview, "_BUDGET_BYTES", 1)
    np.testing.assert_array_equal(overview._mean_over_rois(ds.dff), whole)
    np.testing.assert_allclose(whole, ds.dff.mean("roi").values)


# -- running and pupil --------------------------------------------------------------------------
def test_behaviour_is_the_mean_over_sequences(ds):
    figure = Figure(layout="constrained")
    rows = figure.subplots(2)
    chosen = ds.osca.select(gabor_frame="D")
    drawn = plot.behavior_responses(ds, chosen, rows, pre=0.5, post=1)
    names = {"run_velocity": drawn.running, "pupil_diameter": drawn.pupil}
    for (name, found), ax in zip(names.items(), rows, strict=True):
        wanted = ox.stats(ds.osca.sequences(name, chosen, pre=0.5, post=1), "sequence")
        np.testing.assert_allclose(found.lines[0].get_ydata(), wanted["mean"])
        np.testing.assert_allclose(found.lines[0].get_xdata(), wanted.rel_time)
        assert found.lines[0].axes is ax
    assert [ax.get_ylabel() for ax in rows] == ["running velocity (cm/s)", "pupil diameter (mm)"]
    assert [ax.get_xlabel() for ax in rows] == ["", "time from the reference frame (s)"]
    assert rows[0].get_xlim() == rows[1].get_xlim()


def test_behaviour_of_several_kinds_of_segment(ds):
    rows = Figure().subplots(2)
    chosen = {word: ds.osca.select(gabor_frame=word) for word in "DU"}
    drawn = plot.behavior_responses(ds, chosen, rows, gabor_frames=True)
    both = (drawn.running, drawn.pupil)
    assert [len(found.lines) for found in both] == [2, 2]
    assert [text.get_text() for text in rows[0].get_legend().get_texts()] == [
        "D", "U", "band: SEM over sequences",
    ]  # fmt: skip
    assert rows[1].get_legend() is None
    visible = [found.gabor_frames.letters.get_visible() for found in both]
    assert visible == [True, False]


def test_behaviour_without_a_pupil(ds):
    rows = Figure().subplots(2)
    blind = ds.drop_vars([name for name in ds if "pupil" in str(name)])
    drawn = plot.behavior_responses(blind, ds.osca.select(gabor_frame="U"), rows)
    assert drawn.pupil is None
    assert rows[1].texts[0].get_text() == "this session has no pupil diameter"
    assert rows[1].get_xlabel() == "time from the reference frame (s)"


def test_behaviour_that_cannot_be_drawn(ds):
    chosen = ds.osca.select(gabor_frame="U")
    with pytest.raises(CriterionError, match="1 axes were given, not 2: run"):
        plot.behavior_responses(ds, chosen, [Figure().subplots()])
    with pytest.raises(MissingVariableError, match="'run_velocity'"):
        plot.behavior_responses(ds.drop_vars("run_velocity"), chosen)
    with pytest.raises(CriterionError, match="no segments"):
        plot.behavior_responses(ds, {})
    with pytest.raises(WindowError, match="nothing to draw"):
        plot.behavior_responses(ds, chosen.isel(segment=[]), Figure().subplots(2))


@pytest.mark.parametrize("width", [4.5, 6, 12])
def test_names_of_blocks_stay_in_them(ds, width):
    figure = Figure(figsize=(width, 5), layout="constrained")
    plot.session_overview(ds, figure)
    bar = figure.axes[0]
    render(bar)
    for text in bar.texts:
        box = text.get_window_extent().transformed(bar.transData.inverted())
        inside = (ds.start_time / 60 < box.x1) & (ds.stop_time / 60 > box.x0)
        assert len(set(ds.stimulus_type.values[inside])) == 1
        assert len(set(ds.main_flow_direction.values[inside])) == 1
    assert len(bar.texts) == (3 if width > 5 else 1)
