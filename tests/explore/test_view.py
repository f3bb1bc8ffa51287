"""What a person chose: a link restores it, and what does not fit is said."""

import pytest

from oscaxr.errors import CriterionError
from oscaxr.explore.view import PRESETS, View, read_query

FLOW = PRESETS["Flow: first of runs"]


@pytest.mark.parametrize(
    "view",
    [
        View(),
        View(session="1", tab="field", rois=(3, 17), number="snr", shade="dark"),
        View(compare="split", first={"stimulus": "gabors", "gabor_kappa": [4.0, 16.0]}, second={}),
        View(first=FLOW[0], second=FLOW[1], pre=0.3333333333333333, post=2.5, sort_from=-0.1),
        View(compare="one", first={"stimulus": "visflow", "start_time": (60.0, 120.5)}),
        View(first={"stimulus": "visflow", "main_flow_direction": ["left (nasal)"], "block": [2]}),
        View(rois=(2,), zoom=(60.0, 93.5)),
        View(scale=True, edge="nan", baseline=0.5, stat="median", error="quartiles", sort="other"),
    ],
    ids=lambda view: view.query()[:20] or "usual",
)
def test_a_link_restores_a_view(view):
    assert read_query("?" + view.query()) == view


def test_the_usual_view_needs_no_words():
    assert View().query() == ""


def test_all_that_is_wrong_with_a_link_is_said_at_once():
    with pytest.raises(CriterionError) as error:
        read_query("tab=cellar&pre=soon&first.colour=red&path=/etc/passwd&scale=maybe")
    for word in ("tab=cellar", "pre=soon", "first.colour=red", "'path'", "scale=maybe"):
        assert word in str(error.value)


@pytest.fixture
def select(memory_session):
    return lambda criteria: memory_session.osca.select(**criteria)


def test_groups_by_name(memory_session, select):
    assert list(View().groups(select)) == ["expected", "unexpected"]
    other = View(first={"stimulus": "gabors", "gabor_frame": ["A"]})
    assert list(other.groups(select)) == ["first", "second"]
    by = View(compare="split", by="gabor_kappa", first={"stimulus": "gabors"})
    assert by.groups(select) == {
        f"kappa {kappa:g}": {"stimulus": "gabors", "gabor_kappa": [kappa]}
        for kappa in sorted(set(memory_session.gabor_kappa.dropna("segment").values))
    }


@pytest.mark.parametrize(
    ("by", "stimulus", "first"),
    [
        ("unexpected", "gabors", "expected"),
        ("gabor_frame", "gabors", "Gabor frame A"),
        ("gabor_mean_orientation", "gabors", "mean orientation 0°"),
        ("main_flow_direction", "visflow", "nasal flow"),
        ("square_size", "visflow", "squares of 128 px"),
        ("block", "gabors", "block 5"),
    ],
)
def test_the_groups_of_a_split_are_called_by_words(select, by, stimulus, first):
    view = View(compare="split", by=by, first={"stimulus": stimulus})
    assert next(iter(view.groups(select))) == first


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"rois": (99,)}, "no ROI 99"),
        ({"zoom": (9.0, 3.0)}, "end after it begins"),
        ({"post": 0.0}, "window"),
        ({"pre": float("inf")}, "window"),
        ({"baseline": 9.0}, "baseline"),
        ({"sort_from": 0.9, "sort_to": 0.2}, "sorted"),
        ({"error": "quartiles"}, "no error of the mean"),
        ({"first": {"stimulus": "gabors", "gabor_frame": ["X"]}}, "not known"),
        ({"compare": "split", "by": "duration"}, "not split by"),
    ],
)
def test_what_does_not_fit_is_said(memory_session, select, changed, says):
    with pytest.raises(CriterionError, match=says):
        View(**changed).checked(memory_session, select)


@pytest.mark.parametrize(("sort", "by"), [("first", [0, 0]), ("second", [1, 1]), ("other", [1, 0])])
def test_the_other_selection_sorts(sort, by):
    assert [View(sort=sort).sorting_group(k, 2) for k in range(2)] == by
