"""Pictures of single panels: what they show, and of which ROIs."""

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.figures import pictures
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
    named = [ax.get_legend().get_texts()[0].get_text() for ax in figure.axes]
    assert len(named) == 3
    assert len(set(named)) == 1


def test_a_gap_says_which_panel_it_is_and_why(figure):
    pictures.say_gap(figure, "figure 9B", "there is session 2 only")
    (words,) = figure.texts
    assert words.get_text() == "figure 9B cannot be drawn\n\nthere is session 2 only"


def test_boxes_of_counts_are_those_of_the_values(figure):
    random = np.random.default_rng(0)
    values = np.clip(random.normal(0.1, 0.2, 5000), -1, 1)
    counts, edges = np.histogram(values, 200, (-1, 1))
    centres = (edges[1:] + edges[:-1]) / 2
    facts = {"session_id": 1, "mouse_id": 1, "session": 1, "line": "a", "plane": "b"}
    one = xr.Dataset(
        {"count": ("correlation", counts), "quartiles": ("quantile", [0.0, 0.1, 0.2])},
        {"correlation": centres, "quantile": [25, 50, 75], **facts},
    )
    pooled = ox.analyses.pool([one.expand_dims(trace=[0])], dim="trace")
    pictures.roi_correlations(figure, {"correlations": pooled})
    (ax,) = figure.axes
    drawn = sorted({float(y) for line in ax.lines for y in line.get_ydata()})
    plain = np.percentile(values, (5, 25, 50, 75, 95))
    np.testing.assert_allclose(drawn, plain, atol=0.011)
