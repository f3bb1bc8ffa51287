"""Running ``oscaxr``: as a process of its own, or in this one where that is enough."""

import importlib
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

from oscaxr.errors import OscaxrWarning

SCRIPT = Path(sys.executable).parent / ("oscaxr.exe" if os.name == "nt" else "oscaxr")
ENVIRONMENT = {"COLUMNS": "80", "TERMINAL_WIDTH": "80"}


def environment(**more: str) -> dict[str, str]:
    """The environment without what would change the results."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("OSCAXR_")}
    for name in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS"):
        mine.pop(name, None)
    return {**mine, **ENVIRONMENT, **more}


def run(*args: object, cwd: Path, **env: str) -> subprocess.CompletedProcess:
    """Run the console script, its output piped."""
    return subprocess.run(
        [SCRIPT, *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=cwd,
        env=environment(**env),
    )


def invoke(*args: object, **env: str) -> Any:
    """Run a command in this process: quicker, where only what it says and writes matters."""
    app = importlib.import_module("oscaxr.cli.main").app
    runner = importlib.import_module("typer.testing").CliRunner()
    cleared = {name: None for name in os.environ if name.startswith("OSCAXR_")}
    with warnings.catch_warnings():
        # They are told as notes, which is for the caller to look at.
        warnings.simplefilter("always", OscaxrWarning)
        return runner.invoke(app, [*map(str, args)], env={**cleared, **ENVIRONMENT, **env})


def told(*args: object, **env: str) -> str:
    """What a command prints, which must be all well."""
    done = invoke(*args, **env)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    return done.stdout


def told_json(*args: object, **env: str) -> Any:
    """What a command prints as JSON, which must be strict."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(told(*args, "--json", **env), parse_constant=refuse)


def refused(*args: object, code: int = 1, **env: str) -> str:
    """The message of a command that must fail, with nothing on standard output."""
    done = invoke(*args, **env)
    assert (done.exit_code, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr
    assert "mistake in oscaxr" not in done.stderr
    if code == 1:
        assert done.stderr.startswith("Error: ")
        return done.stderr
    # The box that usage errors come in is broken into lines.
    return " ".join(done.stderr.replace("│", " ").split())
