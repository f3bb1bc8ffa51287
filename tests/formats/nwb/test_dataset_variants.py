"""Every form a published file may have opens to the same session."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import DroppedFramesWarning, FormatError, InvalidRoiWarning
from sample_forms import planted, write_nwb_form

DFF = "processing/ophys/DfOverF/RoiResponseSeries"
PLANE = "processing/ophys/ImageSegmentation/PlaneSegmentation"
TRIALS = "intervals/trials"
RUNNING = "processing/behavior/BehavioralTimeSeries/running_velocity"
PUPIL = "processing/behavior/PupilTracking"

# Attributes that say how and from where a session was read.
SOURCE_ATTRS = ("source_files", "source_format", "nwb_version", "identifier")


@pytest.fixture(scope="module")
def made(spec: ox.sample.SampleSpec) -> ox.sample.SampleSession:
    return ox.sample.make_session(spec)


@pytest.fixture(scope="module")
def reference(memory_session: xr.Dataset) -> xr.Dataset:
    """The session in memory, computed, dF/F as float32 as the files have it."""
    return memory_session.load()


def assert_same_session(
    found: xr.Dataset, expected: xr.Dataset, *, without: tuple[str, ...] = (), rtol: float = 1e-6
) -> None:
    """Compare all values; labels and whole numbers exactly."""
    facts = {str(name) for name, variable in expected.coords.items() if not variable.dims}
    names = set(map(str, expected.variables)) - set(without) - facts
    assert set(map(str, found.variables)) - facts == names
    for name in sorted(names):
        first, second = found[name].values, expected[name].values
        assert found[name].dims == expected[name].dims, name
        assert first.dtype.kind == second.dtype.kind, name
        if first.dtype.kind == "f":
            np.testing.assert_allclose(first, second, rtol=rtol, atol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(first, second, err_msg=name)
        assert found[name].attrs == expected[name].attrs, name


VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "contiguous_float64": {"layout": "contiguous", "dtype": "float64"},
    "gzip_float64": {"layout": "gzip", "dtype": "float64"},
    "chunked": {"layout": "chunked"},
    "shuffled_bytes": {"shuffle": True},
    "chunks_of_hdf5": {"chunks": None},
    "one_row_a_chunk": {"chunks": (1, 7)},
    "one_roi_a_chunk": {"chunks": (4000, 1)},
    "bool_masks": {"mask_kind": "bool"},
    "weight_masks": {"mask_kind": "weights"},
    "weight_masks_contiguous": {"mask_kind": "weights", "layout": "contiguous"},
    "no_frame_columns": {"forms": ["no_frame_columns"]},
    "shuffled_columns": {"forms": ["shuffled_columns"]},
    "nan_for_empty": {"forms": ["nan_for_empty"]},
    "narrow_numbers": {"forms": ["narrow_numbers"]},
    "timestamps_repeated": {"forms": ["repeated_timestamps"]},
    "no_full_table": {"forms": ["no_full_table"]},
    "with_templates": {"parts": "behavior+image+ophys"},
    "raw": {"parts": "obj-raw"},
    "everything_odd": {
        "layout": "chunked",
        "mask_kind": "weights",
        "forms": [
            *("no_frame_columns", "shuffled_columns", "nan_for_empty", "narrow_numbers"),
            *("repeated_timestamps", "no_full_table"),
        ],
    },
}


# What "everything_odd" has, too, and forms of storage that HDF5 itself reads.
REPEATED = VARIANTS.keys() - {
    *("default", "shuffled_bytes", "weight_masks_contiguous", "with_templates", "everything_odd"),
}


@pytest.mark.parametrize(
    "variant",
    [pytest.param(one, marks=[pytest.mark.slow] * (one in REPEATED)) for one in VARIANTS],
)
def test_variants_open_to_the_same_values(
    variant: str, made: ox.sample.SampleSession, reference: xr.Dataset, tmp_path: Path
) -> None:
    options = {"dtype": "float32", "template_frames": 3, **VARIANTS[variant]}
    forms = options.pop("forms", [])
    path = write_nwb_form(made, tmp_path, *forms, **options)
    with ox.open_session(path) as ds:
        assert ds.dff.dtype == options["dtype"]
        rates = 1e-12
        if "no_frame_columns" in forms:
            # The last segment stops with the recording: no frame has the time of its stop, and
            # the nearest is one earlier.
            rates = 1e-3
            assert int(reference.stop_frame_stim[-1] - ds.stop_frame_stim[-1]) == 1
            ds, reference = ds.isel(segment=slice(-1)), reference.isel(segment=slice(-1))
            # Times tell the two-photon frame on the screen to one frame.
            names = ["start_frame_twop", "stop_frame_twop", "num_frames_twop"]
            for name in names:
                assert np.abs(ds[name] - reference[name]).max() <= 1
            assert_same_session(ds.drop_vars(names), reference.drop_vars(names))
        else:
            assert_same_session(ds, reference)
        for rate in ("twop_fps", "stim_fps"):
            assert ds.attrs[rate] == pytest.approx(reference.attrs[rate], rel=rates)
        assert not ds.osca.validate(traces=True)


def test_memory_and_file_are_the_same_session(
    made: ox.sample.SampleSession, spec: ox.sample.SampleSpec, tmp_path: Path
) -> None:
    """With the session table, only what says where it was read from may differ."""
    path = ox.sample.write_nwb(made, tmp_path, layout="contiguous", dtype="float64")
    memory = ox.sample.session(spec, include="squares").load()
    table = ox.sample.sample_session_table([spec])
    with ox.open_session(path, table=table, include="squares") as ds:
        xr.testing.assert_equal(ds, memory)
        assert set(ds.coords) == set(memory.coords)
        for name in memory.variables:
            assert ds[name].attrs == memory[name].attrs, name
            # Files store the tracks of squares in more bytes than they need.
            is_track = name in ("square_x", "square_y")
            assert ds[name].dtype == ("int32" if is_track else memory[name].dtype), name
        differ = {name for name in memory.attrs if memory.attrs[name] != ds.attrs.get(name)}
        assert differ == {"source_format"}
        assert ds.attrs["source_format"] == "nwb"


def test_no_pupil_position(
    made: ox.sample.SampleSession, reference: xr.Dataset, tmp_path: Path
) -> None:
    path = write_nwb_form(made, tmp_path, "no_pupil_position")
    absent = ("pupil_center_x", "pupil_center_y", "pupil_center_shift")
    with ox.open_session(path) as ds:
        assert_same_session(ds, reference, without=absent)
        assert not ds.osca.validate().at_level("error")


@pytest.mark.parametrize("form", ["no_column", "no_tracked_rois"])
def test_no_tracking(form: str, spec: ox.sample.SampleSpec, tmp_path: Path) -> None:
    if form == "no_column":
        path = write_nwb_form(spec, tmp_path, "no_tracking")
    else:
        path = ox.sample.write_nwb(
            ox.sample.SampleSpec(scale=0.01, n_rois=3, n_tracked=0, dropped=0.0), tmp_path
        )
    with ox.open_session(path) as ds:
        assert (ds.tracking_id == -1).all()
        assert ds.osca.n_tracked == 0
        assert not ds.osca.validate()


def test_pilot_stimuli(tmp_path: Path) -> None:
    spec = ox.sample.SampleSpec(
        scale=0.02, n_rois=3, n_tracked=0, gabor_kappa=4, square_size=256, dropped=0.0
    )
    path = ox.sample.write_nwb(spec, tmp_path)
    with ox.open_session(path, include="squares") as ds:
        assert ds.sizes["square"] == 26
        assert set(np.unique(ds.gabor_kappa)[:-1]) == {4.0}
        assert ds.osca.select(gabor_kappa=4).sizes["segment"]
        assert ds.osca.select(gabor_kappa=16).sizes["segment"] == 0


# -- forms that the sample writer does not make --------------------------------------------------


@pytest.fixture(scope="module")
def written(
    made: ox.sample.SampleSession, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Write the sample session, once in each form. Not to be written to."""
    paths: dict[str, Path] = {}

    def write(**options: Any) -> Path:
        form = repr(sorted(options.items()))
        if form not in paths:
            folder = tmp_path_factory.mktemp("written")
            paths[form] = ox.sample.write_nwb(made, folder, **options)
        return paths[form]

    return write


