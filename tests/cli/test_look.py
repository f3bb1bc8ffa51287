"""The commands that look: info, sessions, segments, validate, cite."""

import json
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

import oscaxr as ox
from archive_server import ArchiveServer
from command_line import invoke, refused, told, told_json
from oscaxr.files.hdf5_arrays import DatasetReader
from sample_forms import planted, write_nwb_form

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def data(mouse_with_table):
    """The folder of a mouse's three sessions, with their table. Not to be written to."""
    return mouse_with_table


@pytest.fixture(scope="module")
def first(data):
    """The first session's file."""
    return min(data.rglob("*.nwb"))


@pytest.fixture(scope="module")
def bare(data, tmp_path_factory):
    """A folder with files of sessions, but without a table."""
    folder = tmp_path_factory.mktemp("bare")
    for path in data.rglob("*.nwb"):
        shutil.copy(path, folder)
    return folder


# -- which session --------------------------------------------------------------------------------
@pytest.mark.slow
def test_every_way_to_name_a_session(data, first, bare):
    table = data / "mouse_df.csv"
    numbered = ("--mouse", 1, "--session", 1)
    found = [
        told_json("segments", *words, "gabor_frame=U", **env)
        for words, env in [
            ((first,), {}),
            ((900000001, "--datadir", data), {}),
            ((900000001, "--datadir", bare), {}),
            ((*numbered, "--datadir", data), {}),
            ((*numbered, "--datadir", bare, "--table", table), {}),
            ((*numbered, "--run-type", "prod"), {"OSCAXR_DATADIR": str(data)}),
            (numbered, {"OSCAXR_DATADIR": str(bare), "OSCAXR_TABLE": str(table)}),
        ]
    ]
    assert all(one == found[0] for one in found)
    assert found[0]["selected"] == 2


@pytest.mark.slow
def test_facts_of_the_table_come_with_a_path_too(data, first):
    table = data / "mouse_df.csv"
    for words, env in [((first, "--table", table), {}), ((first,), {"OSCAXR_TABLE": str(table)})]:
        assert told_json("info", *words, **env)["facts"]["mouse"] == 1
    assert "mouse" not in told_json("info", first)["facts"]


@pytest.mark.slow
def test_a_table_in_the_environment_that_lacks_the_session(data, first, tmp_path):
    other = tmp_path / "other.csv"
    table = pd.read_csv(data / "mouse_df.csv")
    table[table["sess_n"] > 1].to_csv(other, index=False)
    done = invoke("info", first, OSCAXR_TABLE=str(other))
    assert done.exit_code == 0
    assert "Note: the session table" in done.stderr
    assert "OSCAXR_TABLE" in done.stderr
    done = invoke("info", 900000001, "--datadir", data, OSCAXR_TABLE=str(other))
    assert (done.exit_code, "Note: the session table" in done.stderr) == (0, True)
    # On the command line it was asked for.
    assert "900000001" in refused("info", 900000001, "--datadir", data, "--table", other)
    assert "900000001" in refused("info", first, "--table", other)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "say which session"),
        (("gabor_frame=U",), "say which session"),
        (("a.nwb", "b.nwb"), "not NAME=VALUE (written without spaces): a.nwb b.nwb"),
        (("a.nwb", "--mouse", 1), "give the session once"),
        ((900000001,), "OSCAXR_DATADIR"),
        (("--mouse", 1, "--session", 1), "--datadir"),
        (("a.nwb", "--datadir", "/nowhere"), "does not exist"),
        (("a.nwb", "--run-type", "odd"), "prod"),
    ],
)
def test_sessions_that_are_not_said_well(words, says):
    assert says in refused("segments", *words, code=2)


def test_sessions_that_are_not_there(data, bare):
    assert "there is no file no.nwb" in refused("info", "no.nwb")
    assert f"`oscaxr sessions {data}`" in refused("info", data)
    assert "Nearest ids: 900000003" in refused("info", 900000009, "--datadir", bare)
    assert "has no session with mouse 4" in refused(
        "info", "--mouse", 4, "--session", 1, "--datadir", data
    )
    assert "3 sessions of the table have mouse 1" in refused(
        "info", "--mouse", 1, "--datadir", data
    )
    text = refused("info", "--mouse", 1, "--session", 1, "--datadir", bare, code=2)
    assert "--table" in text


