"""Groups by session: points, what chance gives, and what is significant, as in the results."""

import itertools

import numpy as np
import pytest
import xarray as xr

from drawn import render
from made_groups import GROUPS, differences, made_differences, results
from oscaxr import plot
from oscaxr.analyses import (
    block_differences,
    compare_stimuli,
    group_differences,
    group_means,
    pool,
)
from oscaxr.errors import MissingVariableError, WindowError
from oscaxr.plot.axes import SYNTHETIC
from oscaxr.plot.sections import levels_of

Figure = pytest.importorskip("matplotlib.figure").Figure


@pytest.fixture(scope="module")
def found():
    return made_differences(comparisons=4)


@pytest.fixture(scope="module")
def relative():
    def make(random, n_rois, group, session):
        grown = 1 + 0.2 * session * (group - 1)
        return {
            "expected": ("roi", random.normal(1, 0.2, n_rois)),
            "unexpected": ("roi", random.normal(grown, 0.2, n_rois)),
        }

    return pool(results(make))


def drawn_values(containers):
    """Middle of each point (group, session), and the ends of all bars that there are."""
    middle = np.array([one.lines[0].get_ydata() for one in containers])
    bars = [bar[:, 1] for one in containers for bar in one.lines[2][0].get_segments() if len(bar)]
    return middle, np.array(bars)


# -- differences ----------------------------------------------------------------------------------
def test_points_are_means_with_their_errors(found, ax):
    drawn = plot.group_differences(found, ax)
    (points,) = drawn.points
    middle, ends = drawn_values(points)
    np.testing.assert_array_equal(middle, found["mean"])
    wanted = np.stack([found["mean"] - found.sem, found["mean"] + found.sem], axis=-1)
    np.testing.assert_allclose(ends, wanted[np.isfinite(wanted).all(axis=-1)])
    assert ax.get_ylabel() == "mean difference of dF/F, scaled (s)"


def test_bars_are_the_null_interval(found, ax):
    (bars,) = plot.group_differences(found, ax).nulls
    known = np.isfinite(found["mean"].values)
    edges = np.array([[bar.get_y(), bar.get_y() + bar.get_height()] for bar in bars])
    wanted = found.null_interval.sel(bound=["low", "high"]).values[known]
    np.testing.assert_allclose(edges, wanted)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert "chance, 95 %, corrected for 4 comparisons" in labels


def test_marks_stand_where_p_is_small(found, ax):
    drawn = plot.group_differences(found, ax)
    assert (found.p == 0).any()
    told = found.attrs
    # None is smaller than so many permutations can tell, with two tails.
    p = np.maximum(found.p.values, 2 * told["comparisons"] / (told["sequence_permutations"] + 1))
    limits = {"*": (0.01, 0.05), "**": (0.001, 0.01), "***": (0, 0.001)}
    wanted = {mark: ((p >= low) & (p < high)).sum() for mark, (low, high) in limits.items()}
    texts = [mark.get_text() for mark in drawn.marks]
    assert {mark: texts.count(mark) for mark in limits} == wanted
    assert 0 < len(texts) < p.size
    assert len(drawn.brackets) == (found.difference_p < 0.05).sum() > 0
    # Above what they mark, and inside of the axes.
    highest = np.fmax(found["mean"] + found.sem, found.null_interval.sel(bound="high"))
    assert all(mark.xy[1] in highest.values for mark in drawn.marks)
    render(ax)
    inside = ax.get_window_extent()
    for mark in [*drawn.marks, *drawn.brackets]:
        box = mark.get_window_extent()
        assert inside.y0 <= box.y0
        assert box.y1 <= ax.get_legend().get_window_extent().y0


@pytest.mark.parametrize(("permutations", "mark"), [(99, "*"), (999, "**"), (9_999, "***")])
def test_there_are_as_many_stars_as_permutations_can_tell(found, ax, permutations, mark):
    none = xr.zeros_like(found[["p", "difference_p"]])
    told = {"comparisons": 1, "permutations": permutations, "sequence_permutations": permutations}
    drawn = plot.group_differences(found.assign(none).assign_attrs(told), ax)
    assert {one.get_text() for one in [*drawn.marks, *drawn.brackets]} == {mark}


def test_marks_of_brackets_keep_clear_of_the_other_brackets(found, ax):
    all_differ = found.assign(difference_p=found["difference_p"].notnull() * 0.001)
    told = {"comparisons": 1, "permutations": 9_999}
    drawn = plot.group_differences(all_differ.assign_attrs(told), ax)
    lines = [line for line in ax.lines if len(line.get_xdata()) == 4]
    assert len(drawn.brackets) == len(lines) == found["difference_p"].size
    for mark in drawn.brackets:
        x, top = mark.xy
        ends = [line.get_xdata()[[0, -1]] for line in lines if max(line.get_ydata()) > top]
        assert np.abs(np.array([*ends, [np.inf, np.inf]]) - x).min() > 0.3
    render(ax)
    boxes = [line.get_window_extent() for line in lines]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_brackets_lie_as_low_as_there_is_room():
    assert levels_of([(0, 1), (0, 2), (1, 2)]) == {(0, 1): 0, (1, 2): 0, (0, 2): 1}
    assert levels_of([(0, 2)]) == {(0, 2): 0}
    assert levels_of([(0, 2), (1, 3), (0, 3), (2, 3)]) == {
        (2, 3): 0, (0, 2): 0, (1, 3): 1, (0, 3): 2
    }  # fmt: skip
    assert levels_of([]) == {}


