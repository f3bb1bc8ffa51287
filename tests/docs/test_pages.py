"""What the pages of the documentation promise: all that is public, all that is declared."""

import ast
import inspect
import re
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import oscaxr as ox
from oscaxr import accessor, errors
from oscaxr.model.facts import FACTS
from oscaxr.model.schema import SEQUENCES, SESSION
from tests.attacks import kinds

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.md"))
INDEX = (DOCS / "api" / "index.rst").read_text(encoding="utf-8")


def listed(module: str) -> list[str]:
    """Names in the tables of the reference that belong to a module."""
    parts = re.split(r"^\.\. currentmodule:: (\S+)$", INDEX, flags=re.MULTILINE)
    texts = [text for name, text in zip(parts[1::2], parts[2::2], strict=True) if name == module]
    return [name for text in texts for name in re.findall(r"^   ([\w.]+)$", text, re.MULTILINE)]


def members(cls: type) -> list[str]:
    return [f"{name}" for name in dir(cls) if not name.startswith("_")]


def test_every_public_function_has_a_page():
    functions = [name for name in ox.__all__ if inspect.isfunction(getattr(ox, name))]
    # Of a function with the name of a package, the tables would show the package.
    others = re.findall(r"^\.\. autofunction:: oscaxr::(\w+)$", INDEX, re.MULTILINE)
    assert sorted([*listed("oscaxr"), *others]) == sorted(functions)


@pytest.mark.parametrize("module", ["analyses", "figures", "plot", "sample", "download"])
def test_every_name_of_a_public_module_has_a_page(module):
    names = import_module(f"oscaxr.{module}").__all__
    assert sorted(listed(f"oscaxr.{module}")) == sorted(names)


def test_the_cases_of_attacks_are_as_many_as_is_said():
    page = (DOCS / "project" / "trust.md").read_text(encoding="utf-8")
    said = re.findall(r"^\| `(\w+)` \| (\d+) \|", page, re.MULTILINE)
    assert {name: int(cases) for name, cases in said} == {
        name: module.CASES for name, module in kinds().items()
    }


def test_every_method_of_the_accessors_has_a_page():
    methods = [
        *(f"Dataset.osca.{name}" for name in members(accessor.DatasetAccessor)),
        *(f"DataArray.osca.{name}" for name in members(accessor.DataArrayAccessor)),
    ]
    assert sorted(listed("xarray")) == sorted(methods)
    assert {"Dataset.osca.sequences", "Dataset.osca.n_tracked"} <= set(methods)


def test_the_sidebar_of_the_reference_is_grouped_as_the_page():
    parts = re.split(r"^(.+)\n-{3,}$", INDEX, flags=re.MULTILINE)[1:]
    topics = dict(zip(parts[::2], parts[1::2], strict=True))
    assert len(topics) > 10
    captions = {topic: re.findall(r":caption: (.+)", text) for topic, text in topics.items()}
    assert captions == {topic: [topic] for topic in topics}


def test_errors_are_documented_by_their_module():
    page = (DOCS / "api" / "errors.rst").read_text(encoding="utf-8")
    assert ".. automodule:: oscaxr.errors\n   :members:\n" in page
    bases = errors.OscaxrError, errors.OscaxrWarning
    found = [item for item in vars(errors).values() if inspect.isclass(item)]
    assert all(item.__doc__ for item in found if issubclass(item, bases))


@pytest.fixture
def tables(monkeypatch):
    """The script that writes the tables into the pages."""
    monkeypatch.syspath_prepend(str(DOCS))
    import make_tables

    yield make_tables
    sys.modules.pop("make_tables")


def test_tables_tell_what_is_declared(tables):
    stale = [str(page.relative_to(ROOT)) for page in tables.stale_pages()]
    assert stale == [], "write them anew with: python docs/make_tables.py"


def test_a_stale_table_is_found(tables):
    page = (DOCS / "guide" / "data_model.md").read_text(encoding="utf-8")
    assert tables.renewed(page) == page
    assert tables.renewed(page.replace("| `tracking_id` |", "| `track` |")) == page
    assert tables.renewed(re.sub(r"(<!-- table: .* -->\n)[^<]*", r"\1", page)) == page


