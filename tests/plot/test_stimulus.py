"""Pictures around segments: traces of ROIs, Gabor frames, running and pupil, stimulus images."""

import numpy as np
import pytest

import oscaxr as ox
from oscaxr import plot
from oscaxr.errors import CriterionError, MissingVariableError, WindowError

Figure = pytest.importorskip("matplotlib.figure").Figure


@pytest.fixture
def ax():
    return Figure(layout="constrained").subplots()


@pytest.fixture(scope="module")
def ds():
    return ox.sample.session(n_rois=15, scale=0.05, field_shape=(64, 64), include="templates")


@pytest.fixture(scope="module")
def u(ds):
    return ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=1, post=1)


@pytest.fixture(scope="module")
def d(ds):
    return ds.osca.sequences("dff", ds.osca.select(gabor_frame="D"), pre=1, post=1)


def bands_of(drawn):
    """Start and stop of each band of shading."""
    return [
        (path.vertices[:, 0].min(), path.vertices[:, 0].max()) for path in drawn.bands.get_paths()
    ]


def letters_of(drawn):
    return [tick.get_text() for tick in drawn.letters.get_xticklabels()]


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


# -- Gabor frames -------------------------------------------------------------------------------
def test_gabor_frames_equal_a_loop(ds, u, ax):
    one = u.isel(sequence=[1])
    drawn = plot.shade_gabor_frames(ax, ds, one)
    reference = ds.sel(segment=int(one.sequence[0]))
    first, last = float(one.rel_time[0]), float(one.rel_time[-1])
    bands, letters = [], []
    table = ds[[]].assign_coords(ds.coords).drop_dims(["time", "stim_time", "roi"])
    near = range(int(one.sequence[0]) - 9, int(one.sequence[0]) + 10)
    for number in near:
        row = table.sel(segment=number)
        start, stop = (float(t - reference.start_time) for t in (row.start_time, row.stop_time))
        if row.stimulus_type != "gabors" or stop <= first or start >= last:
            continue
        bands.append((start, stop))
        if first < (start + stop) / 2 < last:
            letters.append(str(row.gabor_frame.values))
    np.testing.assert_allclose(bands_of(drawn), bands)
    assert letters_of(drawn) == letters
    assert "U" in letters


def test_gabor_frames_are_medians_and_named_together(ds, u, d, ax):
    drawn = plot.responses({"D": d, "U": u}, ax, gabor_frames=ds).gabor_frames
    assert letters_of(drawn) == ["A", "B", "C", "D / U", "G", "A"]
    shown = dict(zip(letters_of(drawn), bands_of(drawn)[1:], strict=False))
    numbers = np.concatenate([d.sequence, u.sequence])
    starts = ds.start_time.sel(segment=numbers).values
    following = ds.start_time.sel(segment=numbers + 1).values
    assert shown["D / U"] == pytest.approx((0, np.median(following - starts)), abs=1e-3)
    shades = drawn.bands.get_facecolor()[:, 0]
    assert shades.min() == shades[4]


def test_limits_stay_as_they_were(ds, u, ax):
    plot.responses(u, ax)
    before = ax.get_xlim(), ax.get_ylim()
    plot.shade_gabor_frames(ax, ds, u)
    assert (ax.get_xlim(), ax.get_ylim()) == before


def test_shading_lies_behind_everything(ds, u, ax):
    drawn = plot.heatmap(u, ax)
    assert plot.shade_gabor_frames(ax, ds, u).bands.get_zorder() < drawn.image.get_zorder()


def test_no_frames_beyond_the_block(ds, ax):
    first = ds.osca.select(gabor_frame="A").isel(segment=[0])
    a = ds.osca.sequences("dff", first, pre=1, post=0.5)
    drawn = plot.shade_gabor_frames(ax, ds, a)
    assert letters_of(drawn) == ["A", "B"]
    assert bands_of(drawn)[0][0] == 0


def test_what_cannot_be_shaded(ds, u, ax):
    def sequences(**criteria):
        return ds.osca.sequences("dff", ds.osca.select(**criteria), pre=0.5, post=0.5)

    with pytest.raises(CriterionError, match="different Gabor frames"):
        plot.responses(sequences(gabor_frame=["A", "U"]), ax, gabor_frames=ds)
    with pytest.raises(CriterionError, match="visflow"):
        plot.responses(sequences(stimulus="visflow"), ax, gabor_frames=ds)
    with pytest.raises(CriterionError, match="which segments"):
        plot.responses(u.mean("sequence"), ax, gabor_frames=ds)
    other = ds.isel(segment=slice(0, 20))
    with pytest.raises(CriterionError, match="not in this session"):
        plot.shade_gabor_frames(ax, other, u)
    with pytest.raises(plot.PlotInputError, match="it was given: Dataset"):
        plot.responses(ox.stats(u, ("sequence", "roi")), ax, gabor_frames=ds)


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
    assert [text.get_text() for text in rows[0].get_legend().get_texts()] == ["D", "U"]
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


# -- stimulus images ----------------------------------------------------------------------------
def test_images_of_segments(ds):
    chosen = ds.osca.select(gabor_frame="C").isel(segment=[0, 3])
    rows = Figure().subplots(3)
    drawn = plot.stimulus_frames(ds, chosen, rows)
    wanted = ox.stimulus_images(ds, chosen.start_frame_stim.values)
    assert drawn.frames.tolist() == chosen.start_frame_stim.values.tolist()
    for image, values in zip(drawn.images, wanted.values, strict=True):
        np.testing.assert_array_equal(image.get_array(), values)
        assert image.get_clim() == (0, 255)
    assert rows[1].get_title() == f"Gabors, C\nsegment {int(chosen.segment[1])}"
    assert [ax.axison for ax in rows] == [True, True, False]


def test_images_of_frames(ds):
    flow = ds.osca.select(stimulus="visflow", run_start=True).isel(segment=0)
    frames = int(flow.start_frame_stim) + np.array([0, 30])
    rows = Figure().subplots(1, 2)
    drawn = plot.stimulus_frames(ds, axes=rows, frames=frames)
    assert rows[1].get_title() == f"flow, {flow.main_flow_direction.values}\nframe {frames[1]}"
    assert (drawn.images[0].get_array() != drawn.images[1].get_array()).any()


def test_one_image_of_each_kind(ds):
    rows = Figure().subplots(3, 3)
    drawn = plot.stimulus_frames(ds, axes=rows)
    kinds = {ax.get_title().split("\n")[0] for ax in rows.flat}
    # The sample's template is short: it has no U.
    wanted = {f"Gabors, {letter}" for letter in "ABCDG"} | {"gray screen"}
    assert kinds - {""} == wanted | {"flow, left (nasal)", "flow, right (temp)"}
    assert len(drawn.images) == 8


def test_images_that_cannot_be_drawn(ds):
    with pytest.raises(CriterionError, match="not both"):
        plot.stimulus_frames(ds, [0], frames=[0])
    with pytest.raises(CriterionError, match="100 stimulus frames"):
        plot.stimulus_frames(ds, frames=np.arange(100))
    with pytest.raises(CriterionError, match="1 axes were given for 2 images"):
        plot.stimulus_frames(ds, axes=[Figure().subplots()], frames=[0, 1])
    templates = [name for name in ds if str(name).startswith("template_")]
    for options in ({}, {"segments": [0]}, {"frames": [0]}):
        with pytest.raises(MissingVariableError, match="include='templates'"):
            plot.stimulus_frames(ds.drop_vars(templates), **options)
