"""What is published: contents of the packages, their facts, and the workflows that make them."""

import re
import runpy
import tarfile
import tomllib
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

import oscaxr as ox

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    builders = pytest.importorskip("hatchling.builders.wheel")
    folder = str(tmp_path_factory.mktemp("wheel"))
    (built,) = builders.WheelBuilder(str(ROOT)).build(directory=folder, versions=["standard"])
    with ZipFile(built) as archive:
        yield archive


def test_contents_of_the_wheel(wheel):
    names = wheel.namelist()
    assert {name.split("/")[0] for name in names} == {
        "oscaxr",
        f"oscaxr-{ox.__version__}.dist-info",
    }
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "oscaxr").rglob("*.py")}
    assert modules <= set(names)
    needed = {"py.typed", "CITATION.cff", "formats/published.json"}
    assert {f"oscaxr/{name}" for name in needed} <= set(names)
    assert [name for name in names if "test" in name or "__pycache__" in name] == []
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_facts_of_the_wheel(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    facts = Parser().parsestr(wheel.read(name).decode())
    assert len(facts.get_all("Project-URL")) == len(PROJECT["urls"])
    assert "Repository, https://github.com/oscaxr/oscaxr" in facts.get_all("Project-URL")
    assert facts["License-Expression"] == "MIT"
    assert facts["Description-Content-Type"] == "text/markdown"


def test_contents_of_the_source(tmp_path):
    builders = pytest.importorskip("hatchling.builders.sdist")
    (built,) = builders.SdistBuilder(str(ROOT)).build(directory=str(tmp_path))
    with tarfile.open(built) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    needed = {"README.md", "CONTRIBUTING.md", "LICENSE", "CITATION.cff", "pyproject.toml"}
    needed |= {".ci/run", "docs/index.md", "tests/conftest.py", "notebooks/05_export.md"}
    assert needed <= names
    assert [name for name in names if "__pycache__" in name or name.endswith(".nwb")] == []


def test_bounds_are_lower_ones():
    """A hole for a version that is broken is none."""
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    for one in (one for group in groups for one in group if not one.startswith("oscaxr[")):
        assert re.fullmatch(r"[\w.-]+>=[\d.]+(,!=[\d.]+)*(;.*)?", one), one


def test_the_citation_is_of_this_version():
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cff["version"] == PROJECT["version"] == ox.__version__
    assert cff["repository-code"] == PROJECT["urls"]["Repository"]
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", cff["date-released"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_what_is_there(path):
    text = path.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}, "no more than a job needs"
    for job in workflow["jobs"].values():
        assert all(("run" in step) != ("uses" in step) for step in job["steps"])
    for name in re.findall(r"(?<![\w/])\.ci/[\w.]+", text):
        assert (ROOT / name).is_file(), name


def test_workflows_name_environments_that_there_are():
    environments = runpy.run_path(str(ROOT / ".ci" / "matrix.py"))["ENVIRONMENTS"]
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))
    matrix = workflow["jobs"]["matrix"]["strategy"]["matrix"]
    named = {*matrix["environment"], *(one["environment"] for one in matrix["include"])}
    assert named == {name for name in environments if not name.startswith("upcoming")}
    part = runpy.run_path(str(ROOT / ".ci" / "matrix.py"))["PART"]
    assert [one for one in part if not (ROOT / one).exists()] == []
    supported = [c.rsplit(" ", 1)[1] for c in PROJECT["classifiers"] if "Python :: 3." in c]
    assert {f"newest-{one}" for one in supported[1:]} | {f"lowest-{supported[0]}"} <= named
