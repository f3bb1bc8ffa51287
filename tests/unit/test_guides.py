"""Every Python snippet of the guides runs, in the order of its page, and prints what it says.

What needs the network finds a server on this machine instead, with the archive's interface.
"""

import re
import warnings
from pathlib import Path

import pytest

import oscaxr as ox
from archive_server import ArchiveServer

GUIDES = sorted((Path(__file__).resolve().parents[2] / "docs" / "guide").glob("*.md"))


@pytest.fixture
def archive(tmp_path, sample_path, monkeypatch):
    """Let the dandi client take a server on this machine for the archive."""
    consts = pytest.importorskip("dandi.consts")
    pytest.importorskip("fsspec")
    server = ArchiveServer(version=ox.download.VERSION)
    server.add(f"sub-408021/{sample_path.name}", sample_path)
    instance = consts.DandiInstance("dandi", None, server.api)
    monkeypatch.setitem(consts.known_instances, "dandi", instance)
    yield server
    server.close()


NEEDS_NETWORK = ("download_and_stream",)


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_snippets_run(page, tmp_path, monkeypatch, capsys, request):
    if page.stem in NEEDS_NETWORK:
        request.getfixturevalue("archive")
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
