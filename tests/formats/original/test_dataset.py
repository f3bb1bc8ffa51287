"""Sessions in the original layout as Datasets: the same as from NWB, but for what differs."""

import pickle
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import InvalidRoiWarning, OscaxrWarning
from oscaxr.formats.original.files import read_tree
from oscaxr.select.frames import convert_frames
from sample_forms import photodiode_glitches, repickled, startup_spike, write_original_form
from small_sessions import small_spec

# By definition: bad ROIs have reasons; the alignment of the clocks is known; names tell the run
# type.
ONLY_ORIGINAL = {"invalid_reason", "listed_invalid", "aligned_frame_twop", "run_type"}
ONLY_NWB = {"line"}
ORIGINAL_ATTRS = {"segmentation", "fluorescence"}
NWB_ATTRS = {"session_start_time", "dandi_session_time", "age", "identifier", "genotype", "sex"}
NWB_ATTRS |= {"nwb_version", "session_start_time_comment"}


@pytest.fixture(
    scope="module",
    params=[
        *("soma", "dend"),
        *(
            pytest.param(one, marks=pytest.mark.slow)
            for one in ("no-tracking", "gzip", "other-order")
        ),
    ],
)
def both(request, tmp_path_factory):
    """The same session in both layouts, all ROIs fit."""
    facts = {
        "soma": {},
        "dend": {"plane": "dend"},
        "no-tracking": {"n_tracked": 0},
        "gzip": {"twop_rate": 30.15},
        "other-order": {"block_order": ("right", "left", "gabors"), "dropped": 0.001},
    }[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    session = ox.sample.make_session(small_spec(**facts))
    layout = "gzip" if request.param == "gzip" else "contiguous"
    original = ox.sample.write_original(session, folder / "original", layout=layout)
    nwb = ox.sample.write_nwb(session, folder / "nwb", dtype="float32")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OscaxrWarning)
        with (
            ox.open_session(original, include="squares") as one,
            ox.open_session(nwb, include="squares") as other,
        ):
            yield one, other


def test_the_same_session_in_both_layouts_has_the_same_values(both):
    original, nwb = both
    assert set(original.variables) - set(nwb.variables) <= ONLY_ORIGINAL
    assert set(nwb.variables) - set(original.variables) == ONLY_NWB
    for name in set(nwb.variables) & set(original.variables):
        xr.testing.assert_identical(original[name].variable, nwb[name].variable)
        # NWB files store the tracks of squares in more bytes than they need.
        is_track = name in ("square_x", "square_y")
        assert original[name].dtype == ("int16" if is_track else nwb[name].dtype), name
    assert {k: dict(v.sizes) for k, v in original.data_vars.items()} == {
        k: dict(v.sizes) for k, v in nwb.data_vars.items()
    }


def test_facts_differ_only_in_what_the_layouts_know(both):
    original, nwb = both
    differ = {
        name
        for name in {*original.attrs, *nwb.attrs}
        if original.attrs.get(name) != nwb.attrs.get(name)
    }
    assert differ == ORIGINAL_ATTRS | NWB_ATTRS | {"source_format", "source_files"}


def test_gray_gabor_frames_keep_what_their_sequence_had_last(both):
    patches = ox.model.names.GABOR_PATCH_VARIABLES
    for ds in both:
        gray = ds.gabor_frame.values == "G"
        last = np.flatnonzero(gray) - 1
        assert set(ds.gabor_frame.values[last]) == {"D", "U"}
        for name in ("gabor_kappa", "unexpected", "gabor_mean_orientation"):
            np.testing.assert_array_equal(ds[name].values[gray], ds[name].values[last])
        for name in ("gabor_number", *patches):
            assert np.isnan(ds[name].values[gray]).all()


def test_an_orientation_selects_the_same_segments_in_both_layouts(both):
    for orientation in (90, 135):
        one, other = (ds.osca.select(gabor_mean_orientation=orientation) for ds in both)
        assert one.segment.values.tolist() == other.segment.values.tolist() != []
        frames = one.gabor_frame.values
        # Those of U included: it is turned, and the gray frame after it is as U.
        assert {"A", "B", "C", "G"} < set(frames)
        shown = one.osca.select(gabor_frame=["A", "B", "C", "D", "U"])
        assert shown.segment.values.tolist() == one.segment.values[frames != "G"].tolist()


