"""Pictures: what is drawn, what stands at the axes, few and many ROIs, and what cannot be drawn."""

import importlib
import sys
import warnings

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr import plot
from oscaxr.errors import CriterionError, MissingVariableError, TrackingError, WindowError

Figure = pytest.importorskip("matplotlib.figure").Figure
Agg = pytest.importorskip("matplotlib.backends.backend_agg").FigureCanvasAgg
pytest.importorskip("matplotlib").use("Agg")


@pytest.fixture
def ax():
    return Figure(layout="constrained").subplots()


@pytest.fixture(scope="module")
def ds():
    return ox.sample.session(n_rois=15, scale=0.05)


@pytest.fixture(scope="module")
def u(ds):
    return ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=1, post=1)


@pytest.fixture(scope="module")
def mouse():
    return [ox.sample.session(spec) for spec in ox.sample.mouse_specs(n_rois=8, scale=0.05)]


def many(n_rois: int, n_sequences: int = 6) -> xr.DataArray:
    """Sequences whose ROI k responds with strength k."""
    rel_time = np.arange(-30, 30) / 30.0
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.01, (n_rois, n_sequences, 60))
    values += np.linspace(0, 1, n_rois)[:, np.newaxis, np.newaxis] * (rel_time >= 0)
    return xr.DataArray(
        values,
        dims=("roi", "sequence", "rel_time"),
        coords={
            "roi": np.arange(n_rois),
            "sequence": np.arange(n_sequences),
            "rel_time": ("rel_time", rel_time, {"long_name": "time", "units": "s"}),
        },
        name="dff",
        attrs={"long_name": "dF/F", "units": "1"},
    )


def render(ax):
    """Draw it, with every warning an error, and return the pixels."""
    canvas = Agg(ax.figure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())


# -- responses ----------------------------------------------------------------------------------
def test_lines_and_bands_are_the_statistics(u, ax):
    drawn = plot.responses(u, ax)
    expected = ox.stats(u, ("sequence", "roi"))
    (line,), (band,) = drawn.lines, drawn.bands
    np.testing.assert_array_equal(line.get_xdata(), u.rel_time)
    np.testing.assert_array_equal(line.get_ydata(), expected["mean"])
    edges = band.get_paths()[0].vertices[:, 1]
    assert edges.max() == pytest.approx(float((expected["mean"] + expected["sem"]).max()))
    assert edges.min() == pytest.approx(float((expected["mean"] - expected["sem"]).min()))
    assert set(drawn.event.get_xdata()) == {0.0}
    assert line.axes is ax
    assert ax.get_xlabel().endswith("(s)")
    assert ax.get_ylabel() == "dF/F"
    assert ax.get_legend() is None


@pytest.mark.parametrize(
    ("stat", "error", "bands"),
    [
        ("mean", "sem", 1),
        ("mean", "std", 1),
        ("mean", None, 0),
        ("median", "mad", 1),
        ("median", "quartiles", 1),
    ],
)
def test_all_statistics_can_be_drawn(u, ax, stat, error, bands):
    found = ox.stats(u, ("sequence", "roi"), stat=stat, error=error)
    drawn = plot.responses(found, ax)
    np.testing.assert_array_equal(drawn.lines[0].get_ydata(), found[stat])
    assert len(drawn.bands) == bands
    assert ax.get_ylabel() == "dF/F"


def test_a_further_dim_gives_groups(ds, ax):
    d = ds.osca.sequences("dff", ds.osca.select(gabor_frame="D"), pre=0.2, post=0.4)
    drawn = plot.responses(d.groupby("gabor_mean_orientation").mean(), ax)
    assert [line.get_label() for line in drawn.lines] == ["0", "45", "90", "135"]
    assert "degree" in ax.get_legend().get_title().get_text()
    assert len({line.get_color() for line in drawn.lines}) == 4


def test_units_of_behaviour(ds, ax):
    run = ds.osca.sequences("run_velocity", ds.osca.select(gabor_frame="U"), pre=1, post=1)
    plot.responses(run, ax)
    assert ax.get_ylabel() == "running velocity (cm/s)"


def test_many_groups_have_their_own_colours_and_a_legend_beside(u, ax):
    drawn = plot.responses({f"group {k}": u + k for k in range(9)}, ax)
    assert len({tuple(np.atleast_1d(line.get_color())) for line in drawn.lines}) == 9
    render(ax)
    assert ax.get_legend().get_window_extent().x0 >= ax.get_window_extent().x1


