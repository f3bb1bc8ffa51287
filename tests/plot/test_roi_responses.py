"""Responses of single ROIs: few and many as a heat map, and from session to session."""

import warnings

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from drawn import render
from oscaxr import plot
from oscaxr.errors import CriterionError, MissingVariableError, TrackingError, WindowError

Figure = pytest.importorskip("matplotlib.figure").Figure


@pytest.fixture(scope="module")
def ds():
    return ox.sample.session(n_rois=15, scale=0.05)


@pytest.fixture(scope="module")
def mouse():
    return [ox.sample.session(spec) for spec in ox.sample.mouse_specs(n_rois=8, scale=0.05)]


MEANS = ("sequence", "rel_time")


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


# -- heat map -----------------------------------------------------------------------------------
@pytest.mark.parametrize("n_rois", [1, 15, pytest.param(1700, marks=pytest.mark.slow)])
def test_heatmap_sorts_rois(n_rois, ax):
    drawn = plot.heatmap(many(n_rois), ax)
    assert drawn.image.get_array().shape == (n_rois, 60)
    np.testing.assert_allclose(drawn.order, np.arange(n_rois)[::-1], atol=0 if n_rois < 100 else 60)
    low, high = drawn.image.get_clim()
    assert (low, high) == pytest.approx(np.percentile(drawn.image.get_array().data, (1, 99)))
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


def test_colours_lie_about_zero_where_it_means_something(ax):
    data = many(8) - 0.3
    plain = plot.heatmap(data, ax, limit=0.5)
    assert plain.image.get_cmap().name == "viridis"
    assert plain.image.get_clim()[1] == 0.5
    for marked in ({"scaled": 1}, {"baseline": 0.5}):
        drawn = plot.heatmap(data.assign_attrs(marked), Figure().subplots())
        low, high = drawn.image.get_clim()
        assert (drawn.image.get_cmap().name, low) == ("RdBu_r", -high)
    drawn = plot.heatmap(data, Figure().subplots(), about_zero=True)
    assert drawn.image.get_cmap().name == "RdBu_r"
    drawn = plot.heatmap(data.assign_attrs(scaled=1), Figure().subplots(), about_zero=False)
    assert drawn.image.get_cmap().name == "viridis"


def test_rois_are_sorted_by_another_selection(ax):
    data = many(6)
    others = data.isel(roi=[3, 1, 0, 5, 4, 2]).assign_coords(roi=np.arange(6))
    drawn = plot.heatmap(data, ax, sort_by=others)
    assert drawn.order.tolist() == [3, 4, 0, 5, 1, 2]
    np.testing.assert_allclose(drawn.image.get_array(), data.mean("sequence").sel(roi=drawn.order))
    assert ax.get_ylabel() == "ROIs, sorted by other responses"
    for same in (others.mean("sequence"), others.sel(rel_time=slice(0, 0.59)).mean(MEANS)):
        again = plot.heatmap(
            data, Figure().subplots(), sort_by=same.isel(roi=slice(None, None, -1))
        )
        np.testing.assert_array_equal(again.order, drawn.order)
    with pytest.raises(CriterionError, match=r"lacks ROIs that are drawn: 4, 5"):
        plot.heatmap(data, ax, sort_by=others.isel(roi=slice(4)))
    with pytest.raises(CriterionError, match="not both"):
        plot.heatmap(data, ax, sort_by=others, order=[1])
    with pytest.raises(CriterionError, match="'tracking_id', the data over 'roi'"):
        plot.heatmap(data, ax, sort_by=others.rename(roi="tracking_id"))


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


def test_tracked_responses_by_criteria_of_each_session(mouse):
    def early(ds):
        first = ds.osca.select(gabor_frame="U").start_time.values[:3]
        return {"gabor_frame": "U", "start_time": first.tolist()}

    found = plot.tracked_responses(mouse, early)
    for number, ds in enumerate(mouse):
        alone = plot.tracked_responses([ds], early(ds))
        np.testing.assert_array_equal(found.values[number], alone.values[0])


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