@pytest.fixture
def edit(
    written: Callable[..., Path], tmp_path: Path
) -> Callable[[Callable[[h5py.File], None]], Path]:
    """Copy the sample session and change the file by hand."""

    def write(change: Callable[[h5py.File], None], **options: Any) -> Path:
        source = written(**options)
        path = Path(shutil.copy(source, tmp_path / source.name))
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return write


def replace(group: h5py.Group, name: str, values: Any, **options: Any) -> None:
    attrs = dict(group[name].attrs)
    del group[name]
    group.create_dataset(name, data=values, **options).attrs.update(attrs)


Edit = Callable[..., Path]


@pytest.mark.parametrize("layout", ["gzip", pytest.param("contiguous", marks=pytest.mark.slow)])
@pytest.mark.parametrize("mask_kind", ["uint8", pytest.param("weights", marks=pytest.mark.slow)])
def test_permuted_roi_region(
    edit: Edit, reference: xr.Dataset, layout: str, mask_kind: str
) -> None:
    """`rois` says which row of the ROI table each trace belongs to."""
    order = np.array([4, 0, 6, 2, 1, 5, 3])
    path = edit(
        lambda file: file[f"{DFF}/rois"].write_direct(order.astype(file[f"{DFF}/rois"].dtype)),
        layout=layout,
        mask_kind=mask_kind,
    )
    with ox.open_session(path) as ds:
        np.testing.assert_array_equal(ds.roi, order)
        expected = reference.isel(roi=order)
        for name in ("roi_id", "tracking_id", "centroid_x", "centroid_y", "area_px", "roi_mask"):
            np.testing.assert_array_equal(ds[name], expected[name], err_msg=name)
        key = {"roi": [5, 1], "height": slice(50, 4, -3)}
        np.testing.assert_array_equal(ds.roi_mask.isel(key), expected.roi_mask.isel(key))
        np.testing.assert_allclose(ds.dff, reference.dff, rtol=1e-6)
        tracked = ds.osca.tracked()
        np.testing.assert_array_equal(
            np.sort(tracked.roi_id.values), np.sort(reference.osca.tracked().roi_id.values)
        )


