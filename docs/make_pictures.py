"""Take the pictures of ``oscaxr explore`` that its page shows: each tab, light and dark.

python docs/make_pictures.py

Needs a browser (chromium) and playwright. The sessions are synthetic.
"""

import shutil
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image

import oscaxr as ox

FOLDER = Path(__file__).resolve().parent / "_static" / "explore"
TABS = ("session", "responses", "field", "days", "code")
SIZE = {"width": 1280, "height": 800}
# Few colours are enough for pages, and make small files.
COLORS = 256


def main() -> None:
    """Take all pictures."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        ox.sample.write_mouse(folder, scale=0.12, n_rois=(40, 38, 36), n_tracked=20)
        script = "from oscaxr.cli.main import run; run()"
        command = [sys.executable, "-c", script, "explore", folder, "--no-browser"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 (our own)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split(" at ")[1].strip()
            page = browser.new_page(viewport=SIZE)
            for shade in ("light", "dark"):
                for tab in TABS:
                    page.goto(f"{address}?tab={tab}&rois=4,12&shade={shade}")
                    page.wait_for_selector(".bk-Figure, .oscaxr-code", timeout=60_000)
                    page.wait_for_timeout(6000)
                    picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
                    picture.quantize(COLORS, dither=Image.Dither.NONE).save(
                        FOLDER / f"{tab}_{shade}.png", optimize=True
                    )
        finally:
            browser.close()
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
