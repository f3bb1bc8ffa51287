"""The table of the papers' figures: what it calls is there, and gives what its pictures take."""

import ast
import inspect
import re
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

import oscaxr as ox
from oscaxr import analyses, figures

ROOT = Path(__file__).resolve().parents[2]
TABLE = tomllib.loads((ROOT / "docs" / "papers_figures.toml").read_text(encoding="utf-8"))
ROWS = [
    pytest.param(row, id=f"{paper}-{row['panel'].replace(', ', '-')}")
    for paper, rows in TABLE.items()
    for row in rows
]
# Keywords that functions hand on to `split`, and to the choice of segments.
HANDED_ON = {"name", "third", "common_orientations", "tracked", "gabor_frame", "unexpected"}
# Examples, images and histograms of behaviour.
LEFT_OUT = {
    "analysis": {"1B", "1D", "4A", "4B"},
    "dataset": {"1B", "2B", "2C", "2D", "5A", "5B", "5C", "5D", "6B", "8A", "8B"},
}


def calls(row):
    """Yield the calls of public functions in a row, by name."""
    for key in {"session", "beside", "group"} & set(row):
        for node in ast.walk(ast.parse(row[key])):
            if isinstance(node, ast.Call):
                owner, _, name = ast.unparse(node.func).rpartition(".")
                if owner == "ox" or (not owner and name != "abs"):
                    yield name, node


@pytest.mark.parametrize("row", ROWS)
def test_what_is_called_is_there(row):
    """Every function, and every keyword that it names itself."""
    for name, call in calls(row):
        signature = inspect.signature(getattr(analyses, name, None) or getattr(ox, name))
        given = [word.arg for word in call.keywords]
        signature.bind(*call.args, **dict.fromkeys(given))
        assert set(given) - set(signature.parameters) <= HANDED_ON
    assert row.get("picture", "responses") in ox.plot.__all__
    assert {"session", "picture"} & set(row)


@pytest.fixture(scope="module")
def recorded():
    """The sessions of the paper: 1 to 3 of its mice, by line and plane."""
    mice = {"L23-Cux2 dend": 2, "L23-Cux2 soma": 3, "L5-Rbp4 dend": 3, "L5-Rbp4 soma": 3}
    places = [(g, m, k) for g, n_mice in mice.items() for m in range(n_mice) for k in (1, 2, 3)]
    return [
        SimpleNamespace(group=group, number=number, facts={"mouse": 0, "mouse_id": (group, mouse)})
        for group, mouse, number in places
    ]


@pytest.mark.parametrize("paper", TABLE)
def test_panels_are_those_that_oscaxr_figures_makes(paper, recorded):
    made = {panel.name: panel for panel in figures.panels(paper)}
    rows = {name: row for row in TABLE[paper] for name in row["panel"].split(", ")}
    assert set(rows) == set(made) - LEFT_OUT[paper]
    for name, row in rows.items():
        panel, named = made[name], {own for own, _ in calls(row)}
        assert named <= set(panel.functions), name
        assert set(panel.functions) - named <= {"pool", "group_means"}, name
        if "sessions" in row:
            assert row["sessions"] == ", ".join(map(str, panel.sessions)), name
        told = re.search(r"comparisons=(\d+)", row.get("group", ""))
        if told:
            assert int(told[1]) == panel.compared.count(panel.chosen(recorded)), name
        if "permutations" in row.get("group", ""):
            assert f"permutations={panel.full:_}" in row["group"], name


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
    drawn = pytest.importorskip("matplotlib.figure")
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
    figure = drawn.Figure()
    takes_figure = row["picture"] in ("group_traces", "session_overview")
    takes_figure |= "time_course" in row.get("session", "")
    draw = getattr(ox.plot, row["picture"])
    if row["picture"] == "usi_pairs":
        assert draw(pooled["pooled"], figure, correlations=found)
        return
    assert draw(found, figure if takes_figure else figure.subplots())