def test_no_roi_region(edit: Edit, reference: xr.Dataset) -> None:
    def change(file: h5py.File) -> None:
        del file[f"{DFF}/rois"]

    with ox.open_session(edit(change)) as ds:
        assert_same_session(ds, reference)


@pytest.mark.parametrize("missing", [np.nan, -1.0, -1])
def test_tracking_forms(edit: Edit, reference: xr.Dataset, missing: float) -> None:
    def change(file: h5py.File) -> None:
        ids = file[f"{PLANE}/tracking_id"][()]
        values = np.where(np.isfinite(ids), ids, missing)
        dtype = np.int16 if isinstance(missing, int) else np.float32
        replace(file[PLANE], "tracking_id", values.astype(dtype))

    with ox.open_session(edit(change)) as ds:
        np.testing.assert_array_equal(ds.tracking_id, reference.tracking_id)
        assert ds.tracking_id.dtype == np.int64


@pytest.mark.parametrize(
    "form",
    [
        "bytes",
        "fixed",
        "padded",
        "text_numbers",
        "bool_flags",
        "integers",
        "float_frames",
        "NaN_text",
    ],
)
def test_column_dtypes(edit: Edit, reference: xr.Dataset, form: str) -> None:
    def change(file: h5py.File) -> None:
        trials = file[TRIALS]
        if form in ("bytes", "fixed", "padded"):
            for name in ("stimulus_type", "gabor_frame", "main_flow_direction"):
                words = trials[name].asstr()[()].astype("S")
                words = np.char.ljust(words, 40) if form == "padded" else words
                replace(trials, name, words.astype(object) if form == "bytes" else words)
        elif form == "text_numbers":
            for name in ("unexpected", "gabor_kappa", "square_size"):
                values = trials[name][()]
                text = np.array(["" if np.isnan(v) else str(v) for v in values], object)
                replace(trials, name, text)
        elif form == "bool_flags":
            values = trials["unexpected"][()]
            words = np.array(["" if np.isnan(v) else str(bool(v)) for v in values], object)
            replace(trials, "unexpected", words)
        elif form == "integers":
            for name in ("start_frame_twop", "stop_frame_twop", "start_frame_stim"):
                replace(trials, name, trials[name][()].astype("u4"))
        elif form == "float_frames":
            for name in ("start_frame_twop", "stop_frame_stim", "num_frames_twop"):
                replace(trials, name, trials[name][()].astype("f8"))
        else:
            for name in ("gabor_frame", "main_flow_direction"):
                words = trials[name].asstr()[()].astype(object)
                words[words == ""] = "nan"
                replace(trials, name, words)

    with ox.open_session(edit(change)) as ds:
        assert_same_session(ds, reference)