def test_cells_keep_their_text_in_one_cell(tables):
    table = tables.pipe_table(("a", "b"), [("x | y", tables.code_cell("if a:\n\n    b\n"))])
    assert table == "| a | b |\n| --- | --- |\n| x \\| y | `if a:`<br>`    b` |\n"


def test_the_data_model_page_prints_all_that_is_declared():
    page = (DOCS / "guide" / "data_model.md").read_text(encoding="utf-8")
    names = [*SESSION, *SEQUENCES, *(fact.name for fact in FACTS)]
    assert [name for name in names if f"| `{name}` |" not in page] == []
    session = ox.sample.session(n_rois=2, scale=0.02)
    assert [name for name in session.attrs if f"`{name}`" not in page] == []


def test_the_migration_page_has_all_groups():
    page = (DOCS / "guide" / "from_session_objects.md").read_text(encoding="utf-8")
    groups = re.findall(r"^<!-- table: migration (\w+) -->$", page, re.MULTILINE)
    declared = tomllib.loads((DOCS / "migration.toml").read_text(encoding="utf-8"))
    assert sorted(groups) == sorted(declared)


def test_references_are_those_of_the_citation_file():
    text = (DOCS / "project" / "citing.md").read_text(encoding="utf-8")
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    dois = re.findall(r"^    doi: (\S+)$", cited, re.MULTILINE)
    assert len(dois) == 3
    assert all(f"https://doi.org/{doi}" in text for doi in dois)


def test_inventories_can_be_read(monkeypatch, tmp_path):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    import offline_inventories
    from sphinx.util.inventory import InventoryFile

    mapping = offline_inventories.mapping(DOCS / "_inventories", tmp_path, online=False)
    address, (inventory,) = mapping["xarray"]
    with Path(inventory).open("rb") as stream:
        loaded = InventoryFile.load(stream, address, lambda base, path: base + path)
    item = loaded.data["py:class"]["xarray.Dataset"] if hasattr(loaded, "data") else None
    found = item or loaded["py:class"]["xarray.Dataset"]
    assert "https://docs.xarray.dev/en/stable/generated/xarray.Dataset.html" in str(found)


# -- notebooks ---------------------------------------------------------------------------------
def cells(notebook: Path) -> list[str]:
    text = notebook.read_text(encoding="utf-8")
    found = re.findall(r"^```\{code-cell\} ipython3\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [re.sub(r"\A(?::[^\n]*\n)+\n", "", cell) for cell in found]


def test_there_are_six_notebooks_and_the_docs_list_them():
    names = [notebook.stem for notebook in NOTEBOOKS]
    assert [name[:2] for name in names] == ["01", "02", "03", "04", "05", "06"]
    page = (DOCS / "notebooks_index.md").read_text(encoding="utf-8")
    assert re.findall(r"^notebooks/(\w+)$", page, re.MULTILINE) == names
    assert (DOCS / "notebooks").resolve() == ROOT / "notebooks"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_notebooks_are_text_without_outputs(notebook):
    text = notebook.read_text(encoding="utf-8")
    assert text.startswith("---\nfile_format: mystnb\nkernelspec:\n  name: python3\n---\n# ")
    assert "{code-cell-output}" not in text
    code = cells(notebook)
    assert len(code) > 10
    assert sum("plot" in cell for cell in code) >= 3, "each has pictures"
    for cell in code:
        lines = cell.splitlines()
        if lines[0].startswith("%%writefile"):
            lines = lines[1:]
        if not lines[0].startswith("!"):
            ast.parse("\n".join(lines))
        assert max(map(len, lines)) <= 90, "longer lines wrap on the page"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_names_in_notebooks_exist(notebook):
    text = "\n".join(cells(notebook))
    for name in set(re.findall(r"\box\.(\w+)", text)):
        assert hasattr(ox, name), name
    for name in set(re.findall(r"\bplot\.(\w+)\(", text)) - {"line"}:
        assert name in ox.plot.__all__, name
    methods = {*members(accessor.DatasetAccessor), *members(accessor.DataArrayAccessor)}
    assert set(re.findall(r"\.osca\.(\w+)", text)) <= methods
