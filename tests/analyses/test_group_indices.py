"""Indices of groups: real ones as published, recorded ones, and made-up ones."""

import numpy as np
import pytest
import xarray as xr

from oscaxr.analyses import chance, percent_significant, pool, usi, usi_statistics
from oscaxr.analyses.group_indices import counted
from oscaxr.errors import CriterionError, DroppedSequencesWarning
from published_figures import (
    assert_same_deviation,
    assert_same_p,
    sessions_of_one_mouse,
    table_of,
    tracked_usis,
)
from recorded_groups import (
    COMPARISONS,
    EACH_STIMULUS,
    OURS,
    RECORDED,
    SPLIT_OF,
    assert_same_pairs,
    of_row,
    pooled_results,
    rows_of,
)

pytestmark = pytest.mark.filterwarnings(
    f"ignore::{DroppedSequencesWarning.__module__}.DroppedSequencesWarning"
)

PUBLISHED = 100_000
FEW = [2_000, pytest.param(PUBLISHED, marks=pytest.mark.slow)]


# -- the real recordings, as published -------------------------------------------------------------
@pytest.fixture(scope="module")
def real():
    return pool(tracked_usis())


@pytest.mark.parametrize("permutations", FEW)
@pytest.mark.parametrize(
    ("figure", "statistic", "absolute", "column"),
    [("4g", "mean", True, "abs_roi_idx_stats"), ("4h", "variance", False, "roi_idx_stats")],
)
def test_published_statistics(real, figure, statistic, absolute, column, permutations):
    found = usi_statistics(
        real, statistic, absolute=absolute, permutations=permutations, comparisons=12, seed=1
    )
    assert int(found.n_rois.sel(session=1).sum()) == 1160
    for row in table_of(figure).itertuples():
        own = found.sel(group=f"{row.lines} {row.planes}", session=row.sess_ns)
        value, error = getattr(row, column)
        assert own.value.item() == pytest.approx(value, rel=1e-9)
        if statistic == "mean":
            assert own.error.item() == pytest.approx(error, rel=1e-9)
        else:
            values = real["index"].values[(real.group == own.group) & (real.session == own.session)]
            random = chance.generator(2)
            drawn = chance.bootstrap(random, values, lambda rows: rows.var(axis=1))
            assert_same_deviation(drawn, error)
            assert own.error.item() == pytest.approx(drawn.std(), rel=0.03)
        for pair in found.pair.values:
            recorded = getattr(row, f"raw_p_vals_{pair.replace('-', 'v')}")
            if np.isfinite(recorded):
                raw, p = (own[f"difference_{name}"].sel(pair=pair) for name in ("raw_p", "p"))
                assert_same_p(raw, recorded, permutations, PUBLISHED)
                assert p.item() == pytest.approx(min(1, raw.item() * 24))


def published_raw_p(count, n_rois, share):
    """The published formula: of more than were found, which is too small in the upper tail."""
    from scipy.stats import binom

    k = count / n_rois * 100 / 100 * n_rois
    below = binom.cdf(k, n_rois, share)
    return min(below, 1 - below)


def assert_same_error(error, recorded, n_rois, n_samples=10_000):
    """Compare the error of a percentage with the deviation of bootstrap samples of it."""
    if error == 0:  # all ROIs are of the kind, or none
        assert recorded == 0
        return
    # The kurtosis of a binomial distribution follows from its variance, in ROIs squared.
    variance = n_rois * (error / 100) ** 2 * n_rois
    excess = 1 / variance - 6 / n_rois
    assert abs(recorded / error - 1) <= 3 * np.sqrt((2 + excess) / 4 / n_samples)


def test_published_percentages():
    table = table_of("4d")
    n_rois = table["nrois"].map(sum).to_numpy(float)
    columns = {"pos": "n_pos", "sig_lo": "n_signif_lo", "sig_hi": "n_signif_hi"}
    count = table[[*columns.values()]].to_numpy(float).T
    found = counted(count, n_rois, 8)
    for kind, (word, column) in enumerate(columns.items()):
        for row, record in table.iterrows():
            of = f"perc_{word}_idxs"
            assert found["percent"][kind, row] == pytest.approx(record[of], rel=1e-9)
            for name, recorded in (("interval", "CIs"), ("null_interval", "null_CIs")):
                wanted = record[f"{of}_{recorded}"]
                np.testing.assert_allclose(found[name][kind, row], wanted, rtol=1e-9, atol=1e-9)
            assert_same_error(found["error"][kind, row], record[f"{of}_stds"], n_rois[row])
            share = (0.5, 0.025, 0.025)[kind]
            published = published_raw_p(record[column], n_rois[row], share)
            assert record[f"{of}_raw_p_vals"] == pytest.approx(published, rel=1e-9, abs=1e-15)
            # Ours counts what was found as being as extreme, which matters in the upper tail.
            raw = found["raw_p"][kind, row]
            assert raw >= published - 1e-15
            if found["percent"][kind, row] < 100 * share:
                assert raw == pytest.approx(published, rel=1e-9)