def test_frames_that_are_there_stay_where_others_are_missing(edit: Edit) -> None:
    def change(file: h5py.File) -> None:
        del file[f"{TRIALS}/stop_frame_twop"]
        frames = file[f"{TRIALS}/start_frame_twop"]
        frames[5] = frames[5] + 1

    path = edit(change)
    with ox.open_session(path) as ds, h5py.File(path) as file:
        np.testing.assert_array_equal(ds.start_frame_twop, file[f"{TRIALS}/start_frame_twop"][()])


@pytest.mark.parametrize("dtype", ["f8", ">f8"])
def test_all_labels_of_a_column_missing(edit: Edit, dtype: str) -> None:
    """A column without any label may be stored as numbers, all NaN."""

    def change(file: h5py.File) -> None:
        trials = file[TRIALS]
        length = len(trials["gabor_frame"])
        replace(trials, "stimulus_template_name", np.full(length, np.nan, dtype))
        del trials["square_number"], trials["gabor_number"], trials["square_proportion_flipped"]

    with ox.open_session(edit(change)) as ds:
        assert set(ds.stimulus_template_name.values) == {""}
        assert np.isnan(ds.square_number).all()


@pytest.mark.parametrize("form", ["one value", "padded", "padded by HDF5"])
def test_scalars_in_other_forms(edit: Edit, reference: xr.Dataset, form: str) -> None:
    def change(file: h5py.File) -> None:
        for name in ("identifier", "general/subject/subject_id", "general/session_id"):
            if name not in file:
                continue
            word = file[name].asstr()[()]
            del file[name]
            if form == "one value":
                file[name] = np.array([word], object)
            elif form == "padded":
                file[name] = np.bytes_(word.ljust(60))
            else:
                kind = h5py.h5t.C_S1.copy()
                kind.set_size(60)
                kind.set_strpad(h5py.h5t.STR_SPACEPAD)
                space = h5py.h5s.create(h5py.h5s.SCALAR)
                made = h5py.h5d.create(file.id, name.encode(), kind, space)
                made.write(space, space, np.array(word.ljust(60), "S60"), kind)

    with ox.open_session(edit(change)) as ds:
        assert_same_session(ds, reference)
        assert ds.session_id == reference.session_id
        assert ds.mouse_id == reference.mouse_id


def test_one_roi_may_have_a_trace_of_one_dim(edit: Edit, reference: xr.Dataset) -> None:
    def change(file: h5py.File) -> None:
        replace(file[DFF], "data", file[f"{DFF}/data"][:, 2])
        replace(file[DFF], "rois", np.array([0]))
        for name in ("id", "tracking_id", "image_mask"):
            replace(file[PLANE], name, file[f"{PLANE}/{name}"][2:3])

    with ox.open_session(edit(change, mask_kind="bool")) as ds:
        assert ds.dff.dims == ("time", "roi")
        expected = reference.isel(roi=[2])
        np.testing.assert_allclose(ds.dff, expected.dff, rtol=1e-6)
        np.testing.assert_allclose(ds.dff_spread, expected.dff_spread, rtol=1e-6)
        chosen = {"time": [5, 3, 900]}
        np.testing.assert_allclose(ds.dff.isel(chosen), expected.dff.isel(chosen), rtol=1e-6)
        u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=0.1, post=0.5)
        assert u.sizes["roi"] == 1


