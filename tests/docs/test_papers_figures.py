"""The table of the papers' figures: what it calls is there, and gives what its pictures take."""

import ast
import inspect
import re
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

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
HANDED_ON = {"name", "third", "common_orientations", "tracked"}
HANDED_ON |= {"gabor_frame", "unexpected", "main_flow_direction"}


def calls(row):
    """Yield the calls of public functions in a row, by name."""
    for key in {"session", "beside", "group", "picture"} & set(row):
        # Pictures have a room of their own, with some of the names.
        others = {"abs", row["picture"].partition("(")[0]} if key == "picture" else {"abs"}
        for node in ast.walk(ast.parse(row[key])):
            if isinstance(node, ast.Call):
                owner, _, name = ast.unparse(node.func).rpartition(".")
                if owner == "ox" or (not owner and name not in others):
                    yield name, node


@pytest.mark.parametrize("row", ROWS)
def test_what_is_called_is_there(row):
    """Every function, and every keyword that it names itself."""
    for name, call in calls(row):
        signature = inspect.signature(getattr(analyses, name, None) or getattr(ox, name))
        given = [word.arg for word in call.keywords]
        signature.bind(*call.args, **dict.fromkeys(given))
        assert set(given) - set(signature.parameters) <= HANDED_ON
    picture, _, _ = row["picture"].partition("(")
    assert picture in ox.plot.__all__


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
    assert set(rows) == set(made)
    for name, row in rows.items():
        panel, named = made[name], {own for own, _ in calls(row)}
        assert named <= set(panel.functions), name
        assert set(panel.functions) - named <= {"pool", "group_means"}, name
        assert row.get("mice", "") == ", ".join(map(str, panel.mice)), name
        if "sessions" in row:
            assert row["sessions"] == ", ".join(map(str, panel.sessions)), name
        told = re.search(r"comparisons=(\d+)", row.get("group", ""))
        if told:
            assert int(told[1]) == panel.compared.count(panel.chosen(recorded)), name
        if "permutations" in row.get("group", ""):
            assert f"permutations={panel.full:_}" in row["group"], name


SPECS = ox.sample.mouse_specs(scale=0.5, n_rois=(5, 4, 6), n_tracked=3, field_shape=(64, 64))


@pytest.fixture(scope="module")
def mouse():
    return [ox.sample.session(spec) for spec in SPECS]


@pytest.fixture(scope="module")
def matching_file(tmp_path_factory):
    """What ROIs of the first session were matched with."""
    first, *mates = SPECS
    folder = tmp_path_factory.mktemp("original")
    ox.sample.write_original(ox.sample.make_session(first), folder, mates=mates)
    (path,) = folder.rglob("*nway_matched_rois.json")
    return path


def evaluated(code, **names):
    """Evaluate code of the table, with fewer of what takes long."""
    code = re.sub(r"shuffles=[\d_]+", "shuffles=2_000, splits=5", code)
    code = re.sub(r"permutations=[\d_]+", "permutations=5_000", code)
    return eval(code, {**vars(analyses), "ox": ox, "np": np, "xr": xr, **names})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::oscaxr.errors.DroppedSequencesWarning")
@pytest.mark.parametrize("row", ROWS)
def test_each_panel_is_made(mouse, matching_file, row):
    drawn = pytest.importorskip("matplotlib.figure")
    pytest.importorskip("sklearn")
    sessions = mouse[: len(row.get("sessions", "123"))]
    results = {
        kind: [evaluated(row[key], ds=ds) for ds in sessions]
        for key, kind in (("session", "pooled"), ("beside", "beside"))
        if key in row
    }
    name, _, given = row["picture"].partition("(")
    takes_session = re.search(r"\bresults?\b", given)
    found, names = mouse[0], {}
    if takes_session:
        names = {"results": results["pooled"], "result": results["pooled"][-1]}
        names |= {"other": results.get("beside", [None])[-1], "path": matching_file}
    elif "session" in row:
        options = {key: evaluated(row[key]) for key in ("by", "dim") if key in row}
        names = {key: analyses.pool(own, **options) for key, own in results.items()}
        found = evaluated(row["group"], **names) if "group" in row else names["pooled"]
    figure = drawn.Figure()
    takes_figure = name in ("group_traces", "session_overview", "usi_pairs")
    takes_figure |= "time_course" in row.get("session", "")
    where = figure if takes_figure else figure.subplots()

    def draw(what, **options):
        return getattr(ox.plot, name)(what, where, **options)

    if given:
        assert evaluated(row["picture"], **{**names, "found": found, name: draw})
    else:
        assert draw(found)
