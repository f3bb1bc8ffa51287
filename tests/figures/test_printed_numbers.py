"""Numbers as they are printed: a p below its resolution says so, and nothing is lost."""

from io import StringIO

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from made_groups import made_differences
from oscaxr import analyses
from oscaxr.figures.printed_numbers import MOST_ROWS, printed_p, table_of
from published_figures import sessions_of_one_mouse


@pytest.mark.parametrize(
    ("p", "permutations", "factor", "printed"),
    [
        (0.0, 999, 1, "< 0.001"),
        (0.0, 10_000, 1, "< 9.999e-05"),
        (0.0005, 999, 1, "< 0.001"),
        (0.001, 999, 1, "0.001"),
        (0.25, 999, 1, "0.25"),
        (0.0, 999, 24, "< 0.024"),
        (0.048, 999, 24, "0.048"),
        (0.0, 9, 100, "< 1"),
        (1.0, 9, 100, "1"),
        (np.nan, 9, 1, ""),
    ],
)
def test_a_p_below_its_resolution_is_less_than_that(p, permutations, factor, printed):
    assert printed_p(p, permutations, factor) == printed.replace("9.999e-05", "0.0001")


def test_every_number_of_a_result_is_in_its_table():
    found = made_differences(comparisons=4)
    table = table_of({"differences": found})
    assert set(table["result"]) == {"differences"}
    cells = table[table["pair"].isna()]
    assert len(cells) == found["mean"].size
    for row in cells.to_dict("records"):
        own = found.sel(group=row["group"], session=int(row["session"]))
        assert row["mean"] == own["mean"].item() or np.isnan(row["mean"])
        for bound in ("low", "median", "high"):
            value = own["null_interval"].sel(bound=bound).item()
            assert row[f"null_interval_{bound}"] == value or np.isnan(value)
    pairs = table[table["pair"].notna()]
    assert len(pairs) == found["difference"].size


def test_each_p_has_the_resolution_of_its_own_permutations():
    found = made_differences(comparisons=4)
    sequences, groups = found.attrs["sequence_permutations"], found.attrs["permutations"]
    assert sequences != groups
    table = table_of({"differences": found})
    zero = found["raw_p"].values == 0
    assert zero.any()
    printed = table["raw_p"][table["pair"].isna()].to_numpy().reshape(zero.shape)
    assert set(printed[zero]) == {printed_p(0, sequences)}
    corrected = table["p"][table["pair"].isna()].to_numpy().reshape(zero.shape)
    assert set(corrected[zero]) == {printed_p(0, sequences, 8)}
    # Between sessions, it is ROIs that are permuted, and both tails that count.
    distant = made_differences((60, 60), comparisons=4)
    between = distant["difference_p"].values == 0
    assert between.any()
    table = table_of({"differences": distant})
    printed = table["difference_p"][table["pair"].notna()].to_numpy().reshape(between.shape)
    assert set(printed[between]) == {printed_p(0, groups, 8)}


def test_one_tail_is_not_corrected_for_two():
    random = np.random.default_rng(0)
    first = random.normal(size=40)
    sessions = sessions_of_one_mouse(first, -first)
    pooled = analyses.pool(sessions)
    found = analyses.usi_correlations(
        pooled, "session", tail="low", permutations=500, comparisons=3, seed=1
    )
    assert found["p"].item() == 0
    assert table_of({"a": found})["p"].dropna().tolist() == [printed_p(0, 500, 3)]


def test_binomial_p_are_plain_numbers():
    usis = sessions_of_one_mouse(np.ones(300), dim="roi")
    usis = [one.assign(percentile=100.0 * one["index"]) for one in usis]
    found = analyses.percent_significant(analyses.pool(usis))
    table = table_of({"a": found})
    assert found["p"].min() == 0 or table["p"].dtype.kind == "f"
    assert not table["p"].astype(str).str.contains("<").any()


def test_whole_numbers_stay_whole():
    table = table_of({"differences": made_differences()})
    text = table.to_csv(index=False)
    assert ",1.0,2.0" not in text
    assert table["session"].dropna().map(lambda one: isinstance(one, int | np.integer)).all()


def test_counts_are_whole_numbers_also_beside_ones_that_are_not_known():
    usis = sessions_of_one_mouse([0.5, -0.5, 0.2], [0.5, np.nan, 0.2], dim="roi")
    usis = [one.assign(percentile=50 + 99.0 * one["index"]) for one in usis]
    found = analyses.percent_significant(analyses.pool(usis))
    text = table_of({"a": found[["count", "percent"]]}).to_csv(index=False)
    columns = pd.read_csv(StringIO(text), dtype=str, keep_default_na=False)
    first, second = (columns[columns["session"] == number] for number in "12")
    assert first["count"].tolist() == ["2", "1", "1"]
    assert second["count"].tolist() == second["percent"].tolist() == [""] * 3


def test_single_numbers_are_one_row():
    table = table_of({"a": xr.Dataset({"index": 0.5}, {"roi": 3})})
    assert table.to_dict("records") == [{"result": "a", "index": 0.5, "roi": 3}]


def test_what_is_too_long_to_be_read_has_no_table():
    long = xr.Dataset({"a": (("x", "y"), np.zeros((MOST_ROWS // 100, 101)))})
    assert table_of({"a": long}) is None
    assert table_of({"a": long.isel(y=slice(100))}) is not None
    assert table_of({"a": long.isel(y=slice(51)), "b": long.isel(y=slice(51))}) is None