def test_a_session_on_a_server(first, tmp_path):
    for library in ("fsspec", "requests"):
        pytest.importorskip(library)
    server = ArchiveServer()
    try:
        url = server.add(first.name, first, {})
        found = told_json("info", url)
        assert found["files"] == [{"path": url, "bytes": first.stat().st_size}]
        assert re.search(rf"\n  {re.escape(url)}\s+\(", told("info", url))
        told("extract", url, "gabor_frame=U", "-o", tmp_path / "there.csv")
        assert "404" in refused("info", url.replace("/blobs/", "/nothing/"))
    finally:
        server.close()
    told("extract", first, "gabor_frame=U", "-o", tmp_path / "here.csv")
    assert (tmp_path / "there.csv").read_text() == (tmp_path / "here.csv").read_text()


def test_what_the_archive_has_of_a_session(first, tmp_path):
    path = tmp_path / "sub-408021" / "sub-408021_ses-758519303_behavior+ophys.nwb"
    path.parent.mkdir()
    shutil.copy(first, path)
    with h5py.File(path, "r+") as file:
        for name, number in (("session_id", 758519303), ("subject/subject_id", 408021)):
            del file["general"][name]
            file["general"][name] = str(number)
    size = path.stat().st_size
    assert told_json("info", path)["files"] == [
        {"path": str(path), "bytes": size, "published_bytes": 240014960}
    ]
    assert "; 240.0 MB in the archive)" in told("info", path)
    (row,) = told_json("sessions", tmp_path)
    assert (row["bytes"], row["published_bytes"]) == (size, 240014960)
    done = invoke("sessions", tmp_path)
    assert re.search(
        "Note: session 758519303 has files of .* those of the archive have 240.0 MB", done.stderr
    )
    text = refused("info", 759189643, "--datadir", tmp_path)
    assert "oscaxr download --sessions 759189643 fetches 212.0 MB" in text


# -- info -----------------------------------------------------------------------------------------
def test_info(first):
    text = told("info", first)
    assert text.startswith("Session 900000001, SYNTHETIC: made up, not recorded\n")
    for words in (str(first), "two-photon", " Hz, ", "3 of them tracked", "not known: mouse"):
        assert words in text
    assert re.search(r"^  gabors +\d+ +\d+ +1 +", text, re.MULTILINE)
    assert re.search(r"^  roi_mask +roi, height, width +bool ", text, re.MULTILINE)
    assert len(text.splitlines()) < 45


def test_info_fits_80_columns_and_breaks_no_word(first, tmp_path):
    with ox.open_session(first) as ds:
        long = ds.assign_attrs(notes="some words " * 30).drop_vars(
            ["pupil_diameter", "run_velocity"]
        )
        ox.save(long, tmp_path / "long.zarr")
    text = told("info", tmp_path / "long.zarr", COLUMNS="80", TERMINAL_WIDTH="80")
    # A path cannot be broken; it stands alone.
    lines = [line for line in text.splitlines() if not line.strip().startswith("/")]
    assert max(map(len, lines)) <= 80
    assert "some words some" in text
    words = " ".join(text.split())
    assert "pupil_diameter (pupil diameter), " in words or "run_velocity (running" in words


