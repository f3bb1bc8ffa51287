"""Every picture of a sample session says that it is one; none of a recorded session does."""

import numpy as np
import pytest

import oscaxr as ox
from oscaxr import plot
from oscaxr.plot.axes import SYNTHETIC
from small_sessions import small_spec

Figure = pytest.importorskip("matplotlib.figure").Figure


def pooled_usis(sessions, **options):
    return ox.analyses.pool([ox.analyses.usi(ds, **options) for ds in sessions])


def two_sessions(ds):
    """Indices of the tracked ROIs, and of the same in a later session."""
    later = ds.assign_coords(session=2, session_id=ds.session_id + 1)
    changed = pooled_usis([ds, later], tracked=True)
    return changed.assign(index=changed["index"] * np.cos(np.arange(changed.sizes["roi"])))


SHIFT = [[1, 0, 1], [0, 1, -1], [0, 0, 1]]
PICTURES = {
    "responses": lambda ds, u, f: plot.responses(u, f.subplots(), gabor_frames=ds),
    "groups": lambda ds, u, f: plot.responses({"a": u, "b": u.mean("roi")}, f.subplots()),
    "means": lambda ds, u, f: plot.responses(ox.stats(u, dim=("sequence", "roi")), f.subplots()),
    "expected_unexpected": lambda ds, u, f: plot.expected_unexpected(ds, f.subplots()),
    "heatmap": lambda ds, u, f: plot.heatmap(u, f.subplots()),
    "behavior": lambda ds, u, f: plot.behavior_responses(ds, u.segment.values, f),
    "shaded": lambda ds, u, f: plot.behavior_responses(
        ds, u.segment.values, f, gabor_frames=True
    ),
    "tracked": lambda ds, u, f: plot.tracked_over_sessions([ds], f.subplots()),
    "overview": lambda ds, u, f: plot.session_overview(ds, f),
    "stimulus": lambda ds, u, f: plot.stimulus_frames(ds, axes=f.subplots(3, 3)),
    "masks": lambda ds, u, f: plot.roi_masks(ds, f.subplots()),
    "contours": lambda ds, u, f: plot.roi_contours(ds, f.subplots()),
    "projection": lambda ds, u, f: plot.max_projection(ds, f.subplots()),
    "bare projection": lambda ds, u, f: plot.max_projection(ds, f.subplots(), contours=False),
    "registered": lambda ds, u, f: plot.registered_masks(
        [ds, ds.assign_coords(session=2)], f.subplots(), matrices={2: SHIFT}
    ),
    "indices": lambda ds, u, f: plot.usi_distribution(ox.analyses.usi(ds), f),
    "percentages": lambda ds, u, f: plot.percent_significant(
        ox.analyses.percent_significant(pooled_usis([ds], permutations=50)), f.subplots()
    ),
    "tracked indices": lambda ds, u, f: plot.tracked_usis(
        pooled_usis([ds], tracked=True), f.subplots()
    ),
    "pairs of indices": lambda ds, u, f: plot.usi_pairs(two_sessions(ds), f.subplots()),
    "signal to noise": lambda ds, u, f: plot.snr(ox.snr(ds), f.subplots()),
    "index statistics": lambda ds, u, f: plot.usi_statistics(
        ox.analyses.usi_statistics(pooled_usis([ds]), permutations=50, seed=1), f.subplots()
    ),
    "index correlations": lambda ds, u, f: plot.usi_correlations(
        ox.analyses.usi_correlations(two_sessions(ds), permutations=50, seed=1), f.subplots()
    ),
    "responsive": lambda ds, u, f: plot.responsive_rois(
        ox.analyses.responsive_rois(ds, permutations=50), f.subplots()
    ),
    "variance": lambda ds, u, f: plot.explained_variance(
        ox.analyses.explained_variance(ds, ["running"], piece=10), f.subplots()
    ),
    "masks by name": lambda ds, u, f: plot.registered_masks(
        {"a": ds.roi_mask, "b": ds.roi_mask}, f.subplots()
    ),
}  # fmt: skip


# Of each kind one: traces, several axes, an image, an analysis of ROIs, and one of groups.
PLAIN = ("responses", "overview", "masks", "indices", "percentages")


@pytest.fixture(scope="module")
def ds():
    return ox.sample.session(small_spec(scale=0.05), include="templates")


def said(figure):
    titles = [ax.get_title(loc) for ax in figure.axes for loc in ("left", "center", "right")]
    return sum(SYNTHETIC in title for title in titles)


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_say_so_once(ds, u, name):
    figure = Figure()
    PICTURES[name](ds, u, figure)
    assert said(figure) == 1


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=[pytest.mark.slow] * (one not in PLAIN)) for one in PICTURES]
)
def test_pictures_of_recorded_sessions_do_not(ds, name):
    recorded = ds.assign_coords(session_id=758519303, mouse_id=408021)
    del recorded.attrs["synthetic"]
    u = recorded.osca.sequences("dff", recorded.osca.select(gabor_frame="U"), pre=1, post=1)
    figure = Figure()
    PICTURES[name](recorded, u, figure)
    assert said(figure) == 0


def test_a_title_of_ones_own_leaves_it(ds, u):
    ax = Figure().subplots()
    plot.heatmap(u, ax)
    ax.set_title("mine")
    assert (ax.get_title(), ax.get_title("right")) == ("mine", SYNTHETIC)
