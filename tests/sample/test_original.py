"""Sample sessions in the original layout, read again here by plain loops.

Nothing of the package's reader is used, except where a test says that both formats open alike.
"""

import ast
import io
import itertools
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

import oscaxr as ox
from example_sessions import SHARED
from oscaxr.errors import InvalidRoiWarning
from oscaxr.model.signals import median_filter
from oscaxr.model.synthetic import MARK
from oscaxr.sample import (
    SampleError,
    SampleExistsError,
    SampleSession,
    SampleSpec,
    make_session,
    mouse_specs,
    original_path,
    sample_session_table,
    write_mouse,
    write_nwb,
    write_original,
)
from oscaxr.sample.original import LINE_LABELS, line_states
from oscaxr.sample.pickler import Python2Pickler
from sample_forms import (
    load_log,
    only,
    photodiode_glitches,
    startup_spike,
    store_log,
    write_original_form,
)

SHORT = SampleSpec(
    scale=0.01,
    n_rois=6,
    n_tracked=3,
    n_bad_rois=5,
    field_shape=(64, 80),
    dropped=0.004,
    late_frames=0.001,
)
DENDRITES = replace(SHORT, plane="dend", mouse_id=900_002, session_id=900_000_004)
# Lengths and orders of blocks, rates of the microscope, and oddities of the recording.
RECORDINGS: dict[str, tuple[SampleSpec, list[Any]]] = {
    "plain": (SHORT, []),
    "shortest": (replace(SHORT, scale=0.004, seed=1, block_order=("gabors", "left", "right")), []),
    "glitches": (replace(SHORT, seed=2, twop_rate=30.15), [photodiode_glitches(3)]),
    "late": (replace(SHORT, scale=0.007, late_frames=0.01, seed=3), [photodiode_glitches(2)]),
    "spike": (replace(SHORT, seed=4), [startup_spike]),
    "slow": (replace(SHORT, scale=0.006, seed=5, twop_rate=10.0), []),
}


