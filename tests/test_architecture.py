"""The walls of the house: who may import whom, how long a module may be, what must be documented.

And what files of tests are called: they mirror the package, tests/<room>/test_<module>.py, or
test_<module>_<what>.py where a file asks one question of the module.

The rules stand here as data. The checkers read source text with ``ast`` and never import it, so
that imports inside functions count too; the last part of this module shows on a made-up package
that each checker does find what it is there to find.
"""

import ast
import functools
import graphlib
import textwrap
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "oscaxr"
MAX_LINES = 400
MAX_FUNCTION_LINES = 60

# From the foundations up. A room may import the layers below its own, and its neighbours in the
# same layer unless the layer is sealed. A module may be a room of its own ("formats.registry");
# "" is the package's own __init__.py. A room that is not in this table is an error: it has to be
# given a place first.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("atomic", "errors", "options", "paths", "progress", "renamed", "submodules", "versions"),
    ("arrays",),
    ("model",),
    ("files", "select", "measure"),
    ("formats.identity", "sample"),
    ("formats.published",),
    ("formats.nwb", "formats.original", "formats.index", "store"),
    ("formats.registry",),
    ("sessions", "bridges", "analyses", "summary"),
    ("accessor", "plot", "download"),
    ("explore",),
    ("",),
    ("figures",),
    ("cli",),
)
# Folders of rooms: their own __init__.py holds nothing.
CORRIDORS = frozenset({"formats"})
SEALED = frozenset(
    {"files", "select", "measure", "sample", "formats.nwb", "formats.original", "formats.index"}
    | {"store", "sessions", "bridges", "analyses", "summary"}
)
# Rooms that see arrays and what a session is, never a file.
FILELESS = frozenset({"select", "measure", "analyses", "summary"})
WITH_FILES = frozenset({"files", "formats", "store", "sample", "sessions"})
# Only the registry (and the package's own list of public names) imports these.
FORMAT_ROOMS = frozenset({"formats.nwb", "formats.original", "formats.index", "store"})
BANNED_NAMES = frozenset({"utils", "util", "helpers", "misc", "common"})

# File names that stand in several rooms, and why. Other names stand once.
SAME_NAME: Mapping[str, str] = {
    "dataset": "assembles a session: of NWB, of the original format, of any",
    "open": "opens a session of any format, and one of our own exports",
    "responses": "windows of traces by segment: cut out, and drawn",
    "stimulus_log": "the log of the original format: read, and made for samples",
    "stimulus_table": "the stimulus table, read in NWB and in the original format",
}

# Folders of tests that are no rooms of the package.
OTHER_TESTS = frozenset({"attacks", "benchmarks", "docs", "fixtures"})
# Tests of the package as a whole, at the top of tests/, and what they ask. Others name a module.
OF_THE_WHOLE: Mapping[str, str] = {
    "architecture": "whether the house is built as the rules here say",
    "elsewhere": "whether all goes without what only POSIX systems have",
    "benchmarks": "whether every task that is measured still runs",
    "golden": "whether all rooms together give the recorded numbers",
    "import_cost": "what importing the package brings in",
    "no_silent_mistakes": "whether any room lets a plausible wrong answer pass",
}