def test_info_as_json_agrees_with_the_session(data, first):
    found = told_json("info", first, "--table", data / "mouse_df.csv")
    with ox.open_session(first, table=data / "mouse_df.csv") as ds:
        assert found["facts"]["session_id"] == int(ds.session_id)
        assert found["facts"]["plane"] == str(ds.plane.values)
        assert found["files"] == [{"path": str(first), "bytes": first.stat().st_size}]
        assert found["rois"] == {"total": ds.sizes["roi"], "tracked": 3}
        assert found["recording"]["twop"]["frames"] == ds.sizes["time"]
        assert found["recording"]["stim"]["fps"] == ds.attrs["stim_fps"]
        for kind, counts in found["segments"].items():
            segments = ds.osca.select(stimulus=kind)
            assert counts["segments"] == segments.sizes["segment"]
            assert counts["unexpected"] == int((segments.unexpected == 1).sum())
            assert counts["blocks"] == len(set(segments.block.values.tolist()))
            assert counts["seconds"] == pytest.approx(float(segments.duration.sum()))
        assert set(found["variables"]) == set(ds.data_vars)
        assert found["variables"]["dff"]["dims"] == {"time": ds.sizes["time"], "roi": 5}
        missing = found["missing"]
        assert missing["facts"] == []
        assert missing["variables"] == []
        fraction = float(np.isnan(ds.pupil_diameter.values).mean())
        assert missing["fraction_of_frames"]["pupil_diameter"] == pytest.approx(fraction)


def test_info_says_what_is_missing(first, tmp_path):
    with ox.open_session(first) as ds:
        ox.save(ds.drop_vars(["pupil_diameter", "max_projection"]), tmp_path / "part.zarr")
    found = told_json("info", tmp_path / "part.zarr")
    assert found["missing"]["variables"] == ["pupil_diameter", "max_projection"]
    assert "pupil_diameter (pupil diameter)" in told("info", tmp_path / "part.zarr")


def test_info_reads_no_traces(first, monkeypatch):
    read: list[str] = []
    usual = DatasetReader.read

    def noted(self, *args):
        read.append(self.name)
        return usual(self, *args)

    monkeypatch.setattr(DatasetReader, "read", noted)
    told("info", first)
    assert any("pupil" in name for name in read)
    assert not [name for name in read if "dff" in name.lower() or "mask" in name.lower()]


# -- sessions -------------------------------------------------------------------------------------
def test_sessions_of_a_folder_and_of_a_table(data, bare):
    listed = told("sessions", data)
    assert listed == told("sessions", data / "mouse_df.csv")
    assert listed.splitlines()[-1] == "3 of 3 sessions, 3 of them synthetic"
    assert max(map(len, listed.splitlines())) <= 80
    found = told_json("sessions", data)
    assert [row["session_id"] for row in found] == [900000001, 900000002, 900000003]
    assert {row["plane"] for row in found} == {"soma"}
    assert all(Path(row["path"]).is_file() for row in found)
    # Without a table, what files know.
    assert "plane" not in told_json("sessions", bare)[0]
    assert told("sessions", OSCAXR_DATADIR=str(data)) == listed
    assert told("sessions", OSCAXR_TABLE=str(data / "mouse_df.csv")) == listed
    assert told("sessions", bare, "--table", data / "mouse_df.csv") == listed


@pytest.mark.slow
def test_sessions_are_filtered_as_by_the_library(shared):
    path = shared / "data" / "mouse_df_2021.csv"
    table = ox.session_table(path)
    cases = [
        ((), len(table)),
        (("--plane", "soma"), (table.plane == "soma").sum()),
        (("--line", "L5"), (table.line == "L5-Rbp4").sum()),
        (("--line", "L23-Cux2", "--pass-fail", "F"),
         ((table.line == "L23-Cux2") & (table.pass_fail == "F")).sum()),
        (("--run-type", "pilot", "--mouse", "1,3-4"),
         ((table.run_type == "pilot") & table.mouse.isin([1, 3, 4])).sum()),
        (("--session", "1-3"), table.session.isin([1, 2, 3]).sum()),
        (("--published",), len(ox.default_sessions(table))),
        (("--published", "--run-type", "pilot"), len(ox.default_sessions(table, run_type="pilot"))),
    ]  # fmt: skip
    for options, count in cases:
        found = told_json("sessions", path, *options)
        assert len(found) == count, options
        assert count > 0, options
    done = invoke("sessions", path, "--min-rois", 500, "--json")
    assert len(json.loads(done.stdout)) == (table.n_rois >= 500).sum()
    assert "session 714893802 (mouse 1, session 3): n_rois" in done.stderr
    text = told("sessions", path, "--run-type", "pilot")
    assert max(map(len, text.splitlines())) <= 80
    # What is not known is null, and a dash.
    assert told_json("sessions", path, "--run-type", "pilot")[2]["n_rois"] is None
    assert text.splitlines()[3].split()[-2:] == ["-", "-"]