# -- plain reading ------------------------------------------------------------------------------
def arrays(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        return {name: item[()] for name, item in file.items()}


def edges(folder: Path, label: str) -> tuple[list[float], list[float]]:
    """Times of rising and falling edges of a line, row by row."""
    content = arrays(only(folder, "*_sync.h5"))
    meta = ast.literal_eval(content["meta"].decode())
    bit = meta["line_labels"].index(label)
    frequency = meta["ni_daq"]["counter_output_freq"]
    rising, falling = [], []
    before = None
    for count, state in content["data"].tolist():
        now = (state >> bit) & 1
        if before is not None and now != before:
            (rising if now else falling).append(count / frequency)
        before = now
    return rising, falling


def photodiode_events(folder: Path) -> list[float]:
    rising, falling = edges(folder, "stim_photodiode")
    regular = [a for a, b in itertools.pairwise(falling) if 1.9 <= b - a <= 2.1]
    short = [a for a, b in itertools.pairwise(rising) if 0.1 <= b - a <= 0.5]
    end = next(time for time in short if time > regular[-1])
    kept = [time for time in sorted(rising + falling) if regular[0] <= time < end]
    return [a for a, b in itertools.pairwise([*kept, np.inf]) if b - a > 0.5]


def monitor_delay(folder: Path) -> float:
    rising, falling = edges(folder, "stim_vsync")
    flips = falling[1:] if rising[1] - rising[0] > 0.2 else falling
    at = flips[::60]
    events = photodiode_events(folder)
    assert len(events) >= len(at)
    return float(np.mean([event - flip for event, flip in zip(events, at, strict=False)]))


def two_photon_times(folder: Path) -> list[float]:
    return edges(folder, "2p_vsync")[1][1:]


def alignment(folder: Path) -> list[int]:
    """Two-photon frame of each stimulus frame, by walking along both lines."""
    clock = two_photon_times(folder)
    delay = monitor_delay(folder)
    frames, frame = [], 0
    for flip in edges(folder, "stim_vsync")[1][1:]:
        while not clock[frame] < flip + delay <= clock[frame + 1]:
            frame += 1
        frames.append(frame)
    return frames


def stimulus_clock(folder: Path) -> list[float]:
    rising = edges(folder, "stim_vsync")[0]
    first = arrays(only(folder, "*/*_time_synchronization.h5"))["twop_vsync_fall"]
    start = first[alignment(folder)[0]]
    return [time - rising[0] + start for time in rising]


def segments_of_log(log: dict[str, Any]) -> list[dict[str, Any]]:
    """What the log says of each segment that is neither G nor gray, in the order shown."""
    rows = []
    for stimulus in log["stimuli"]:
        frames = stimulus["frame_list"].tolist()
        parameters = stimulus["stim_params"]
        for sweep in range(max(frames) + 1):
            shown = [k for k, value in enumerate(frames) if value == sweep]
            row = {"start_frame_stim": shown[0], "stop_frame_stim": shown[-1] + 1}
            if parameters["elemParams"]["name"] == "bricks":
                row |= {
                    "stimulus_type": "visflow",
                    "stimulus_template_name": f"visflow_{parameters['direc']}",
                    "unexpected": stimulus["sweep_params"]["Flip"][0][sweep],
                    "square_size": parameters["elemParams"]["sizes"],
                }
            else:
                orientation, unexpected = stimulus["sweep_params"]["OriSurp"][0][sweep // 4]
                is_u = unexpected == 1 and sweep % 4 == 3
                row |= {
                    "stimulus_type": "gabors",
                    "stimulus_template_name": "gabors",
                    "unexpected": unexpected,
                    "gabor_frame": "U" if is_u else "ABCD"[sweep % 4],
                    "gabor_mean_orientation": orientation + 90 * is_u,
                    "gabor_kappa": parameters["gabor_params"]["ori_std"] ** -2,
                }
            rows.append(row)
    return sorted(rows, key=lambda row: row["start_frame_stim"])


@pytest.fixture(scope="module")
def session() -> SampleSession:
    return make_session(SHORT)


@pytest.fixture(scope="module")
def folder(session: SampleSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_original(session, tmp_path_factory.mktemp("original"))


@pytest.fixture(scope="module")
def dendrites(tmp_path_factory: pytest.TempPathFactory) -> tuple[SampleSession, Path]:
    session = make_session(DENDRITES)
    return session, write_original(session, tmp_path_factory.mktemp("dendrites"))


# -- clocks -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(one, marks=[pytest.mark.slow] * (one in ("plain", "glitches", "slow", "late")))
        for one in RECORDINGS
    ],
)
def test_frames_and_times_follow_from_the_sync_lines(name: str, tmp_path: Path) -> None:
    spec, forms = RECORDINGS[name]
    session = make_session(spec)
    folder = write_original_form(session, tmp_path, *forms)
    table = session.segments
    aligned = alignment(folder)
    stored = arrays(only(folder, "*/*_time_synchronization.h5"))
    assert monitor_delay(folder) == pytest.approx(0.035, abs=1e-4)
    assert stored["stim_delay"] == pytest.approx(monitor_delay(folder), rel=1e-12)
    np.testing.assert_array_equal(stored["twop_vsync_fall"], two_photon_times(folder))
    np.testing.assert_array_equal(stored["twop_vsync_fall"], session.twop_times)
    assert len(stored["stimulus_alignment"]) == len(aligned) + 1
    if startup_spike in forms:
        # Each stimulus frame is on the screen when its own pulse says, and there is one more.
        assert len(aligned) == spec.n_stim_frames + 1
        rising = edges(folder, "stim_vsync")[0]
        assert rising[1] - rising[0] == pytest.approx(1.0)
        seen = np.array(edges(folder, "stim_vsync")[1][1:]) + monitor_delay(folder)
        assert (session.twop_times[aligned] < seen).all()
        assert len(load_log(folder)["items"]["foraging"]["encoders"][0]["dx"]) == len(rising)
        return
    assert len(aligned) == spec.n_stim_frames
    np.testing.assert_array_equal(
        table["start_frame_twop"], [aligned[frame] for frame in table["start_frame_stim"]]
    )
    stops = [*aligned, aligned[-1] + 1]
    np.testing.assert_array_equal(
        table["stop_frame_twop"], [stops[frame] for frame in table["stop_frame_stim"]]
    )
    clock = stimulus_clock(folder)
    np.testing.assert_allclose(session.stim_times, clock[:-1], rtol=1e-14)
    start = [clock[frame] for frame in table["start_frame_stim"]]
    np.testing.assert_allclose(table["start_time"], start, rtol=1e-14)
    np.testing.assert_allclose(table["stop_time"][:-1], start[1:], rtol=1e-14)
    last = start[-1] + table["num_frames_stim"][-1] / 60
    assert table["stop_time"][-1] == pytest.approx(last, rel=1e-14)


def test_stored_alignments_are_those_of_the_lines(folder: Path) -> None:
    stored = arrays(only(folder, "*/*_time_synchronization.h5"))
    clock = two_photon_times(folder)
    for name, label in (
        ("eye_tracking_alignment", "cam2_exposure"),
        ("body_camera_alignment", "cam1_exposure"),
    ):
        rising = edges(folder, label)[0]
        wanted = [sum(rise <= time for rise in rising) - 1 for time in clock[::50]]
        np.testing.assert_array_equal(stored[name][::50], wanted)
        assert stored[name].shape == (len(clock),)
    delay = monitor_delay(folder)
    seen = [flip + delay for flip in edges(folder, "stim_vsync")[1]]
    wanted = [sum(time < one for time in clock) - 1 for one in seen[::50]]
    np.testing.assert_array_equal(stored["stimulus_alignment"][::50], wanted)


@given(
    st.dictionaries(
        st.sampled_from(sorted(LINE_LABELS)),
        st.lists(st.integers(1, 60), unique=True, min_size=1, max_size=12),
        min_size=1,
    )
)
def test_line_states_hold_every_change_of_every_line(toggles: dict[str, list[int]]) -> None:
    found = line_states({label: np.sort(counts) for label, counts in toggles.items()})
    assert found.dtype == np.uint32
    rows, state = [(0, 0)], 0
    for count in sorted({count for counts in toggles.values() for count in counts}):
        for label, counts in toggles.items():
            state ^= (count in counts) << LINE_LABELS[label]
        rows.append((count, state))
    assert [tuple(row) for row in found.tolist()] == rows


# -- stimulus -----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["plain", "shortest"])
def test_the_log_tells_the_segment_table(name: str, tmp_path: Path) -> None:
    spec, forms = RECORDINGS[name]
    session = make_session(spec)
    log = load_log(write_original_form(session, tmp_path, *forms))
    table = session.segments
    is_told = (table["stimulus_type"] != "grayscreen") & (table["gabor_frame"] != "G")
    rows = segments_of_log(log)
    assert len(rows) == is_told.sum()
    for place, row in zip(np.flatnonzero(is_told), rows, strict=True):
        for column, value in row.items():
            assert table[column][place] == value, (place, column)
    shown = [stimulus["display_sequence"][0, 0] for stimulus in log["stimuli"]]
    assert shown != sorted(shown)
    for stimulus in log["stimuli"]:
        assert len(stimulus["frame_list"]) == round(60 * stimulus["display_sequence"][-1, 1])
    assert len(log["droppedframes"][0]) == len(log["droppedframes"][1])


def test_patches_and_squares_are_in_the_log(session: SampleSession, folder: Path) -> None:
    table = session.segments
    (gabors,) = (s for s in load_log(folder)["stimuli"] if "gabor_params" in s["stim_params"])
    drawn = gabors["stim_params"]["session_params"]
    rows = np.flatnonzero((table["gabor_frame"] != "") & (table["gabor_frame"] != "G"))
    assert len(drawn["orisbyimg"]) == len(rows)
    for row, raw in zip(rows, drawn["orisbyimg"], strict=True):
        letter = table["gabor_frame"][row]
        places, sizes = drawn["possize"]["ABCDU".index(letter)]
        np.testing.assert_array_equal(session.patches.x[row], places[:, 0])
        np.testing.assert_array_equal(session.patches.y[row], places[:, 1])
        np.testing.assert_array_equal(session.patches.size[row], sizes.astype(int))
        assert raw.dtype == np.int16
        turned = [int(angle) + 90 * (letter == "U") for angle in raw]
        turned = [a + 360 if a < 0 else a - 360 if a > 360 else a for a in turned]
        np.testing.assert_array_equal(session.patches.orientation[row], turned)
    x, y = session.squares()
    flow = np.flatnonzero(table["stimulus_type"] == "visflow")
    for stimulus in load_log(folder)["stimuli"]:
        if "square_params" not in stimulus["stim_params"]:
            continue
        frames = stimulus["stim_params"]["session_params"]["posbyframe"]
        direction = stimulus["stim_params"]["direc"]
        rows = np.flatnonzero(table["stimulus_template_name"][flow] == f"visflow_{direction}")
        assert len(frames) == 60 * len(rows)
        for k in (0, 59, 60, len(frames) - 1):
            assert (frames[k].dtype, frames[k].shape) == (np.int16, (105, 2))
            np.testing.assert_array_equal(frames[k][:, 0], x[rows[k // 60], :, k % 60])
            np.testing.assert_array_equal(frames[k][:, 1], y[rows[k // 60], :, k % 60])


def test_a_pilot_log_has_other_names_and_blocks(tmp_path: Path) -> None:
    spec = replace(SHORT, gabor_kappa=4, square_size=256)
    session = make_session(spec)
    table = session.segments
    log = load_log(write_original(session, tmp_path))
    gabors, flow = (stimulus["stimParams"] for stimulus in log["stimuli"])
    assert (gabors["elemParams"]["name"], flow["elemParams"]["name"]) == ("gabors", "bricks")
    assert [len(stimulus["display_sequence"]) for stimulus in log["stimuli"]] == [1, 2]
    first = table["gabor_frame"] == "A"
    wanted = zip(table["gabor_mean_orientation"][first], table["unexpected"][first], strict=True)
    assert gabors["subj_params"]["oriparsurps"] == [[angle, 4, flag] for angle, flag in wanted]
    assert gabors["gabor_params"]["ori_std"] == 0.5
    rows = np.flatnonzero(table["stimulus_type"] == "visflow")
    told = flow["subj_params"]["flipdirecarray"]
    frames = log["stimuli"][1]["frame_list"]
    x, _ = session.squares()
    shown = frames[frames >= 0].tolist()
    for sweep, (row, (unexpected, size, _, direction)) in enumerate(zip(rows, told, strict=True)):
        assert (unexpected, size) == (table["unexpected"][row], 256)
        assert direction in table["main_flow_direction"][row]
        assert frames.tolist().index(sweep) == table["start_frame_stim"][row]
        # Positions run on from one block to the next.
        places = flow["posByFrame"][shown.index(sweep)]
        np.testing.assert_array_equal(places[:, 0], x[sweep, :, 0])
    assert len(flow["posByFrame"]) == len(shown)


# -- behaviour ----------------------------------------------------------------------------------
def merge_sorted(values: list[float]) -> list[float]:
    if len(values) < 2:
        return values
    left = merge_sorted(values[: len(values) // 2])
    right = merge_sorted(values[len(values) // 2 :])
    merged = []
    while left and right:
        merged.append(left.pop(0) if left[0] <= right[0] else right.pop(0))
    return merged + left + right


def filtered(values: list[float]) -> list[float]:
    found = []
    for k in range(len(values)):
        window = values[max(0, k - 2) : k + 3]
        found.append(merge_sorted([*window, *[0.0] * (5 - len(window))])[2])
    return found


@given(
    hnp.arrays(
        float, st.integers(3, 40), elements=st.sampled_from([np.nan, -1.0, 0.0, 0.5, 2.0, 3.0])
    )
)
def test_median_filter_merges_each_window(values: np.ndarray) -> None:
    np.testing.assert_array_equal(median_filter(values), filtered(values.tolist()))


def test_running_follows_from_the_wheel(session: SampleSession, folder: Path) -> None:
    turns = load_log(folder)["items"]["foraging"]["encoders"][0]["dx"]
    clock = edges(folder, "stim_vsync")[0]
    assert turns.dtype == np.float32
    assert len(turns) == len(clock)
    velocity = []
    for k in range(len(clock) - 1):
        radians = float(turns[k + 1]) * np.pi / 180
        moved = radians * 6.5 * 2.54 / 2 * (2 / 3)
        velocity.append(np.nan if abs(radians) <= 1e-8 else moved / (clock[k + 1] - clock[k]))
    found = filtered(velocity)
    assert np.isnan(found).sum() == int(0.004 * len(found))
    np.testing.assert_allclose(session.run_velocity, found, rtol=1e-6)


def test_pupil_follows_from_the_eye_camera(session: SampleSession, folder: Path) -> None:
    with h5py.File(only(folder, "*_pupil_data_df.h5")) as file:
        group = file["pupil_data"]
        names = [name.decode() for name in group["block0_items"][:]]
        pixels = group["block0_values"][:]
        assert [name.decode() for name in group["axis0"][:]] == names
        assert group["axis1"].shape == (len(pixels),)
    frames = arrays(only(folder, "*/*_time_synchronization.h5"))["eye_tracking_alignment"]
    series = {
        "nan_diam": session.pupil_diameter,
        "nan_center_x": session.pupil_center_x,
        "nan_center_y": session.pupil_center_y,
    }
    assert sorted(series) == sorted(names)
    for name, values in series.items():
        column = pixels[:, names.index(name)]
        wanted = [column[int(frame) + 3] * 0.0102 for frame in frames]
        np.testing.assert_allclose(values, wanted, rtol=1e-14)
    rising = edges(folder, "cam2_exposure")[0]
    assert len(pixels) == len(rising)
    intervals = arrays(only(folder, "*_video-1.h5"))["frame_intervals"]
    np.testing.assert_allclose(intervals, np.diff(rising), rtol=1e-5)


# -- ROIs ---------------------------------------------------------------------------------------
def bad_by_the_rules(traces: np.ndarray) -> list[str]:
    """Why each ROI is unfit, empty if it is not."""
    reasons = []
    for trace in traces:
        low, median, high = trace.min(), np.median(trace), trace.max()
        if np.isnan(trace).any():
            reasons.append("nan")
        elif np.isinf(trace).any():
            reasons.append("infinite")
        elif (median - low) / (high - low) > 0.5:
            reasons.append("dimming")
        else:
            reasons.append("negative" if trace.mean() < 0 else "")
    return reasons


def test_traces_and_unfit_rois(session: SampleSession, folder: Path) -> None:
    dff = arrays(only(folder, "*/*_dff.h5"))
    raw = arrays(only(folder, "*/neuropil_correction.h5"))
    assert dff["data"].shape == raw["FC"].shape == (11, session.n_twop_frames)
    reasons = bad_by_the_rules(dff["data"])
    is_fit = np.array(reasons) == ""
    assert sorted(filter(None, reasons)) == ["dimming", "infinite", "nan", "nan", "negative"]
    assert reasons[:6] != [""] * 6, "unfit ROIs stand among the others"
    traces = session.traces().astype(np.float32)
    np.testing.assert_array_equal(dff["data"][is_fit], traces.T)
    names = [int(name) for name in dff["roi_names"]]
    assert names == sorted(names)
    assert names == [int(name) for name in raw["roi_names"]]
    np.testing.assert_array_equal(np.array(names)[is_fit], session.roi_id)
    for trace, measured in zip(dff["data"][is_fit], raw["FC"][is_fit], strict=True):
        assert np.corrcoef(trace, measured)[0, 1] == pytest.approx(1)
        assert measured.mean() > 100
    # Raw traces are judged by themselves.
    wanted = ["" if reason == "negative" else reason for reason in reasons]
    assert bad_by_the_rules(raw["FC"]) == wanted


@given(st.integers(0, 10**6), st.sampled_from([0.004, 0.01, 0.02]), st.integers(1, 4))
def test_no_fit_roi_is_unfit_by_the_rules(seed: int, scale: float, number: int) -> None:
    spec = SampleSpec(
        seed=seed, scale=scale, n_rois=8, n_tracked=2, session_number=number, field_shape=(48, 48)
    )
    assert bad_by_the_rules(make_session(spec).traces().T) == [""] * 8


def allen_masks(folder: Path, shape: tuple[int, int]) -> dict[int, np.ndarray]:
    """Masks by ROI id, matched by their boxes one by one."""
    content = json.loads(only(folder, "*/processed/*_input_extract_traces.json").read_text())
    assert content["image"] == {"height": shape[0], "width": shape[1]}
    text = only(folder, "*/processed/ophys_cell_segmentation_run_*/objectlist.txt").read_text()
    header, *lines = text.splitlines()
    names = header.split(",")
    assert all(name.startswith(" ") for name in names[1:])
    masks = {}
    for line in lines:
        values = dict(zip(names, line.split(","), strict=True))
        x0, y0, x1, y1 = (int(values[name]) for name in (" minx", " miny", " maxx", " maxy"))
        (roi,) = (
            roi
            for roi in content["rois"]
            if (roi["x"], roi["y"]) == (x0, y0)
            and (roi["width"], roi["height"]) == (x1 - x0 + 1, y1 - y0 + 1)
        )
        image = np.zeros(shape, bool)
        image[y0 : y1 + 1, x0 : x1 + 1] = roi["mask"]
        masks[roi["id"]] = image
    assert len(content["rois"]) > len(masks)
    assert list(masks) != sorted(masks)
    return masks


def test_allen_masks(session: SampleSession, folder: Path) -> None:
    masks = allen_masks(folder, SHORT.field_shape)
    assert len(masks) == 11
    for roi_id, mask in zip(session.roi_id, session.masks(), strict=True):
        np.testing.assert_array_equal(masks[roi_id], mask)
    assert all(mask.sum() >= 20 for mask in masks.values())


def test_no_two_masks_have_the_same_box(tmp_path: Path) -> None:
    # As many ROIs in so small a field share boxes unless something is done.
    spec = SampleSpec(scale=0.004, n_rois=400, n_tracked=5, field_shape=(48, 48))
    session = make_session(spec)
    boxes = {
        tuple(np.argwhere(mask).min(0)) + tuple(np.argwhere(mask).max(0))
        for mask in session.masks()
    }
    assert len(boxes) < 400
    masks = allen_masks(write_original(session, tmp_path), (48, 48))
    for roi_id, mask in zip(session.roi_id, session.masks(), strict=True):
        np.testing.assert_array_equal(masks[roi_id], mask)


def test_dendrites_have_two_segmentations(dendrites: tuple[SampleSession, Path]) -> None:
    session, folder = dendrites
    extract = arrays(only(folder, "*/*_dff_dendritic.h5"))
    is_fit = np.array(bad_by_the_rules(extract["data"])) == ""
    assert is_fit.sum() == 6
    assert [int(name) for name in extract["roi_names"]] == list(range(11))
    np.testing.assert_array_equal(session.roi_id, np.flatnonzero(is_fit))
    np.testing.assert_array_equal(extract["data"][is_fit], session.traces().T.astype("f4"))
    weights = arrays(only(folder, "*/processed/*_dendritic_masks.h5"))["data"]
    assert ((weights > 0) & (weights < 0.1)).any()
    weights[weights < 0.1] = 0
    assert weights.sum(axis=(1, 2)).min() > 3
    np.testing.assert_array_equal(weights[is_fit] > 0, session.masks())
    allen = arrays(only(folder, "*/*_dff.h5"))
    assert 0 < len(allen["data"]) < 11
    masks = allen_masks(folder, DENDRITES.field_shape)
    assert sorted(masks) == [int(name) for name in allen["roi_names"]]
    assert min(masks) > 10**8
    raw = arrays(only(folder, "*/neuropil_correction_dendritic.h5"))["FC"]
    assert raw.shape == extract["data"].shape
    row = sample_session_table([DENDRITES]).iloc[0]
    assert row["n_rois_allen_all"] == len(allen["data"])
    assert row["n_rois_allen"] == bad_by_the_rules(allen["data"]).count("")
    assert (row["n_rois"], row["n_rois_all"]) == (6, 11)


@pytest.mark.parametrize("plane", ["soma", "dend"])
def test_tracked_rois(plane: str, session: SampleSession, folder: Path, dendrites: tuple) -> None:
    if plane == "dend":
        session, folder = dendrites
    tables = json.loads(only(folder, "*/processed/*__nway_matched_rois.json").read_text())
    columns = {
        name: list(rows.values()) for table in tables.values() for name, rows in table.items()
    }
    assert session.tracking_id is not None
    file = "*/*_dff.h5" if plane == "soma" else "*/*_dff_dendritic.h5"
    traces = arrays(only(folder, file))
    names = np.array([int(name) for name in traces["roi_names"]])
    indices = columns["dff-ordered_roi_index"]
    tracked = np.argsort(session.tracking_id)[:3]
    np.testing.assert_array_equal(names[indices], session.roi_id[tracked])
    offset = 0 if plane == "soma" else 10_000
    assert columns["sess_1_roi_id"] == (names[indices] + offset).tolist()
    bad = [row for row, why in enumerate(bad_by_the_rules(traces["data"])) if why]
    assert columns["dff_local_bad_roi_idx"] == bad
    assert columns["sess_1_bad_roi_id"] == names[bad].tolist()
    # What makes these indices those of files without the unfit ROIs.
    shifted = [index - sum(one < index for one in bad) for index in indices]
    np.testing.assert_array_equal(shifted, tracked)


def test_max_projection(session: SampleSession, folder: Path) -> None:
    with Image.open(only(folder, "*/processed/max_downsample_4Hz_0.png")) as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), session.max_projection)


# -- the pickle ---------------------------------------------------------------------------------
def same(first: Any, second: Any) -> bool:
    """Whether two logs hold the same, text and the bytes of arrays included."""
    if isinstance(first, np.random.RandomState):
        return same(first.get_state(), second.get_state())
    if isinstance(first, dict):
        return list(first) == list(second) and all(same(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, np.ndarray):
        return first.dtype == second.dtype and np.array_equal(first, second, equal_nan=True)
    return type(first) is type(second) and first == second


def test_every_pickle_holds_the_same(session: SampleSession, folder: Path, tmp_path: Path) -> None:
    log = load_log(folder)
    made = write_original(session, tmp_path, pickle_protocol=2)
    assert only(made, "*_stim.pkl").read_bytes().startswith(pickle.PROTO + b"\2")
    assert same(load_log(made), log)
    for protocol in (0, 2, 5):
        store_log(made, log, protocol)
        assert same(load_log(made), log), protocol


def test_python_2_pickles_hold_byte_strings_and_old_names(folder: Path) -> None:
    content = only(folder, "*_stim.pkl").read_bytes()
    assert content.startswith(b"(dp0\nS'stimuli'\np1\n(lp2\n(dp3\nS'fps'\np4\nF60.0\ns")
    for name in (b"numpy._core", b"_codecs", b"__randomstate_ctor", b"builtins"):
        assert name not in content
    for name in (b"cnumpy.random\n__RandomState_ctor\n", b"cnumpy.core.multiarray\nscalar\n"):
        assert name in content
    with pytest.raises(UnicodeDecodeError):
        pickle.loads(content)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(st.characters(max_codepoint=255), max_size=300)
    | hnp.arrays(st.sampled_from([np.int16, np.float64, np.bool_]), st.integers(0, 5))
    | st.datetimes().map(lambda time: time.replace(fold=0)),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(st.text("abc\xe9", max_size=3), inner, max_size=5)
    ),
    max_leaves=12,
)


@given(values, st.sampled_from([0, 2]))
def test_python_2_pickles_load_again(value: Any, protocol: int) -> None:
    file = io.BytesIO()
    Python2Pickler(file, protocol).dump(value)
    assert same(pickle.loads(file.getvalue(), encoding="latin1"), value)


def test_other_things_are_not_pickled() -> None:
    with pytest.raises(SampleError, match="Cannot pickle a set"):
        Python2Pickler(io.BytesIO(), 0).dump({"a": {1}})


# -- the folder ---------------------------------------------------------------------------------
def structure(folder: Path) -> dict[str, Any]:
    """Files, HDF5 datasets with their types, and keys of the log, without ids and sizes."""

    def keys(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: keys(item) for name, item in value.items() if name != "rng"}
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return sorted((keys(item) for item in value), key=str)
        if isinstance(value, list | tuple):
            return type(value).__name__, keys(value[0]) if value else None
        return (
            (value.dtype.str, value.ndim) if isinstance(value, np.ndarray) else type(value).__name__
        )

    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = "/".join(
            "_".join("#" if part.isdigit() and len(part) > 1 else part for part in step.split("_"))
            for step in path.relative_to(folder).parts
        )
        found[name] = None
        if path.suffix == ".h5":
            with h5py.File(path) as file:
                # That it is a sample, no recorded one says.
                items: dict[str, Any] = {"": sorted(set(file.attrs) - {MARK})}

                def visit(key: str, item: Any, items: dict[str, Any] = items) -> None:
                    kind = None
                    if isinstance(item, h5py.Dataset):
                        kind = item.dtype.kind, item.dtype.itemsize, item.ndim
                        # Text is as long as the longest name.
                        kind = ("S", item.ndim) if item.dtype.kind == "S" else kind
                    items[key] = kind, {k: str(v) for k, v in item.attrs.items()}

                file.visititems(visit)
                if "meta" in file:
                    items["meta"] = keys(ast.literal_eval(file["meta"][()].decode()))
            found[name] = items
        elif path.suffix == ".pkl":
            found[name] = keys(load_log(folder))
        elif path.suffix == ".json":
            found[name] = sorted(json.loads(path.read_text()))
        elif path.suffix == ".txt":
            found[name] = path.read_text().splitlines()[0]
    return found


@pytest.mark.shared
@pytest.mark.parametrize("plane", ["soma", "dend"])
def test_structure_is_that_of_the_examples(plane: str, folder: Path, dendrites: tuple) -> None:
    example = SHARED / "sessions_original" / "prod"
    if not example.is_dir():
        pytest.skip("no example sessions")
    if plane == "soma":
        example = example / "mouse_408021" / "ophys_session_758519303"
    else:
        example = example / "mouse_413663" / "ophys_session_764704289"
        _, folder = dendrites
    mine, wanted = structure(folder), structure(example)
    assert list(mine) == list(wanted)
    for name in wanted:
        assert mine[name] == wanted[name], name


def test_the_folder_is_where_the_format_has_it(tmp_path: Path) -> None:
    spec = replace(SHORT, n_bad_rois=0)
    with_mouse = write_original(spec, tmp_path)
    assert with_mouse == tmp_path / "prod" / "mouse_900001" / "ophys_session_900000001"
    assert with_mouse == original_path(spec, tmp_path)
    pilot = replace(spec, gabor_kappa=4, square_size=256)
    folder = write_original(pilot, tmp_path)
    assert folder == tmp_path / "pilot" / "mouse_900001" / "ophys_session_900000001"
    assert original_path(pilot, tmp_path) == folder


def test_traces_are_stored_as_asked(session: SampleSession, folder: Path, tmp_path: Path) -> None:
    other = write_original(session, tmp_path, layout="gzip", dtype="float64")
    with h5py.File(only(other, "*/*_dff.h5")) as file:
        assert (file["data"].compression, file["data"].dtype) == ("gzip", np.float64)
        assert arrays(only(folder, "*/*_dff.h5"))["data"].dtype == np.float32


def test_a_folder_is_not_replaced_unasked(session: SampleSession, tmp_path: Path) -> None:
    made = write_original(session, tmp_path)
    before = made.stat().st_ino
    with pytest.raises(SampleExistsError, match="overwrite=True"):
        write_original(session, tmp_path)
    assert made.stat().st_ino == before
    write_original(session, tmp_path, overwrite=True)
    assert made.stat().st_ino != before
    assert [path.name for path in made.parent.iterdir()] == [made.name]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_broken_write_leaves_what_was_there(
    session: SampleSession, tmp_path: Path, overwrite: bool
) -> None:
    def fail(done: int, total: int) -> None:
        raise RuntimeError(f"stopped at {done} of {total}")

    before = write_original(session, tmp_path) if overwrite else None
    with pytest.raises(RuntimeError, match="stopped"):
        write_original(session, tmp_path, overwrite=overwrite, progress=fail)
    mouse = tmp_path / "prod" / "mouse_900001"
    assert [path.name for path in mouse.iterdir()] == ([before.name] if before else [])
    if before:
        assert len(load_log(before)["stimuli"]) == 3


def test_wrong_forms_are_all_named(session: SampleSession, tmp_path: Path) -> None:
    with pytest.raises(SampleError) as caught:
        write_original(
            session,
            tmp_path,
            pickle_protocol=3,
            layout="zip",
            mates=[SHORT],
        )
    said = str(caught.value)
    for words in ("pickle_protocol is 3; give one of [0, 2]", "'zip'", "mates has session 9000"):
        assert words in said
    assert not list(tmp_path.iterdir())


# -- many, and both formats ---------------------------------------------------------------------
def test_a_mouse_in_the_original_format(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    made = {"seed": 2, "scale": 0.01, "n_rois": (4, 3, 5)}
    table = write_mouse(
        tmp_path,
        **made,
        n_bad_rois=2,
        format="original",
        progress=lambda done, total: steps.append((done, total)),
    )
    assert steps[-1] == (3000, 3000)
    assert table["n_rois_all"].tolist() == [6, 5, 7]
    specs = mouse_specs(**made, n_bad_rois=2)
    shifts = []
    for spec in specs:
        folder = original_path(spec, tmp_path)
        content = json.loads(only(folder, "*/processed/*nway*.json").read_text())["metadata"]
        assert content["sess_ns"]["0"] == [1, 2, 3]
        assert content["sess_ids"]["0"] == table["session_id"].tolist()
        matrices = {key: value["0"] for key, value in content.items() if "matrix" in key}
        assert len(matrices) == 2
        shifts.append(matrices)
        for key, matrix in matrices.items():
            _, source, _, _, target, *_ = key.split("_")
            assert int(target) == spec.session_number
            mate = make_session(specs[int(source) - 1])
            here = make_session(spec)
            # A tracked ROI's centre here, taken to the mate's field, is its centre there.
            rows = [int(np.flatnonzero(one.tracking_id == 0)[0]) for one in (here, mate)]
            y, x = (here.mask_model.center_y[rows[0]], here.mask_model.center_x[rows[0]])
            there = np.array(matrix) @ [x, y, 1]
            model = mate.mask_model
            np.testing.assert_allclose(
                there[:2], [model.center_x[rows[1]], model.center_y[rows[1]]]
            )
    with pytest.raises(SampleExistsError) as caught:
        write_mouse(tmp_path, **made, format="original")
    assert str(caught.value).count("\n  - ") == 4
    with pytest.raises(SampleError, match="format is 'hdf'"):
        write_mouse(tmp_path, **made, format="hdf")


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param({}, marks=pytest.mark.slow),
        {"plane": "dend", "twop_rate": 30.15, "seed": 3, "session_number": 2},
        pytest.param(
            {"n_tracked": 0, "seed": 5, "late_frames": 0.0002, "scale": 0.03},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"gabor_kappa": 4, "square_size": 256, "block_order": ("right", "left", "gabors")},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_both_formats_open_to_the_same_values(facts: dict[str, Any], tmp_path: Path) -> None:
    spec = replace(SHORT, **{"dropped": 0.0, "late_frames": 0.0, **facts})
    session = make_session(spec)
    table = sample_session_table([spec])
    options = {"table": table, "include": "squares"}
    folder = write_original(session, tmp_path / "original")
    with pytest.warns(InvalidRoiWarning, match="5 of 11 ROIs"):
        original = ox.open_session(folder, **options).load()
    original.close()
    with ox.open_session(write_nwb(session, tmp_path, dtype="float32"), **options) as opened:
        nwb = opened.load()
    fit = original.isel(roi=original.valid.values)
    # Unfit ROIs keep their rows, and only this layout says why they are, and how frames align.
    only_here = {"invalid_reason", "listed_invalid", "aligned_frame_twop"}
    only_here -= set() if spec.n_tracked else {"listed_invalid"}
    assert set(original.variables) - set(nwb.variables) == only_here
    assert not set(nwb.variables) - set(original.variables)
    for name in sorted(set(nwb.variables) - {"roi"}):
        wanted, found = nwb[name].values, fit[name].values
        if name == "stimulus_template_name" and spec.run_type == "pilot":
            # Pilots have a template for each of their parameters.
            ending = {"gabors": "_kappa_4", "visflow": "_size_256", "grayscreen": ""}
            wanted = [
                text + ending[kind]
                for text, kind in zip(wanted, nwb.stimulus_type.values, strict=True)
            ]
            np.testing.assert_array_equal(found, wanted)
            continue
        if wanted.dtype.kind == "f":
            np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12, err_msg=name)
        else:
            np.testing.assert_array_equal(found, wanted, err_msg=name)
        # NWB files store the tracks of squares in more bytes than they need.
        assert found.dtype == ("int16" if name in ("square_x", "square_y") else wanted.dtype), name
        assert fit[name].attrs == nwb[name].attrs, name
    for name in ("stim_fps", "twop_fps"):
        assert original.attrs[name] == pytest.approx(nwb.attrs[name], rel=1e-12)
