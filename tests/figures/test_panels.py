"""The list of panels: each once, made with functions that there are, tested as in the papers."""

import json

import pytest

import oscaxr as ox
from example_sessions import SHARED
from oscaxr import analyses
from oscaxr.errors import CriterionError
from oscaxr.figures import session_results as of_session
from oscaxr.figures.panels import PANELS, panels
from published_figures import PAPERS as PUBLISHED
from surveyed_sessions import FOUR_GROUPS, session

IN_SHARED = SHARED / "data" / "papers"


def test_each_panel_is_there_once():
    names = [(panel.paper, panel.name) for panel in PANELS]
    assert len(set(names)) == len(names)
    figures = {paper: {one.figure for one in panels(paper)} for paper in ("analysis", "dataset")}
    assert figures == {"analysis": set(range(1, 12)), "dataset": {1, 2, 5, 6, 7, 8, 9}}


def test_they_are_made_with_public_functions():
    names = {name for panel in PANELS for name in panel.functions}
    assert names <= {*analyses.__all__, *ox.__all__}


def published(folder, panel):
    (path,) = folder.glob(f"fig{panel.lower()}_*.json")
    return json.loads(path.read_text(encoding="utf-8"))


def check(folder, panel):
    (own,) = panels("analysis", panel)
    told = published(folder, panel)
    assert own.compared.count(own.chosen(FOUR_GROUPS)) == (told["permpar"]["multcomp"] or 1)
    assert list(own.sessions) == told["sesspar"]["sess_n"]


@pytest.mark.parametrize("panel", ["4D", "4G", "4H", "9C"])
def test_comparisons_and_sessions_are_the_published_ones(panel):
    check(PUBLISHED, panel)


@pytest.mark.shared
@pytest.mark.skipif(not IN_SHARED.is_dir(), reason="the project's example data are not here")
@pytest.mark.parametrize("panel", ["2B", "2C", "4C", "8B", "10D"])
def test_comparisons_and_sessions_are_the_published_ones_of_other_panels(panel):
    check(IN_SHARED, panel)


@pytest.mark.parametrize("panel", ["2B", "4G", "4H", "8B", "9C"])
def test_with_full_counts_groups_are_permuted_as_often_as_published(panel):
    folder = PUBLISHED if panel in ("4G", "4H", "9C") else IN_SHARED
    if not folder.is_dir():
        pytest.skip("the project's example data are not here")
    (own,) = panels("analysis", panel)
    assert own.full == published(folder, panel)["permpar"]["n_perms"]


def test_panels_are_chosen_by_paper_figure_and_letter():
    assert [one.name for one in panels("analysis", 4)] == [f"4{letter}" for letter in "ABCDEFGH"]
    assert [one.name for one in panels("analysis", "4d")] == ["4D"]
    assert [(one.paper, one.name) for one in panels(figure="1B")] == [
        ("dataset", "1B"),
        ("analysis", "1B"),
    ]
    assert len(panels()) == len(PANELS) == len(panels("analysis")) + len(panels("dataset"))
    order = [one.figure for one in panels("analysis")]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"paper": "data"}, "'dataset' or 'analysis'"),
        ({"figure": 12}, "the papers have no such figure or panel"),
        ({"paper": "dataset", "figure": 3}, "the dataset paper has no .* 1, 2, 5, 6, 7, 8, 9$"),
        ({"figure": "4Z"}, "figure='4Z'"),
    ],
)
def test_what_there_is_not_is_an_error_that_says_what_there_is(asked, words):
    with pytest.raises(CriterionError, match=words):
        panels(**asked)


def test_examples_are_the_papers_mice_where_they_are_there():
    (panel,) = panels("analysis", "1D")
    assert set(panel.mice) == {4, 11}
    somata = [session(mouse, 1, plane="soma") for mouse in (3, 4, 5)]
    dendrites = [session(mouse, 2) for mouse in (8, 9)]
    chosen = panel.chosen([*somata, *dendrites])
    # Of the dendrites none is the paper's, and the first is taken.
    assert [one.facts["mouse"] for one in chosen] == [4, 8]
    (panel,) = panels("dataset", "6A")
    for there, mouse in (([*somata, session(1, 1)], 1), ([*dendrites, *somata], 3)):
        assert [one.facts["mouse"] for one in panel.chosen(there)] == [mouse]


def test_names_of_results_are_their_own():
    recipes = {recipe for panel in PANELS for recipe in panel.recipes}
    names = [recipe.name for recipe in recipes]
    assert len(set(names)) == len(names)
    made = [one for one in vars(of_session).values() if isinstance(one, of_session.Recipe)]
    made += [*of_session.DECODED.values(), *of_session.COURSES.values()]
    made += [*of_session.SHARES.values()]
    assert {*made, *of_session.EXAMPLES.values()} == recipes
