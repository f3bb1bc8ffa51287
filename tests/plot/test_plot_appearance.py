"""Pictures as pixels, against images that somebody has looked at.

Words are hidden and axes are in fixed places, so that neither fonts nor layout engines matter.
After a change that is meant, write the images anew, look at each, and commit them:

    OSCAXR_WRITE_BASELINES=1 python -m pytest tests/plot/test_plot_appearance.py
"""

import os
from pathlib import Path

import numpy as np
import pytest

import oscaxr as ox
from made_groups import results
from oscaxr import plot
from oscaxr.analyses import group_differences, pool
from small_sessions import small_spec

pytest.importorskip("matplotlib")

BASELINES = Path(__file__).parent / "baseline_images"
# Root mean square over pixels and colours, of 255. Lines are the same in all versions of matplotlib
# from 3.9 on; where an image is drawn larger or smaller than it is, its pixels have their borders
# elsewhere. Other data give 14 to 67, as a test below makes sure.
TOLERANCES = {"heatmap": 22.0, "roi_masks": 12.0, "roi_contours": 16.0, "stimulus_frames": 6.0}
TOLERANCE = 3.0
SHIFT = [[1, 0, 3], [0, 1, -2], [0, 0, 1]]


@pytest.fixture(scope="module")
def ds():
    """Session of plain numbers, so that the pictures do not follow the synthetic data."""
    made = ox.sample.session(small_spec(scale=0.05, n_rois=12, n_tracked=4), include="templates")
    roi, time, stim_time = (made[name].values for name in ("roi", "time", "stim_time"))
    y, x = np.indices((64, 64))
    distance = [np.hypot(y - 9 - 4 * k, x - 10 - (17 * k) % 45) for k in roi]
    values = {
        "dff": np.sin(time[:, np.newaxis] * (0.3 + 0.1 * roi)) * (1 + roi) / 12,
        "run_velocity": 20 + 10 * np.sin(stim_time / 9),
        "pupil_diameter": 1 + 0.2 * np.cos(time / 13),
        "roi_mask": np.array([field < 6 + k % 4 for k, field in enumerate(distance)]),
        "max_projection": np.uint8(255 / (1 + np.min(distance, axis=0))),
    }
    plain = made.assign({name: (made[name].dims, array) for name, array in values.items()})
    return plain.assign_coords(valid=("roi", roi % 5 != 2))


def response_picture(ds, figure):
    u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=1, post=1)
    plot.responses(u, figure.subplots(), rois=True, gabor_frames=ds)


def heatmap_picture(ds, figure):
    u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=1, post=1)
    plot.heatmap(u, figure.subplots(), colorbar=False)


def overview_picture(ds, figure):
    plot.session_overview(ds, figure.subplots(4), bins=100)


def mask_picture(ds, figure):
    plot.roi_masks(ds, figure.subplots())


def contour_picture(ds, figure):
    plot.roi_contours(ds, figure.subplots(), highlight=3, zoom=True, projection=True)


def registered_picture(ds, figure):
    second = ds.assign_coords(session=2)
    plot.registered_masks([ds, second], figure.subplots(), matrices={2: SHIFT})


def stimulus_picture(ds, figure):
    plot.stimulus_frames(ds, axes=figure.subplots(3, 3))


def group_results(ds, dims):
    """Results of sessions of four groups, made of the plain numbers of the session."""

    def make(random, n_rois, group, session):
        frame = 40 * group + 200 * session
        values = 4 * ds.dff.isel(time=frame, roi=slice(n_rois)).values
        own = dims(values + 0.4 * (group - 1), np.linspace(-1, 1, 2001))
        return {name: (dim, part) for name, (dim, part) in own.items()}

    return pool(results(make, (12, 9)))


def group_picture(ds, figure):
    pooled = group_results(
        ds, lambda values, null: {"difference": ("roi", values), "null": ("permutation", null)}
    )
    plot.group_differences(group_differences(pooled, seed=1, permutations=100), figure.subplots())


def distribution_picture(ds, figure):
    pooled = group_results(
        ds, lambda x, _: {"index": ("roi", x), "percentile": ("roi", 50 + 50 * np.tanh(x))}
    )
    plot.usi_distribution(pooled, figure, bins=12)


PICTURES = {
    "responses": response_picture,
    "heatmap": heatmap_picture,
    "session_overview": overview_picture,
    "roi_masks": mask_picture,
    "roi_contours": contour_picture,
    "registered_masks": registered_picture,
    "stimulus_frames": stimulus_picture,
    "group_differences": group_picture,
    "usi_distribution": distribution_picture,
}


def save(draw, ds, path):
    """Draw a picture small, without words, whatever the user's settings are."""
    from matplotlib import style
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.text import Text

    with style.context("default"):
        figure = Figure(figsize=(3, 2.4), dpi=80, layout="none")
        draw(ds, figure)
        figure.subplots_adjust(0.05, 0.05, 0.95, 0.95)
        for kind in (Text, Legend):
            for words in figure.findobj(kind):
                words.set_visible(False)
        figure.savefig(path, metadata={"Software": None})


def difference(name, draw, ds, folder):
    """Say how a picture differs from the stored one; None if it does not."""
    from matplotlib.testing.compare import compare_images

    found, baseline = folder / f"{name}.png", BASELINES / f"{name}.png"
    save(draw, ds, found)
    return compare_images(str(baseline), str(found), tol=TOLERANCES.get(name, TOLERANCE))


@pytest.mark.parametrize(
    "name",
    [pytest.param(one, marks=[pytest.mark.slow] * (one == "usi_distribution")) for one in PICTURES],
)
def test_pictures_look_as_they_did(name, ds, tmp_path):
    if os.environ.get("OSCAXR_WRITE_BASELINES"):
        save(PICTURES[name], ds, BASELINES / f"{name}.png")
    problem = difference(name, PICTURES[name], ds, tmp_path)
    assert problem is None, problem


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("responses", lambda ds: ds.assign(dff=ds.dff.isel(roi=slice(None, None, -1)) * -1)),
        ("roi_masks", lambda ds: ds.assign_coords(valid=("roi", np.arange(12) % 5 != 3))),
        ("roi_contours", lambda ds: ds.assign(max_projection=ds.max_projection[::-1].variable)),
        ("registered_masks", lambda ds: ds.isel(roi=slice(0, 6))),
        pytest.param(
            "session_overview",
            lambda ds: ds.assign(pupil_diameter=ds.pupil_diameter[::-1].variable),
            marks=pytest.mark.slow,
        ),
        ("heatmap", lambda ds: ds.assign(dff=ds.dff * ds.roi)),
        pytest.param(
            "group_differences",
            lambda ds: ds.assign(dff=-ds.dff),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "usi_distribution",
            lambda ds: ds.assign(dff=-ds.dff),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "stimulus_frames",
            lambda ds: ds.assign(template_gabors=255 - ds.template_gabors),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_picture_of_something_else_is_noticed(name, changed, ds, tmp_path):
    assert difference(name, PICTURES[name], changed(ds), tmp_path) is not None


def test_baselines_are_small_and_all_used():
    files = {path.stem: path.stat().st_size for path in BASELINES.glob("*.png")}
    assert set(files) == set(PICTURES)
    assert max(files.values()) < 60_000
