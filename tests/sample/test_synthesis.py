"""Synthetic sessions as arrays: their structure, their repeatability, their content."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from example_sessions import SHARED
from how_many import examples
from oscaxr.errors import OscaxrError
from oscaxr.model.synthetic import MOUSE_IDS, SESSION_IDS
from oscaxr.sample import SampleError, SampleSession, SampleSpec, make_session, mouse_specs
from oscaxr.sample.mouse_behavior import decay_filter
from oscaxr.sample.planted_rois import make_masks
from oscaxr.sample.spec import BLOCK_ORDERS
from oscaxr.sample.timeline import make_timeline, unexpected_runs

SMALL = SampleSpec(scale=0.02, n_rois=5, n_tracked=3, field_shape=(64, 80))


def segment_frame(spec: SampleSpec) -> pd.DataFrame:
    return pd.DataFrame(make_timeline(spec).segments)


def run_lengths(values: np.ndarray) -> list[tuple[int, int]]:
    """(value, length) of each run, by a plain loop."""
    runs: list[tuple[int, int]] = []
    for value in values:
        if runs and runs[-1][0] == value:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((int(value), 1))
    return runs


def check_segments(table: pd.DataFrame) -> None:
    """The rules of a segment table, whoever made it."""
    kind = table["stimulus_type"]
    gabor, flow, gray = (table[kind == name] for name in ("gabors", "visflow", "grayscreen"))
    # Frames are contiguous on both clocks, and so are the times.
    for column in ("frame_stim", "frame_twop"):
        start, stop = table[f"start_{column}"].to_numpy(), table[f"stop_{column}"].to_numpy()
        np.testing.assert_array_equal(start[1:], stop[:-1])
        np.testing.assert_array_equal(table[f"num_{column[:5]}s{column[5:]}"], stop - start)
    np.testing.assert_array_equal(table["start_time"][1:], table["stop_time"][:-1])
    assert set(gabor["num_frames_stim"]) == {18}
    assert set(flow["num_frames_stim"]) == {60}
    # Gabors: A B C D/U G, all five flagged when the fourth is U, whose orientation is D's + 90.
    # G keeps kappa and orientation of its D or U, but has no patches.
    letters = gabor["gabor_frame"].to_numpy().reshape(-1, 5)
    unexpected = gabor["unexpected"].to_numpy().reshape(-1, 5)
    orientation = gabor["gabor_mean_orientation"].to_numpy().reshape(-1, 5)
    assert {"".join(row) for row in letters} == {"ABCDG", "ABCUG"}
    np.testing.assert_array_equal(unexpected, np.repeat(letters[:, 3:4] == "U", 5, axis=1))
    np.testing.assert_array_equal(orientation[:, 4], orientation[:, 3])
    assert gabor["gabor_kappa"].isin([4, 16]).all()
    np.testing.assert_array_equal(orientation[:, 1], orientation[:, 0])
    np.testing.assert_array_equal(orientation[:, 3], orientation[:, 0] + 90 * unexpected[:, 0])
    assert set(orientation[:, 0]) <= {0, 45, 90, 135}
    np.testing.assert_array_equal(gabor["start_frame_stim_template"], np.arange(len(gabor)))
    np.testing.assert_array_equal(
        gabor["gabor_number"].isna().to_numpy().reshape(-1, 5), letters == "G"
    )
    # Flow: two directions, a quarter of the squares flipped.
    assert set(flow["main_flow_direction"]) == {"right (temp)", "left (nasal)"}
    np.testing.assert_array_equal(flow["square_proportion_flipped"], 0.25 * flow["unexpected"])
    for _, block in flow.groupby("main_flow_direction"):
        np.testing.assert_array_equal(
            block["start_frame_stim_template"], 60 * np.arange(len(block))
        )
    # Columns that do not concern a stimulus are empty.
    assert gray.filter(regex="^(unexpected|gabor_k|gabor_m|gabor_n|square)").isna().all(axis=None)
    assert flow.filter(regex="^gabor_[kmn]").isna().all(axis=None)
    assert gabor.filter(regex="^square").isna().all(axis=None)
    assert set(table["gabor_frame"][kind != "gabors"]) == {""}
    assert set(table["main_flow_direction"][kind != "visflow"]) == {""}
    # Runs: 3 to 6 s of unexpected sequences, 2 to 4 s of unexpected flow.
    blocks = (kind != kind.shift()).cumsum()
    for _, block in table[kind != "grayscreen"].groupby(blocks):
        per_second = 5 if block["stimulus_type"].iloc[0] == "gabors" else 1
        runs = run_lengths(block["unexpected"].to_numpy()[::per_second])
        assert runs[0][0] == 0
        assert all(2 <= length <= 4 for value, length in runs if value == 1)
        lowest, highest = (20, 60) if per_second == 5 else (30, 90)
        inner = [length for value, length in runs[:-1] if value == 0]
        assert all(lowest <= length <= highest for length in inner)


@pytest.mark.parametrize("order", BLOCK_ORDERS)
@pytest.mark.parametrize("scale", [1.0, 0.12])
def test_segment_table_follows_the_rules(order: tuple, scale: float) -> None:
    spec = SampleSpec(scale=scale, block_order=order, seed=len(order[0]))
    table = segment_frame(spec)
    check_segments(table)
    assert len(table) == spec.n_segments
    names = {"gabors": "gabors", "left": "visflow_left", "right": "visflow_right"}
    template = table["stimulus_template_name"]
    shown = template[template != template.shift()]
    assert shown[shown != "grayscreen"].tolist() == [names[name] for name in order]
    assert shown.tolist()[::2] == ["grayscreen"] * 4


def test_published_tables_follow_the_same_rules() -> None:
    paths = sorted((SHARED / "golden").glob("*_segments.csv"))
    if not paths:
        pytest.skip("no golden segment tables")
    for path in paths:
        table = pd.read_csv(path).rename(
            columns={"start_time_sec": "start_time", "stop_time_sec": "stop_time"}
        )
        for column in ("gabor_frame", "main_flow_direction"):
            table[column] = table[column].fillna("").astype(str)
        # These examples are older than what is known of the orientation of G in published files.
        assert table["gabor_mean_orientation"][table["gabor_frame"] == "G"].isna().all()
        orientation = table["gabor_mean_orientation"].ffill()
        table["gabor_mean_orientation"] = orientation.where(table["stimulus_type"] == "gabors")
        check_segments(table)
        mine = segment_frame(SampleSpec(scale=0.12))
        assert len(mine) == len(table)
        assert mine["stop_frame_stim"].iloc[-1] == table["stop_frame_stim"].iloc[-1]
        assert set(table.columns) - set(mine.columns) == {"id", "duration_sec"}


def test_real_size_has_the_real_counts() -> None:
    timeline = make_timeline(SampleSpec())
    kinds, counts = np.unique(timeline.segments["stimulus_type"], return_counts=True)
    assert dict(zip(kinds.tolist(), counts.tolist(), strict=True)) == {
        "gabors": 6800,
        "grayscreen": 4,
        "visflow": 2040,
    }
    assert len(timeline.stim_times) == 251_999
    assert len(timeline.twop_times) == 126_741
    first = timeline.segments["start_frame_twop"][0]
    assert timeline.segments["start_time"][0] == timeline.twop_times[first]
    assert timeline.segments["start_time"][0] == pytest.approx(14.277, abs=0.01)
    assert timeline.twop_times[0] < 10
    assert 1 / np.diff(timeline.stim_times).mean() == pytest.approx(59.95, abs=0.01)


@pytest.mark.parametrize("rate", [30.08, 30.15])
def test_clocks(rate: float) -> None:
    spec = replace(SMALL, twop_rate=rate, late_frames=0.001, seed=3)
    timeline = make_timeline(spec)
    table, stim, twop = timeline.segments, timeline.stim_times, timeline.twop_times
    assert np.diff(stim).min() > 0
    assert np.diff(twop).min() > 0
    assert 1 / np.diff(twop).mean() == pytest.approx(rate, rel=1e-4)
    assert (np.diff(stim) > 1.5 / 59.95).sum() == int(0.001 * len(stim))
    np.testing.assert_array_equal(stim[table["start_frame_stim"]], table["start_time"])
    # The last two-photon frame that began before the flip of the next pulse was on the screen.
    clocks = timeline.clocks
    fall = clocks.stim_fall / 100_000
    delay = np.mean([seen / 100_000 - fall[60 * k] for k, seen in enumerate(clocks.screen_events)])
    frames = []
    for frame in table["start_frame_stim"]:
        seen = fall[frame + 1] + delay
        (before,) = (k for k in range(len(twop) - 1) if twop[k] < seen <= twop[k + 1])
        frames.append(before)
    np.testing.assert_array_equal(table["start_frame_twop"], frames)
    assert abs(twop[frames] - table["start_time"]).max() < 1 / rate
    assert stim[0] == twop[frames[0]]
    rise = clocks.stim_rise / 100_000
    np.testing.assert_allclose(stim, [rise[k] - rise[0] + stim[0] for k in range(len(stim))])
    assert table["stop_frame_twop"][-1] < len(twop)
    assert table["stop_time"][-1] == table["start_time"][-1] + table["num_frames_stim"][-1] / 60


@given(
    st.integers(4, 400), st.sampled_from([((20, 60), (2, 4)), ((30, 90), (2, 4))]), st.integers(0)
)
def test_unexpected_runs(count: int, limits: tuple, seed: int) -> None:
    expected, unexpected = limits
    marks = unexpected_runs(count, expected, unexpected, np.random.default_rng(seed))
    runs = run_lengths(marks)
    assert len(marks) == count
    assert runs[0][0] == runs[-1][0] == 0
    assert len(runs) >= 3
    assert all(length <= (unexpected if value else expected)[1] for value, length in runs)
    if count > expected[1] + unexpected[1]:
        assert all(length >= (unexpected if value else expected)[0] for value, length in runs[:-1])


@given(st.integers(1, 60), st.floats(0.1, 0.95), st.integers(1, 5), st.integers(0, 2**31))
def test_decay_filter_is_a_truncated_sum(size: int, keep: float, passes: int, seed: int) -> None:
    impulses = np.random.default_rng(seed).random(size)
    slow = [
        sum(keep**back * impulses[at - back] for back in range(min(at + 1, 2**passes)))
        for at in range(size)
    ]
    np.testing.assert_allclose(decay_filter(impulses.copy(), keep, passes), slow)


# -- repeatability ------------------------------------------------------------------------------


def arrays_of(session: SampleSession) -> dict[str, np.ndarray]:
    arrays = {f"segments/{name}": values for name, values in session.segments.items()}
    arrays |= {f"patches/{name}": values for name, values in vars(session.patches).items()}
    names = ("stim_times", "twop_times", "run_velocity", "pupil_diameter", "pupil_center_x")
    arrays |= {name: getattr(session, name) for name in (*names, "roi_id", "max_projection")}
    x, y = session.squares()
    return arrays | {"traces": session.traces(), "masks": session.masks(), "x": x, "y": y}


def test_equal_specs_give_equal_sessions() -> None:
    first, second = arrays_of(make_session(SMALL)), arrays_of(make_session(replace(SMALL)))
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"session_id": 900_000_002}, {"mouse_id": 900_002}]
)
def test_other_specs_give_other_sessions(change: dict) -> None:
    first, other = make_session(SMALL), make_session(replace(SMALL, **change))
    assert not np.array_equal(first.traces(0, 50), other.traces(0, 50))
    assert not np.array_equal(first.run_velocity, other.run_velocity)


@settings(max_examples=examples(15))
@given(st.integers(-200, 6000), st.integers(-200, 6000))
def test_traces_do_not_depend_on_the_block(start: int, stop: int) -> None:
    session = make_session(replace(SMALL, scale=0.04))
    whole = session.traces()
    assert whole.dtype == np.float64
    assert whole.shape == (session.n_twop_frames, 5)
    np.testing.assert_array_equal(session.traces(start, stop), whole[start:stop])


def test_traces_have_full_precision() -> None:
    traces = make_session(SMALL).traces(0, 500)
    assert (traces != traces.astype(np.float32)).mean() > 0.99


# -- content ------------------------------------------------------------------------------------


def test_patches() -> None:
    session = make_session(SMALL)
    patches, letters = session.patches, session.segments["gabor_frame"]
    shown = np.isin(letters, list("ABCDU"))
    for values in vars(patches).values():
        np.testing.assert_array_equal(
            np.isfinite(values), np.repeat(shown[:, np.newaxis], 30, axis=1)
        )
    for letter in "ABCDU":
        assert len(np.unique(patches.x[letters == letter], axis=0)) == 1
    assert len(np.unique(patches.x[shown], axis=0)) == 5
    assert 204 <= np.nanmin(patches.size) <= np.nanmax(patches.size) <= 408
    away = patches.orientation[shown] - session.segments["gabor_mean_orientation"][shown, None]
    away = (away + 180) % 360 - 180
    assert np.std(away) == pytest.approx(np.degrees(0.25), rel=0.05)
    assert abs(np.mean(away)) < 1


@pytest.mark.parametrize(("size", "number"), [(128, 105), (256, 26)])
def test_squares(size: int, number: int) -> None:
    session = make_session(replace(SMALL, square_size=size, gabor_kappa=4))
    table = session.segments
    rows = table["stimulus_type"] == "visflow"
    x, y = session.squares()
    assert x.shape == y.shape == (rows.sum(), number, 60)
    assert x.dtype == np.int16
    assert -960 <= x.min() <= x.max() < 960
    steps = np.median(np.diff(x.astype(int), axis=2), axis=2)
    assert set(np.abs(steps).ravel()) <= {13, 14}
    to_right = (steps > 0).mean(axis=1)
    main = np.where(table["main_flow_direction"][rows] == "right (temp)", to_right, 1 - to_right)
    flipped = round(0.25 * number) / number
    np.testing.assert_allclose(main, np.where(table["unexpected"][rows] == 1, 1 - flipped, 1))
    # A square goes on where it was when the segment changed.
    gap = (x[1:, :, 0].astype(int) - x[:-1, :, -1] + 960) % 1920 - 960
    assert set(np.abs(gap).ravel()) <= {12, 13, 14, 15}


def test_masks() -> None:
    spec = SampleSpec(scale=0.01, n_rois=150, n_tracked=40, field_shape=(128, 200))
    session = make_session(spec)
    masks = session.masks()
    weights = session.masks(kind="weights")
    areas = masks.sum(axis=(1, 2))
    assert 20 <= areas.min() <= areas.max() <= 1108
    assert 180 <= areas.mean() <= 240
    for edge in (weights[:, [0, -1]], weights[:, :, [0, -1]]):
        assert not edge.any()
    np.testing.assert_array_equal(masks, weights >= 0.1)
    assert ((weights > 0) & (weights < 0.1)).any()
    assert weights.sum(axis=(1, 2)).min() > 3
    np.testing.assert_array_equal(session.masks(30, 70, "uint8"), masks[30:70])
    assert session.masks(30, 30).shape == (0, 128, 200)
    assert session.max_projection.dtype == np.uint8
    inside = masks.any(axis=0)
    assert session.max_projection[inside].mean() > session.max_projection[~inside].mean() + 20


def test_tracked_rois_are_the_same_in_all_sessions_of_a_mouse() -> None:
    specs = mouse_specs(seed=4, scale=0.01, n_rois=(30, 25, 40), n_tracked=15)
    orders, positions, tuned, kept = [], [], [], []
    for spec in specs:
        session = make_session(spec)
        assert session.tracking_id is not None
        rows = np.argsort(session.tracking_id)[:15]
        np.testing.assert_array_equal(session.tracking_id[rows], np.arange(15))
        assert np.isnan(session.tracking_id).sum() == spec.n_rois - 15
        orders.append(rows.tolist())
        model = make_masks(spec)
        positions.append(np.stack([model.center_y[rows], model.center_x[rows]]))
        tuned.append(session.planted["unexpected_gabors"][rows])
        kept.append(np.stack([model.long_axis[rows], model.angle[rows]]))
    assert orders[0] != orders[1] != orders[2]
    assert sorted(orders[0]) != orders[0]
    for other in (1, 2):
        shift = positions[other] - positions[0]
        assert np.abs(shift).max() <= 4
        np.testing.assert_allclose(shift, shift[:, :1] * np.ones(15), atol=1e-9)
        np.testing.assert_array_equal(tuned[other], tuned[0])
        np.testing.assert_array_equal(kept[other], kept[0])


def test_session_without_tracking() -> None:
    assert make_session(replace(SMALL, n_tracked=0)).tracking_id is None


def windows(session: SampleSession, rows: np.ndarray, frames: int) -> np.ndarray:
    start = session.segments["start_frame_twop"][rows]
    return session.traces()[start[:, np.newaxis] + np.arange(frames)]


@pytest.mark.slow
def test_planted_responses_are_detectable() -> None:
    specs = mouse_specs(seed=1, scale=0.12, n_rois=60, n_tracked=40, field_shape=(64, 64))
    means = []
    for spec in specs:
        session = make_session(spec)
        table = session.segments
        responses = {
            name: windows(session, np.flatnonzero(chosen), 18).mean(axis=1)
            for name, chosen in {
                "D": table["gabor_frame"] == "D",
                "U": table["gabor_frame"] == "U",
                "flow": (table["stimulus_type"] == "visflow") & (table["unexpected"] == 0),
                "unexpected": (table["stimulus_type"] == "visflow") & (table["unexpected"] == 1),
            }.items()
        }
        means.append({name: values.mean(axis=0) for name, values in responses.items()})
        planted = session.planted
        gain = means[-1]["U"] - means[-1]["D"]
        error = responses["U"].std(axis=0) / np.sqrt(len(responses["U"]))
        responding = planted["unexpected_gabors"]
        assert gain[responding].mean() > 5 * error[responding].mean() / np.sqrt(responding.sum())
        assert gain[responding].mean() > gain[~responding].mean() + 0.05
        flow = means[-1]["unexpected"] - means[-1]["flow"]
        assert flow[planted["unexpected_flow"]].mean() > flow[~planted["unexpected_flow"]].mean()
    growth = [
        (mean["U"] - mean["D"])[make_session(spec).planted["unexpected_gabors"]].mean()
        for mean, spec in zip(means, specs, strict=True)
    ]
    assert growth[0] < growth[1] < growth[2]


def test_suppressed_rois_lack_a_response() -> None:
    spec = SampleSpec(seed=2, scale=0.12, n_rois=120, n_tracked=20, field_shape=(64, 64))
    session = make_session(spec)
    chosen = session.planted["suppressed"]
    assert 1 <= chosen.sum() < 20
    letters = session.segments["gabor_frame"]
    d, u = (
        windows(session, np.flatnonzero(letters == name), 12).mean(axis=(0, 1)) for name in "DU"
    )
    assert (u - d)[chosen].mean() < -0.05


def test_running() -> None:
    session = make_session(replace(SMALL, scale=0.2, dropped=0.0001))
    velocity = session.run_velocity
    assert len(velocity) == session.spec.n_stim_frames
    assert np.isnan(velocity).sum() == int(0.0001 * len(velocity))
    valid = velocity[np.isfinite(velocity)]
    assert (np.abs(np.diff(valid)) > 50).sum() >= 2
    outliers = (valid > 100).sum()
    assert outliers >= 1
    assert outliers + np.isnan(velocity).sum() <= 0.0003 * len(velocity)
    assert -0.1 < np.median(valid) < 1.5


@pytest.mark.parametrize("dropped", [0.0, 0.001, 0.1])
def test_dropped_frames(dropped: float) -> None:
    velocity = make_session(replace(SMALL, scale=0.2, dropped=dropped)).run_velocity
    missing = np.isnan(velocity)
    assert missing.sum() == int(dropped * len(velocity))
    if dropped > 0:
        assert max(length for value, length in run_lengths(missing) if value) > 5


def test_pupil() -> None:
    session = make_session(replace(SMALL, scale=0.2, seed=3))
    diameter, x = session.pupil_diameter, session.pupil_center_x
    assert len(diameter) == session.n_twop_frames
    assert 0.002 < np.isnan(diameter).mean() < 0.05
    np.testing.assert_array_equal(np.isnan(diameter), np.isnan(x))
    np.testing.assert_array_equal(np.isnan(diameter), np.isnan(session.pupil_center_y))
    assert 0.1 <= np.nanmin(diameter) <= np.nanmax(diameter) < 1.0
    assert 3 < np.nanmean(x) < 3.6


def test_a_wrong_spec_lists_all_its_problems() -> None:
    with pytest.raises(SampleError) as caught:
        SampleSpec(n_rois=3, n_tracked=4, scale=0.0, gabor_kappa=8, seed=-1)
    message = str(caught.value)
    assert isinstance(caught.value, OscaxrError)
    for word in ("n_tracked is 4", "scale is 0.0", "gabor_kappa is 8", "seed is -1", "900000001"):
        assert word in message


@pytest.mark.parametrize(
    "ids", [{"session_id": 758519303}, {"mouse_id": 408021}, {"session_id": 10**9}]
)
def test_ids_of_recorded_sessions_are_refused(ids: dict[str, int]) -> None:
    (name,) = ids
    with pytest.raises(SampleError, match=f"{name} is {ids[name]}; give 90"):
        SampleSpec(**ids)


def test_no_recorded_session_has_an_id_of_samples() -> None:
    tables = sorted((SHARED / "data").glob("mouse_df*.csv"))
    if not tables:
        pytest.skip("no published session tables")
    for path in tables:
        table = pd.read_csv(path)
        assert table["sessid"].max() < SESSION_IDS[0]
        assert table["mouseid"].max() < MOUSE_IDS[0]


@pytest.mark.parametrize("scale", [0.004, 0.007, 0.05])
def test_short_sessions_have_unexpected_segments(scale: float) -> None:
    session = make_session(replace(SMALL, scale=scale))
    table = session.segments
    for name in ("gabors", "visflow_left", "visflow_right"):
        block = table["unexpected"][table["stimulus_template_name"] == name]
        assert set(block) == {0.0, 1.0}
    assert session.traces().shape[0] == session.n_twop_frames


def test_templates_and_movie() -> None:
    session = make_session(replace(SMALL, scale=0.005))
    templates = session.templates(shape=(20, 32), frames=30)
    assert {name: len(images) for name, images in templates.items()} == {
        "gabors": 30,
        "visflow_left": 30,
        "visflow_right": 30,
        "grayscreen": 1,
    }
    assert all(images.shape[1:] == (20, 32, 1) for images in templates.values())
    assert np.ptp(templates["gabors"][0]) > 50
    np.testing.assert_array_equal(templates["gabors"][4], templates["grayscreen"][0])
    movie = session.movie()
    assert movie.shape == (session.n_twop_frames, 64, 80)
    np.testing.assert_array_equal(session.movie(50, 300), movie[50:300])
    lit = movie[:, session.masks()[0]].mean(axis=1)
    assert np.corrcoef(lit, session.traces()[:, 0])[0, 1] > 0.8
