"""Every recorded number of the published analysis code, from examples of both layouts."""

import functools
import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import oscaxr as ox

SESSIONS = (
    *(("nwb", number) for number in (758519303, 759189643, 759660390, 764704289)),
    *(("original", number) for number in (758519303, 764704289)),
)
FOLDERS = {"nwb": ("sessions", "golden"), "original": ("sessions_original", "golden_original")}
FLOAT64 = {("nwb", 759660390)}

GABORS = {"stimulus": "gabors", "gabor_kappa": 16}
FLOW = {"stimulus": "visflow", "square_size": 128}
CRITERIA = {
    "gab_U": {**GABORS, "gabor_frame": 3, "unexpected": 1},
    "gab_A": {**GABORS, "gabor_frame": 0},
    "gab_G": {**GABORS, "gabor_frame": "G"},
    "gab_unexp_first": {**GABORS, "unexpected": 1, "run_start": True},
    "gab_exp_first": {**GABORS, "unexpected": 0, "run_start": True},
    "gab_ori": {**GABORS, "gabor_mean_orientation": [90, 135]},
    "gab_mixed": {**GABORS, "gabor_frame": ["A", "U"]},
    "gab_D": {**GABORS, "gabor_frame": "D", "unexpected": 0},
    "gab_all3": {**GABORS, "gabor_frame": 3},
    "gab_range": {**GABORS, "start_frame_twop": (1500, 4000)},
    "gab_num": {**GABORS, "num_frames_twop": (9, 10)},
    "flow_unexp_first": {**FLOW, "unexpected": 1, "run_start": True},
    "flow_right_exp": {**FLOW, "main_flow_direction": "right", "unexpected": 0},
    "flow_nasal": {**FLOW, "main_flow_direction": "nasal"},
    "flow_temp_unexp": {**FLOW, "main_flow_direction": "temp", "unexpected": 1},
}


pytestmark = pytest.mark.filterwarnings("ignore:.*listed as invalid")

# Of each layout one, and the one of float64; the others with the slow tests.
QUICK = (("nwb", 758519303), ("nwb", 759660390), ("original", 764704289))


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(case, marks=[pytest.mark.slow] * (case not in QUICK)) for case in SESSIONS
    ],
    ids=lambda case: f"{case[0]}-{case[1]}",
)
def case(request, shared):
    """A session, its golden arrays and its golden facts."""
    layout, number = request.param
    sessions, golden = FOLDERS[layout]
    with pytest.warns(ox.errors.DroppedFramesWarning):
        ds = ox.open_session(
            number, datadir=shared / sessions, table=shared / "data" / "mouse_df.csv"
        )
    with ds:
        yield Case(layout, number, ds, shared / golden)


class Case:
    """One session with what the published code says of it.

    `ds` has the ROIs that the published code keeps, `whole` all of them: extraction is to leave out
    those that it leaves out.
    """

    def __init__(self, layout, number, ds, folder):
        self.layout, self.number, self.folder = layout, number, folder
        self.golden = np.load(folder / f"{number}.npz")
        self.facts = json.loads((folder / f"{number}.json").read_text())
        self.rtol = 1e-10 if (layout, number) in FLOAT64 else 1e-5
        self.whole = self.ds = ds
        if layout == "original":
            with pytest.warns(ox.errors.InvalidRoiWarning, match="are bad"):
                self.ds = ds.isel(roi=ds.valid)

    def check(self, found, key, *, rtol=None):
        """Compare with a golden array: integers exactly, floats to the source's precision."""
        expected = self.golden[key]
        values = np.asarray(found)
        if expected.dtype.kind in "iub":
            np.testing.assert_array_equal(values, expected)
        else:
            rtol = self.rtol if rtol is None else rtol
            scale = np.nanmax(np.abs(expected)) if expected.size else 0
            np.testing.assert_allclose(values, expected, rtol=rtol, atol=rtol * scale)

    @functools.cached_property
    def plain(self):
        """The sequences as they are, read once for all statistics of them."""
        return self.u().load()

    def u(self, name="dff", **options):
        """Sequences around the U segments, 1 s before and after."""
        segments = self.whole.osca.select(**CRITERIA["gab_U"])
        options = {"pre": 1, "post": 1, **options}
        return self.whole.osca.sequences(name, segments, **options)


@pytest.mark.parametrize("name", CRITERIA)
def test_segments_and_their_frames(case, name):
    segments = case.ds.osca.select(**CRITERIA[name])
    if f"segs/{name}" in case.facts:
        assert segments.sizes["segment"] == 0
        return
    case.check(segments.segment, f"segs__{name}")
    for clock, variable in (("twop", "pupil_diameter"), ("stim", "run_velocity")):
        windows = case.ds.osca.sequences(variable, segments, pre=1, post=1, edge="nan")
        kept = windows.isel(sequence=flanked(case.ds, windows, clock))
        case.check(kept.reference_frame, f"frames_{clock}__{name}")


