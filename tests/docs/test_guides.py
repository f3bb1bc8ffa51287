"""Every Python snippet of the guides runs, in the order of its page, and prints what it says.

What needs the network finds a server on this machine instead, with the archive's interface.
Pages with code cells are run when the documentation is built, which shows what they print.
"""

import re
import warnings
from pathlib import Path

import pytest

import oscaxr as ox
from archive_server import ArchiveServer
from sample_forms import as_recorded

DOCS = Path(__file__).resolve().parents[2] / "docs"


def snippets_of(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


GUIDES = [page for page in sorted((DOCS / "guide").glob("*.md")) if snippets_of(page)]


@pytest.fixture
def archive(tmp_path_factory, sample_path, monkeypatch):
    """Let the dandi client, and plans, take a server on this machine for the archive."""
    consts = pytest.importorskip("dandi.consts")
    pytest.importorskip("fsspec")
    server = ArchiveServer(version=ox.download.VERSION)
    recorded = as_recorded(sample_path, tmp_path_factory.mktemp("recorded"))
    server.add(f"sub-408021/{recorded.name}", recorded)
    instance = consts.DandiInstance("dandi", None, server.api)
    monkeypatch.setitem(consts.known_instances, "dandi", instance)
    monkeypatch.setattr("oscaxr.download.listing.API_URL", server.api)
    yield server
    server.close()


NEEDS_NETWORK = ("download_and_stream",)
# Those that write and read whole sessions again and again.
LONG = ("export", "many_sessions")


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.slow] * (page.stem in LONG)) for page in GUIDES],
    ids=lambda page: page.stem,
)
def test_snippets_run(page, tmp_path, monkeypatch, capsys, request):
    if page.stem in NEEDS_NETWORK:
        request.getfixturevalue("archive")
    text = page.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number, snippet in enumerate(snippets_of(page)):
            exec(compile(snippet, f"{page.name}, snippet {number}", "exec"), names)
    for value in names.values():
        if hasattr(value, "close") and not isinstance(value, type):
            value.close()
    printed = capsys.readouterr().out.splitlines()
    said = re.findall(r"^ *print\(.*\)  # (.*)$", text, re.MULTILINE)
    assert said
    assert [line for line in printed if line in said] == said


def test_guides_with_snippets_are_found():
    assert {"many_sessions", "export"} <= {page.stem for page in GUIDES}


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.stem)
def test_code_cells_are_run_by_the_build(page):
    """A code cell without the header of MyST-NB would be shown and not run."""
    text = page.read_text(encoding="utf-8")
    if "```{code-cell}" in text:
        assert text.startswith("---\nfile_format: mystnb\nkernelspec:\n  name: python3\n---\n")
        assert not snippets_of(page), "code cells and snippets do not share their names"