# Libraries that only the named rooms may import; "inside" means within functions only.
OWNERS: Mapping[str, Mapping[str, str]] = {
    "h5py": {
        **dict.fromkeys(("files", "formats.nwb", "formats.original", "store"), "anywhere"),
        "sample": "inside",
        "versions": "inside",
    },
    "pynwb": {"sample": "inside"},
    "hdmf": {"sample": "inside"},
    "typer": {"cli": "anywhere"},
    "dandi": {"download": "inside"},
    "dandischema": {"download": "inside"},
    "fsspec": {"files": "anywhere"},
    "panel": {"explore": "anywhere"},
    "bokeh": {"explore": "anywhere"},
}
# Libraries that no module may import at its top, since `import oscaxr` would then pay for them.
# The command line is imported by nothing, so it may have its own.
HEAVY = frozenset(
    {"PIL", "bokeh", "dask", "deflate", "distributed", "h5netcdf", "matplotlib", "netCDF4"}
    | {"panel", "pynwb", "scipy", "sklearn", "typer", "zarr"}
)
# Nor are the modules of explore, until a page is made.
HEAVY_EXEMPT = frozenset({("cli", "typer"), ("explore", "bokeh"), ("explore", "panel")})
# Rooms that ask the others as a user would: by public names, beside the words of the foundations
# and what all pictures share.
ASKS_PUBLIC_NAMES = frozenset({"explore"})
WORDS_OF_ALL = frozenset({"errors", "model", "options", "plot.axes"})
# The one module that knows the parts of xarray that are not public.
XARRAY_SHIM = "arrays.xarray_internals"
XARRAY_PUBLIC = frozenset({"xarray.backends", "xarray.backends.common"})


# -- reading imports ----------------------------------------------------------------------------
@dataclass(frozen=True)
class Import:
    """One import of one module, by the module that has it."""

    by: str
    target: str
    line: int
    inside_function: bool
    for_types_only: bool

    def __str__(self) -> str:
        return f"{self.by}:{self.line} imports {self.target}"


def module_files(package: Path) -> dict[str, Path]:
    """Dotted name of each module of a package, ``__init__.py`` under the package's name."""
    names = {}
    for path in sorted(package.rglob("*.py")):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", None)
    return name == "TYPE_CHECKING"


def _walk(root: ast.AST, only_statements: bool) -> Iterator[tuple[ast.AST, bool, bool]]:
    """Nodes below one, with whether they are in a function and in ``if TYPE_CHECKING``."""
    pending = [(root, False, False)]
    while pending:
        node, inside, types_only = pending.pop()
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        guarded = isinstance(node, ast.If) and _is_type_checking(node.test)
        for name, value in ast.iter_fields(node):
            if only_statements and not isinstance(value, list):
                continue  # statements are in lists
            only = types_only or (guarded and name == "body")
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield child, inside or is_function, only
                    pending.append((child, inside or is_function, only))


