"""Run the tests with the oldest and the newest of what oscaxr may be used with.

    python .ci/matrix.py                           a representative part, in every environment
    python .ci/matrix.py lowest-3.11 --all         the whole suite, with the oldest
    python .ci/matrix.py newest -- tests/store     other tests, with the newest on each Python
    python .ci/matrix.py upcoming --all            the newest pre-releases of xarray and zarr
    python .ci/matrix.py upcoming --index URL      the same, of another index (nightly builds)

An environment is made by uv (``pip install uv``) in a folder that is deleted afterwards; a table
says at the end which versions were tried, how many tests passed, and which did not. A Python that
is not here, nor to be had, is named as skipped; that nothing at all could be run is a failure.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

# Opening, windows, statistics, exports, the command line, pictures and analyses: a few minutes on
# two cores. Where a library changes what it does, one of these breaks.
PART = (
    "tests/test_architecture.py",
    "tests/test_errors.py",
    "tests/test_import_cost.py",
    "tests/analyses",
    "tests/arrays",
    "tests/bridges",
    "tests/cli/test_main.py",
    "tests/cli/test_plot.py",
    "tests/explore/test_serving.py",
    "tests/files",
    "tests/formats",
    "tests/measure",
    "tests/model",
    "tests/plot/test_plot.py",
    "tests/sample",
    "tests/select",
    "tests/sessions/test_backend.py",
    "tests/sessions/test_map.py",
    "tests/sessions/test_open.py",
    "tests/store",
)
# dandi holds zarr back, so it comes with the oldest only: there everything is installed.
NEWEST_EXTRAS = "plot,fast,analyses,distributed,pynapple,stream,s3,explore"
PRINTS_NOTHING: dict[str, Any] = {"capture_output": True, "text": True}
SHOWN = ("xarray", "zarr", "h5py", "netCDF4", "numpy", "pandas", "dask", "pynwb")


@dataclass(frozen=True)
class Environment:
    """What is tried together, and how uv is asked for it."""

    python: str
    extras: str = NEWEST_EXTRAS
    options: tuple[str, ...] = ()


ENVIRONMENTS = {
    "lowest-3.11": Environment("3.11", "all", ("--resolution", "lowest-direct")),
    **{f"newest-{python}": Environment(python) for python in ("3.12", "3.13", "3.14")},
    # A bound that names a pre-release asks uv for them, of these two only.
    "upcoming-3.13": Environment("3.13", options=("xarray>=2025.7.1rc0", "zarr>=3.1.1rc0")),
}


@dataclass
class Outcome:
    """What came of an environment: a line of the table, and the tests that failed."""

    name: str
    said: str
    failed: list[str] = field(default_factory=list)
    versions: str = ""
    seconds: float = 0.0


def with_pyenv() -> dict[str, str]:
    """Return the variables of this process, so that uv finds what pyenv has installed too."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    paths = [os.environ.get("PATH", ""), *map(str, sorted(versions.glob("3.*/bin")))]
    alone = {"PYTHONNOUSERSITE": "1", "MPLBACKEND": "Agg", "PATH": os.pathsep.join(paths)}
    mine = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTEST_ADDOPTS", "PYTHONDONTWRITEBYTECODE")
    return {k: v for k, v in os.environ.items() if k not in mine} | alone


def interpreter(uv: str, version: str) -> str | None:
    """Return the path of a Python; None where there is none and uv can fetch none."""
    find, fetch = ("find", "--no-project", version), ("install", "--quiet", version)
    for command in (find, fetch, find):
        done = subprocess.run([uv, "python", *command], env=with_pyenv(), **PRINTS_NOTHING)
        if command == find and done.returncode == 0:
            return done.stdout.strip()
    return None


