"""Files that are not sound sessions: each error says which file, what, and what to do."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import (
    FormatError,
    OscaxrError,
    SessionMismatchError,
    SessionNotFoundError,
    UnsafeLinkError,
)

DFF = "processing/ophys/DfOverF/RoiResponseSeries"
PLANE = "processing/ophys/ImageSegmentation/PlaneSegmentation"
PROJECTION = "processing/ophys/PlaneImages/max_projection"
RUNNING = "processing/behavior/BehavioralTimeSeries/running_velocity"
PUPIL = "processing/behavior/PupilTracking"
TRIALS = "intervals/trials"

Change = Callable[[h5py.File], None]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    spec = ox.sample.SampleSpec(
        scale=0.01, n_rois=4, n_tracked=2, field_shape=(48, 48), dropped=0.0
    )
    path = ox.sample.write_nwb(spec, tmp_path_factory.mktemp("original"), chunks=(256, 2))
    return path.read_bytes()


@pytest.fixture
def broken(original: bytes, tmp_path: Path) -> Callable[[Change], Path]:
    """Write a sound file and change it."""

    def write(change: Change) -> Path:
        path = tmp_path / "sub-900001_ses-900000001_behavior+ophys.nwb"
        path.write_bytes(original)
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return write


Broken = Callable[[Change], Path]


def refusal(path: Path, error: type[Exception] = FormatError, **options: Any) -> str:
    """Return what opening a file is refused with; it must name the file and say what to do."""
    with pytest.raises(error) as caught:
        ox.open_session(path, **options)
    assert isinstance(caught.value, OscaxrError)
    assert caught.type is error
    message = str(caught.value)
    assert path.name in message
    advice = ("fetch", "check", "give", "copy", "correct", "leave out")
    assert any(word in message.lower() for word in advice)
    return message


def replace(file: h5py.File, path: str, values: Any) -> None:
    del file[path]
    file[path] = values


# -- not a file that can be read -----------------------------------------------------------------


def test_the_engine_refuses_in_the_same_words(
    broken: Broken, original: bytes, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.nwb"
    cut.write_bytes(original[: len(original) // 3])
    lacking = broken(lambda file: file.pop(RUNNING))
    for path, error in (
        (tmp_path / "missing.nwb", SessionNotFoundError),
        (cut, FormatError),
        (lacking, FormatError),
    ):
        with pytest.raises(error) as caught:
            xr.open_dataset(path, engine="oscaxr")
        assert caught.type is error
        assert str(caught.value) == refusal(path, error)


def test_no_such_file(tmp_path: Path) -> None:
    message = refusal(tmp_path / "missing.nwb", SessionNotFoundError)
    assert "no such file" in message
    with pytest.raises(FileNotFoundError):
        ox.open_session(tmp_path / "missing.nwb")


def test_folder_in_place_of_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "session.nwb"
    folder.mkdir()
    assert "it is a folder" in refusal(folder, SessionNotFoundError)


def test_second_file_is_checked_too(broken: Broken, tmp_path: Path) -> None:
    path = broken(lambda file: None)
    with pytest.raises(SessionNotFoundError, match=r"more\.nwb"):
        xr.open_dataset(path, engine="oscaxr", files=[tmp_path / "more.nwb"])


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "it is empty"),
        (b"hello", "not an HDF5 file"),
        (b"/annex/objects/MD5E-s1--0.nwb\n", "it only stands for the file: get that with"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "it only stands for the file: get"),
        (b"CDF\x01" + bytes(2000), "not an HDF5 file"),
        (b"PK\x03\x04" * 1000, "not an HDF5 file"),
        (b"\x89HDF\r\n\x1a\n", ""),
        (b"\x89HDF\r\n\x1a\n" + bytes(5000), ""),
    ],
    ids=["empty", "text", "annex", "lfs", "netcdf3", "zip", "signature", "zeros"],
)
def test_not_hdf5(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "session.nwb"
    path.write_bytes(content)
    assert found in refusal(path)
    with pytest.raises(OSError):
        ox.open_session(path)


def test_hdf5_that_is_no_session(tmp_path: Path) -> None:
    path = tmp_path / "session.nwb"
    with h5py.File(path, "w") as file:
        file["x"] = 1
    message = refusal(path)
    for place in (TRIALS, f"{DFF}/data", PLANE, f"{RUNNING}/data", "subject_id"):
        assert place in message
    assert len(message.splitlines()) > 6


@pytest.mark.parametrize(
    "fraction",
    [0.001, 0.3, 0.999, *(pytest.param(one, marks=pytest.mark.slow) for one in (0.05, 0.7, 0.95))],
)
@pytest.mark.parametrize("layout", ["gzip", pytest.param("contiguous", marks=pytest.mark.slow)])
def test_truncated(
    sample_paths: dict[str, Path], tmp_path: Path, layout: str, fraction: float
) -> None:
    content = sample_paths[layout].read_bytes()
    path = tmp_path / "session.nwb"
    path.write_bytes(content[: max(1, int(len(content) * fraction))])
    assert "truncated" in refusal(path) or fraction < 0.01


_READ_ALL = """
import sys, warnings
warnings.simplefilter("ignore")
import oscaxr as ox
for path in sys.argv[1:]:
    try:
        with ox.open_session(path, include="all") as ds:
            ds.load()
    except ox.OscaxrError as error:
        assert path in str(error), str(error)
        print(type(error).__name__)
    else:
        print("read")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "layout",
    ["gzip", *(pytest.param(one, marks=pytest.mark.slow) for one in ("contiguous", "shuffle"))],
)
def test_damaged_structures(sample_paths: dict[str, Path], tmp_path: Path, layout: str) -> None:
    """Wherever HDF5 finds its own marks gone, there is a FormatError, at opening or at reading."""
    content = sample_paths[layout].read_bytes()
    paths = []
    for mark in (b"TREE", b"HEAP", b"SNOD", b"GCOL"):
        places = [match.start() for match in re.finditer(mark, content)]
        assert places
        for place in places[:: max(1, len(places) // 4)]:
            damaged = bytearray(content)
            damaged[place : place + 4] = b"XXXX"
            paths.append(tmp_path / f"{mark.decode()}{place}.nwb")
            paths[-1].write_bytes(damaged)
    done = subprocess.run(
        [sys.executable, "-c", _READ_ALL, *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    results = done.stdout.split()
    assert len(results) == len(paths)
    # Some structures belong to parts of the file that are not read.
    assert set(results) <= {"FormatError", "read"}
    assert results.count("FormatError") > 5


def test_file_cut_while_open(sample_paths: dict[str, Path], tmp_path: Path) -> None:
    """The mapped and the chunked path notice; the process lives."""
    for layout in ("contiguous", "gzip"):
        path = tmp_path / f"{layout}.nwb"
        path.write_bytes(sample_paths[layout].read_bytes())
        ds = ox.open_session(path)
        ds.dff.isel(time=[0]).values  # noqa: B018
        with path.open("r+b") as raw:
            raw.truncate(4000)
        with pytest.raises(FormatError, match=path.name):
            ds.dff.values  # noqa: B018
        ds.close()


# -- something is missing or unfit ---------------------------------------------------------------

REQUIRED = [
    f"{DFF}/data",
    f"{DFF}/timestamps",
    DFF,
    PLANE,
    f"{PLANE}/id",
    f"{RUNNING}/data",
    f"{RUNNING}/timestamps",
    RUNNING,
    TRIALS,
    *(
        f"{TRIALS}/{name}"
        for name in (
            "start_time",
            "stop_time",
            "stimulus_type",
            "unexpected",
            "gabor_frame",
            "gabor_kappa",
            "gabor_mean_orientation",
            "main_flow_direction",
            "square_size",
        )
    ),
    f"{TRIALS}/gabor_sizes",
    f"{TRIALS}/gabor_sizes_index",
    "general/subject/subject_id",
    "processing",
]


@pytest.mark.parametrize("place", REQUIRED)
def test_missing(broken: Broken, place: str) -> None:
    def change(file: h5py.File) -> None:
        del file[place]

    message = refusal(broken(change))
    assert place in message
    assert "missing" in message or place.endswith("subject_id")


@pytest.mark.parametrize("place", REQUIRED[:2] + REQUIRED[5:7] + [PROJECTION, f"{PLANE}/id"])
def test_group_in_place_of_a_dataset(broken: Broken, place: str) -> None:
    def change(file: h5py.File) -> None:
        del file[place]
        file.create_group(place)

    message = refusal(broken(change))
    assert place in message
    assert "is a group" in message


@pytest.mark.parametrize(
    "place", [f"{TRIALS}/{name}" for name in ("stimulus_type", "gabor_kappa", "gabor_sizes")]
)
def test_group_in_place_of_a_column(broken: Broken, place: str) -> None:
    def change(file: h5py.File) -> None:
        del file[place]
        file.create_group(place)

    message = refusal(broken(change))
    assert place in message
    assert "group" in message


def test_dataset_in_place_of_a_group(broken: Broken) -> None:
    for place in (TRIALS, PLANE, DFF):
        message = refusal(broken(lambda file, place=place: replace(file, place, 1.0)))
        assert place in message


@pytest.mark.parametrize(
    ("place", "values"),
    [
        (f"{DFF}/data", np.zeros(50)),
        (f"{DFF}/data", np.zeros((50, 4))),
        (f"{DFF}/timestamps", np.arange(12.0).reshape(3, 4)),
        (f"{DFF}/timestamps", np.array([1.0])),
        (f"{RUNNING}/data", np.zeros(3)),
        (f"{RUNNING}/timestamps", 5.0),
        (f"{PUPIL}/pupil_diameter/data", np.zeros(3)),
        (f"{PUPIL}/pupil_position_x/data", np.zeros((3, 2))),
        (f"{PLANE}/id", np.zeros((4, 2), int)),
        (f"{PLANE}/image_mask", np.zeros((3, 48, 48))),
        (f"{PLANE}/image_mask", np.zeros((4, 48 * 48))),
        (f"{PLANE}/tracking_id", np.zeros(9)),
        (PROJECTION, np.zeros(7)),
        (f"{TRIALS}/gabor_kappa", 16.0),
        (f"{TRIALS}/start_time", np.zeros((3, 2))),
        (f"{TRIALS}/stimulus_type", "gabors"),
        (f"{TRIALS}/gabor_sizes", np.zeros((60, 30))),
        (f"{TRIALS}/gabor_sizes_index", np.zeros(3, int)),
    ],
    ids=lambda value: value if isinstance(value, str) else str(np.shape(value)),
)
def test_wrong_shape(broken: Broken, place: str, values: Any) -> None:
    message = refusal(broken(lambda file: replace(file, place, values)))
    assert place in message or place.rsplit("/", 1)[0] in message


@pytest.mark.parametrize(
    "place",
    [
        f"{DFF}/data",
        f"{DFF}/timestamps",
        f"{RUNNING}/data",
        f"{PUPIL}/pupil_diameter/data",
        f"{PLANE}/id",
        f"{PLANE}/image_mask",
        f"{PLANE}/tracking_id",
        PROJECTION,
        f"{TRIALS}/start_time",
        f"{TRIALS}/gabor_kappa",
        f"{TRIALS}/start_frame_twop",
        f"{TRIALS}/gabor_sizes",
        f"{TRIALS}/gabor_sizes_index",
    ],
)
@pytest.mark.parametrize("kind", ["text", pytest.param("compound", marks=pytest.mark.slow)])
def test_wrong_dtype(broken: Broken, place: str, kind: str) -> None:
    def change(file: h5py.File) -> None:
        shape = file[place].shape
        if kind == "text":
            replace(file, place, np.full(shape, b"word"))
        else:
            replace(file, place, np.zeros(shape, [("a", "f4"), ("b", "i2")]))

    message = refusal(broken(change))
    assert place.rsplit("/", 1)[-1] in message
    assert "number" in message


def test_shapes_that_do_not_fit_each_other(broken: Broken) -> None:
    def change(file: h5py.File) -> None:
        replace(file, PROJECTION, np.zeros((48, 50), "u1"))

    path = broken(change)
    message = refusal(path)
    assert "width is 48 in roi_mask, but 50 in max_projection" in message
    with ox.open_session(path, drop_variables="max_projection") as ds:
        assert "max_projection" not in ds


OPTIONAL = {
    "run_velocity": f"{RUNNING}/data",
    "pupil_diameter": f"{PUPIL}/pupil_diameter/data",
    "pupil_center_x": f"{PUPIL}/pupil_position_x/data",
    "tracking_id": f"{PLANE}/tracking_id",
    "roi_mask": f"{PLANE}/image_mask",
    "max_projection": PROJECTION,
    "gabor_x": f"{TRIALS}/gabor_locations_x",
    "gabor_orientation": f"{TRIALS}/gabor_orientations",
    "gabor_number": f"{TRIALS}/gabor_number",
    "stop_frame_twop": f"{TRIALS}/stop_frame_twop",
    "square_x": f"{TRIALS}/square_locations_x",
}
DAMAGE = ("group", "length", "unwritten")
FOLLOWING = {
    "pupil_center_x": ["pupil_center_shift"],
    "roi_mask": ["centroid_y", "centroid_x", "area_px"],
}
"""What is computed of a variable, where that is read when it is first used."""


@pytest.mark.parametrize(
    "damage",
    ["link", *(pytest.param(one, marks=pytest.mark.slow) for one in DAMAGE)],
)
@pytest.mark.parametrize("variable", OPTIONAL)
def test_what_is_left_out_need_not_be_right(broken: Broken, variable: str, damage: str) -> None:
    path = OPTIONAL[variable]

    def change(file: h5py.File) -> None:
        shape, dtype = file[path].shape, file[path].dtype
        del file[path]
        if damage == "group":
            file[path] = file.create_group(f"{path}_else")
            file[path].create_group("empty")
        elif damage == "link":
            file[path] = h5py.SoftLink("/nowhere")
        elif damage == "length":
            file[path] = np.zeros((shape[0] + 3, *shape[1:], 2)[: len(shape)], dtype)
        else:
            file.create_dataset(path, shape, dtype, chunks=True)

    mutant = broken(change)
    options = {"include": "squares"} if variable == "square_x" else {}
    with pytest.raises(FormatError):
        ox.open_session(mutant, **options).load()
    derived = FOLLOWING.get(variable, []) if damage == "unwritten" else []
    with ox.open_session(mutant, drop_variables=[variable, *derived], **options) as ds:
        assert variable not in ds
        ds.load()


@pytest.mark.parametrize("rows", ["fewer", "more"])
def test_traces_and_roi_table_differ(broken: Broken, rows: str) -> None:
    def change(file: h5py.File) -> None:
        length = 3 if rows == "fewer" else 6
        replace(file, f"{PLANE}/id", np.arange(length))
        for column, values in (
            ("image_mask", np.ones((length, 48, 48), "u1")),
            ("tracking_id", np.full(length, np.nan)),
        ):
            replace(file, f"{PLANE}/{column}", values)

    message = refusal(broken(change))
    assert "4 traces" in message
    assert PLANE in message


@pytest.mark.parametrize("region", [[0, 1, 2], [0, 1, 2, 4], [0, 1, 1, 2], [0, 1, 2, -1]], ids=str)
def test_region_that_names_no_rows(broken: Broken, region: list[int]) -> None:
    message = refusal(broken(lambda file: replace(file, f"{DFF}/rois", np.array(region))))
    assert f"{DFF}/rois" in message


@pytest.mark.parametrize(
    ("frame", "value"), [(10, -1.0), (0, 1e6), (100, np.nan)], ids=["back", "first", "nan"]
)
@pytest.mark.parametrize("series", [DFF, RUNNING])
def test_times_that_do_not_increase(broken: Broken, series: str, frame: int, value: float) -> None:
    def change(file: h5py.File) -> None:
        file[f"{series}/timestamps"][frame] = value

    message = refusal(broken(change))
    assert f"{series}/timestamps does not increase" in message
    assert "first at frame" in message


@pytest.mark.parametrize(
    ("column", "row", "value", "words"),
    [
        ("stop_frame_twop", -1, 10**7, "beyond the recording"),
        ("stop_frame_stim", -1, 10**7, "beyond the recording"),
        ("start_frame_twop", 0, -5, "beyond the recording"),
        ("stop_frame_twop", 5, 0, "beyond the recording"),
        ("start_frame_stim", 7, 0, "start_frame_stim decreases"),
        ("start_time", 9, 0.0, "start_time decreases"),
        ("start_time", 9, np.nan, "start_time decreases or is NaN"),
        ("stimulus_type", 3, "movie", "unknown stimulus types: 'movie'"),
        ("stimulus_type", 3, "", "unknown stimulus types"),
        ("gabor_frame", 30, "Z", "unknown gabor frames: 'Z'"),
        ("main_flow_direction", 3, "up", "unknown main flow directions: 'up'"),
    ],
)
def test_stimulus_table(broken: Broken, column: str, row: int, value: Any, words: str) -> None:
    def change(file: h5py.File) -> None:
        file[f"{TRIALS}/{column}"][row] = value

    message = refusal(broken(change))
    assert words in message
    assert TRIALS in message


def test_stimulus_table_columns_of_unlike_length(broken: Broken) -> None:
    message = refusal(broken(lambda file: replace(file, f"{TRIALS}/unexpected", np.zeros(3))))
    assert "differ in length" in message
    assert "'unexpected': 3" in message


def test_stimulus_table_without_rows(broken: Broken) -> None:
    def change(file: h5py.File) -> None:
        for name, column in list(file[TRIALS].items()):
            replace(file, f"{TRIALS}/{name}", np.empty((0, *column.shape[1:]), column.dtype))

    assert f"{TRIALS} has no rows" in refusal(broken(change))


def test_fractional_frames_and_words_for_numbers(broken: Broken) -> None:
    def change(file: h5py.File) -> None:
        frames = file[f"{TRIALS}/start_frame_twop"][()].astype(float)
        frames[3] += 0.5
        replace(file, f"{TRIALS}/start_frame_twop", frames)

    message = refusal(broken(change))
    assert "start_frame_twop" in message
    assert "whole frame numbers" in message

    def change_kappa(file: h5py.File) -> None:
        length = len(file[f"{TRIALS}/gabor_kappa"])
        replace(file, f"{TRIALS}/gabor_kappa", np.full(length, b"sixteen"))

    assert "sixteen" in refusal(broken(change_kappa))


def test_repeated_ids(broken: Broken) -> None:
    message = refusal(broken(lambda file: replace(file, f"{PLANE}/id", np.array([7, 8, 8, 8]))))
    assert f"{PLANE}/id has 2 repeated ROI id(s)" in message

    ids = np.array([0.0, 1.0, 1.0, np.nan])
    message = refusal(broken(lambda file: replace(file, f"{PLANE}/tracking_id", ids)))
    assert "same tracking id to several ROIs (1)" in message

    ids = np.array([0.0, 1.5, np.nan, np.nan])
    message = refusal(broken(lambda file: replace(file, f"{PLANE}/tracking_id", ids)))
    assert "fractional" in message


@pytest.mark.parametrize(
    ("place", "unit", "expected"),
    [
        (f"{RUNNING}/data", "m/s", "cm/s"),
        (f"{RUNNING}/data", "Meters per second", "cm/s"),
        (f"{RUNNING}/data", "inch/s", "cm/s"),
        (f"{RUNNING}/data", "in/s", "cm/s"),
        (f"{RUNNING}/data", "feet / minute", "cm/s"),
        (f"{RUNNING}/data", "m*s^-1", "cm/s"),
        (f"{RUNNING}/data", "mph", "cm/s"),
        (f"{RUNNING}/data", "radians per sec", "cm/s"),
        (f"{RUNNING}/data", "cm/min", "cm/s"),
        (f"{RUNNING}/data", "cm", "cm/s"),
        (f"{PUPIL}/pupil_diameter/data", "inches", "mm"),
        (f"{PUPIL}/pupil_diameter/data", "meters", "mm"),
        (f"{PUPIL}/pupil_position_x/data", b"px", "mm"),
        (f"{DFF}/data", "percent", "dF/F"),
        (f"{DFF}/timestamps", "ms", "s"),
    ],
)
def test_other_units(broken: Broken, place: str, unit: str | bytes, expected: str) -> None:
    message = refusal(broken(lambda file: file[place].attrs.update(unit=unit)))
    words = unit.decode() if isinstance(unit, bytes) else unit
    assert f"{place} is in {words}, where {expected} is expected" in message


@pytest.mark.parametrize(
    ("place", "unit"),
    [
        *((f"{RUNNING}/data", unit) for unit in ("cm s-1", "cm*s^-1", "Centimetres per sec")),
        *((f"{DFF}/data", unit) for unit in ("dF / F", "Ratio", "1")),
        *((f"{PUPIL}/pupil_diameter/data", unit) for unit in ("Millimetres", "1", "a.u.")),
    ],
)
def test_other_words_for_units(broken: Broken, place: str, unit: str) -> None:
    ox.open_session(broken(lambda file: file[place].attrs.update(unit=unit))).close()


def test_conversions_that_are_none(broken: Broken) -> None:
    message = refusal(broken(lambda file: file[f"{DFF}/data"].attrs.update(conversion="two")))
    assert f"{DFF}/data has a conversion or an offset that is no number" in message


def test_clock_without_a_rate(broken: Broken) -> None:
    def change(file: h5py.File) -> None:
        del file[f"{RUNNING}/timestamps"]
        file[f"{RUNNING}/starting_time"] = 0.0

    assert f"{RUNNING}/starting_time has no time, or no rate" in refusal(broken(change))


@pytest.mark.parametrize("length", ["same", "other", "rate"])
def test_pupil_by_a_clock_of_its_own(broken: Broken, length: str) -> None:
    def change(file: h5py.File) -> None:
        # The two clocks may be one dataset.
        times = file[f"{DFF}/timestamps"][()]
        replace(file, f"{DFF}/timestamps", times)
        own = times + 0.25 if length == "same" else times[:-3]
        replace(file, f"{PUPIL}/pupil_diameter/timestamps", own)
        if length == "rate":
            for other in ("pupil_position_x", "pupil_position_y"):
                replace(file, f"{PUPIL}/{other}/timestamps", times)
            del file[f"{PUPIL}/pupil_diameter/timestamps"]
            file[f"{PUPIL}/pupil_diameter/starting_time"] = times[0] + 0.25
            rate = (len(times) - 1) / (times[-1] - times[0])
            file[f"{PUPIL}/pupil_diameter/starting_time"].attrs["rate"] = rate

    path = broken(change)
    with ox.open_session(path) as ds:
        with pytest.raises(
            FormatError, match=r"pupil_diameter has a clock.*by up to 0\.\d+ s|times for"
        ):
            ds.pupil_diameter[:3].load()
        problems = ds.osca.validate().at_level("error")
        assert "pupil_diameter" in {one.where for one in problems}
        assert all("a clock of its own" in one.message for one in problems)
    with ox.open_session(path, drop_variables=[one.where for one in problems]) as ds:
        assert not ds.osca.validate().at_level("error")


@pytest.mark.parametrize("rate", ["fast", h5py.Empty("f8"), 0.0, -30.0, np.nan, [30.0, 30.0]])
@pytest.mark.parametrize("series", [RUNNING, f"{PUPIL}/pupil_diameter"])
def test_rates_that_are_none(broken: Broken, rate: Any, series: str) -> None:
    def change(file: h5py.File) -> None:
        times = file[f"{series}/timestamps"][()]
        for other in ("pupil_position_x", "pupil_position_y"):
            replace(file, f"{PUPIL}/{other}/timestamps", file[f"{DFF}/timestamps"][()])
        replace(file, f"{DFF}/timestamps", file[f"{DFF}/timestamps"][()])
        del file[f"{series}/timestamps"]
        file[f"{series}/starting_time"] = times[0]
        file[f"{series}/starting_time"].attrs["rate"] = rate

    assert f"{series}/starting_time has no time, or no rate" in refusal(broken(change))


@pytest.mark.parametrize("kind", ["group", "text", "milliseconds", "gaps"])
def test_clocks_of_the_pupil_that_are_none(broken: Broken, kind: str) -> None:
    path = f"{PUPIL}/pupil_diameter/timestamps"

    def change(file: h5py.File) -> None:
        times = file[f"{DFF}/timestamps"][()]
        for other in (DFF, f"{PUPIL}/pupil_position_x", f"{PUPIL}/pupil_position_y"):
            replace(file, f"{other}/timestamps", times)
        own = {"text": np.full(len(times), b"a"), "gaps": np.where(times > 5, np.nan, times)}
        replace(file, path, own.get(kind, times))
        if kind == "milliseconds":
            file[path].attrs["unit"] = "ms"
        if kind == "group":
            del file[path]
            file.create_group(path)

    mutant = broken(change)
    if kind == "gaps":
        with ox.open_session(mutant) as ds, pytest.raises(FormatError, match="is missing at"):
            ds.pupil_diameter.load()
    else:
        assert path in refusal(mutant)
    with ox.open_session(mutant, drop_variables="pupil_diameter") as ds:
        ds.load()


@pytest.mark.parametrize("unit", [5, h5py.Empty("f8"), ["cm/s", "m/s"]], ids=str)
def test_units_that_are_no_words(broken: Broken, unit: Any) -> None:
    def change(file: h5py.File) -> None:
        file[f"{RUNNING}/data"].attrs["unit"] = unit

    assert "has a unit that is no word" in refusal(broken(change))


def test_a_conversion_to_nothing(broken: Broken) -> None:
    def change(file: h5py.File) -> None:
        file[f"{DFF}/data"].attrs["conversion"] = 0.0

    assert "no number, or 0" in refusal(broken(change))


@pytest.mark.parametrize("name", ["age", "genotype"])
def test_facts_that_are_left_out_need_not_be_right(broken: Broken, name: str) -> None:
    def change(file: h5py.File) -> None:
        del file[f"general/subject/{name}"]
        file[f"general/subject/{name}"] = h5py.SoftLink("/nowhere")

    mutant = broken(change)
    assert f"general/subject/{name}" in refusal(mutant)
    ox.open_session(mutant, drop_variables=name).close()


def test_all_problems_at_once(broken: Broken) -> None:
    def change(file: h5py.File) -> None:
        file[f"{RUNNING}/timestamps"][10] = -1.0
        replace(file, f"{PLANE}/id", np.array([7, 8, 8, 9]))
        replace(file, f"{PUPIL}/pupil_diameter/data", np.zeros(3))
        file[f"{DFF}/data"].attrs["unit"] = "percent"
        del file["general/subject/subject_id"]

    message = refusal(broken(change))
    for words in ("does not increase", "repeated ROI id", "is in percent", "subject_id"):
        assert words in message
    assert message.count("\n  - ") >= 4

    def change_table(file: h5py.File) -> None:
        file[f"{TRIALS}/stimulus_type"][3] = "movie"
        file[f"{TRIALS}/gabor_frame"][40] = "Z"
        file[f"{TRIALS}/stop_frame_twop"][-1] = 10**7
        replace(file, f"{PLANE}/tracking_id", np.array([0.0, 0.0, np.nan, np.nan]))

    message = refusal(broken(change_table))
    for words in ("'movie'", "'Z'", "beyond the recording", "same tracking id"):
        assert words in message


def test_patches_that_are_not_thirty(broken: Broken) -> None:
    """Found when they are used; the rest of the session can be used."""

    def change(file: h5py.File) -> None:
        stop = file[f"{TRIALS}/gabor_sizes_index"][()]
        for name, index in (
            ("gabor_sizes", stop.astype(int) * 2),
            ("gabor_locations_x", stop[::-1].astype(int)),
            ("gabor_locations_y", np.full(len(stop), 10**9)),
        ):
            replace(file, f"{TRIALS}/{name}_index", index)

    path = broken(change)
    with ox.open_session(path) as ds:
        for name, column in (
            ("gabor_size", "gabor_sizes"),
            ("gabor_x", "gabor_locations_x"),
            ("gabor_y", "gabor_locations_y"),
        ):
            with pytest.raises(FormatError, match=rf"{column} has .*30.*drop_variables") as caught:
                ds[name].values  # noqa: B018
            assert path.name in str(caught.value)
        assert np.isfinite(ds.gabor_orientation).any()


def test_squares_in_unlike_groups(broken: Broken) -> None:
    def change(file: h5py.File) -> None:
        stop = file[f"{TRIALS}/square_locations_x_index"]
        first = int(np.flatnonzero(stop[()])[0])
        stop[first] -= 1

    path = broken(change)
    with ox.open_session(path):
        pass  # not asked for
    message = refusal(path, include="squares")
    assert "square_locations_x" in message
    assert "same number of squares" in message


def test_templates_that_are_no_images(broken: Broken) -> None:
    def change(file: h5py.File) -> None:
        file["stimulus/templates/gabors/data"] = np.zeros(9)
        file["stimulus/templates/grayscreen/timestamps"] = np.zeros(9)

    path = broken(change)
    message = refusal(path, include="templates")
    assert "stimulus/templates/gabors/data" in message
    assert "stimulus/templates/grayscreen/data" in message


def test_movie_of_another_length(broken: Broken) -> None:
    def change(file: h5py.File) -> None:
        file["acquisition/motion_corrected_stack/data"] = np.zeros((5, 48, 48), "u2")

    message = refusal(broken(change), include="movie")
    assert "acquisition/motion_corrected_stack/data has shape (5, 48, 48)" in message


# -- ids and links -------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["", "mouse 1", "M900001"])
def test_subject_that_is_no_number(broken: Broken, value: str) -> None:
    message = refusal(broken(lambda file: replace(file, "general/subject/subject_id", value)))
    assert repr(value) in message


def test_session_name_that_is_no_number(broken: Broken) -> None:
    path = broken(lambda file: replace(file, "general/session_id", "first"))
    with ox.open_session(path) as ds:
        assert "session_id" not in ds.coords
        assert ds.attrs["session_name"] == "first"


def test_ids_that_disagree_with_the_facts(broken: Broken) -> None:
    path = broken(lambda file: None)
    with pytest.raises(SessionMismatchError) as caught:
        xr.open_dataset(path, engine="oscaxr", facts={"session_id": 111111111, "mouse_id": 222222})
    message = str(caught.value)
    for words in ("900000001", "111111111", "900001", "222222", path.name):
        assert words in message


@pytest.mark.parametrize("kind", ["link", "group", "virtual", "storage"])
@pytest.mark.parametrize(
    "place",
    [
        f"{DFF}/data",
        pytest.param(f"{PLANE}/image_mask", marks=pytest.mark.slow),
        pytest.param(f"{TRIALS}/start_time", marks=pytest.mark.slow),
    ],
)
def test_data_outside_the_folder_is_refused(
    broken: Broken, place: str, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.h5"

    def change(file: h5py.File) -> None:
        values = file[place][()]
        group, _, name = place.rpartition("/")
        with h5py.File(secret, "w") as other:
            other[place] = values
        if kind == "group":
            del file[group]
            file[group] = h5py.ExternalLink(str(secret), group)
            return
        del file[place]
        if kind == "link":
            file[place] = h5py.ExternalLink(str(secret), place)
        elif kind == "storage":
            size = values.nbytes
            file[group].create_dataset(
                name, values.shape, values.dtype, external=[(str(secret), 0, size)]
            )
        else:
            layout = h5py.VirtualLayout(values.shape, values.dtype)
            layout[...] = h5py.VirtualSource(str(secret), place, values.shape)
            file[group].create_virtual_dataset(name, layout)

    message = refusal(broken(change), UnsafeLinkError)
    assert "secret.h5" in message
    assert "outside the folder" in message


def test_soft_links_in_a_loop(broken: Broken) -> None:
    def change(file: h5py.File) -> None:
        del file[f"{DFF}/data"], file[TRIALS]
        file[f"{DFF}/data"] = h5py.SoftLink(f"/{DFF}/data")
        file[TRIALS] = h5py.SoftLink("/loop")
        file["loop"] = h5py.SoftLink(f"/{TRIALS}")

    message = refusal(broken(change))
    assert message.count(f"{DFF}/data is reached by links upon links") == 1
    assert f"{DFF}/data is missing" not in message
    assert "/loop is reached by links upon links" in message


@pytest.mark.parametrize("path", [f"{PLANE}/tracking_id", f"{PUPIL}/pupil_diameter/data"])
def test_links_of_optional_parts_that_lead_nowhere(broken: Broken, path: str) -> None:
    def change(file: h5py.File) -> None:
        del file[path], file[f"{TRIALS}/gabor_locations_x"]
        file[path] = h5py.SoftLink("/nowhere")
        file[f"{TRIALS}/gabor_locations_x"] = h5py.ExternalLink("absent.nwb", "/x")

    message = refusal(broken(change))
    assert f"{path} leads to /nowhere, which is not there" in message
    assert "absent.nwb, but there is no such file" in message
