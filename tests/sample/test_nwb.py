"""Sample sessions as NWB files: every form, as pynwb and h5py read it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import oscaxr as ox
from example_sessions import SHARED
from oscaxr import atomic
from oscaxr.sample import (
    SampleError,
    SampleExistsError,
    SampleSession,
    SampleSpec,
    make_session,
    sample_path,
    write_nwb,
    write_original,
)
from sample_forms import PUPIL, ROI_TABLE, TRACES, TRIALS, write_nwb_form

TINY = SampleSpec(scale=0.01, n_rois=5, n_tracked=3, field_shape=(48, 56))


@pytest.fixture(scope="module")
def tiny() -> SampleSession:
    return make_session(TINY)


def read_with_pynwb(path: Path) -> dict:
    from pynwb import NWBHDF5IO

    with NWBHDF5IO(str(path), "r") as reader:
        file = reader.read()
        ophys, behavior = file.processing["ophys"], file.processing["behavior"]
        response = ophys["DfOverF"]["RoiResponseSeries"]
        table = ophys["ImageSegmentation"]["PlaneSegmentation"]
        return {
            "subject": file.subject.subject_id,
            "session": file.session_id,
            "dff": response.data[:],
            "times": response.timestamps[:],
            "pupil": behavior["PupilTracking"]["pupil_diameter"].data[:],
            "pupil_times": behavior["PupilTracking"]["pupil_diameter"].timestamps[:],
            "running": behavior["BehavioralTimeSeries"]["running_velocity"].data[:],
            "trials": file.trials.to_dataframe(),
            "roi_id": table.id[:],
            "masks": table["image_mask"].data[:],
            "tracking_id": table["tracking_id"].data[:] if "tracking_id" in table else None,
            "series": sorted(behavior["PupilTracking"].time_series),
            "templates": sorted(file.stimulus_template),
            "acquisition": sorted(file.acquisition),
        }


VARIANTS = {
    "default": {},
    "contiguous": {"layout": "contiguous", "dtype": "float64"},
    "chunked": {"layout": "chunked", "chunks": (500, 2), "mask_kind": "bool"},
    "shuffled": {"layout": "gzip", "shuffle": True, "chunks": (300, 5)},
    "small chunks": {"layout": "gzip", "chunks": (300, 2), "dtype": "float32"},
    "free chunks": {"layout": "gzip", "mask_kind": "weights"},
    "old": {
        "forms": [
            *("no_pupil_position", "no_frame_columns", "no_full_table", "repeated_timestamps"),
        ]
    },
    "untracked": {"forms": ["no_tracking", "narrow_numbers"]},
    "table": {"forms": ["shuffled_columns", "nan_for_empty", "repeated_timestamps"]},
    "image": {"parts": "behavior+image+ophys"},
    "raw": {"parts": "obj-raw", "template_frames": 5},
}

# What is written by the same steps as another form.
REPEATED = VARIANTS.keys() - {"chunked", "small chunks", "image"}


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=[pytest.mark.slow] * (one in REPEATED)) for one in VARIANTS]
)
def test_every_form_reads_back(tiny: SampleSession, tmp_path: Path, name: str) -> None:
    form = dict(VARIANTS[name])
    forms = form.pop("forms", [])
    path = write_nwb_form(tiny, tmp_path, *forms, **form)
    naming = {key: form[key] for key in ("parts",) if key in form}
    assert path == sample_path(TINY, tmp_path, **naming)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    found = read_with_pynwb(path)
    dtype = form.get("dtype", "float64")
    np.testing.assert_array_equal(found["dff"], tiny.traces().astype(dtype))
    assert found["dff"].dtype == dtype
    np.testing.assert_array_equal(found["times"], tiny.twop_times)
    np.testing.assert_array_equal(found["pupil_times"], tiny.twop_times)
    np.testing.assert_array_equal(found["pupil"], tiny.pupil_diameter)
    np.testing.assert_array_equal(found["running"], tiny.run_velocity)
    np.testing.assert_array_equal(found["roi_id"], tiny.roi_id)
    kind = form.get("mask_kind", "uint8")
    np.testing.assert_array_equal(found["masks"], tiny.masks(kind=kind))
    assert (found["subject"], found["session"]) == ("900001", "900000001")
    if "no_tracking" not in forms:
        np.testing.assert_array_equal(found["tracking_id"], tiny.tracking_id)
    else:
        assert found["tracking_id"] is None
    assert len(found["series"]) == (1 if "no_pupil_position" in forms else 3)
    assert bool(found["templates"]) == ("image" in path.name)
    assert bool(found["acquisition"]) == ("obj-raw" in path.name)

    trials = found["trials"]
    for column, values in tiny.segments.items():
        if "_frame_" in column or "frames_" in column:
            is_kept = "no_frame_columns" not in forms or column == "start_frame_stim_template"
            assert (column in trials) == is_kept
            if not is_kept:
                continue
        stored = trials[column].to_numpy()
        if values.dtype.kind == "U":
            stored = np.where(stored == "NaN", "", stored)
        np.testing.assert_array_equal(stored, values, err_msg=column)
    lengths = trials["gabor_sizes"].map(len).to_numpy()
    empty = 1 if "nan_for_empty" in forms else 0
    np.testing.assert_array_equal(
        lengths, np.where(np.isfinite(tiny.patches.size[:, 0]), 30, empty)
    )
    row = int(np.flatnonzero(lengths == 30)[0])
    np.testing.assert_array_equal(trials["gabor_orientations"][row], tiny.patches.orientation[row])
    assert ("square_locations_x" in trials) == ("no_full_table" not in forms)
    if "square_locations_x" in trials:
        rows = np.flatnonzero(tiny.segments["stimulus_type"] == "visflow")
        x, _ = tiny.squares()
        np.testing.assert_array_equal(np.stack(trials["square_locations_x"][rows]), x)
    if "shuffled_columns" in forms:
        assert list(trials.columns[:2]) != ["start_time", "stop_time"]


@pytest.mark.slow
def test_storage_is_as_asked(tiny: SampleSession, tmp_path: Path) -> None:
    gzip = {"layout": "gzip", "chunks": (2048, 32)}
    with h5py.File(write_nwb(tiny, tmp_path / "a", **gzip)) as file:
        data = file[f"{TRACES}/data"]
        assert (data.compression, data.shuffle) == ("gzip", False)
        assert data.chunks == (min(2048, tiny.n_twop_frames), 5)
        assert isinstance(file[TRACES].get("timestamps", getlink=True), h5py.SoftLink)
        assert file["intervals/trials/square_locations_x"].compression == "gzip"
    with h5py.File(write_nwb(tiny, tmp_path / "b", layout="contiguous")) as file:
        data = file[f"{TRACES}/data"]
        assert (data.chunks, data.compression) == (None, None)
        assert data.id.get_offset() is not None
        assert (
            file["processing/ophys/ImageSegmentation/PlaneSegmentation/image_mask"].chunks is None
        )
    with h5py.File(write_nwb(tiny, tmp_path / "c", **gzip, shuffle=True)) as file:
        assert file[f"{TRACES}/data"].shuffle


def stored(path: Path) -> dict[str, tuple]:
    """Tell of each dataset of a file how it is stored, and of each link where it points."""
    found: dict[str, tuple] = {}

    def visit(group: h5py.Group) -> None:
        for key, item in group.items():
            link = group.get(key, getlink=True)
            name = f"{group.name}/{key}".replace("//", "/")
            if isinstance(link, h5py.SoftLink):
                found[name] = (link.path,)
            elif isinstance(item, h5py.Group):
                visit(item)
            else:
                filters = item.compression, item.compression_opts, item.shuffle
                is_text = h5py.check_string_dtype(item.dtype) is not None
                kind = "text" if is_text else item.dtype
                found[name] = (item.ndim, kind, item.chunks is None, filters)

    with h5py.File(path) as file:
        for group in ("intervals", "processing"):
            visit(file[group])
    return found


@pytest.mark.parametrize("plane", ["soma", "dend"])
def test_files_are_stored_as_the_published_ones(tmp_path: Path, plane: str) -> None:
    session_id = {"soma": 758519303, "dend": 764704289}[plane]
    paths = sorted((SHARED / "sessions_real").glob(f"*/*{session_id}*.nwb"))
    if not paths:
        pytest.skip("no example sessions")
    mine = stored(write_nwb(replace(TINY, plane=plane), tmp_path))
    theirs = stored(paths[0])
    # The names of what describes the rig are free.
    plane_link = "/processing/ophys/ImageSegmentation/PlaneSegmentation/imaging_plane"
    assert theirs.pop(plane_link) != mine.pop(plane_link)
    assert {name: mine[name] for name in theirs} == theirs
    # What those examples lack: the full table, and what was drawn of each patch.
    further = {"gabor_orientations": "int16", "square_locations_x": "int32"}
    further["square_locations_y"] = "int32"
    none = (None, None, False)
    for name, dtype in further.items():
        dims = 2 if name.startswith("square") else 1
        assert mine.pop(f"/{TRIALS}/{name}") == (dims, dtype, True, none)
        assert mine.pop(f"/{TRIALS}/{name}_index") == (1, "int32", True, none)
    assert mine.keys() == theirs.keys()


def test_chunks_of_dendrites_are_those_of_h5py(tmp_path: Path) -> None:
    path = write_nwb(replace(TINY, plane="dend", n_rois=40), tmp_path)
    with h5py.File(path) as file, h5py.File(tmp_path / "x", "w") as other:
        for number, name in enumerate((f"{TRACES}/data", f"{ROI_TABLE}/image_mask")):
            made = other.create_dataset(str(number), file[name].shape, "f8", chunks=True)
            assert made.chunks == file[name].chunks


@pytest.mark.parametrize("draft", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_what_a_header_says(tiny: SampleSession, tmp_path: Path, draft: bool) -> None:
    ends = {"behavior+ophys": "", "behavior+image+ophys": "_with_stim"}
    for parts, ending in ends.items():
        path = write_nwb(tiny, tmp_path, parts=parts, draft=draft, template_frames=2)
        with h5py.File(path) as file:
            assert file["identifier"].asstr()[()] == f"900000001{ending}"
            assert ("session_id" in file["general"]) != draft
            made = file["file_create_date"].asstr()[:].tolist()
            assert len(made) == 2
            # Of 17:29 UTC: the offset is as wrong as in published files.
            start = file["session_start_time"].asstr()[()]
            assert start == "2001-01-05T17:29:17-08:00"
            assert start < made[0] < made[1]
            assert list(file["general/devices"]) == ["2p_microscope"]
            (plane,) = file["general/optophysiology"].values()
            assert "optical_channel" in plane
            types = {one.attrs["neurodata_type"] for one in file[PUPIL].values()}
            assert types == {"TimeSeries", "SpatialSeries"}


def test_templates_and_when_they_were_shown(tiny: SampleSession, tmp_path: Path) -> None:
    table = tiny.segments
    path = write_nwb(tiny, tmp_path, parts="behavior+image+ophys", template_frames=70)
    with h5py.File(path) as file, ox.open_session(path, include="templates") as ds:
        shown = file["stimulus/presentation"]
        assert set(shown) == set(file["stimulus/templates"]) == set(table["stimulus_template_name"])
        for name, series in shown.items():
            link = series.get("indexed_timeseries", getlink=True)
            assert link.path == f"/stimulus/templates/{name}"
            template = file[link.path]["data"][:]
            assert template.shape[1:] == (30, 48, 1)
            np.testing.assert_array_equal(ds[f"template_{name}"], template[..., 0])
            # A barrel: black in the corners, not in the middle of the sides.
            assert not template[:, [0, 0, -1, -1], [0, -1, 0, -1]].any()
            assert template[:, [0, 15, 15, -1], [24, 0, -1, 24]].any()
            image, times = series["data"][:], series["timestamps"][:]
            assert len(image) == len(times)
            assert image.max() < len(template)
            rows = np.flatnonzero(table["stimulus_template_name"] == name)
            if name.startswith("visflow"):
                np.testing.assert_array_equal(image, np.arange(70))
                of_segment = np.searchsorted(table["start_time"], times, side="right") - 1
                np.testing.assert_array_equal(of_segment, rows[image // 60])
            else:
                kept = table["start_frame_stim_template"][rows] < 70
                np.testing.assert_array_equal(times, table["start_time"][rows[kept]])
                wanted = table["start_frame_stim_template"][rows[kept]]
                np.testing.assert_array_equal(image, wanted)


# As the published files are: index columns are int32, where the standard has unsigned ones.
KNOWN_PROBLEMS = {
    f"intervals/trials/{name}_index": "incorrect type - expected 'uint8', got 'int32'"
    for name in (
        *(f"gabor_{what}" for what in ("locations_x", "locations_y", "orientations", "sizes")),
        *("square_locations_x", "square_locations_y"),
    )
}


@pytest.mark.slow
def test_files_are_valid_nwb(tiny: SampleSession, tmp_path: Path) -> None:
    from pynwb import validate

    path = write_nwb(tiny, tmp_path, parts="obj-raw", mask_kind="weights", template_frames=2)
    known = [f"VectorIndex ({place}): {words}" for place, words in KNOWN_PROBLEMS.items()]
    assert sorted(map(str, validate(path=str(path)))) == known


@pytest.mark.slow
@pytest.mark.parametrize("plane", ["soma", "dend"])
def test_nwbinspector_has_nothing_to_say(tmp_path: Path, plane: str) -> None:
    """By its configuration for DANDI, down to suggestions; a sample has no experimenter."""
    nwbinspector = pytest.importorskip("nwbinspector")
    path = write_nwb(replace(TINY, plane=plane), tmp_path)
    config = nwbinspector.load_config("dandi")
    found = list(nwbinspector.inspect_nwbfile(nwbfile_path=str(path), config=config))
    said = {one.check_function_name for one in found if one.importance.name != "PYNWB_VALIDATION"}
    assert said == {"check_experimenter_exists"}
    invalid = [one for one in found if one.importance.name == "PYNWB_VALIDATION"]
    assert {one.location: one.message for one in invalid} == KNOWN_PROBLEMS


def test_a_file_is_not_replaced_unasked(tiny: SampleSession, tmp_path: Path) -> None:
    path = write_nwb(tiny, tmp_path)
    before = path.stat().st_mtime_ns
    with pytest.raises(SampleExistsError, match="overwrite=True") as caught:
        write_nwb(tiny, tmp_path)
    assert isinstance(caught.value, FileExistsError)
    assert path.stat().st_mtime_ns == before
    write_nwb(tiny, tmp_path, overwrite=True)
    assert path.stat().st_mtime_ns > before


def test_a_broken_write_leaves_nothing(tiny: SampleSession, tmp_path: Path) -> None:
    def fail(done: int, total: int) -> None:
        if done == 1:
            raise RuntimeError(f"stopped at {done} of {total}")

    with pytest.raises(RuntimeError, match="stopped at 1"):
        write_nwb(tiny, tmp_path, progress=fail)
    assert not list((tmp_path / "sub-900001").iterdir())


def test_wrong_forms_are_all_named(tiny: SampleSession, tmp_path: Path) -> None:
    with pytest.raises(SampleError) as caught:
        write_nwb(tiny, tmp_path, layout="zip", mask_kind="x", chunks=(0, 1))
    for word in ("layout is 'zip'", "mask_kind is 'x'", "chunks is (0, 1)"):
        assert word in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("write", [write_nwb, write_original])
def test_what_a_killed_one_left_is_removed_by_the_next(tmp_path: Path, write: Any) -> None:
    spec = SampleSpec(scale=0.01, n_rois=2, n_tracked=0, field_shape=(64, 64))
    path = write(spec, tmp_path)
    left = path.with_name(f".{path.name}.oscaxr-0123abcd.partial")
    left.write_bytes(b"half")
    left.with_suffix(".lock").write_text(atomic._running_system())
    again = write(spec, tmp_path, overwrite=True)
    assert again == path
    assert list(path.parent.iterdir()) == [path]