@pytest.mark.parametrize("with_picture", [True, False])
def test_masks_as_lists_of_pixels(edit: Edit, reference: xr.Dataset, with_picture: bool) -> None:
    def change(file: h5py.File) -> None:
        weights = np.asarray(file[f"{PLANE}/image_mask"][()], float)
        roi, y, x = np.nonzero(weights)
        pixels = np.zeros(len(x), [("x", "u4"), ("y", "u4"), ("weight", "f4")])
        pixels["x"], pixels["y"], pixels["weight"] = x, y, weights[roi, y, x]
        plane = file[PLANE]
        del plane["image_mask"]
        plane["pixel_mask"] = pixels
        plane["pixel_mask_index"] = np.searchsorted(roi, np.arange(len(weights)), "right")
        if not with_picture:
            del file["processing/ophys/PlaneImages"]

    with ox.open_session(edit(change, mask_kind="bool")) as ds:
        for name in ("centroid_x", "centroid_y", "area_px"):
            np.testing.assert_array_equal(ds[name], reference[name], err_msg=name)
        height, width = ds.sizes["height"], ds.sizes["width"]
        assert not with_picture or (height, width) == reference.roi_mask.shape[1:]
        found, expected = (
            ds.roi_mask,
            reference.roi_mask.isel(height=slice(height), width=slice(width)),
        )
        np.testing.assert_array_equal(found, expected)
        key = {"roi": [5, 1], "height": slice(None, None, 3)}
        np.testing.assert_array_equal(found.isel(key), expected.isel(key))
        assert found.sum() == reference.roi_mask.sum()


def test_pixels_outside_the_field(edit: Edit) -> None:
    def change(file: h5py.File) -> None:
        plane = file[PLANE]
        n_rois = len(plane["id"])
        del plane["image_mask"]
        kind = [("x", "u4"), ("y", "u4"), ("weight", "f4")]
        plane["pixel_mask"] = np.array([(4000, 1, 1.0)] * 5 * n_rois, kind)
        plane["pixel_mask_index"] = np.arange(1, n_rois + 1) * 5

    with ox.open_session(edit(change)) as ds, pytest.raises(FormatError, match="outside the field"):
        ds.roi_mask.load()


@pytest.mark.parametrize("index", ["u1", "i8", "f8"])
def test_ragged_index_dtypes(edit: Edit, reference: xr.Dataset, index: str) -> None:
    def change(file: h5py.File) -> None:
        trials = file[TRIALS]
        stop = trials["gabor_sizes_index"][()]
        dtype = "u4" if index == "u1" else index
        replace(trials, "gabor_sizes_index", stop.astype(dtype))
        replace(trials, "gabor_sizes", trials["gabor_sizes"][()].astype("f4"))

    with ox.open_session(edit(change)) as ds:
        np.testing.assert_allclose(ds.gabor_size, reference.gabor_size, rtol=1e-6)
        assert ds.gabor_size.dtype == np.float64


def test_no_gabor_columns_and_no_gabors(edit: Edit) -> None:
    def change(file: h5py.File) -> None:
        trials = file[TRIALS]
        stop = np.zeros(len(trials["gabor_sizes_index"]), "i8")
        replace(trials, "gabor_sizes", np.empty(0))
        replace(trials, "gabor_sizes_index", stop)
        for name in ("gabor_orientations", "gabor_orientations_index"):
            del trials[name]

    with ox.open_session(edit(change)) as ds:
        assert "gabor_orientation" not in ds
        assert np.isnan(ds.gabor_size).all()


def test_projection_and_masks_may_be_absent(edit: Edit) -> None:
    def change(file: h5py.File) -> None:
        del file["processing/ophys/PlaneImages"], file[f"{PLANE}/image_mask"]
        del file["processing/behavior/PupilTracking"]
        # The clock was a link into what is gone.
        del file[f"{DFF}/timestamps"]
        file[f"{DFF}/timestamps"] = times

    path = edit(lambda file: None)
    with h5py.File(path) as file:
        times = file[f"{DFF}/timestamps"][()]
    with h5py.File(path, "r+") as file:
        change(file)
    with ox.open_session(path) as ds:
        absent = {"max_projection", "roi_mask", "centroid_x", "area_px", "pupil_diameter"}
        assert not absent & set(ds.variables)
        assert not ds.osca.validate().at_level("error")


def test_links_inside_the_file(edit: Edit, reference: xr.Dataset) -> None:
    """Timestamps are links in pynwb's files; whole groups may be, too."""

    def change(file: h5py.File) -> None:
        file.move("processing/ophys", "elsewhere")
        file["processing/ophys"] = h5py.SoftLink("/elsewhere")

    with ox.open_session(edit(change)) as ds:
        assert_same_session(ds, reference)


