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


def test_groups_by_name(memory_session):
    assert list(View().groups(memory_session)) == ["expected", "unexpected"]
    other = View(first={"stimulus": "gabors", "gabor_frame": ["A"]})
    assert list(other.groups(memory_session)) == ["first", "second"]
    by = View(compare="split", by="gabor_kappa", first={"stimulus": "gabors"})
    assert by.groups(memory_session) == {
        f"gabor_kappa {kappa:g}": {"stimulus": "gabors", "gabor_kappa": [kappa]}
        for kappa in sorted(set(memory_session.gabor_kappa.dropna("segment").values))
    }


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"rois": (99,)}, "no ROI 99"),
        ({"post": 0.0}, "window"),
        ({"pre": float("inf")}, "window"),
        ({"baseline": 9.0}, "baseline"),
        ({"sort_from": 0.9, "sort_to": 0.2}, "sorted"),
        ({"error": "quartiles"}, "no error of the mean"),
        ({"first": {"stimulus": "gabors", "gabor_frame": ["X"]}}, "not known"),
        ({"compare": "split", "by": "duration"}, "not split by"),
    ],
)
def test_what_does_not_fit_is_said(memory_session, changed, says):
    with pytest.raises(CriterionError, match=says):
        View(**changed).checked(memory_session)


@pytest.mark.parametrize(("sort", "by"), [("first", [0, 0]), ("second", [1, 1]), ("other", [1, 0])])
def test_the_other_selection_sorts(sort, by):
    assert [View(sort=sort).sorting_group(k, 2) for k in range(2)] == by