def _targets(node: ast.AST, module: str, is_package: bool, known: Set[str]) -> list[str]:
    """Modules that one statement imports; a name out of a module counts as that module."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parts = module.split(".")
            up = node.level - 1 if is_package else node.level
            base = ".".join([*parts[: len(parts) - up], *filter(None, [base])])
        full = [f"{base}.{alias.name}" for alias in node.names]
        return [name if name in known else base for name in full]
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if name in {"import_module", "__import__"} and isinstance(node.args[0].value, str):
            return [node.args[0].value]
    return []


def read_imports(package: Path) -> list[Import]:
    """Every import of every module of a package."""
    files = module_files(package)
    known = frozenset(files)
    return [
        found
        for module, path in files.items()
        for found in _imports_of(
            module, path.read_text(encoding="utf-8"), path.name == "__init__.py", known
        )
    ]


@functools.cache
def parsed(text: str) -> ast.Module:
    """The syntax tree of a module, made once for all checkers; not to be changed."""
    return ast.parse(text)


@functools.cache
def _imports_of(module: str, text: str, is_package: bool, known: frozenset[str]) -> list[Import]:
    found: dict[Import, None] = {}
    # By a call, hardly any module imports, and expressions are most of the nodes.
    only_statements = "import_module" not in text and "__import__" not in text
    for node, inside, types_only in _walk(parsed(text), only_statements):
        for target in _targets(node, module, is_package, known):
            line = getattr(node, "lineno", 0)
            found[Import(module, target, line, inside, types_only)] = None
    return list(found)


def _room(module: str) -> str:
    """The room of a module of the package: the longest part of its name that the table has."""
    parts = module.split(".")[1:]
    known = {room for layer in LAYERS for room in layer}
    two, one = ".".join(parts[:2]), "".join(parts[:1])
    return two if two in known else one


def _library(module: str) -> str:
    return module.split(".")[0]


# -- the checkers: each returns the list of what is wrong ---------------------------------------
def wrong_arrows(package: Path) -> list[str]:
    """Imports that go up, or sideways between sealed rooms (those for types only included)."""
    level = {room: depth for depth, layer in enumerate(LAYERS) for room in layer}
    problems = [
        f"{module}: no room {_room(module)!r} in the table of layers"
        for module, path in module_files(package).items()
        if _room(module) not in level
        and not (_room(module) in CORRIDORS and path.name == "__init__.py")
    ]
    for found in read_imports(package):
        if _library(found.target) != package.name:
            continue
        source, target = _room(found.by), _room(found.target)
        if source == target or source not in level:
            continue
        if target in CORRIDORS:
            continue
        if target not in level:
            problems.append(f"{found}: no such room")
        elif level[target] > level[source]:
            problems.append(f"{found}: {source or package.name} is below {target or package.name}")
        elif source in FILELESS and target.partition(".")[0] in WITH_FILES:
            problems.append(f"{found}: {source} never sees a file")
        elif source in SEALED and target in SEALED and level[source] == level[target]:
            problems.append(f"{found}: {source} and {target} never import each other")
    return problems


def around_the_registry(package: Path) -> list[str]:
    """Imports of a format by other rooms than the registry: what lies at a place is asked there."""
    return [
        f"{found}: ask formats.registry"
        for found in read_imports(package)
        if _room(found.target) in FORMAT_ROOMS
        and _room(found.by) not in {_room(found.target), "formats.registry", ""}
        # What is public of a format is asked as a user would.
        and _room(found.by) not in ASKS_PUBLIC_NAMES
    ]


def cycles(package: Path) -> list[str]:
    """A cycle of imports, those inside functions included, those for types only left out."""
    graph: dict[str, set[str]] = {module: set() for module in module_files(package)}
    for found in read_imports(package):
        if found.target in graph and not found.for_types_only:
            graph[found.by].add(found.target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        # graphlib lists each module before the one that imports it.
        return [" imports ".join(reversed(error.args[1]))]
    return []


def long_modules(package: Path, most: int = MAX_LINES) -> list[str]:
    """Modules of more lines than allowed."""
    lengths = {
        module: len(path.read_text(encoding="utf-8").splitlines())
        for module, path in module_files(package).items()
    }
    return [f"{module}: {n} lines, at most {most}" for module, n in lengths.items() if n > most]


def code_lines(function: ast.AST, lines: list[str]) -> int:
    """Lines of a function, without docstrings, comments and blank ones."""
    skipped: set[int] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                skipped |= set(range(first.lineno, (first.end_lineno or 0) + 1))
    span = range(function.lineno, function.end_lineno + 1)
    texts = [lines[number - 1].strip() for number in span if number not in skipped]
    return sum(bool(text) and not text.startswith("#") for text in texts)


def long_functions(package: Path, most: int = MAX_FUNCTION_LINES) -> list[str]:
    """Functions of more lines of code than allowed."""
    problems = []
    for module, path in module_files(package).items():
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        for node in ast.walk(parsed(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                if node.end_lineno - node.lineno < most:
                    continue
                count = code_lines(node, lines)
                if count > most:
                    problems.append(f"{module}.{node.name}: {count} lines of code, at most {most}")
    return problems


def repeated_names(package: Path) -> list[str]:
    """File names that stand in several rooms without a reason."""
    rooms: dict[str, list[str]] = {}
    for module, path in module_files(package).items():
        if path.name != "__init__.py":
            rooms.setdefault(path.stem, []).append(module)
    return [
        f"{', '.join(modules)}: give the files names of their own, or say in SAME_NAME why not"
        for name, modules in rooms.items()
        if len(modules) > 1 and name not in SAME_NAME
    ]


def attics(package: Path) -> list[str]:
    """Modules whose name says nothing about what they are for."""
    return [m for m in module_files(package) if m.rpartition(".")[2] in BANNED_NAMES]


def misnamed_tests(package: Path) -> list[str]:
    """Files of tests that are not named by a module of their room."""
    tests = package.parent / "tests"
    problems = []
    for path in sorted(tests.rglob("test_*.py")):
        room = path.relative_to(tests).parent
        name = path.stem.removeprefix("test_")
        if OTHER_TESTS.intersection(room.parts[:1]) or (not room.parts and name in OF_THE_WHOLE):
            continue
        if not any(f"{name}_".startswith(f"{module}_") for module in _testable(package / room)):
            shown = path.relative_to(tests.parent).as_posix()
            problems.append(f"{shown}: no module of {(package.name / room).as_posix()} is named so")
    return problems


def _testable(room: Path) -> Iterator[str]:
    """Names of a room's modules, and its own if its ``__init__.py`` holds more than words."""
    for path in room.glob("*.py"):
        if path.name != "__init__.py":
            yield path.stem
        elif any(
            not isinstance(node, ast.Expr) for node in parsed(path.read_text(encoding="utf-8")).body
        ):
            yield room.name


