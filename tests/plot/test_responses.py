"""Responses over time: lines and bands, expected and unexpected, traces of ROIs."""

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


def words_of(legend):
    return [text.get_text() for text in legend.get_texts()]


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
    assert words_of(ax.get_legend()) == ["mean", "band: SEM over ROIs"]
    assert ax.get_title("left") == "mouse 1, session 1"


@pytest.mark.parametrize(
    ("stat", "error", "said"),
    [
        ("mean", "sem", ["band: SEM"]),
        ("mean", "std", ["band: SD"]),
        ("mean", None, []),
        ("median", "mad", ["band: MAD"]),
        ("median", "quartiles", ["band: quartiles"]),
    ],
)
def test_all_statistics_can_be_drawn_and_are_named(u, ax, stat, error, said):
    found = ox.stats(u, ("sequence", "roi"), stat=stat, error=error)
    drawn = plot.responses(found, ax)
    np.testing.assert_array_equal(drawn.lines[0].get_ydata(), found[stat])
    assert len(drawn.bands) == len(said)
    legend = ax.get_legend()
    assert (words_of(legend) if legend else []) == [stat] * len(said) + said
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


def test_legend_covers_neither_shading_nor_traces(ds, u, ax):
    drawn = plot.responses(u, ax, rois=True, gabor_frames=ds)
    pixels = render(ax)
    box = ax.get_legend().get_window_extent()
    shaded = drawn.gabor_frames.bands.get_window_extent()
    letters = drawn.gabor_frames.letters.get_tightbbox()
    assert box.y0 >= letters.y1 >= letters.y0 >= shaded.y1
    # All traces end below the legend, also those that are higher than the axes were.
    drawn.rois[0].set_segments([np.array([[-1, 0], [0.9, 1e6]])])
    height = pixels.shape[0]
    rows = slice(int(height - box.y1) + 2, int(height - box.y0) - 2)
    columns = slice(int(box.x0) + 2, int(box.x1) - 2)
    np.testing.assert_array_equal(render(ax)[rows, columns], pixels[rows, columns])


def test_many_groups_are_refused(u, ax):
    plot.responses({str(k): u for k in range(30)}, ax)
    with pytest.raises(CriterionError, match=r"31 groups.*groupby_bins"):
        plot.responses({str(k): u for k in range(31)}, ax)


def test_the_title_says_which_sessions(ds, u, ax):
    known = u.assign_coords(mouse=6, session=1)
    plot.responses({"one": known, "two": known.assign_coords(session=3)}, ax)
    assert ax.get_title("left") == "mouse 6, sessions 1, 3"
    own = Figure().subplots()
    own.set_title("mine", loc="left")
    plot.responses(known, own)
    assert own.get_title("left") == "mine"


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


# -- traces of ROIs -----------------------------------------------------------------------------
def test_traces_of_rois_are_their_means(u, ax):
    drawn = plot.responses(u, ax, rois=True)
    (traces,) = drawn.rois
    found = np.array(traces.get_segments())
    np.testing.assert_allclose(found[:, :, 1], u.mean("sequence"))
    np.testing.assert_array_equal(found[3, :, 0], u.rel_time)
    wanted = ox.stats(u, ("sequence", "roi"))
    np.testing.assert_allclose(drawn.lines[0].get_ydata(), wanted["mean"])
    edges = drawn.bands[0].get_paths()[0].vertices[:, 1]
    assert edges.max() == pytest.approx(float((wanted["mean"] + wanted["sem"]).max()))
    low, high = ax.get_ylim()
    assert low <= found[:, :, 1].min() <= found[:, :, 1].max() <= high


def test_traces_of_groups_and_of_means(u, d, ax):
    drawn = plot.responses({"D": d, "U": u.mean("sequence")}, ax, rois=True)
    np.testing.assert_allclose(np.array(drawn.rois[1].get_segments())[:, :, 1], u.mean("sequence"))
    by_orientation = d.groupby("gabor_mean_orientation").mean()
    drawn = plot.responses(by_orientation, Figure().subplots(), rois=True)
    assert len(drawn.rois) == 4
    np.testing.assert_allclose(
        np.array(drawn.rois[2].get_segments())[:, :, 1],
        by_orientation.isel(gabor_mean_orientation=2).transpose("roi", "rel_time"),
    )


def test_a_few_of_very_many_rois_do_not_press_the_mean_flat(u, ax):
    many = u.isel(roi=np.arange(300) % 15).drop_vars("roi")
    many = many.assign_coords(roi=np.arange(300)) * 1.0
    many[7] = 1000.0
    drawn = plot.responses(many, ax, rois=True)
    assert len(drawn.rois[0].get_segments()) == 300
    assert ax.get_ylim()[1] < 20


def test_no_traces_where_there_are_no_rois(ds, u, ax):
    run = ds.osca.sequences("run_velocity", ds.osca.select(gabor_frame="U"), pre=1, post=1)
    with pytest.raises(MissingVariableError, match="of ROIs"):
        plot.responses(run, ax, rois=True)
    with pytest.raises(MissingVariableError, match="give sequences"):
        plot.responses(ox.stats(u, "sequence"), ax, rois=True)
