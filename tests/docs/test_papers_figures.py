"""The table of the papers' figures: what it calls is there, and gives what its pictures take."""

import ast
import inspect
import re
import tomllib
from pathlib import Path

import pytest

import oscaxr as ox
from oscaxr import analyses

ROOT = Path(__file__).resolve().parents[2]
ROWS = [
    pytest.param(row, id=f"{paper}-{row['panel'].replace(', ', '-')}")
    for paper, rows in tomllib.loads(
        (ROOT / "docs" / "papers_figures.toml").read_text(encoding="utf-8")
    ).items()
    for row in rows
]
# Keywords that are handed on, and what takes them.
HANDED_ON = {"name", "third", "common_orientations", "tracked", "gabor_frame", "unexpected"}


@pytest.mark.parametrize("row", ROWS)
def test_what_is_called_is_there(row):
    """Every function, and every keyword that it names itself."""
    for key in {"session", "beside", "group"} & set(row):
        for call in ast.walk(ast.parse(row[key])):
            if not isinstance(call, ast.Call) or ast.unparse(call.func).endswith(
                ("abs", "pooled.assign", "beside.assign")
            ):
                continue
            name = ast.unparse(call.func)
            function = getattr(*((ox, name[3:]) if name.startswith("ox.") else (analyses, name)))
            given = {word.arg: None for word in call.keywords}
            signature = inspect.signature(function)
            signature.bind(*call.args, **given)
            unnamed = set(given) - set(signature.parameters)
            assert unnamed <= HANDED_ON, (name, unnamed)
    assert row.get("picture", "responses") in ox.plot.__all__
    assert {"session", "picture"} & set(row)


@pytest.fixture(scope="module")
def mouse():
    specs = ox.sample.mouse_specs(scale=0.5, n_rois=(5, 4, 6), n_tracked=3, field_shape=(64, 64))
    return [ox.sample.session(spec) for spec in specs]


def evaluated(code, **names):
    """Evaluate code of the table, with fewer of what takes long."""
    code = re.sub(r"shuffles=[\d_]+", "shuffles=2_000, splits=5", code)
    code = re.sub(r"permutations=[\d_]+", "permutations=5_000", code)
    return eval(code, {**vars(analyses), "ox": ox, **names})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::oscaxr.errors.DroppedSequencesWarning")
@pytest.mark.parametrize("row", ROWS)
def test_each_panel_is_made(mouse, row):
    figures = pytest.importorskip("matplotlib.figure")
    pytest.importorskip("sklearn")
    sessions = mouse[: len(row.get("sessions", "123"))]
    results = {
        name: [evaluated(row[key], ds=ds) for ds in sessions]
        for key, name in (("session", "pooled"), ("beside", "beside"))
        if key in row
    }
    if "picture" not in row:  # results of sessions are all that there is
        assert all(one.sizes for one in results["pooled"])
        return
    options = {key: evaluated(row[key]) for key in ("by", "dim") if key in row}
    pooled = {name: analyses.pool(own, **options) for name, own in results.items()}
    found = evaluated(row["group"], **pooled) if "group" in row else pooled.get("pooled", mouse[0])
    if row["picture"] == "relative_responses":
        found = {"unexpected": found}
    figure = figures.Figure()
    takes_figure = row["picture"] in ("group_traces", "session_overview")
    takes_figure |= "time_course" in row.get("session", "")
    draw = getattr(ox.plot, row["picture"])
    assert draw(found, figure if takes_figure else figure.subplots())