# -- recorded --------------------------------------------------------------------------------------
@pytest.mark.parametrize("stimulus", EACH_STIMULUS)
def test_recorded_percentages(shared, stimulus):
    pooled = pooled_results(shared, usi, stimulus, SPLIT_OF[stimulus], permutations=OURS, seed=1)
    found = percent_significant(pooled, comparisons=COMPARISONS)
    kinds = {"positive": "pos", "low": "sig_lo", "high": "sig_hi"}
    for row in rows_of(shared, f"perc_sig/{stimulus}"):
        own = of_row(found, row)
        recorded = [row[name] for name in ("n_pos", "n_signif_lo", "n_signif_hi")]
        percentile = pooled.percentile.values[np.isin(pooled.session_id, row["sessids"])]
        # Which ROIs are significant may differ where chance put their percentile near the bound.
        error = 100 * np.sqrt(0.025 * 0.975 * (1 / OURS + 1 / RECORDED))
        near = [np.abs(percentile - bound) <= 3 * error for bound in (2.5, 97.5)]
        doubtful = [0, *(one.sum() for one in near)]
        assert (np.abs(own["count"].values - recorded) <= doubtful).all()
        of_recorded = counted(np.array(recorded, float), np.float64(sum(row["nrois"])), COMPARISONS)
        for place, word in enumerate(kinds.values()):
            of = f"perc_{word}_idxs"
            assert of_recorded["percent"][place] == pytest.approx(row[of], rel=1e-9)
            for name, column in (("interval", "CIs"), ("null_interval", "null_CIs")):
                wanted = row[f"{of}_{column}"]
                np.testing.assert_allclose(of_recorded[name][place], wanted, rtol=1e-9, atol=1e-9)
            assert_same_error(of_recorded["error"][place], row[f"{of}_stds"], sum(row["nrois"]))
            share = (0.5, 0.025, 0.025)[place]
            published = published_raw_p(recorded[place], sum(row["nrois"]), share)
            # Recorded to 15 places.
            assert row[f"{of}_raw_p_vals"] == pytest.approx(published, rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("absolute", [True, False])
@pytest.mark.parametrize("stimulus", EACH_STIMULUS)
def test_recorded_statistics(shared, stimulus, absolute):
    pooled = pooled_results(shared, usi, stimulus, SPLIT_OF[stimulus], tracked=True)
    found = usi_statistics(
        pooled, absolute=absolute, permutations=OURS, comparisons=COMPARISONS, seed=1
    )
    name = "abs_roi_idx_stats" if absolute else "roi_idx_stats"
    for row in rows_of(shared, f"usi_stats/{stimulus}/abs_{absolute}"):
        own = of_row(found, row)
        np.testing.assert_allclose([own.value, own.error], row[name], rtol=1e-9)
        assert_same_pairs(own, row)


# -- made up ---------------------------------------------------------------------------------------
def of_sessions(*values):
    return pool(sessions_of_one_mouse(*values))


def test_order_of_rois_does_not_matter():
    random = np.random.default_rng(3)
    values = random.normal(size=(2, 20))
    order = random.permutation(20)
    pooled = of_sessions(*values)
    rows = np.concatenate([order, 20 + random.permutation(20)])
    one = usi_statistics(pooled, permutations=100, seed=1)
    xr.testing.assert_allclose(one, usi_statistics(pooled.isel(roi=rows), permutations=100, seed=1))


def test_percent_significant_of_pooled_indices():
    index = [0.5, -0.5, 0.2, 1.0]
    pooled = of_sessions(index, index).assign(percentile=("roi", [99.0, 1, 50, 98] * 2))
    found = percent_significant(pooled).isel(group=0, session=0)
    assert found["count"].values.tolist() == [3, 1, 2]
    assert found.percent.values.tolist() == [75, 25, 50]
    assert found.raw_p.sel(kind="positive").item() == pytest.approx(5 / 16)
    assert found.p.sel(kind="positive").item() == pytest.approx(10 / 16)
    every = pooled.assign(index=abs(pooled["index"]))
    assert percent_significant(every).raw_p.sel(kind="positive")[0, 0] == pytest.approx(1 / 16)
    pooled["index"][0] = np.nan
    lost = percent_significant(pooled)
    assert np.isnan(lost.percent.sel(session=1)).all()
    assert np.isnan(lost.interval.sel(session=1)).all()
    assert np.isfinite(lost.percent.sel(session=2)).all()


def test_results_can_be_written(tmp_path):
    pooled = of_sessions(*np.random.default_rng(3).normal(size=(3, 9)))
    for found in (
        usi_statistics(pooled, permutations=100, seed=1),
        percent_significant(pooled.assign(percentile=pooled["index"] * 0 + 50)),
    ):
        found.to_netcdf(tmp_path / "found.nc")
        with xr.open_dataset(tmp_path / "found.nc") as again:
            xr.testing.assert_identical(again.load(), found)


def test_statistics_that_are_not_known():
    with pytest.raises(CriterionError, match="'mean' or 'variance'"):
        usi_statistics(of_sessions([1, 2], [2, 1]), "var")
    with pytest.raises(CriterionError, match="2400 or more"):
        usi_statistics(of_sessions([1, 2], [2, 1]), permutations=1000, comparisons=60)
