"""How long people wait at the page of ``oscaxr explore``, measured in a real browser.

python tests/benchmarks/exploring.py SESSION [CHROMIUM [FOLDER]]

Prints the seconds from the command to the first picture, of loading the page again, and from a
choice until the browser has drawn what follows from it. ``stats`` beside them is the time that the
library alone takes for the same responses, in this process. Of a folder of sessions, prints what
memory the server takes while they are opened in turn, ten of them (Linux).
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import oscaxr as ox

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fixtures"))

from explored_page import click_roi, seconds_until_changed, wait_for_data

FIGURE = ".bk-Figure"


def address_of(process: "subprocess.Popen[str]") -> str:
    """Return the address that the command says."""
    assert process.stdout is not None
    for line in process.stdout:
        if " at http" in line:
            return line.split(" at ")[1].strip()
    raise SystemExit("the command stopped before it served anything")


def served(what: str) -> "subprocess.Popen[str]":
    """Start the command."""
    script = Path(sys.executable).parent / "oscaxr"
    command = [sys.executable, str(script), "explore", what, "--no-browser"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def measure(session: str, chromium: str) -> None:
    """Measure, and print as it goes."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        start = time.perf_counter()
        process = served(session)
        try:
            address = address_of(process)
            say("command to serving", time.perf_counter() - start)
            page.goto(address)
            page.wait_for_selector(FIGURE, timeout=60_000)
            say("command to first picture", time.perf_counter() - start)
            wait_for_data(page, "trace mean_dff", "y", seconds=120)
            say("command to mean dF/F of the whole recording", time.perf_counter() - start)
            choices(page, address)
        finally:
            process.terminate()
            process.wait()
            browser.close()


def choices(page: Any, address: str) -> None:
    """Measure what follows choices."""
    for tab in ("session", "responses", "field"):
        # Of a page at rest: nothing is computed any more for what was looked at before.
        page.wait_for_timeout(3000)
        start = time.perf_counter()
        page.goto(f"{address}?tab={tab}")
        page.wait_for_selector(FIGURE, timeout=60_000)
        say(f"loading the page, {tab}", time.perf_counter() - start)
    page.goto(f"{address}?tab=responses")
    wait_for_data(page, "mean_responses", seconds=60)
    page.wait_for_timeout(2000)
    second = page.get_by_role("button", name="16", exact=True).nth(1)
    first = page.get_by_role("button", name="16", exact=True).nth(0)
    frame = page.get_by_role("button", name="D", exact=True).nth(1)
    orientation = page.get_by_role("button", name="90", exact=True).nth(0)
    for words, button in (
        ("criterion: kappa of U", second), ("criterion: kappa of D", first),
        ("criterion: D and U", frame), ("criterion: orientation of D", orientation),
    ):  # fmt: skip
        say(words, seconds_until_changed(page, "mean_responses", button.click))
        page.wait_for_timeout(1000)
    page.goto(f"{address}?tab=responses&compare=one&first.stimulus=gabors&first.gabor_frame=A")
    wait_for_data(page, "mean_responses", seconds=60)
    page.wait_for_timeout(2000)
    all_of_them = page.get_by_role("button", name="A", exact=True).nth(0)
    say("criterion: all gabors", seconds_until_changed(page, "mean_responses", all_of_them.click))
    page.goto(f"{address}?tab=field")
    wait_for_data(page, "field", "roi", seconds=60)
    page.wait_for_timeout(2500)
    for roi in (3, 10, 20):
        taken = seconds_until_changed(page, "roi_mean", lambda roi=roi: click_roi(page, roi))
        say(f"a click on ROI {roi}: its responses", taken)
        page.wait_for_timeout(1000)
    for roi in (5, 12):
        taken = seconds_until_changed(page, "roi_traces", lambda roi=roi: click_roi(page, roi))
        say(f"a click on ROI {roi}: its trace", taken)
        page.wait_for_timeout(1000)


def memory(folder: str, chromium: str, turns: int = 10) -> None:
    """Open the sessions of a folder in turn, look at each, and print what the server takes."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        process = served(folder)
        try:
            page.goto(f"{address_of(process)}?tab=field")
            choice = page.get_by_label("session", exact=True)
            wait_for_data(page, "field", "roi", seconds=60)
            count = choice.locator("option").count()
            for turn in range(turns):
                choice.select_option(index=(turn + 1) % count)
                page.wait_for_timeout(1000)
                wait_for_data(page, "field", "roi", seconds=60, number=-1)
                for tab in ("Responses", "Session", "Field"):
                    page.get_by_text(tab, exact=True).first.click()
                    page.wait_for_timeout(1000)
                status = Path(f"/proc/{process.pid}/status").read_text()
                kilobytes = int(status.split("VmRSS:")[1].split()[0])
                print(f"{kilobytes / 1024:8.0f} MB after {turn + 2} sessions", flush=True)
        finally:
            process.terminate()
            process.wait()
            browser.close()


def library(session: str) -> None:
    """Measure the library alone."""
    with ox.open_session(session) as ds:
        for words, criteria in {
            "stats of U": {"gabor_frame": "U"}, "stats of D": {"gabor_frame": "D"},
            "stats of all gabors": {"stimulus": "gabors"},
        }.items():  # fmt: skip
            segments = ds.osca.select(**criteria)
            start = time.perf_counter()
            ox.stats(ds.osca.sequences("dff", segments, pre=1, post=1), "sequence", error=None)
            count = segments.sizes["segment"]
            say(f"{words} ({count:,} sequences)", time.perf_counter() - start)


def say(words: str, seconds: float) -> None:
    """Print one line."""
    print(f"{seconds:8.3f} s  {words}", flush=True)


if __name__ == "__main__":
    named = sys.argv[1:]
    found = named[1] if len(named) > 1 else shutil.which("chromium")
    if not named or found is None:
        raise SystemExit(__doc__)
    library(named[0])
    measure(named[0], found)
    if len(named) > 2:
        memory(named[2], found)