def flanked(ds, windows, clock):
    total = ds.sizes["time" if clock == "twop" else "stim_time"]
    n_frames = -int(windows.rel_frame[0])
    frames = windows.reference_frame.values
    return (frames - n_frames >= 0) & (frames + n_frames < total)


def test_rates_totals_and_blocks(case):
    rates = {clock: case.ds.attrs[f"{clock}_fps"] for clock in ("stim", "twop")}
    assert rates == pytest.approx(case.facts["fps"], rel=1e-12)
    totals = {
        "stim": case.ds.sizes["stim_time"],
        "twop": case.ds.sizes["time"],
        "nrois": case.ds.sizes["roi"],
    }
    assert totals == case.facts["totals"]
    for stimulus in ("gabors", "visflow"):
        expected = case.ds.osca.select(stimulus=stimulus, unexpected=0)
        counts = [group.sizes["segment"] for _, group in expected.groupby("block")]
        assert counts == case.facts[f"by_block/{stimulus}"]


@pytest.mark.parametrize("stimulus", ["gabors", "visflow"])
def test_block_tables(case, stimulus):
    expected = pd.read_csv(case.folder / f"{case.number}_{stimulus}_blocks.csv", index_col=0)
    blocks = case.ds.osca.blocks(stimulus=stimulus).to_dataframe()
    names = {"start_seg": "start_segment", "stop_seg": "stop_segment", "num_segs": "num_segments"}
    for column in expected.columns:
        name = names.get(column, column.removesuffix("_sec"))
        if expected[column].dtype.kind in "if":
            np.testing.assert_allclose(blocks[name], expected[column], rtol=1e-12)
        else:
            assert blocks[name].tolist() == expected[column].tolist()


def test_segment_table(case):
    path = case.folder / f"{case.number}_segments.csv"
    expected = pd.read_csv(path, index_col=0, keep_default_na=False, na_values=[])
    table = case.ds.osca.segment_table()
    if case.layout == "original":
        # The published reader of this layout makes the column and then drops it.
        table = table.drop(columns="start_frame_stim_template")
    assert [*table.columns] == [*expected.columns]
    for column in expected.columns:
        if table[column].dtype.kind in "if":
            numbers = pd.to_numeric(expected[column], errors="coerce")
            np.testing.assert_allclose(table[column], numbers, rtol=1e-12)
        else:
            assert table[column].tolist() == expected[column].tolist()


ROI_CASES = {
    "plain": lambda c: c.u(),
    "scaled": lambda c: c.u().osca.scale(c.ds),
    "baseline": lambda c: c.u().osca.baseline(0.5),
    "integ": lambda c: c.u().osca.integrate(),
    "all": lambda c: c.u().osca.scale(c.ds).osca.baseline(0.4).osca.integrate(),
    "median_base": lambda c: c.u().osca.baseline(0.5, stat="median"),
    "pad": lambda c: c.u(pad=(2, 3)),
    "transients": lambda c: c.u().isel(roi=c.ds.osca.active_rois().values),
    "asym": lambda c: c.u(pre=0.9, post=0.6),
}


@pytest.mark.parametrize("name", ROI_CASES)
def test_roi_sequences(case, name):
    found = ROI_CASES[name](case)
    case.check(found.roi, f"roi_rois__{name}") if f"roi_rois__{name}" in case.golden else None
    case.check(found, f"roi__{name}")


def test_scaling_within_the_extraction_is_the_same(case):
    case.check(case.u(scale=True), "roi__scaled")


def traces(case, name):
    variable = {"run": "run_velocity", "pup": "pupil_diameter"}[name]
    filled = case.u(variable, interpolate=True)
    return filled, case.u(variable), case.ds


@pytest.mark.parametrize("name", ["run", "pup"])
def test_running_and_pupil_sequences(case, name):
    filled, plain, ds = traces(case, name)
    case.check(filled, f"{name}__plain", rtol=1e-10)
    case.check(plain, f"{name}__nan", rtol=1e-10)
    case.check(filled.osca.scale(ds), f"{name}__scaled", rtol=1e-10)


def test_running_baseline_and_integral(case):
    filled, _, _ = traces(case, "run")
    case.check(filled.osca.baseline(0.5), "run__base", rtol=1e-10)
    case.check(filled.osca.integrate(), "run__integ", rtol=1e-10)


def test_pupil_in_camera_pixels(case):
    filled, _, _ = traces(case, "pup")
    case.check(filled / ox.model.names.MM_PER_PUPIL_PIXEL, "pup__px", rtol=1e-10)


