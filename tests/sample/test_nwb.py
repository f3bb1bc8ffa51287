"""Sample sessions as NWB files: every form, as pynwb and h5py read it."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

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
from sample_forms import write_nwb_form

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
    "shuffled": {"shuffle": True, "dtype": "float64", "chunks": (300, 5)},
    "free chunks": {"chunks": None, "mask_kind": "weights"},
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
REPEATED = VARIANTS.keys() - {"chunked", "image"}


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
    dtype = form.get("dtype", "float32")
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
    traces = "processing/ophys/DfOverF/RoiResponseSeries"
    with h5py.File(write_nwb(tiny, tmp_path / "a")) as file:
        data = file[f"{traces}/data"]
        assert (data.compression, data.shuffle) == ("gzip", False)
        assert data.chunks == (min(2048, tiny.n_twop_frames), 5)
        assert isinstance(file[traces].get("timestamps", getlink=True), h5py.SoftLink)
        assert file["intervals/trials/square_locations_x"].compression == "gzip"
    with h5py.File(write_nwb(tiny, tmp_path / "b", layout="contiguous", dtype="float64")) as file:
        data = file[f"{traces}/data"]
        assert (data.chunks, data.compression) == (None, None)
        assert data.id.get_offset() is not None
        assert (
            file["processing/ophys/ImageSegmentation/PlaneSegmentation/image_mask"].chunks is None
        )
    with h5py.File(write_nwb(tiny, tmp_path / "c", shuffle=True)) as file:
        assert file[f"{traces}/data"].shuffle


def layout_of(path: Path) -> tuple[dict[str, tuple], list[str]]:
    found: dict[str, tuple] = {}
    with h5py.File(path) as file:

        def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                found[name] = (item.ndim, item.dtype.kind, item.attrs.get("unit"))

        file.visititems(visit)
        colnames = list(file["intervals/trials"].attrs["colnames"])
    # What describes rig and animal is free; the data are not.
    kept = ("intervals", "processing", "stimulus/templates", "session_", "general/session_id")
    return {name: value for name, value in found.items() if name.startswith(kept)}, colnames


def test_layout_is_that_of_the_example_files(tiny: SampleSession, tmp_path: Path) -> None:
    paths = sorted((SHARED / "sessions").glob("*/*image+ophys.nwb"))
    if not paths:
        pytest.skip("no example sessions")
    mine = layout_of(write_nwb(tiny, tmp_path, parts="behavior+image+ophys"))
    assert mine == layout_of(paths[0])


@pytest.mark.slow
def test_files_are_valid_nwb(tiny: SampleSession, tmp_path: Path) -> None:
    from pynwb import validate

    path = write_nwb(tiny, tmp_path, parts="obj-raw", mask_kind="weights", template_frames=2)
    assert not validate(path=str(path))


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