def test_every_operation_gives_the_same_on_both(both):
    def numbers(ds):
        unexpected = ds.osca.select(gabor_frame="U")
        u = ds.osca.sequences("dff", unexpected, pre=0.5, post=0.5)
        yield u.osca.scale(ds).osca.baseline(0.2).osca.integrate()
        yield ds.osca.sequences("dff", ds.osca.select(stimulus="gabors"), post=0.6).mean("sequence")
        yield ds.osca.sequences("dff", ds.osca.select(stimulus="gabors"), post=0.6).osca.stats(
            "sequence"
        )["mean"]
        yield ds.osca.sequences("run_velocity", unexpected, pre=1, post=1, edge="nan")
        yield ds.dff.isel(time=slice(5, 50, 3), roi=[2, 0])
        yield ds.dff.sel(roi=1)
        if ds.osca.n_tracked:
            yield ds.osca.tracked().dff.max("time")
        yield ds.dff.max("time")
        yield ds.osca.active_rois()
        yield ds.roi_mask.isel(roi=[3, 1], height=slice(10, 40), width=[5, 6, 20])
        yield ds.osca.scale_factors("pupil_diameter")["median"]
        yield ds.osca.segments_at(np.arange(100, 400, 7))

    for one, other in zip(*map(numbers, both), strict=True):
        # Values lie in another order in memory, and sums are rounded in that order.
        np.testing.assert_allclose(one.values, other.values, rtol=1e-12, atol=1e-14)
        assert one.dims == other.dims


def test_frames_are_converted_by_the_sessions_own_alignment(both):
    original, _ = both
    stim = original.start_frame_stim.values[1:-1]
    twop = convert_frames(original, stim, to="twop").values
    np.testing.assert_array_equal(twop, original.start_frame_twop.values[1:-1])
    back = convert_frames(original, np.arange(original.sizes["time"]), to="stim").values
    aligned = original.aligned_frame_twop.values
    for frame in range(0, original.sizes["time"], 13):
        found = np.flatnonzero(aligned == frame)
        assert back[frame] == (found[0] if found.size else -1)


# -- bad ROIs, raw traces, segmentations ----------------------------------------------------------
@pytest.mark.parametrize("plane", ["soma", "dend"])
def test_bad_rois_are_kept_with_their_reason(original_folders, tmp_path, plane):
    folder = original_folders[plane]
    with ox.open_session(folder) as ds:
        with pytest.warns(InvalidRoiWarning, match="5 of 12 ROIs are bad"):
            valid = ds.valid.values
        reasons = ds.invalid_reason.values
        assert sorted(reasons[~valid].tolist()) == [
            "NaN", "NaN", "infinity", "median above mid-range", "negative mean",
        ]  # fmt: skip
        assert (reasons[valid] == "").all()
        kept = ds.isel(roi=valid).load()
    spec = small_spec(
        plane=plane, mouse_id=int(folder.parent.name[6:]), session_id=int(folder.name[14:])
    )
    path = ox.sample.write_nwb(spec, tmp_path, dtype="float32")
    with ox.open_session(path) as nwb:
        for name in ("dff", "dff_median", "dff_spread", "tracking_id", "roi_mask", "area_px"):
            np.testing.assert_array_equal(kept[name].values, nwb[name].values)


def test_a_session_is_warned_of_once(original_folders):
    with ox.open_session(original_folders["soma"]) as ds:
        with pytest.warns(InvalidRoiWarning) as caught:
            ds[["dff_median", "valid"]].load()
        assert len(caught) == 1
        report = ds.osca.validate(traces=True)
    assert [p.where for p in report if "invalid_reason" in p.message] == ["dff"]


@pytest.mark.parametrize("plane", ["soma", "dend"])
def test_raw_fluorescence_says_that_it_is(original_folders, plane):
    import h5py

    folder = original_folders[plane]
    part = "raw_dendritic" if plane == "dend" else "raw"
    with h5py.File(read_tree(folder).files[part]) as file:
        expected = file["FC"][()].T
    with ox.open_session(folder, fluorescence="raw") as ds:
        np.testing.assert_array_equal(ds.dff.values, expected)
        assert ds.dff.attrs["long_name"] == "raw fluorescence"
        assert ds.attrs["fluorescence"] == "raw"
        with pytest.warns(InvalidRoiWarning):
            bad = ds.roi.values[~ds.valid.values]
    assert bad.size


def test_dendrites_have_two_segmentations(original_folders):
    folder = original_folders["dend"]
    with (
        ox.open_session(folder) as extract,
        ox.open_session(folder, segmentation="extr") as same,
        ox.open_session(folder, segmentation="allen") as allen,
    ):
        xr.testing.assert_equal(extract.dff.variable, same.dff.variable)
        assert extract.attrs["segmentation"] == "extr"
        assert allen.attrs["segmentation"] == "allen"
        assert extract.osca.n_tracked == 4
        # ROIs were tracked as EXTRACT found them.
        assert allen.osca.n_tracked == 0
        assert allen.roi_id.values.min() > 10**8


def n_rois(ds):
    return ds.sizes["roi"]