def misplaced_libraries(package: Path) -> list[str]:
    """Libraries imported outside the rooms that own them."""
    problems = []
    for found in read_imports(package):
        allowed = OWNERS.get(_library(found.target))
        if allowed is None or found.for_types_only:
            continue
        where = allowed.get(_room(found.by))
        if where is None:
            problems.append(f"{found}: only {', '.join(allowed)} may")
        elif where == "inside" and not found.inside_function:
            problems.append(f"{found}: only inside a function")
    return problems


def heavy_imports(package: Path) -> list[str]:
    """Heavy libraries imported when a module is, instead of when a function needs them."""
    return [
        f"{found}: import it inside the function that needs it"
        for found in read_imports(package)
        if _library(found.target) in HEAVY
        and not (found.inside_function or found.for_types_only)
        and (_room(found.by), _library(found.target)) not in HEAVY_EXEMPT
    ]


def _public_names(package: Path, *modules: str) -> set[str]:
    """Names in the ``__all__`` of the package itself and of these rooms."""
    files = module_files(package)
    return {
        name
        for module in (package.name, *(f"{package.name}.{one}" for one in modules))
        if module in files
        for node in parsed(files[module].read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
        for name in ast.literal_eval(node.value)
    }


def around_public_names(package: Path) -> list[str]:
    """Names that a room takes from others which are not theirs to give away."""
    problems = []
    for module, path in module_files(package).items():
        if _room(module) not in ASKS_PUBLIC_NAMES:
            continue
        for node in ast.walk(parsed(path.read_text(encoding="utf-8"))):
            source = getattr(node, "module", None) or ""
            if not isinstance(node, ast.ImportFrom) or _library(source) != package.name:
                continue
            room, inner = _room(source), source.removeprefix(f"{package.name}.")
            if room in ASKS_PUBLIC_NAMES or {room, inner} & WORDS_OF_ALL or not room:
                continue
            public = _public_names(package, room)
            problems += [
                f"{module}:{node.lineno} takes {alias.name} of {source}, which is not public"
                for alias in node.names
                if alias.name not in public
            ]
    return problems


def xarray_internals(package: Path) -> list[str]:
    """Parts of xarray that are not public, used outside the one module that has them."""
    shim = f"{package.name}.{XARRAY_SHIM}"
    problems = [
        str(found)
        for found in read_imports(package)
        if found.by != shim
        and found.target.startswith(("xarray.core", "xarray.backends"))
        and found.target not in XARRAY_PUBLIC
    ]
    for module, path in module_files(package).items():
        for node in ast.walk(parsed(path.read_text(encoding="utf-8"))):
            if module != shim and isinstance(node, ast.Attribute) and _is_private(node):
                problems.append(f"{module}:{node.lineno} uses {ast.unparse(node)}")
    return [f"{problem}: only {XARRAY_SHIM} may" for problem in problems]


def _is_private(node: ast.Attribute) -> bool:
    owner = node.value.id if isinstance(node.value, ast.Name) else ""
    return node.attr == "_data" or (node.attr == "core" and owner in {"xr", "xarray"})


def undocumented(package: Path) -> list[str]:
    """Public functions, classes and methods without a docstring."""
    problems = []
    for module, path in module_files(package).items():
        if any(part.startswith("_") for part in module.split(".")):
            continue
        pending: list[tuple[str, ast.AST]] = [(module, parsed(path.read_text(encoding="utf-8")))]
        while pending:
            owner, node = pending.pop()
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.If | ast.Try):
                    pending.append((owner, child))
                if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    continue
                if child.name.startswith("_") or _documented_elsewhere(child):
                    continue
                if not ast.get_docstring(child):
                    problems.append(f"{owner}.{child.name} (line {child.lineno})")
                if isinstance(child, ast.ClassDef):
                    pending.append((f"{owner}.{child.name}", child))
    return sorted(problems)


