"""``oscaxr figures``: the figures of the papers, from the sessions at hand."""

import pytest

import oscaxr as ox
from command_line import invoke, refused, told, told_json

FEW = ("--workers", 1, "--shuffles", 50, "--permutations", 300)


@pytest.fixture(scope="module")
def mouse(tmp_path_factory):
    """The folder of a mouse's sessions. Not to be written to."""
    folder = tmp_path_factory.mktemp("mouse")
    ox.sample.write_mouse(folder, scale=0.05, n_rois=4, n_tracked=3)
    return folder


def test_panels_are_listed_and_there(mouse, tmp_path):
    out = tmp_path / "figures"
    text = told("figures", mouse, "--paper", "analysis", "--figure", "4G", "-o", out, *FEW)
    lines = text.splitlines()
    assert lines[0].split() == ["paper", "panel", "result", "sessions", "what", "it", "shows"]
    assert lines[1].split()[:4] == ["analysis", "4G", "drawn", "3"]
    assert lines[-1] == f"3 sessions, 3 results computed, 0 kept; 1 drawn: {out}"
    assert (out / "panels.csv").is_file()
    assert len(list(out.glob("analysis/figure_4/4G_*.png"))) == 1
    again = told("figures", "--datadir", mouse, "--figure", "4g", "-o", out, *FEW)
    assert "0 results computed, 3 kept" in again


@pytest.mark.slow
def test_json_says_what_became_of_each_panel(mouse, tmp_path):
    found = told_json("figures", mouse, "--figure", "4F", "-o", tmp_path, *FEW)
    assert [(one["panel"], one["status"]) for one in found["panels"]] == [("4F", "drawn")]
    assert found["missing"] == {}


def test_gaps_and_missing_sessions_are_notes(mouse, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (path,) = mouse.rglob("*900000002*.nwb")
    (data / path.name).symlink_to(path)
    table = mouse / "mouse_df.csv"
    words = ("--paper", "analysis", "--figure", "9B", "-o", tmp_path / "out", *FEW)
    done = invoke("figures", table, "--datadir", data, *words)
    assert done.exit_code == 0
    assert "1 sessions, 1 results computed, 0 kept; 1 gap" in done.stdout
    notes = done.stderr.splitlines()
    assert sum(one.startswith("Note: missing: ") for one in notes) == 2
    assert "Note: analysis 9B is a gap: there is session 2 only" in done.stderr


def test_what_is_asked_for_has_to_be_there(mouse, tmp_path):
    distributed = pytest.importorskip("distributed")
    assert "say which sessions" in refused("figures", "-o", tmp_path, code=2)
    said = refused("figures", mouse, "-o", tmp_path, "--full", "--permutations", 300)
    assert "--full takes the papers' numbers" in said
    assert "that --permutations 300 would" in said
    assert "figure='12'" in refused("figures", mouse, "--figure", 12, "-o", tmp_path, *FEW)
    said = refused("figures", mouse, "-o", tmp_path, "--scheduler", "nowhere", *FEW)
    assert "there is no scheduler at nowhere" in said
    # Nor is it asked by what is computed later in this process.
    with pytest.raises(ValueError, match="No global client"):
        distributed.get_client()


@pytest.mark.slow
def test_a_cluster_of_dask(mouse, tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
    ) as cluster:
        words = ("--figure", "4F", "--scheduler", cluster.scheduler_address, "-o", tmp_path)
        done = invoke("figures", mouse, *words)
        assert "3 results computed" in done.stdout, done.stderr
