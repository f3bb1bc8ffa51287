"""Distributions over ROIs: what each bar stands for, and what is marked, as in the results."""

import numpy as np
import pytest

import oscaxr as ox
from drawn import render
from made_groups import GROUPS, results
from oscaxr import plot
from oscaxr.analyses import pool
from oscaxr.analyses import responsive_rois as find_responsive
from oscaxr.errors import CriterionError, MissingVariableError, WindowError
from oscaxr.plot.axes import SYNTHETIC

Figure = pytest.importorskip("matplotlib.figure").Figure

KINDS = ("not significant", "significantly low", "significantly high")


def indices(random, n_rois, group, session):
    index = random.normal(0.1 * session * (group - 1), 0.4, n_rois)
    index[:2] = np.nan, np.inf
    percentile = np.where(np.isnan(index), np.nan, 50 + 50 * np.tanh(3 * index))
    return {
        "index": ("roi", index, {"long_name": "unexpected-stimulus index", "units": "1"}),
        "percentile": ("roi", percentile),
    }


@pytest.fixture(scope="module")
def pooled():
    return pool(results(indices, (15, 12)))


@pytest.mark.parametrize("sizes", [(15,), pytest.param((1_000, 700), marks=pytest.mark.slow)])
def test_bars_are_shares_of_the_rois_with_an_index(sizes):
    pooled = pool(results(indices, sizes))
    figure = Figure(figsize=(10, 8), layout="constrained")
    drawn = plot.usi_distribution(pooled, figure, bins=30)
    assert len(drawn.panels) == 12
    for place, bars in enumerate(drawn.bars):
        assert tuple(bars) == KINDS
        in_group = pooled.group == GROUPS[place // 3]
        own = pooled.isel(roi=(in_group & (pooled.session == place % 3 + 1)).values)
        index, percentile = own["index"].values, own.percentile.values
        known = np.isfinite(index)
        low, high = percentile < 2.5, percentile > 97.5
        masks = dict(zip(KINDS, (~low & ~high, low, high), strict=True))
        bottom = 0
        for kind, stairs in bars.items():
            tops, edges, baseline = stairs.get_data()
            np.testing.assert_array_equal(baseline, bottom)
            wanted = np.histogram(index[known & masks[kind]], edges)[0] * 100 / known.sum()
            np.testing.assert_allclose(tops - baseline, wanted, atol=1e-12)
            bottom = tops
        assert bottom.sum() == pytest.approx(100)
        words = drawn.words[place].get_text().splitlines()
        assert words[0] == f"{len(index)} ROIs:"
        assert words[1:3] == [f"{(mask & known).sum()} {kind}" for kind, mask in
                              list(masks.items())[1:]]  # fmt: skip
        assert words[3] == f"{(~known).sum()} NaN or infinite"


def test_bars_stand_below_the_words(pooled):
    some = pooled.isel(roi=pooled.group.isin(GROUPS[:2]).values)
    drawn = plot.usi_distribution(some, Figure(figsize=(10, 5), layout="constrained"))
    render(drawn.panels[0])
    for bars, words in zip(drawn.bars, drawn.words, strict=True):
        tops = [stairs.get_window_extent().y1 for stairs in bars.values()]
        assert max(tops) <= words.get_window_extent().y0


def test_indices_without_percentiles(pooled, ax):
    one = pooled.isel(roi=(pooled.session_id == 1).values).drop_vars("percentile")
    drawn = plot.usi_distribution(one, ax)
    assert list(drawn.bars[0]) == ["ROIs"]
    assert ax.get_legend() is None
    assert drawn.words[0].get_text() == "15 ROIs:\n2 NaN or infinite"


def test_a_group_that_lacks_a_session(pooled):
    is_kept = pooled.group.isin(GROUPS[:2]) & ((pooled.group == GROUPS[0]) | (pooled.session != 2))
    drawn = plot.usi_distribution(pooled.isel(roi=is_kept.values), Figure())
    assert [one is None for one in drawn.bars] == [False] * 4 + [True, False]
    assert "no value" in [text.get_text() for text in drawn.panels[4].texts]


def test_a_session_alone(ax):
    ds = ox.sample.session(n_rois=15, scale=0.05)
    found = ox.analyses.usi(ds, permutations=200, seed=0)
    drawn = plot.usi_distribution(found, ax)
    marked = found.percentile.values
    assert drawn.words[0].get_text().splitlines()[1:] == [
        f"{(marked < 2.5).sum()} significantly low",
        f"{(marked > 97.5).sum()} significantly high",
    ]
    assert ax.get_xlabel() == "unexpected-stimulus index"
    assert ax.get_title("right") == SYNTHETIC
    render(ax)


def test_responsive_rois_are_marked(ax):
    ds = ox.sample.session(n_rois=15, scale=0.05)
    found = find_responsive(ds, permutations=200, seed=0)
    drawn = plot.responsive_rois(found, ax)
    tops, _, bottoms = drawn.bars[0]["responsive"].get_data()
    count = int(found.responsive.sum())
    assert 0 < count < 15
    assert (tops - bottoms).sum() == pytest.approx(100 * count / 15)
    assert f"{count} responsive" in drawn.words[0].get_text()
    lost = found.assign(response=found.response.where(found.roi > 2))
    again = plot.responsive_rois(lost, Figure().subplots())
    assert "3 NaN or infinite" in again.words[0].get_text()


def test_what_cannot_be_drawn(pooled):
    for bins in (0, 2.5, "many"):
        with pytest.raises(CriterionError, match=r"bins=.*whole number"):
            plot.usi_distribution(pooled, bins=bins)
    with pytest.raises(WindowError, match="nothing to draw"):
        plot.usi_distribution(pooled.isel(roi=[]))
    with pytest.raises(plot.PlotInputError, match="needs numbers"):
        plot.usi_distribution(pooled.assign(index=pooled["index"].astype(str)))


def test_an_index_among_those_of_shuffles(ax):
    ds = ox.sample.session(n_rois=5, scale=0.05)
    found = ox.analyses.usi(ds, permutations=200, seed=0, keep_null=True)
    one = found.sel(roi=[3])
    drawn = plot.usi_null(one, ax, bins=20)
    assert sum(bar.get_height() for bar in drawn.bars) == 200
    assert drawn.index.get_xdata()[0] == one["index"].item()
    edges = [line.get_xdata()[0] for line in drawn.bounds]
    np.testing.assert_allclose(edges, np.percentile(one["null"], (2.5, 97.5)))
    assert ax.get_title("right") == SYNTHETIC
    with pytest.raises(CriterionError, match=r"of 5 ROIs: choose one"):
        plot.usi_null(found, ax)
    with pytest.raises(WindowError, match="the index is nan"):
        plot.usi_null(one.assign(index=one["index"] * np.nan), ax)
    with pytest.raises(MissingVariableError, match=r"no 'null'.*"):
        plot.usi_null(one.drop_vars("null"), ax)
    render(ax)