def run(uv: str, name: str, tests: list[str], index: str | None, keep: Path | None) -> Outcome:
    """Make an environment, run tests in it, and say what came of it."""
    environment, began = ENVIRONMENTS[name], time.monotonic()
    found = interpreter(uv, environment.python)
    if found is None:
        return Outcome(name, f"skipped: no Python {environment.python} here")
    with tempfile.TemporaryDirectory(prefix=f"oscaxr-{name}-") as made:
        home = keep / name if keep else Path(made) / "venv"
        python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        indexes = ["--index", index] if index else []
        what = ["-e", f"{ROOT}[{environment.extras}]", "--group", f"{ROOT}/pyproject.toml:test"]
        make = [uv, "venv", "--quiet", "--clear", "--python", found, str(home)]
        fill = [uv, "pip", "install", "--quiet", "--python", str(python), *environment.options]
        for command in (make, [*fill, *indexes, *what]):
            if subprocess.run(command, env=with_pyenv()).returncode:
                return Outcome(name, "FAILED: could not be installed", ["(installing)"])
        listing = [uv, "pip", "freeze", "--python", str(python)]
        versions = subprocess.run(listing, env=with_pyenv(), **PRINTS_NOTHING).stdout
        shown = [f"{one} {version}" for one in SHOWN if (version := version_of(one, versions))]
        print(f"\n== {name}: {', '.join(shown)}", flush=True)
        said: list[str] = []
        command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
        with subprocess.Popen(
            command, cwd=ROOT, env=with_pyenv(), stdout=subprocess.PIPE, text=True
        ) as pytest:
            assert pytest.stdout is not None
            for line in pytest.stdout:
                print(line, end="", flush=True)
                said.append(line.rstrip())
        failed = [line for line in said if line.startswith(("FAILED ", "ERROR "))]
        if pytest.returncode and not failed:
            failed = [f"(pytest ended with {pytest.returncode})"]
        last = next(
            (line for line in reversed(said) if re.search(r" in [\d.]+s", line)), "no words"
        )
        return Outcome(name, last.strip("= "), failed, ", ".join(shown), time.monotonic() - began)


def version_of(package: str, frozen: str) -> str:
    """Return which version of a package is among those that uv lists."""
    found = re.search(rf"^{package}==(\S+)$", frozen, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def chosen(words: list[str]) -> list[str]:
    """Return the environments that are meant by names or beginnings of names; all by none."""
    for word in words:
        if not any(name.startswith(word) for name in ENVIRONMENTS):
            sys.exit(f"no environment {word!r}; there are {', '.join(ENVIRONMENTS)}")
    usual = [name for name in ENVIRONMENTS if not name.startswith("upcoming")]
    return [n for n in ENVIRONMENTS if any(n.startswith(w) for w in words)] if words else usual


def main() -> int:
    """Run what the command line asks for; say 1 where a test failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("environments", nargs="*", help=f"of {', '.join(ENVIRONMENTS)}")
    parser.add_argument("--all", action="store_true", help="the whole suite, not a part of it")
    parser.add_argument("--index", metavar="URL", help="an index that is asked first")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="leave the environments there")
    # What follows -- is for pytest.
    words = sys.argv[1:]
    end = words.index("--") if "--" in words else len(words)
    arguments = parser.parse_args(words[:end])
    uv = shutil.which("uv") or sys.exit("there is no uv: pip install uv")
    tests = words[end + 1 :] or ([] if arguments.all else list(PART))
    names = chosen(arguments.environments)
    outcomes = [run(uv, name, tests, arguments.index, arguments.keep) for name in names]
    print(f"\n{'environment':<16} {'seconds':>7}  outcome")
    for one in outcomes:
        print(f"{one.name:<16} {one.seconds:>7.0f}  {one.said}")
        for line in filter(None, (one.versions, *one.failed)):
            print(f"{'':<26}{line}")
    skipped = [one.said.startswith("skipped") for one in outcomes]
    return int(all(skipped) or any(one.failed for one in outcomes))


if __name__ == "__main__":
    sys.exit(main())
