"""What was on the screen: Gabor frames around responses, and stimulus images."""

import itertools

import numpy as np
import pytest

import oscaxr as ox
from drawn import render
from oscaxr import plot
from oscaxr.errors import CriterionError, MissingVariableError

Figure = pytest.importorskip("matplotlib.figure").Figure


@pytest.fixture(scope="module")
def ds():
    return ox.sample.session(n_rois=15, scale=0.05, field_shape=(64, 64), include="templates")


def bands_of(drawn):
    """Start and stop of each band of shading."""
    return [
        (path.vertices[:, 0].min(), path.vertices[:, 0].max()) for path in drawn.bands.get_paths()
    ]


def letters_of(drawn):
    return [tick.get_text() for tick in drawn.letters.get_xticklabels()]


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


@pytest.mark.parametrize(("pre", "post"), [(3, 3), (4, 8), (20, 10)])
def test_names_of_frames_thin_out_in_long_windows(ds, ax, pre, post):
    u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=pre, post=post)
    drawn = plot.responses(u, ax, gabor_frames=ds).gabor_frames
    render(ax)
    boxes = [tick.get_window_extent() for tick in drawn.letters.get_xticklabels()]
    assert len(boxes) >= 3
    assert all(one.x1 <= other.x0 for one, other in itertools.pairwise(boxes))
    assert "U" in letters_of(drawn)
    assert set(letters_of(drawn)) <= {"D", "U", "D / U"}
    assert len(bands_of(drawn)) > len(boxes)


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
    word = {"right (temp)": "temporal", "left (nasal)": "nasal"}[
        str(flow.main_flow_direction.values)
    ]
    assert rows[1].get_title() == f"visual flow, {word}\nframe {frames[1]}"
    assert (drawn.images[0].get_array() != drawn.images[1].get_array()).any()


def test_one_image_of_each_kind(ds):
    rows = Figure().subplots(3, 3)
    drawn = plot.stimulus_frames(ds, axes=rows)
    above = "mouse 1, session 1\nsynthetic data\n"
    assert rows.flat[0].get_title().startswith(above)
    kinds = {ax.get_title().removeprefix(above).split("\n")[0] for ax in rows.flat}
    # The sample's template is short: it has no U.
    wanted = {f"Gabors, {letter}" for letter in "ABCDG"} | {"gray screen"}
    assert kinds - {""} == wanted | {"visual flow, nasal", "visual flow, temporal"}
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