def test_conversion_and_offset(edit: Edit, reference: xr.Dataset) -> None:
    """Stored as whole numbers, as pynwb's ``get_data_in_units`` has them."""

    def change(file: h5py.File) -> None:
        for place, factor in ((f"{DFF}/data", 1e-4), (f"{PUPIL}/pupil_diameter/data", 1e-5)):
            values, attrs = np.nan_to_num(file[place][()]), dict(file[place].attrs)
            del file[place]
            file[place] = np.rint((values - 0.5) / factor).astype(np.int32)
            file[place].attrs.update({**attrs, "conversion": factor, "offset": 0.5})

    found = ox.open_session(edit(change))
    assert found.dff.dtype == np.float64
    np.testing.assert_allclose(found.dff, reference.dff, atol=1e-4)
    pupil = reference.pupil_diameter.fillna(0)
    np.testing.assert_allclose(found.pupil_diameter, pupil, atol=1e-5)
    few = {"time": [5, 3], "roi": [1]}
    np.testing.assert_array_equal(found.dff.isel(few), found.dff.load().isel(few))


@pytest.mark.parametrize("series", [DFF, RUNNING])
def test_clock_by_start_and_rate(edit: Edit, reference: xr.Dataset, series: str) -> None:
    name = "time" if series == DFF else "stim_time"
    times = reference[name].values
    rate = (len(times) - 1) / (times[-1] - times[0])

    def change(file: h5py.File) -> None:
        changed = (
            [series] if series == RUNNING else [DFF, *(f"{PUPIL}/{one}" for one in file[PUPIL])]
        )
        for one in changed:
            del file[f"{one}/timestamps"]
            file[f"{one}/starting_time"] = times[0]
            file[f"{one}/starting_time"].attrs["rate"] = rate

    found = ox.open_session(edit(change))
    np.testing.assert_allclose(found[name], times[0] + np.arange(len(times)) / rate)
    np.testing.assert_array_equal(found.pupil_diameter, reference.pupil_diameter)


def test_data_beside_the_file(edit: Edit, reference: xr.Dataset, tmp_path: Path) -> None:
    """External links to files of the same folder are followed."""
    path = edit(lambda file: None)
    with h5py.File(path, "r+") as file, h5py.File(path.parent / "more.h5", "w") as other:
        other.create_dataset("traces/all", data=file[f"{DFF}/data"][()])
        file.copy(f"{TRIALS}/gabor_sizes", other, "patches")
        del file[f"{DFF}/data"], file[f"{TRIALS}/gabor_sizes"]
        file[f"{DFF}/data"] = h5py.ExternalLink("more.h5", "/traces/all")
        file[f"{TRIALS}/gabor_sizes"] = h5py.ExternalLink("more.h5", "patches")
    with ox.open_session(path) as ds:
        assert_same_session(ds, reference)


def test_start_frame_is_the_nearest_without_frame_columns(
    made: ox.sample.SampleSession, tmp_path: Path
) -> None:
    path = write_nwb_form(made, tmp_path, "no_frame_columns")
    with ox.open_session(path) as ds:
        start = ds.start_time.values
        for clock, name in (("time", "twop"), ("stim_time", "stim")):
            nearest = np.abs(ds[clock].values[:, None] - start).argmin(axis=0)
            np.testing.assert_array_equal(ds[f"start_frame_{name}"], nearest)
            np.testing.assert_array_equal(ds[f"stop_frame_{name}"][:-1], nearest[1:])


# -- data with gaps ------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["gzip", pytest.param("contiguous", marks=pytest.mark.slow)])
@pytest.mark.parametrize("first", ["valid", "dff_median"])
def test_invalid_rois_are_named(
    made: ox.sample.SampleSession, tmp_path: Path, layout: str, first: str
) -> None:
    invalid = planted([1], np.nan), planted([4], np.inf)
    path = write_nwb_form(made, tmp_path, *invalid, layout=layout)
    with ox.open_session(path) as ds:
        with pytest.warns(InvalidRoiWarning, match=r"2 of 7 ROIs.*\(roi 1, 4\)") as caught:
            ds[first].values  # noqa: B018
        # Said once, whichever comes first.
        valid = ds.valid.values
        assert path.name in str(caught[0].message)
        assert len(caught) == 1
        np.testing.assert_array_equal(np.flatnonzero(~valid), [1, 4])
        np.testing.assert_array_equal(ds.valid.isel(roi=[4, 0]), [False, True])
        median = ds.dff_median.values
        assert np.isfinite(median[valid]).all()
        report = ds.osca.validate(traces=True)
        assert "roi" in str(report).lower()
        assert [problem.where for problem in report] == ["dff"]