def test_legend_covers_nothing(u, ax):
    drawn = plot.responses({"one": u, "two": u + 0.1}, ax)
    render(ax)
    box = ax.get_legend().get_window_extent()
    tops = [band.get_window_extent().y1 for band in drawn.bands]
    assert box.y0 >= max(tops)


def test_nothing_to_draw(ds, u, ax):
    with pytest.raises(WindowError, match="nothing to draw"):
        plot.responses(u.isel(sequence=[]), ax)
    with pytest.raises(MissingVariableError, match="sequences"):
        plot.responses(ds.dff, ax)
    with pytest.raises(MissingVariableError, match="mean"):
        plot.responses(u.to_dataset(name="dff"), ax)
    with pytest.raises(CriterionError, match="1 colours were given"):
        plot.responses({"a": u, "b": u}, ax, colors=["red"])
    with pytest.raises(CriterionError, match="no groups"):
        plot.responses({}, ax)
    with pytest.raises(CriterionError, match="all but one"):
        plot.responses(u.expand_dims(a=2, b=2), ax)


# -- expected and unexpected --------------------------------------------------------------------
def test_expected_and_unexpected_gabors(ds, u, ax):
    drawn = plot.expected_unexpected(ds, ax)
    d = ds.osca.sequences("dff", ds.osca.select(gabor_frame="D"), pre=1, post=1)
    for line, part in zip(drawn.lines, (d, u), strict=True):
        np.testing.assert_allclose(line.get_ydata(), ox.stats(part, ("sequence", "roi"))["mean"])
        assert f"{part.sizes['sequence']} sequences" in line.get_label()
    (above,) = ax.child_axes
    letters = [tick.get_text() for tick in above.get_xticklabels()]
    assert letters == ["A", "B", "C", "D / U", "G", "A"]
    render(ax)


def test_expected_and_unexpected_flow_and_pairs(ds, u, ax):
    drawn = plot.expected_unexpected(ds, ax, stimulus="visflow", scale=True, baseline=0.5)
    assert len(drawn.lines) == 2
    assert ax.get_ylabel() == "dF/F, scaled, baseline subtracted"
    pair = plot.expected_unexpected((u, u), Figure().subplots())
    assert pair.lines[0].get_label().startswith("expected")
    with pytest.raises(CriterionError, match="grayscreen"):
        plot.expected_unexpected(ds, ax, stimulus="grayscreen")


# -- heat map -----------------------------------------------------------------------------------
@pytest.mark.parametrize("n_rois", [1, 15, 1700])
def test_heatmap_sorts_rois(n_rois, ax):
    drawn = plot.heatmap(many(n_rois), ax)
    assert drawn.image.get_array().shape == (n_rois, 60)
    np.testing.assert_allclose(drawn.order, np.arange(n_rois)[::-1], atol=0 if n_rois < 100 else 60)
    low, high = drawn.image.get_clim()
    assert low == -high
    assert drawn.colorbar.ax.get_ylabel() == "dF/F"
    left, right, bottom, top = drawn.image.get_extent()
    assert (left, right) == pytest.approx((-1 - 1 / 60, 1 - 1 / 60))
    assert (bottom, top) == (n_rois, 0)
    assert all(float(tick).is_integer() for tick in ax.get_yticks())
    assert render(ax).std() > 0


def test_rois_without_values_come_last(ax):
    data = many(5)
    data[4] = np.nan
    drawn = plot.heatmap(data, ax, colorbar=False)
    assert drawn.order.tolist() == [3, 2, 1, 0, 4]
    assert drawn.colorbar is None
    render(ax)


def test_heatmap_of_what_it_cannot_draw(u, ds, ax):
    with pytest.raises(WindowError, match="window"):
        plot.heatmap(u, ax, window=(5, 6))
    with pytest.raises(MissingVariableError, match="ROIs"):
        plot.heatmap(u.mean("roi"), ax)
    with pytest.raises(CriterionError, match="extra"):
        plot.heatmap(u.expand_dims(extra=2), ax)
    with pytest.raises(WindowError, match="nothing"):
        plot.heatmap(u.isel(roi=[]), ax)


# -- tracked ROIs -------------------------------------------------------------------------------
def test_tracked_responses_equal_a_slow_loop(mouse):
    found = plot.tracked_responses(mouse)
    assert found.session.values.tolist() == [1, 2, 3]
    for number, ds in enumerate(mouse):
        starts = ds.osca.select(gabor_frame="U").start_frame_twop.values
        n_frames = round(0.6 * ds.attrs["twop_fps"])
        for label in found.tracking_id.values:
            (row,) = np.flatnonzero(ds.tracking_id.values == label)
            windows = [ds.dff.values[s : s + n_frames, row].mean() for s in starts]
            assert found.values[number, label] == pytest.approx(np.mean(windows))