# -- ways to open, to carry and to save -----------------------------------------------------------
def test_by_folder_engine_id_and_table(original_folders):
    folder = original_folders["soma"]
    datadir = folder.parents[2]
    with xr.open_dataset(folder, engine="oscaxr") as by_engine, xr.open_dataset(folder) as guessed:
        assert by_engine.attrs == guessed.attrs
        assert by_engine.dff.variable.identical(guessed.dff.variable)
    with ox.open_session(900000001, datadir=datadir) as by_id:
        assert by_id.attrs["source_format"] == "original"
    table = ox.find_sessions(datadir)
    with ox.open_session(mouse=2, session=1, datadir=datadir, table=table) as numbered:
        assert numbered.session_id == 900000004
    with ox.open_sessions(table, datadir=datadir) as tree:
        assert [node.path for node in tree.leaves] == ["/mouse_1/session_1", "/mouse_2/session_1"]
    with ox.open_sessions(datadir) as tree:
        assert len(tree.leaves) == 2
    with ox.open_sessions(datadir, segmentation="allen", fluorescence="raw") as tree:
        assert {node.attrs["segmentation"] for node in tree.leaves} == {"allen"}
        assert {node.attrs["fluorescence"] for node in tree.leaves} == {"raw"}
    rois = ox.map_sessions(n_rois, datadir, scheduler="synchronous", segmentation="allen")
    assert rois.sel(session_id=900000004) == tree["mouse_2/session_1"].sizes["roi"]


def test_it_is_lazy_pickles_and_closes(original_folders, open_files):
    folder = original_folders["dend"]
    ds = ox.open_session(folder)
    lazy = [name for name, v in ds.variables.items() if not v._in_memory]
    assert {"dff", "roi_mask", "max_projection", "pupil_diameter", "dff_median", "valid"} <= {*lazy}
    again = pickle.loads(pickle.dumps(ds))
    xr.testing.assert_equal(again.dff.variable, ds.dff.variable)
    np.testing.assert_array_equal(again.pupil_diameter, ds.pupil_diameter)
    again.close()
    ds.close()
    assert open_files(folder) == []
    chunked = ox.open_session(folder, chunks={"roi": 4})
    with chunked:
        assert chunked.dff.chunks[1] == (4, 4, 4)
        np.testing.assert_array_equal(chunked.dff, ds.dff)
    ds.close()


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".zarr", ".nc"])
def test_an_export_comes_back_identical(original_folders, tmp_path, ending):
    with ox.open_session(original_folders["soma"], include="squares") as ds:
        with pytest.warns(InvalidRoiWarning):
            ox.save(ds, tmp_path / f"session{ending}")
        with ox.open_session(tmp_path / f"session{ending}") as again:
            sources = [source["name"] for source in again.encoding["provenance"]["sources"]]
            assert sorted(sources) == sorted(ds.attrs["source_files"].split(", "))
            xr.testing.assert_identical(again.load(), ds.load())
            frames = np.arange(0, ds.sizes["stim_time"], 31)
            np.testing.assert_array_equal(
                again.osca.convert_frames(frames, "twop"), ds.osca.convert_frames(frames, "twop")
            )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::oscaxr.errors.InvalidRoiWarning")
def test_sessions_of_a_mouse_are_aligned_on_their_tracked_rois(tmp_path):
    table = ox.sample.write_mouse(
        tmp_path, scale=0.02, n_rois=(6, 6, 6), n_tracked=3, n_bad_rois=2, format="original"
    )
    with ox.open_sessions(table, datadir=tmp_path) as tree:
        sequences = {
            node.path: node.to_dataset().osca.sequences(
                "dff", node.to_dataset().osca.select(gabor_frame="A"), post=0.3
            )
            for node in tree.leaves
        }
        aligned = ox.align_tracked(
            {path: found.mean("sequence") for path, found in sequences.items()}
        )
    assert dict(aligned.sizes) == {"session": 3, "tracking_id": 3, "rel_frame": 9}


# -- variants of the layout -----------------------------------------------------------------------
def opened(spec, folder: Path, *forms, **options):
    return ox.open_session(write_original_form(spec, folder, *forms, **options))