@pytest.mark.parametrize("shape", ["integ", "trace"])
@pytest.mark.parametrize("by", ["byroi", "pooled"])
@pytest.mark.parametrize("error", ["std", "sem"])
@pytest.mark.parametrize("stat", ["mean", "median"])
def test_statistics(case, stat, error, by, shape):
    data = case.plain.osca.integrate() if shape == "integ" else case.plain
    dim = "sequence" if by == "byroi" else ("sequence", "roi")
    found = data.osca.stats(dim, stat=stat, error=error)
    # Recorded for each ROI: first the statistic, then its error(s), each over time.
    parts = xr.concat([found[name] for name in found.data_vars], "part")
    ordered = parts.transpose("roi", "part", ...) if by == "byroi" else parts
    case.check(ordered.values.ravel(), f"stats__{stat}_{error}_{by}_{shape}")


def test_scale_factors(case):
    facts = case.whole.osca.scale_factors("dff")
    case.check([facts["median"], facts["spread"]], "roi_facts")
    case.check([case.whole.dff_median, case.whole.dff_spread], "roi_facts")


@pytest.mark.parametrize("filled", ["yes", "no"])
def test_running_and_pupil_factors(case, filled):
    interpolate = filled == "yes"
    run = case.ds.osca.scale_factors("run_velocity", interpolate=interpolate)
    case.check([run["median"], run["spread"]], f"run_facts__{filled}", rtol=1e-10)
    columns = {
        "pup_center_diff": "pupil_center_shift",
        "pup_center_x": "pupil_center_x",
        "pup_center_y": "pupil_center_y",
        "pup_diam": "pupil_diameter",
    }
    if filled == "yes":
        # The published shift is interpolated itself, not computed from interpolated centres.
        assert set(case.facts["pup_fact_cols"]) == set(columns)
    found = [
        case.ds.osca.scale_factors(columns[column], interpolate=interpolate)
        for column in case.facts["pup_fact_cols"]
    ]
    in_pixels = (
        np.array([[float(facts[part]) for facts in found] for part in ("median", "spread")])
        / ox.model.names.MM_PER_PUPIL_PIXEL
    )
    case.check(in_pixels, f"pup_facts__{filled}", rtol=1e-10)


def test_whole_running_trace(case):
    case.check(case.ds.run_velocity, "run_full__no", rtol=1e-10)
    case.check(case.ds.run_velocity.osca.interpolate(), "run_full__yes", rtol=1e-10)


def test_active_rois_and_plateaus(case):
    active = case.ds.osca.active_rois()
    case.check(active.roi[active], "active_rois")
    plateau = case.ds.osca.plateau_traces(keep_last=True).transpose("roi", "time")
    case.check(plateau[:, ::50], "plateau")


def test_frame_conversion(case):
    ds = case.ds
    stim = np.arange(ds.sizes["stim_time"])[::97]
    case.check(ds.osca.convert_frames(stim, "twop"), "stim2twop")
    twop = ds.osca.convert_frames(np.arange(ds.sizes["time"])[::97], "stim")
    case.check(twop.where(twop >= 0), "twop2stim")


def test_gray_frames_and_segments_by_frame(case):
    gray = case.ds.osca.select(stimulus="grayscreen")
    starts, stops = gray.start_frame_twop.values, gray.stop_frame_twop.values
    frames = np.concatenate([np.arange(a, b) for a, b in zip(starts, stops, strict=True)])
    case.check(frames, "gray_twop")


def test_masks(case):
    case.check(case.ds.area_px, "mask_npix")
    case.check(case.ds.roi_mask.sum(("height", "width")), "mask_npix")
    centroids = np.stack([case.ds.centroid_y, case.ds.centroid_x], axis=1)
    case.check(centroids, "mask_com", rtol=1e-10)


def test_tracked(case):
    t = case.ds.osca.tracked()
    case.check(t.roi, "tracked_rois")
    segments = t.osca.select(**CRITERIA["flow_unexp_first"])
    windows = t.osca.sequences("dff", segments, pre=1, post=1)
    case.check(windows.osca.integrate(), "tracked_integ")
    case.check(windows.osca.scale(case.ds).osca.integrate(), "tracked_integ_scaled")
    case.check(windows.osca.scale(t).osca.integrate(), "tracked_integ_scaled")


def test_segments_by_frame(case):
    frames = 2000 + 37 * np.arange(case.golden["segs_by_frame"].size)
    case.check(case.ds.osca.segments_at(frames), "segs_by_frame")


def test_gabor_patches(case):
    first = [case.golden[f"segs__gab_{frame}"][:4] for frame in ("U", "A")]
    patches = case.ds.osca.patches(np.concatenate(first))
    found = [patches[name].values.ravel() for name in ox.model.names.GABOR_PATCH_VARIABLES]
    case.check(np.stack(found, axis=1), "gabor_par", rtol=1e-10)