def test_tracked_over_sessions(mouse, ax):
    drawn = plot.tracked_over_sessions(mouse, ax)
    found = plot.tracked_responses(mouse)
    paths = np.array(drawn.rois.get_segments())
    np.testing.assert_allclose(paths[:, :, 1], found.transpose("tracking_id", "session"))
    np.testing.assert_allclose(drawn.mean.lines[0].get_ydata(), found.mean("tracking_id"))
    assert ax.get_xticks().tolist() == [1, 2, 3]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("session", "dF/F")
    render(ax)


def test_one_session_is_a_dash_an_roi(mouse, ax):
    drawn = plot.tracked_over_sessions(mouse[:1], ax)
    values = plot.tracked_responses(mouse[:1]).values[0]
    for path, value in zip(drawn.rois.get_segments(), values, strict=True):
        np.testing.assert_allclose(path, [[0.9, value], [1.1, value]])


def test_planted_responses_grow(mouse):
    mean = plot.tracked_responses(mouse).mean("tracking_id").values
    assert mean[2] > mean[0]


@pytest.mark.parametrize("n_rois", [1, 900])
def test_tracked_of_few_and_many(n_rois, ax):
    values = np.random.default_rng(0).normal(size=(3, n_rois))
    data = xr.DataArray(
        values, dims=("session", "tracking_id"), coords={"session": [1, 2, 3]}, name="response"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = plot.tracked_over_sessions(data, ax)
    assert len(drawn.rois.get_segments()) == n_rois
    low, high = ax.get_ylim()
    assert low <= values.min() <= values.max() <= high


def test_what_is_drawn_later_is_on_the_shared_scale():
    axes = Figure().subplots(1, 2, sharey=True)
    for size, ax in zip((1, 10), axes, strict=True):
        data = xr.DataArray(
            np.full((2, 3), [[-size], [size]], float),
            dims=("session", "tracking_id"),
            coords={"session": [1, 2]},
            name="response",
        )
        plot.tracked_over_sessions(data, ax)
    low, high = axes[0].get_ylim()
    assert low < -10
    assert high > 10


def test_sessions_that_do_not_fit_together(mouse, ax):
    first, second, _ = mouse
    with pytest.raises(TrackingError, match="more than once"):
        plot.tracked_responses([first, first])
    with pytest.raises(TrackingError, match="2 mice"):
        plot.tracked_responses([first, second.assign_coords(mouse_id=1)])
    fewer = second.isel(roi=np.flatnonzero(second.tracking_id.values != 0))
    with pytest.raises(TrackingError, match="same tracked ROIs"):
        plot.tracked_responses([first, fewer])
    with pytest.raises(TrackingError, match="no sessions"):
        plot.tracked_responses([])
    with pytest.raises(MissingVariableError, match="tracking_id"):
        plot.tracked_over_sessions(xr.DataArray([1.0], dims="roi"), ax)


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
    assert axes[-1].get_xlabel() == "time in the session (min)"
    edges = np.linspace(ds.time.values[0], ds.time.values[-1], 51)
    inside = (ds.time.values >= edges[10]) & (ds.time.values < edges[11])
    np.testing.assert_allclose(
        drawn.lines["dff"].get_ydata()[10], ds.dff.values[inside].mean(), rtol=1e-6
    )
    limits = {ax.get_xlim() for ax in axes}
    assert len(limits) == 1
    render(axes[0])


def test_stimulus_bars_cover_their_segments(ds):
    bar, *_ = plot.session_overview(ds, Figure().subplots(4)).stimuli
    assert bar.get_label() == "gabors"
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


# -- matplotlib itself --------------------------------------------------------------------------
def test_own_axes_are_made(u):
    from matplotlib import pyplot

    drawn = plot.responses(u)
    assert drawn.lines[0].axes is pyplot.gca()
    pyplot.close("all")


def test_without_matplotlib(monkeypatch, u):
    axes = importlib.import_module("oscaxr.plot.axes")
    monkeypatch.setattr(axes, "find_spec", lambda name: None)
    with pytest.raises(plot.PlotLibraryError, match="pip install") as caught:
        plot.responses(u)
    assert isinstance(caught.value, ImportError)


def test_importing_plot_does_not_import_matplotlib():
    import subprocess

    code = "import sys, oscaxr.plot; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