def test_dropped_frames_are_counted(tmp_path: Path) -> None:
    spec = ox.sample.SampleSpec(scale=0.02, n_rois=2, n_tracked=0, dropped=0.01)
    path = ox.sample.write_nwb(spec, tmp_path)
    with pytest.warns(DroppedFramesWarning, match=r"running frames .* are missing") as caught:
        ds = ox.open_session(path)
    ds.close()
    missing = int(np.isnan(ds.run_velocity.values).sum())
    message = str(caught[0].message)
    assert f"{missing} of {ds.sizes['stim_time']} running frames" in message
    assert path.name in message
    assert [problem.where for problem in ds.osca.validate()] == ["run_velocity"]


def test_running_outliers_are_removed(edit: Edit, reference: xr.Dataset) -> None:
    frame = 2500

    def change(file: h5py.File) -> None:
        velocity = file["processing/behavior/BehavioralTimeSeries/running_velocity/data"]
        velocity[frame] = 400.0

    with ox.open_session(edit(change)) as ds:
        assert np.isnan(ds.run_velocity[frame])
        assert int(np.isnan(ds.run_velocity).sum()) == 1
        np.testing.assert_allclose(
            np.delete(ds.run_velocity.values, frame),
            np.delete(reference.run_velocity.values, frame),
        )


def test_example_sessions_open(shared: Path, open_shared: Callable[..., xr.Dataset]) -> None:
    for session_id in (758519303, 759189643, 759660390, 764704289):
        with open_shared(session_id, table=shared / "data" / "mouse_df.csv") as ds:
            assert int(ds.session_id) == session_id
            assert not ds.osca.validate().at_level("error")
            ds.load()


SPACING = f"{PLANE}/imaging_plane/grid_spacing"


def with_spacing(edit: Edit, spacing: list[float], unit: str | None) -> Path:
    def change(file: h5py.File) -> None:
        file[SPACING] = spacing
        file[SPACING].attrs.update({} if unit is None else {"unit": unit})

    return edit(change, layout="gzip")


@pytest.mark.parametrize(
    ("spacing", "unit"),
    [([0.8e-6, 0.5e-6], "meters"), ([0.8, 0.5, 2.0], "micrometers"), ([0.8e-6, 0.5e-6], None)],
)
def test_spacing_of_pixels(
    spacing: list[float], unit: str | None, edit: Edit, reference: xr.Dataset
) -> None:
    """x comes first in NWB; its default unit is the meter."""
    path = with_spacing(edit, spacing, unit)
    with ox.open_session(path) as ds:
        assert_same_session(ds.drop_vars(["height_um", "width_um"]), reference)
        np.testing.assert_allclose(ds.width_um, 0.8 * ds.width)
        np.testing.assert_allclose(ds.height_um, 0.5 * ds.height)
        assert ds.width_um.attrs["units"] == "um"
        np.testing.assert_allclose(ds.roi_mask[:, 4:, 8:].height_um[0], 2.0)
        assert not ds.osca.validate()
    with ox.open_session(path, drop_variables=["roi_mask", "max_projection"]) as ds:
        assert not {"height_um", "width_um"} & {*ds.coords}


@pytest.mark.parametrize(
    ("spacing", "unit"), [([0.0, 1.0], "meters"), ([1.0], "meters"), ([1.0, 1.0], "furlongs")]
)
def test_spacing_of_pixels_that_is_none(spacing: list[float], unit: str, edit: Edit) -> None:
    path = with_spacing(edit, spacing, unit)
    with pytest.raises(FormatError, match="grid_spacing is not the distance of pixels along x"):
        ox.open_session(path)
    with ox.open_session(path, drop_variables=["height_um", "width_um"]) as ds:
        assert "height_um" not in ds.coords