def _documented_elsewhere(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """An overload or a setter has its words at the implementation or the getter."""
    names = {
        decorator.attr if isinstance(decorator, ast.Attribute) else getattr(decorator, "id", "")
        for decorator in node.decorator_list
    }
    return bool(names & {"overload", "override", "setter", "deleter"})


CHECKERS = (
    wrong_arrows,
    around_the_registry,
    cycles,
    long_modules,
    long_functions,
    repeated_names,
    attics,
    misnamed_tests,
)
CHECKERS += (misplaced_libraries, heavy_imports, xarray_internals, undocumented)
CHECKERS += (around_public_names,)


# -- the package itself ------------------------------------------------------------------------
@pytest.mark.parametrize("check", CHECKERS, ids=lambda check: check.__name__)
def test_package(check):
    problems = check(PACKAGE)
    assert not problems, "\n".join(problems)


def test_every_folder_with_modules_is_a_package():
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [str(f) for f in sorted(folders) if not (f / "__init__.py").is_file()] == []


def test_reading_is_not_in_vain():
    arrows = {(found.by, found.target) for found in read_imports(PACKAGE)}
    assert ("oscaxr.model.schema", "oscaxr.model.names") in arrows


def test_public_names_exist_and_are_documented():
    import oscaxr

    assert len(set(oscaxr.__all__)) == len(oscaxr.__all__), "a name stands twice in __all__"
    public = {name: getattr(oscaxr, name) for name in oscaxr.__all__}
    assert [name for name, item in public.items() if callable(item) and not item.__doc__] == []


# -- the checkers, on a made-up package --------------------------------------------------------
GOOD = {
    "__init__": "from pkg.sessions.open import open_session\n__all__ = ['open_session']\n",
    "errors": "",
    "arrays/__init__": "",
    "arrays/xarray_internals": """
        from xarray.core import indexing
        def data_of(variable):
            "Return it."
            return variable._data
        """,
    "model/__init__": "",
    "model/names": "TIME = 'time'\n",
    "files/__init__": "",
    "files/lazy": "import h5py\nfrom pkg.model import names\n",
    "formats/__init__": "",
    "formats/nwb/__init__": "",
    "formats/nwb/dataset": "from pkg.files import lazy\n",
    "formats/registry": "def _nwb():\n    from pkg.formats.nwb import dataset\n",
    "select/__init__": "from pkg.select.windows import window\n",
    "select/windows": """
        from pkg import errors
        def window():
            "Do it."
            import scipy.stats
        """,
    "sample/__init__": "",
    "sample/files": "def _write():\n    import h5py, pynwb\n",
    "sessions/__init__": "",
    "sessions/open": """
        from typing import TYPE_CHECKING
        from xarray.backends import BackendEntrypoint
        from xarray.backends.common import BackendArray
        from pkg.formats import registry
        if TYPE_CHECKING:
            import dask
        def open_session():
            "Open it."
            from pkg.select import window
        """,
    "explore/__init__": "",
    "explore/page": "from pkg.sessions.open import open_session\nfrom pkg.model import names\n",
    "cli/__init__": "",
    "cli/main": "import typer\nfrom pkg import open_session\n",
    "../tests/test_errors": "",
    "../tests/test_golden": "",
    "../tests/docs/test_pages": "",
    "../tests/formats/nwb/test_dataset_bad_input": "",
    "../tests/select/test_select": "",
    "../tests/select/test_windows": "",
}


@pytest.fixture
def tree(tmp_path):
    """Return a function that writes the good package, changed as it is told."""

    def write(**changes: str) -> Path:
        package = tmp_path / "pkg"
        for name, text in (GOOD | changes).items():
            path = (package / name).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")
        return package

    return write


@pytest.mark.parametrize("check", CHECKERS, ids=lambda check: check.__name__)
def test_checkers_pass_a_good_package(check, tree):
    assert check(tree()) == []


def function(body: str) -> str:
    return f"def _f():\n    {body}\n"


TYPES = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    "


@pytest.mark.parametrize(
    ("check", "module", "text", "says"),
    [
        (wrong_arrows, "model/names", "import pkg.files.lazy", "model is below files"),
        (wrong_arrows, "model/names", "from pkg import files", "model is below files"),
        (wrong_arrows, "model/names", "from pkg import open_session", "model is below pkg"),
        (wrong_arrows, "errors", "import pkg", "errors is below pkg"),
        (wrong_arrows, "files/lazy", "from ..sessions import open", "files is below sessions"),
        (
            wrong_arrows,
            "formats/nwb/dataset",
            "from pkg.formats import registry",
            "formats.nwb is below formats.registry",
        ),
        (
            wrong_arrows,
            "formats/original/dataset",
            function("from pkg.formats.nwb import dataset"),
            "never import each other",
        ),
        (wrong_arrows, "select/windows", function("import pkg.files.lazy"), "never sees a file"),
        (wrong_arrows, "select/windows", TYPES + "import pkg.files.lazy", "never sees a file"),
        (wrong_arrows, "sample/files", "from pkg.sessions import open", "sample is below sessions"),
        (wrong_arrows, "__init__", "from pkg.cli import main", "pkg is below cli"),
        (wrong_arrows, "files/lazy", function("import_module('pkg.cli.main')"), "below cli"),
        (wrong_arrows, "attic/__init__", "", "no room 'attic'"),
        (wrong_arrows, "formats/attic", "", "no room 'formats'"),
        (wrong_arrows, "sessions/open", "from pkg.gone import x", "no such room"),
        (
            around_the_registry,
            "sessions/open",
            function("from pkg.formats.nwb import dataset"),
            "ask formats.registry",
        ),
        (misplaced_libraries, "select/windows", "import h5py", "only files, formats.nwb"),
        (misplaced_libraries, "sample/files", "import pynwb", "only inside a function"),
        (misplaced_libraries, "files/lazy", function("import pynwb"), "only sample may"),
        (
            heavy_imports,
            "select/windows",
            "try:\n    import dask.array\nexcept E:\n    ...",
            "dask",
        ),
        (heavy_imports, "files/lazy", "class A:\n    from scipy import stats", "scipy"),
        (heavy_imports, "cli/main", "import matplotlib.pyplot", "matplotlib"),
        (xarray_internals, "files/lazy", "from xarray.core import indexing", "xarray.core:"),
        (xarray_internals, "files/lazy", "import xarray.core.indexing", "xarray.core.indexing:"),
        (
            xarray_internals,
            "select/windows",
            function("from xarray.backends.locks import HDF5_LOCK"),
            "xarray.backends.locks: only arrays.xarray_internals may",
        ),
        (xarray_internals, "model/names", "x = ds.dff.variable._data", "ds.dff.variable._data"),
        (xarray_internals, "model/names", "x = xr.core.indexing.OuterIndexer", "xr.core:"),
        (
            around_public_names,
            "explore/page",
            "from pkg.select.windows import window",
            "takes window of pkg.select.windows",
        ),
        (attics, "model/utils", "", "pkg.model.utils"),
        (misnamed_tests, "../tests/select/test_hostile", "", "no module of pkg/select is named so"),
        (misnamed_tests, "../tests/select/test_windowsill", "", "select/test_windowsill.py: no"),
        (misnamed_tests, "../tests/select/test_lazy", "", "no module of pkg/select"),
        (misnamed_tests, "../tests/formats/test_dataset", "", "no module of pkg/formats"),
        (misnamed_tests, "../tests/model/test_model", "", "no module of pkg/model"),
        (misnamed_tests, "../tests/attic/test_names", "", "no module of pkg/attic"),
        (misnamed_tests, "../tests/test_windows", "", "tests/test_windows.py: no module of pkg is"),
        (misnamed_tests, "../tests/test_select", "", "tests/test_select.py: no module of pkg is"),
        (repeated_names, "select/lazy", "", "pkg.files.lazy, pkg.select.lazy"),
        (undocumented, "sessions/open", "def f():\n    ...", "pkg.sessions.open.f"),
        (
            undocumented,
            "sessions/open",
            "class A:\n    'A.'\n    def f(self): ...",
            "pkg.sessions.open.A.f",
        ),
        (undocumented, "sessions/open", "if 1:\n    class A: ...", "pkg.sessions.open.A"),
    ],
)
def test_checkers_find(check, module, text, says, tree):
    problems = check(tree(**{module: text}))
    assert len(problems) == 1, problems
    assert says in problems[0]


def test_a_cycle_hidden_in_a_function_is_found(tree):
    package = tree(
        **{
            "files/lazy": function("from pkg.files import part"),
            "files/part": "import pkg.files.lazy",
        }
    )
    (problem,) = cycles(package)
    assert problem.count("pkg.files.lazy imports pkg.files.part") == 1
    assert "pkg.files.part imports pkg.files.lazy" in problem


def test_a_cycle_through_the_package_itself_is_found(tree):
    assert cycles(tree(**{"select/windows": function("from pkg.select import window")}))


def test_a_cycle_for_types_only_is_none(tree):
    changes = {
        "files/lazy": TYPES + "from pkg.files import part",
        "files/part": "import pkg.files.lazy",
    }
    assert cycles(tree(**changes)) == []


def test_what_follows_else_of_type_checking_is_a_real_import(tree):
    late = TYPES + "import numpy\nelse:\n    import pkg.files.part"
    assert cycles(tree(**{"files/lazy": late, "files/part": "import pkg.files.lazy"}))


def test_long_modules_are_found(tree):
    package = tree(**{"model/names": "x = 1\n" * (MAX_LINES + 1), "errors": "x = 1\n" * MAX_LINES})
    assert long_modules(package) == [f"pkg.model.names: {MAX_LINES + 1} lines, at most {MAX_LINES}"]


def test_long_functions_are_found(tree):
    """Docstrings, comments and blank lines do not count."""
    fits = "def f():\n    '''Do it.\n\n    So.'''\n    # why\n\n" + "    x = 1\n" * 59
    package = tree(**{"model/names": fits, "model/long": "async " + fits + "    return x\n"})
    assert long_functions(package) == ["pkg.model.long.f: 61 lines of code, at most 60"]
