"""The figures of the papers: every panel from the sessions at hand, or a gap that says why."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr import analyses
from oscaxr.errors import CriterionError, ExportError, SessionNotFoundError
from oscaxr.figures import make_figures
from oscaxr.figures.chosen_sessions import chosen_sources
from oscaxr.figures.make import SUMMARY, Counts
from oscaxr.figures.panels import PANELS, panels
from surveyed_sessions import FOUR_GROUPS

FEW = {"shuffles": 60, "permutations": 300, "splits": 2, "workers": 1, "progress": False}


@pytest.fixture(scope="module")
def fourth(mice, tmp_path_factory):
    """Panel 4G of five sessions, and the folder that it was made in."""
    folder = tmp_path_factory.mktemp("figures")
    return make_figures(mice.table, folder, figure="4G", **FEW), folder


def pixels(path):
    from matplotlib import image

    return image.imread(path)[..., :3]


def test_a_panel_has_a_picture_and_its_numbers(fourth, mice):
    made, _ = fourth
    (panel,) = made.panels
    assert (panel.paper, panel.panel, panel.status) == ("analysis", "4G", "drawn")
    assert pixels(panel.picture).std() > 0.02
    netcdf, csv = panel.numbers
    with xr.open_datatree(netcdf) as tree:
        found = tree["statistics"].to_dataset().load()
    usis = []
    for session in (1, 2, 3):
        with ox.open_session(mouse=1, session=session, datadir=mice.folder, table=mice.rows) as ds:
            usis.append(analyses.usi(ds, tracked=True).load())
    plain = analyses.usi_statistics(analyses.pool(usis), absolute=True, permutations=300, seed=905)
    own = found.sel(group="L23-Cux2 soma")
    np.testing.assert_allclose(own["value"], plain["value"].squeeze("group"), rtol=1e-12)
    # The sessions at hand make four comparisons: three pairs of one mouse, one of the other.
    assert found.attrs["comparisons"] == 4
    table = pd.read_csv(csv)
    cells = table[table["pair"].isna() & (table["group"] == "L23-Cux2 soma")]
    np.testing.assert_allclose(cells["value"], own["value"])


def test_a_missing_session_is_named_and_its_group_is_drawn(fourth):
    made, _ = fourth
    assert made.sessions == [900000001, 900000002, 900000003, 900000011, 900000012]
    (reason,) = made.missing.values()
    assert "900000013" in reason
    assert made.panels[0].sessions == tuple(made.sessions)


def test_results_of_sessions_are_kept(fourth, mice):
    made, folder = fourth
    assert (made.n_computed, made.n_kept) == (5, 0)
    again = make_figures(mice.table, folder, figure="4G", **FEW)
    assert (again.n_computed, again.n_kept) == (0, 5)
    lost = next((folder / "session_results").rglob("*900000011.nc"))
    lost.write_bytes(lost.read_bytes()[:500])
    repaired = make_figures(mice.table, folder, figure="4G", **FEW)
    assert (repaired.n_computed, repaired.n_kept) == (1, 4)
    assert pd.read_csv(repaired.panels[0].numbers[1]).equals(pd.read_csv(made.panels[0].numbers[1]))


def test_all_panels_are_listed(fourth):
    _, folder = fourth
    table = pd.read_csv(folder / SUMMARY)
    assert table["panel"].tolist() == ["4G"]
    assert (folder / table["picture"][0]).is_file()


def test_panels_of_an_earlier_call_stay_listed_while_they_are_there(fourth, mice, tmp_path):
    folder = Path(shutil.copytree(fourth[1], tmp_path / "figures"))
    first = pd.read_csv(folder / SUMMARY)

    def listed():
        make_figures(mice.table, folder, paper="dataset", figure="1B", **FEW)
        return pd.read_csv(folder / SUMMARY)

    both = listed()
    assert both["panel"].tolist() == ["1B", "4G"]
    pd.testing.assert_frame_equal(both[1:].reset_index(drop=True), first, check_dtype=False)
    (folder / first["picture"][0]).unlink()
    assert listed()["panel"].tolist() == ["1B"]
    (folder / SUMMARY).write_text("something else")
    assert listed()["panel"].tolist() == ["1B"]


def test_of_a_folder_all_sessions_are_taken_but_those_that_the_papers_leave_out(mice, tmp_path):
    rows = mice.rows.copy()
    rows.loc[rows["session_id"] == 900000002, "pass_fail"] = "F"
    made = make_figures(mice.folder, tmp_path, table=rows, figure="6A", **FEW)
    assert made.sessions == [900000001, 900000003, 900000011, 900000012]
    (reason,) = made.missing.values()
    assert "session 900000002: the papers leave it out" in reason
    assert made.panels[0].sessions == (900000001,)
    # The table in the folder is its table; one that does not tell leaves none out.
    few = rows.drop(columns=["pass_fail", "included", "all_files", "any_files", "n_rois"])
    for table in (None, few):
        all_of_them, used = chosen_sources(mice.folder, None, table)
        assert len(all_of_them) == 5
        assert used == set(rows["session_id"])


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        pytest.param("10E", "too few sequences", marks=pytest.mark.slow),
        pytest.param("7B", "sessions=\\(1, 3\\)", marks=pytest.mark.slow),
        ("9B", "session 2 only"),
        ("2B", "cannot resolve p"),
    ],
)
def test_a_panel_that_cannot_be_filled_is_a_gap_that_says_why(figure, words, mice, tmp_path):
    sessions = [11, 12] if figure != "7B" else [11]
    rows = mice.rows[mice.rows["session_id"].isin(900_000_000 + np.array(sessions))]
    if figure == "9B":
        rows = rows[rows["session"] == 2]
    few = FEW | ({"permutations": 20} if figure == "2B" else {})
    made = make_figures(rows, tmp_path, datadir=mice.folder, paper="analysis", figure=figure, **few)
    (panel,) = made.panels
    assert panel.status == "gap"
    assert panel.numbers == panel.sessions == ()
    assert re.search(words, panel.reason)
    assert pixels(panel.picture).std() > 0.01
    assert pd.read_csv(tmp_path / SUMMARY)["reason"].tolist() == [panel.reason]


def test_one_session_fills_what_one_session_can(mice, tmp_path):
    rows = mice.rows[mice.rows["session_id"] == 900000001]
    made = make_figures(rows, tmp_path, datadir=mice.folder, figure="4F", **FEW)
    assert [one.status for one in made.panels] == ["drawn"]


def test_what_a_panel_leaves_out_is_noted_beside_its_numbers(mice, tmp_path):
    rows = mice.rows[(mice.rows["session"] != 1) | (mice.rows["plane"] == "soma")]
    made = make_figures(rows, tmp_path, datadir=mice.folder, paper="analysis", figure="7A", **FEW)
    (panel,) = made.panels
    assert panel.left_out == ("mice 900002 have no session 1, which others are relative to",)
    with xr.open_datatree(panel.numbers[0]) as tree:
        assert tree.attrs["left_out"] == panel.left_out[0]
    assert pd.read_csv(tmp_path / SUMMARY)["left_out"].tolist() == [*panel.left_out]


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"paper": "both"}, CriterionError, "paper='both'"),
        ({"figure": "4Z"}, CriterionError, "figure='4Z'"),
        ({"shuffles": 0}, CriterionError, "at least one"),
        ({"seed": -1}, CriterionError, "seed=-1"),
        (
            {"full": True},
            CriterionError,
            "shuffles=60 and permutations=300 would count for nothing",
        ),
    ],
)
def test_what_is_not_known_is_refused_before_anything_is_done(asked, error, words, mice, tmp_path):
    with pytest.raises(error, match=words):
        make_figures(mice.folder, tmp_path / "figures", **{**FEW, **asked})
    assert not (tmp_path / "figures").exists()


def test_no_session_at_all_is_an_error_that_names_them(mice, tmp_path):
    rows = mice.rows[mice.rows["session_id"] == 900000013]
    with pytest.raises(SessionNotFoundError, match="900000013"):
        make_figures(rows, tmp_path, datadir=mice.folder, **FEW)
    empty = tmp_path / "mouse_df.csv"
    mice.rows.assign(pass_fail="F").to_csv(empty, index=False)
    with pytest.raises(SessionNotFoundError, match="none of the sessions that the papers use"):
        make_figures(empty, tmp_path / "figures", **FEW)


def test_a_file_is_no_folder_for_figures(mice, tmp_path):
    place = tmp_path / "figures"
    place.write_text("mine")
    with pytest.raises(ExportError, match="is a file"):
        make_figures(mice.folder, place, **FEW)
    assert place.read_text() == "mine"


def test_shuffles_are_enough_for_the_corrected_p():
    (panel,) = panels("analysis", "10D")
    (recipe,) = panel.recipes
    users = [(panel, panel.chosen(FOUR_GROUPS))]
    assert Counts(1000, 1, 1, False).of_sessions(recipe, users) == 1200
    assert Counts(5000, 1, 1, False).of_sessions(recipe, users) == 5000
    assert Counts(1000, 1, 1, True).of_sessions(recipe, users) == 100_000
    assert Counts(1000, 7, 1, False).of_groups(panel) == 7
    assert Counts(1000, 7, 1, True).of_groups(panel) == 100_000


@pytest.mark.slow
def test_every_panel_is_made_of_sample_sessions(tmp_path):
    """Of two mice with three sessions each, all but those that need files of another kind."""
    data = tmp_path / "data"
    first = ox.sample.mouse_specs(scale=0.3, n_rois=6, n_tracked=4)
    facts = {"mouse_id": 900_002, "mouse_number": 2, "plane": "dend", "line": "L5-Rbp4"}
    second = [
        ox.sample.SampleSpec(seed=5, session_id=900_000_010 + k, session_number=k, n_rois=5,
                             n_tracked=4, scale=0.3, **facts)
        for k in (1, 2, 3)
    ]  # fmt: skip
    for spec in (*first, *second):
        ox.sample.write_nwb(spec, data)
    ox.sample.sample_session_table([*first, *second]).to_csv(data / "mouse_df.csv", index=False)
    few = {**FEW, "workers": 2, "permutations": 1000}
    made = make_figures(data, tmp_path / "figures", **few)
    assert len(made.panels) == len(PANELS)
    gaps = [(one.paper, one.panel) for one in made.panels if one.status == "gap"]
    assert gaps == [("dataset", "8A"), ("dataset", "8B")]
    for one in made.panels:
        assert pixels(one.picture).std() > 0.01
        assert bool(one.numbers) == (one.status == "drawn")
    assert made.notes == {}
    # Another number of workers gives the same numbers.
    shutil.rmtree(tmp_path / "figures" / "session_results" / "gabor_usis")
    again = make_figures(data, tmp_path / "figures", figure="4D", **{**few, "workers": 1})
    assert again.n_computed == 2
    before = next(one for one in made.panels if one.panel == "4D" and one.paper == "analysis")
    assert pd.read_csv(again.panels[0].numbers[1]).equals(pd.read_csv(before.numbers[1]))