def test_sessions_that_are_not_in_the_table_are_named(data, tmp_path):
    table = pd.read_csv(data / "mouse_df.csv")
    table[table["sess_n"] != 2].to_csv(tmp_path / "part.csv", index=False)
    done = invoke("sessions", data, "--table", tmp_path / "part.csv")
    assert done.stdout.splitlines()[-1] == "2 of 2 sessions, 2 of them synthetic"
    assert "900000002" in done.stderr


def test_sessions_that_cannot_be_listed(bare, tmp_path):
    assert "say where" in refused("sessions", code=2)
    assert "--plane: the files of sessions do not say" in refused(
        "sessions", bare, "--plane", "soma"
    )
    assert "--published" in refused("sessions", bare, "--published")
    assert "1 or 1,3 or 1-4" in refused("sessions", bare, "--mouse", "one")
    assert "lacks the columns" in refused("sessions", _file(tmp_path / "odd.csv", "a,b\n1,2\n"))
    assert told("sessions", tmp_path).splitlines() == ["0 of 0 sessions"]
    assert told_json("sessions", tmp_path) == []


def _file(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


# -- segments -------------------------------------------------------------------------------------
def test_segments_say_what_each_criterion_left(first):
    text = told("segments", first, "stimulus=gabors", "gabor_frame=D,U", "gabor_kappa=16")
    with ox.open_session(first) as ds:
        chosen, steps = ds.osca.select(
            stimulus="gabors", gabor_frame=["D", "U"], gabor_kappa=16, explain=True
        )
        total = ds.sizes["segment"]
    lines = text.splitlines()
    assert [line.split()[-1] for line in lines[:4]] == [str(total), *(str(s.left) for s in steps)]
    assert lines[1].startswith("stimulus = 'gabors'")
    assert lines[5].split()[:2] == ["segment", "stimulus"]
    assert [int(line.split()[0]) for line in lines[6:16]] == chosen.segment.values[:10].tolist()
    assert f"{chosen.sizes['segment'] - 10} more" in lines[16]
    assert max(map(len, lines)) <= 80
    long = ("gabor_mean_orientation=0,45,90,135,180,225", "start_frame_twop=0:1234567.5")
    for words in (long, ("stimulus=visflow", "gabor_kappa=4,16", "--limit", 0)):
        assert max(map(len, told("segments", first, *words).splitlines())) <= 80


def test_segments_as_json_are_those_selected(first):
    found = told_json("segments", first, "stimulus=visflow", "unexpected=1", "run_start=true")
    with ox.open_session(first) as ds:
        chosen = ds.osca.select(stimulus="visflow", unexpected=1, run_start=True)
        assert found["total"] == ds.sizes["segment"]
        table = chosen.osca.segment_table().reset_index()
    assert found["selected"] == len(found["segments"]) == len(table) > 0
    assert found["criteria"][-1] == {"criterion": "run_start = True", "left": len(table)}
    for row, wanted in zip(found["segments"], table.to_dict("records"), strict=True):
        assert row["segment"] == wanted["segment"]
        assert row["start_time"] == wanted["start_time_sec"]
        assert row["main_flow_direction"] == wanted["main_flow_direction"]
        assert row["gabor_kappa"] is None


def test_segments_into_a_table(first, tmp_path):
    out = tmp_path / "new" / "u.csv"
    text = told("segments", first, "gabor_frame=U", "-o", out)
    assert text.splitlines()[-1] == f"Wrote {out}"
    with ox.open_session(first) as ds:
        chosen = ds.osca.select(gabor_frame="U")
        wanted = chosen.osca.segment_table().assign(block=chosen.block.values)
    read = pd.read_csv(
        out, index_col="segment", keep_default_na=False, na_values={"square_size": ""}
    )
    words = {
        "start_time_sec": "start_time",
        "stop_time_sec": "stop_time",
        "duration_sec": "duration",
    }
    assert read.columns.tolist() == [words.get(name, name) for name in wanted]
    assert read["start_time"].tolist() == wanted["start_time_sec"].tolist()
    assert read["gabor_frame"].tolist() == ["U"] * 2
    before = out.read_text()
    assert "--overwrite" in refused("segments", first, "-o", out)
    assert out.read_text() == before
    told("segments", first, "-o", out, "--overwrite")
    assert out.read_text() != before
    assert "written as .csv" in refused("segments", first, "-o", tmp_path / "u.xlsx")
    assert [path.name for path in out.parent.iterdir()] == ["u.csv"]


def test_no_segments_are_a_result(first):
    text = told("segments", first, "gabor_frame=U", "gabor_kappa=4")
    assert text.splitlines()[-1].split()[-1] == "0"
    assert told_json("segments", first, "gabor_frame=U", "gabor_kappa=4")["segments"] == []


def test_all_segments_can_be_shown(first):
    lines = told("segments", first, "--limit", 0).splitlines()
    with ox.open_session(first) as ds:
        assert len(lines) == ds.sizes["segment"] + 3
        start = f"{ds.start_time.values[0]:.2f}"
    assert lines[3].split()[:5] == ["0", "grayscreen", "0", "-", start]


@pytest.mark.parametrize(
    ("criterion", "says"),
    [
        ("gabor_frme=U", "did you mean 'gabor_frame'?"),
        ("gabor_frame=Z", "allowed are 'A', 'B', 'C', 'D', 'U', 'G'"),
        ("gabor_kappa=3", "allowed are 4, 16"),
        ("start_time=60:10", "upside down"),
        ("block=", "a value is missing"),
        ("ds=1", "unknown criterion 'ds'"),
        ("self=1", "unknown criterion 'self'"),
    ],
)
def test_wrong_criteria_get_the_answer_of_the_library(first, criterion, says):
    assert says in refused("segments", first, criterion)


# -- validate -------------------------------------------------------------------------------------
def test_validate_sound_sessions(data, first):
    text = told("validate", data)
    assert text.splitlines()[-1] == "3 sessions checked, none with problems"
    for level in ("structure", "values", "traces"):
        found = told_json("validate", first, "--level", level)
        assert (found["level"], found["checked"], found["unsound"]) == (level, 1, 0)
        assert found["sessions"][0] == {
            "session": "sub-900001_ses-900000001", "sound": True, "problems": [],
        }  # fmt: skip


def test_validate_finds_problems(first, tmp_path):
    with ox.open_session(first) as ds:
        broken = ds.load()
    stop = broken.stop_time.copy()
    stop[3] = 0.0
    ox.save(broken.assign_coords(stop_time=stop), tmp_path / "values.zarr")
    ox.save(broken.drop_vars("run_velocity"), tmp_path / "values.nc")
    truncated = tmp_path / "truncated.nwb"
    truncated.write_bytes(first.read_bytes()[:50_000])
    done = invoke("validate", tmp_path / "values.zarr", tmp_path / "values.nc", first)
    assert done.exit_code == 3
    assert "values.zarr: NOT SOUND" in done.stdout
    assert "error: stop_time: is not after start_time in segment(s) 3" in done.stdout
    assert "error: run_velocity: is missing" in done.stdout
    assert "sub-900001_ses-900000001: sound" in done.stdout
    assert "3 sessions checked, 2 with problems" in done.stdout
    # Values are not looked at.
    assert invoke("validate", tmp_path / "values.zarr", "--level", "structure").exit_code == 0
    done = invoke("validate", truncated, "--json")
    assert done.exit_code == 3
    (problem,) = json.loads(done.stdout)["sessions"][0]["problems"]
    assert "truncated" in problem["message"]


@pytest.mark.slow
def test_warnings_count_under_strict(first, tmp_path):
    with ox.open_session(first) as ds:
        ds = ds.load()
    ds["run_velocity"][:100] = float("nan")
    ox.save(ds, tmp_path / "gaps.zarr")
    done = invoke("validate", tmp_path / "gaps.zarr")
    assert (done.exit_code, "warning: run_velocity" in done.stdout) == (0, True)
    assert invoke("validate", tmp_path / "gaps.zarr", "--strict").exit_code == 3


def test_validate_traces_finds_invalid_rois(spec, tmp_path):
    path = write_nwb_form(spec, tmp_path, planted([2], np.nan))
    assert "ROI(s)" not in told("validate", path)
    assert "1 ROI(s) have NaN or infinite values: 2" in told("validate", path, "--level", "traces")


def test_rois_and_traces_of_the_original_layout_can_be_chosen(original_folders, sample_path):
    folder = original_folders["dend"]
    for asked in ({}, {"segmentation": "allen"}, {"fluorescence": "raw"}):
        options = [word for name, value in asked.items() for word in (f"--{name}", value)]
        with ox.open_session(folder, **asked) as ds:
            expected = (ds.attrs["segmentation"], ds.attrs["fluorescence"], ds.sizes["roi"])
        found = told_json("info", folder, *options, "--json")
        attrs = found["facts"]
        assert (attrs["segmentation"], attrs["fluorescence"], found["rois"]["total"]) == expected
    assert "--segmentation allen" in refused("info", sample_path, "--segmentation", "allen")


@pytest.mark.slow
def test_sessions_in_the_original_layout(tmp_path):
    ox.sample.write_mouse(
        tmp_path, scale=0.02, n_rois=(3, 3, 3), n_tracked=2, format="original"
    )  # fmt: skip
    (tmp_path / "mouse_df.csv").unlink()
    found = told_json("sessions", tmp_path)
    assert [row["session_id"] for row in found] == [900000001, 900000002, 900000003]
    folder = found[0]["path"]
    assert "the session table does" in refused("sessions", tmp_path, "--min-rois", 3)
    done = invoke("validate", tmp_path)
    assert done.exit_code == 0
    assert done.stdout.count(": sound\n") == 3
    done = invoke("validate", folder)
    assert (done.exit_code, done.stdout.splitlines()[0]) == (0, "sub-900001_ses-900000001: sound")
    for words in ((folder,), (900000001, "--datadir", tmp_path)):
        done = invoke("info", *words, "--json")
        assert json.loads(done.stdout)["facts"]["session_id"] == 900000001
        files = [file["path"] for file in json.loads(done.stdout)["files"]]
        assert all(file.startswith(folder) for file in files)
        assert any(file.endswith("_stim.pkl") for file in files)


def test_validate_nothing(tmp_path):
    assert "There is no session" in refused("validate", tmp_path)
    assert "does not exist" in refused("validate", tmp_path / "no.nwb", code=2)


# -- cite -----------------------------------------------------------------------------------------
def test_citations_are_those_of_the_citation_file():
    yaml = pytest.importorskip("yaml")
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    *references, software = told_json("cite")
    assert references == cff["references"]
    assert software["version"] == cff["version"] == ox.__version__


def test_cite_in_words_and_as_bibtex():
    text = told("cite")
    assert "Gillon C.J., Lecoq J.A., Pina J.E." in text
    assert "https://doi.org/10.1038/s41597-023-02214-y" in text
    assert "Journal of Neuroscience 44 (5), e1009232023" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
    bibtex = told("cite", "--bibtex")
    assert re.findall(r"^@(\w+)\{(\w+),$", bibtex, re.MULTILINE) == [
        ("article", "gillon2023"),
        ("article", "gillon2024"),
        ("misc", "dandi000037"),
        ("misc", "oscaxr"),
    ]
    assert bibtex.count("{") == bibtex.count("}")
    assert "number = {5}," in bibtex
    assert "not both" in refused("cite", "--bibtex", "--json", code=2)
