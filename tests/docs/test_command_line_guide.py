"""Every command of the guide to the command line runs, and prints what the guide says."""

import os
import re
import shlex
from pathlib import Path

import pytest

from command_line import invoke

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "command_line.md"


def rounded(text: str) -> str:
    """A text without its decimals: the sample's times move a little when frame rates do."""
    return re.sub(r"\.\d+", "", text)


@pytest.mark.slow
def test_the_guide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```(sh|text)\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    said = [text for kind, text in blocks if kind == "text"]
    environment: dict[str, str] = {}
    ran, matched, printed = set(), [], []
    for kind, block in blocks:
        if kind == "text":
            matched += [block] * (rounded(block) in map(rounded, printed))
            continue
        printed = []
        for line in block.splitlines():
            program, *words = shlex.split(line)
            if program == "export":
                name, _, value = words[0].partition("=")
                environment[name] = value
                continue
            assert program == "oscaxr"
            done = invoke(*words, **environment)
            assert (done.exit_code, done.stderr) == (0, ""), line
            assert done.stdout
            printed.append(done.stdout)
            ran.add(words[0])
            if "-o" in words:
                assert Path(words[words.index("-o") + 1]).stat().st_size > 0
    assert matched == said
    assert ran == {
        "sample", "sessions", "info", "segments", "extract", "plot", "figures", "validate",
        "convert", "cite",
    }  # fmt: skip
    assert os.environ.get("OSCAXR_DATADIR") is None


def test_the_columns_and_exit_codes_of_the_guide_are_those_of_the_help():
    text = GUIDE.read_text()
    shown = invoke("--help").stdout
    for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE):
        assert re.search(rf"^ *{code}  ", shown, re.MULTILINE), code