@pytest.mark.parametrize(
    ("forms", "options"),
    [
        pytest.param([], {"pickle_protocol": 0}, marks=pytest.mark.slow),
        pytest.param([repickled(5)], {}, marks=pytest.mark.slow),
        pytest.param([photodiode_glitches(3)], {}, marks=pytest.mark.slow),
        ([], {"layout": "chunked", "dtype": "float64"}),
    ],
    ids=["python 2, protocol 0", "python 3, protocol 5", "glitches", "chunked float64"],
)
def test_variants_open_to_the_same_session(original_folders, tmp_path, forms, options):
    plain = small_spec(mouse_id=900001, session_id=900000001, n_bad_rois=5)
    with (
        ox.open_session(original_folders["soma"]) as expected,
        opened(plain, tmp_path, *forms, **options) as ds,
    ):
        names = ["run_velocity", "pupil_diameter", "gabor_orientation", "tracking_id", "time"]
        names += [c for c in expected.coords if expected[c].dims == ("segment",)]
        for name in names:
            xr.testing.assert_equal(ds[name].variable, expected[name].variable)
        np.testing.assert_allclose(ds.dff.values, expected.dff.values, rtol=1e-6)


def test_a_spike_at_the_start_counts_as_a_pulse(tmp_path):
    # By the definitions, times and frames then differ; the session still opens.
    with pytest.warns(OscaxrWarning, match="from where the second alignment"):
        ds = opened(small_spec(), tmp_path, startup_spike)
    with ds:
        assert all(problem.level != "error" for problem in ds.osca.validate())


@pytest.mark.parametrize(
    "facts",
    [
        *(
            pytest.param(one, marks=pytest.mark.slow)
            for one in ({"gabor_kappa": 4}, {"square_size": 256})
        ),
        {"gabor_kappa": 4, "square_size": 256},
    ],
    ids=str,
)
def test_pilot_sessions(tmp_path, facts):
    spec = small_spec(**facts)
    assert spec.run_type == "pilot"
    with opened(spec, tmp_path) as ds:
        assert ds.run_type == "pilot"
        expected = ox.sample.session(spec)
        for name in ("gabor_kappa", "square_size", "gabor_frame", "main_flow_direction"):
            np.testing.assert_array_equal(ds[name], expected[name])
        np.testing.assert_array_equal(ds.start_frame_twop, expected.start_frame_twop)
        np.testing.assert_array_equal(ds.gabor_orientation, expected.gabor_orientation)


def wider(data):
    return np.column_stack([data[:, 0], np.full(len(data), 7, np.uint32), data[:, 1]])


def rolled_over(data):
    turned = data.astype(np.int64)
    turned[:, 0] = (turned[:, 0] + 2**32 - 10**7) % 2**32
    assert (np.diff(turned[:, 0]) < 0).sum() == 1
    return turned.astype(np.uint32)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        pytest.param(wider, {}, marks=pytest.mark.slow),
        (rolled_over, {b"'counter_bits': 32": b"'counter_bits': 64"}),
        (
            lambda data: data,
            {b"'counter_output_freq'": b"'sample_freq': 1e5, 'counter_output_freq'"},
        ),
        pytest.param(lambda data: data, {b"'counter_bits': 32, ": b""}, marks=pytest.mark.slow),
    ],
)
def test_variants_of_the_sync_file(original_folders, tmp_path, edit, words):
    import h5py

    folder = shutil.copytree(original_folders["soma"], tmp_path / original_folders["soma"].name)
    with h5py.File(read_tree(folder).files["sync"], "r+") as file:
        data, meta = edit(file["data"][()]), file["meta"][()]
        for old, new in words.items():
            meta = meta.replace(old, new)
        del file["data"], file["meta"]
        file["data"], file["meta"] = data, meta
    same_on_the_clocks(folder, original_folders["soma"])


def same_on_the_clocks(folder, expected):
    with ox.open_session(folder) as ds, ox.open_session(expected) as plain:
        names = ["stim_time", "run_velocity", "aligned_frame_twop", "gabor_orientation"]
        names += [name for name in plain.coords if plain[name].dims == ("segment",)]
        for name in names:
            if ds[name].dtype.kind == "f":
                np.testing.assert_allclose(ds[name].values, plain[name].values, rtol=1e-9)
            else:
                np.testing.assert_array_equal(ds[name].values, plain[name].values)


def test_a_blank_before_the_frame_lists_moves_them(original_folders, tmp_path):
    folder = shutil.copytree(original_folders["soma"], tmp_path / original_folders["soma"].name)
    path = read_tree(folder).files["stimulus"]
    with path.open("rb") as file:
        log = pickle.load(file, encoding="latin1")
    log["pre_blank_sec"] = 0.4
    for stimulus in log["stimuli"]:
        assert (stimulus["frame_list"][:24] == -1).all()
        stimulus["frame_list"] = stimulus["frame_list"][24:]
    path.write_bytes(pickle.dumps(log, protocol=2))
    same_on_the_clocks(folder, original_folders["soma"])
    with (
        ox.open_session(folder, include="squares") as ds,
        ox.open_session(original_folders["soma"], include="squares") as plain,
    ):
        np.testing.assert_array_equal(ds.square_x.values, plain.square_x.values)