def test_nothing_is_marked_without_significance(found, ax):
    drawn = plot.group_differences(found.assign(p=found.p * 0 + 1).drop_vars("difference_p"), ax)
    assert drawn.marks == drawn.brackets == []
    assert not any("p < 0.05" in text.get_text() for text in ax.get_legend().get_texts())


def test_groups_and_sessions_are_named(found, ax):
    plot.group_differences(found, ax)
    render(ax)
    major, minor = (ax.get_xticklabels(minor=minor) for minor in (False, True))
    assert [tick.get_text() for tick in major] == ["1", "2", "3"] * 4
    assert [" ".join(tick.get_text().split()) for tick in minor] == list(GROUPS)
    boxes = [tick.get_window_extent() for tick in minor]
    assert all(one.x1 < other.x0 for one, other in itertools.pairwise(boxes))
    assert max(box.y1 for box in boxes) <= min(tick.get_window_extent().y0 for tick in major)


def test_an_absent_session_says_so(found, ax):
    plot.group_differences(found, ax)
    words = [text.get_text() for text in ax.texts]
    assert words.count("no value") == int(np.isnan(found["mean"]).sum()) == 2


def test_some_of_the_groups_and_sessions(found):
    one = plot.group_differences(found.isel(group=0), Figure().subplots())
    assert len(one.points[0]) == 1
    alone = plot.group_differences(found.sel(session=2), Figure().subplots())
    np.testing.assert_array_equal(drawn_values(alone.points[0])[0][:, 0], found["mean"][:, 1])
    # A bracket between sessions of which one is not shown is none.
    assert alone.brackets == []
    single = plot.group_differences(found.isel(group=1, session=0), Figure().subplots())
    assert single.points[0][0].lines[0].get_ydata() == [found["mean"].values[1, 0]]
    with pytest.raises(WindowError, match="nothing to draw"):
        plot.group_differences(found.isel(group=[]))


def test_groups_that_are_not_by_session(ax):
    pooled = pool(results(differences), by=("line", "plane"))
    merged = group_differences(pooled, seed=1, permutations=1000)
    drawn = plot.group_differences(merged, ax)
    np.testing.assert_array_equal(drawn_values(drawn.points[0])[0][:, 0], merged["mean"])
    assert [" ".join(tick.get_text().split()) for tick in ax.get_xticklabels()] == list(GROUPS)


def test_differences_of_blocks(ax):
    def make(random, n_rois, group, session):
        values = random.normal(group, 1, n_rois)
        return {"run_velocity": ("pair", values, {"long_name": "running", "units": "cm/s"})}

    blocks = block_differences(pool(results(make, dim="pair"), dim="pair"), seed=1)
    drawn = plot.group_differences(blocks, ax)
    np.testing.assert_array_equal(drawn_values(drawn.points[0])[0], blocks["mean"])
    assert ax.get_ylabel() == "mean difference of running (cm/s)"
    assert drawn.brackets == []


def test_samples_are_named_so():
    ax = Figure().subplots()
    made = pool(results(differences, first_id=900_000_001))
    plot.group_differences(group_differences(made, seed=1, permutations=100), ax)
    assert ax.get_title("right") == SYNTHETIC


def test_recorded_ones_are_not(found, ax):
    plot.group_differences(found, ax)
    assert ax.get_title("right") == ""


def test_other_results_are_refused(found):
    with pytest.raises(MissingVariableError, match=r"analyses.group_differences.*no 'p'"):
        plot.group_differences(found.drop_vars("p"))
    with pytest.raises(plot.PlotInputError, match="needs numbers"):
        plot.group_differences(found.assign(p=found.p.astype(str)))


# -- relative responses ---------------------------------------------------------------------------
def test_relative_responses_of_both_kinds(relative, ax):
    drawn = plot.relative_responses(relative, ax)
    for kind, points in zip(("expected", "unexpected"), drawn.points, strict=True):
        middle, _ = drawn_values(points)
        np.testing.assert_array_equal(middle, group_means(relative, kind)["mean"])
    assert drawn.brackets == []
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["expected: mean, SEM", "unexpected: mean, SEM"]


def test_relative_responses_that_were_compared(relative, ax):
    compared = {
        kind: group_means(relative, kind, permutations=1000, seed=1)
        for kind in ("expected", "unexpected")
    }
    drawn = plot.relative_responses(compared, ax)
    significant = sum((one.difference_p < 0.05).sum() for one in compared.values())
    assert len(drawn.brackets) == significant > 0
    alone = plot.relative_responses({"unexpected": compared["unexpected"]}, Figure().subplots())
    assert len(alone.points) == 1
    assert alone.points[0][0].lines[0].get_xdata()[0] == 0
    for wrong in ({}, {"all": compared["expected"]}):
        with pytest.raises(plot.PlotInputError, match="'expected' and 'unexpected'"):
            plot.relative_responses(wrong)


def test_stimuli_are_compared(relative, ax):
    flow = relative.assign(unexpected=relative.unexpected * relative.session)
    found = compare_stimuli(relative, flow, permutations=1000, seed=1)
    drawn = plot.stimulus_comparison(found, ax)
    np.testing.assert_array_equal(drawn_values(drawn.points[0])[0][:, 0], found.difference)
    assert len(drawn.marks) == (found.p < 0.05).sum() > 0
    assert ax.get_xticklabels()[-1].get_text() == "all"
    assert "session 1 to 3" in ax.get_ylabel()
