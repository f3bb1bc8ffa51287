"""Pages for people: reached by the keyboard, and nothing lies over anything else."""

import re
from itertools import combinations
from urllib.parse import unquote

import pytest

from explored_page import wait_for_data

pytestmark = [pytest.mark.browser]

# What has the focus, within whatever it is in, and how it is outlined.
FOCUS = """
() => {
    let one = document.activeElement;
    while (one && one.shadowRoot && one.shadowRoot.activeElement)
        one = one.shadowRoot.activeElement;
    const style = getComputedStyle(one);
    return {words: one.innerText || one.value || "", tag: one.tagName,
            outline: style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth)};
}"""
# The rectangles of figures, or of their legends.
BOXES = """
kind => {
    const found = [];
    const walk = root => {
        for (const one of root.querySelectorAll("*")) {
            const box = one.getBoundingClientRect();
            if (one.classList.contains(kind) && box.width)
                found.push([box.left, box.top, box.right, box.bottom]);
            if (one.shadowRoot) walk(one.shadowRoot);
        }
    };
    walk(document);
    return found;
}"""


@pytest.mark.slow
def test_a_choice_by_keyboard_alone(served, page):
    page.goto(f"{served.address}?tab=responses")
    wait_for_data(page, "mean_responses")
    page.get_by_role("button", name="16", exact=True).nth(1).wait_for(timeout=20_000)
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        focus = page.evaluate(FOCUS)
        seen.append(focus)
        if focus["words"].strip() == "visual flow":
            break
    assert seen[-1]["words"].strip() == "visual flow", seen
    # The session is chosen first, then what is compared, then the criteria; all is seen.
    words = [one["words"].strip() for one in seen]
    assert words.index("one") < words.index("Gabors") < words.index("visual flow")
    unseen = [one for one in seen if one["tag"] == "BUTTON" and one["outline"] < 1]
    assert unseen == []
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: re.search("first.stimulus=visflow", unquote(url)), timeout=20_000)
    assert page.wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080)])
@pytest.mark.parametrize("tab", ["session", "responses", "field", "days"])
def test_no_figure_lies_over_another(served, page, tab, size):
    width, height = size
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"{served.address}?tab={tab}&rois=1,2")
    page.wait_for_selector(".bk-Figure", timeout=30_000)
    page.get_by_label("colour ROIs by", exact=True).wait_for(timeout=20_000)
    page.wait_for_timeout(1500)
    boxes = page.evaluate(BOXES, "bk-Figure")
    assert len(boxes) >= 3
    for left, top, right, bottom in boxes:
        assert left >= 330
        assert top >= 36
        assert right <= width + 1
        assert bottom <= height + 1
    for one, other in combinations(boxes, 2):
        apart = (
            one[2] <= other[0] + 1 or other[2] <= one[0] + 1
            or one[3] <= other[1] + 1 or other[3] <= one[1] + 1
        )  # fmt: skip
        assert apart, (one, other)


@pytest.mark.slow
@pytest.mark.parametrize("tab", ["responses", "field"])
def test_legends_of_many_groups_lie_within_their_figures(served, page, tab):
    """A legend that is wider than its figure is drawn over what is beside it."""
    page.goto(
        f"{served.address}?tab={tab}&rois=1&compare=split&by=gabor_mean_orientation"
        "&first.stimulus=gabors"
    )
    wait_for_data(page, "mean_responses" if tab == "responses" else "roi_mean")
    page.get_by_label("colour ROIs by", exact=True).wait_for(timeout=20_000)
    page.wait_for_timeout(1500)
    figures, legends = (page.evaluate(BOXES, kind) for kind in ("bk-Figure", "bk-Legend"))
    legends = [box for box in legends if box[3] - box[1] > 30]
    assert legends, "the names of six groups take several lines"
    for left, top, right, bottom in legends:
        assert any(
            one[0] <= left and one[1] <= top and right <= one[2] and bottom <= one[3]
            for one in figures
        ), (left, top, right, bottom)
