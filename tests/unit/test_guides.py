"""Every Python snippet of the guides runs, in the order of its page, and prints what it says."""

import re
import warnings
from pathlib import Path

import pytest

PAGES = (Path(__file__).resolve().parents[2] / "docs" / "guide").glob("*.md")
GUIDES = sorted(page for page in PAGES if "```python" in page.read_text())


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_snippets_run(page, tmp_path, monkeypatch, capsys):
    text = page.read_text()
    snippets = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert snippets
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number, snippet in enumerate(snippets):
            exec(compile(snippet, f"{page.name}, snippet {number}", "exec"), names)
    for value in names.values():
        if hasattr(value, "close") and not isinstance(value, type):
            value.close()
    printed = capsys.readouterr().out.splitlines()
    said = re.findall(r"^ *print\(.*\)  # (.*)$", text, re.MULTILINE)
    assert said
    assert [line for line in printed if line in said] == said
