"""What pictures cannot be made of is refused in words of our own, before anything is drawn."""

import importlib

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr import plot
from oscaxr.errors import CriterionError, OscaxrError
from small_sessions import small_spec

Figure = pytest.importorskip("matplotlib.figure").Figure

PICTURES = {
    "responses": plot.responses,
    "expected_unexpected": plot.expected_unexpected,
    "heatmap": plot.heatmap,
    "tracked_over_sessions": plot.tracked_over_sessions,
    "tracked_responses": plot.tracked_responses,
    "session_overview": plot.session_overview,
    "behavior_responses": lambda given: plot.behavior_responses(given, [0]),
    "stimulus_frames": plot.stimulus_frames,
    "roi_masks": plot.roi_masks,
    "roi_contours": plot.roi_contours,
    "max_projection": plot.max_projection,
    "registered_masks": plot.registered_masks,
    "group_traces": plot.group_traces,
    "group_differences": plot.group_differences,
    "relative_responses": plot.relative_responses,
    "stimulus_comparison": plot.stimulus_comparison,
    "decoding": plot.decoding,
    "usi_distribution": plot.usi_distribution,
    "usi_null": plot.usi_null,
    "value_shares": plot.value_shares,
    "value_ranges": plot.value_ranges,
    "percent_significant": plot.percent_significant,
    "usi_statistics": plot.usi_statistics,
    "usi_correlations": plot.usi_correlations,
    "tracked_usis": plot.tracked_usis,
    "usi_pairs": plot.usi_pairs,
    "responsive_rois": plot.responsive_rois,
    "snr": plot.snr,
    "block_pairs": plot.block_pairs,
    "orientation_tuning": plot.orientation_tuning,
    "position_response": plot.position_response,
    "explained_variance": plot.explained_variance,
}


@pytest.fixture(scope="module")
def ds():
    return ox.sample.session(small_spec(scale=0.05))


@pytest.fixture(scope="module")
def parts(ds):
    u = ds.osca.select(gabor_frame="U")
    return {
        name: ds.osca.sequences(name, u, pre=0.5, post=0.5)
        for name in ("dff", "run_velocity", "pupil_diameter")
    }


@pytest.mark.parametrize("given", [None, 3, "session", [1, 2], np.zeros((2, 3))], ids=repr)
@pytest.mark.parametrize("picture", PICTURES)
def test_other_objects(picture, given):
    from matplotlib import pyplot

    with pytest.raises(plot.PlotInputError, match=r"needs .*; it was given: \w+$") as caught:
        PICTURES[picture](given)
    assert isinstance(caught.value, OscaxrError)
    assert isinstance(caught.value, TypeError)
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("picture", PICTURES)
def test_every_picture_refuses_what_has_nothing_of_a_session(picture):
    from matplotlib import pyplot

    for given in (xr.Dataset(), xr.DataArray(0.0)):
        with pytest.raises(OscaxrError):
            PICTURES[picture](given)
    assert pyplot.get_fignums() == []


def test_every_picture_is_listed():
    drawing = {name for name in plot.__all__ if name[0].islower()} - {"shade_gabor_frames"}
    assert drawing == set(PICTURES)


@pytest.mark.parametrize("other", ["run_velocity", "pupil_diameter"])
def test_different_quantities_do_not_share_an_axis(parts, other):
    ax = Figure().subplots()
    with pytest.raises(CriterionError, match=r"'a' is dF/F, 'b' is .*on axes of their own"):
        plot.responses({"a": parts["dff"], "b": parts[other]}, ax)
    with pytest.raises(CriterionError, match="do not share an axis"):
        plot.expected_unexpected((parts["dff"], parts[other]), ax)
    means = {name: ox.stats(part, "sequence") for name, part in parts.items() if name != "dff"}
    with pytest.raises(CriterionError, match="cm/s"):
        plot.responses(means, ax)
    assert not ax.lines


def test_scaled_and_unscaled_do_not_share_an_axis(ds, parts):
    with pytest.raises(CriterionError, match="dF/F, scaled"):
        plot.responses({"a": parts["dff"], "b": parts["dff"].osca.scale(ds)})
    with pytest.raises(CriterionError, match="baseline subtracted"):
        plot.responses({"a": parts["dff"], "b": parts["dff"].osca.baseline(0.2)})


def test_what_has_lost_its_name_is_drawn(parts):
    ax = Figure().subplots()
    bare = parts["dff"].drop_attrs()
    plot.responses({"a": bare, "b": parts["dff"]}, ax)
    assert ax.get_ylabel() == "dF/F"


@pytest.mark.parametrize("dtype", ["U3", "datetime64[ns]", "object", "complex64"])
def test_only_numbers_are_drawn(parts, dtype):
    strange = xr.zeros_like(parts["dff"], dtype="int64").astype(dtype)
    for picture in (plot.responses, plot.heatmap):
        with pytest.raises(plot.PlotInputError, match="needs numbers"):
            picture(strange)


def test_axes_are_single_axes(ds, parts):
    many = Figure().subplots(2)
    for picture, given in ((plot.responses, parts["dff"]), (plot.roi_masks, ds)):
        with pytest.raises(plot.PlotInputError, match="one matplotlib Axes"):
            picture(given, many)
    with pytest.raises(plot.PlotInputError, match="4 matplotlib Axes, for stimulus"):
        plot.session_overview(ds, many[0])
    with pytest.raises(plot.PlotInputError, match="2 matplotlib Axes"):
        plot.behavior_responses(ds, [0], ["left", "right"])
    with pytest.raises(plot.PlotInputError, match="one matplotlib Axes"):
        plot.shade_gabor_frames(many, ds, parts["dff"])


def test_one_session_or_no_rois_over_sessions(ds):
    with pytest.raises(plot.PlotInputError, match="a list of them, or a tree"):
        plot.tracked_over_sessions(ds)
    with pytest.raises(OscaxrError, match="ROIs"):
        plot.tracked_over_sessions([ds], name="run_velocity")
    nothing = xr.DataArray(np.empty((0, 3)), dims=("session", "tracking_id"))
    with pytest.raises(OscaxrError, match="nothing to draw"):
        plot.tracked_over_sessions(nothing)


def test_sessions_of_a_tree(ds):
    tree = xr.DataTree.from_dict({"/mouse/session": ds})
    drawn = plot.tracked_over_sessions(tree, Figure().subplots())
    assert len(drawn.rois.get_segments()) == 4


def test_no_picture_without_matplotlib(monkeypatch, ds):
    axes = importlib.import_module("oscaxr.plot.axes")
    monkeypatch.setattr(axes, "find_spec", lambda name: None)
    for picture in (plot.roi_masks, plot.max_projection, plot.session_overview):
        with pytest.raises(plot.PlotLibraryError, match="pip install"):
            picture(ds)
