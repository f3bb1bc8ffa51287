"""Splits of a session, against the published code's and a plain walk through the stimulus table."""

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.analyses import split
from oscaxr.analyses.splits import GROUPS
from oscaxr.errors import (
    CriterionError,
    DroppedSequencesWarning,
    MissingVariableError,
    RenamedError,
    TrackingError,
    WindowError,
)
from recorded_analyses import EACH_SESSION, SPLITS, Recorded

pytestmark = pytest.mark.filterwarnings(
    f"ignore::{DroppedSequencesWarning.__module__}.DroppedSequencesWarning"
)


@pytest.fixture(scope="module", params=EACH_SESSION)
def recorded(request, shared):
    one = Recorded(shared, request.param)
    with one.ds:
        yield one


@pytest.mark.parametrize("stimulus", ["gabors", "visflow"])
@pytest.mark.parametrize("word", SPLITS)
def test_recorded_splits(recorded, stimulus, word):
    names = [name for name in recorded.names("split") if name.startswith(f"{stimulus}__{word}__")]
    if not names:
        assert (stimulus, word[:4]) == ("visflow", "stim")
        return
    integrals = split(recorded.ds, SPLITS[word], stimulus)
    traces = split(recorded.ds, SPLITS[word], stimulus, integrated=False)
    found = {
        f"{kind}__{k}": part
        for kind, parts in (
            ("integ", integrals),
            ("trace_mean", {group: part.mean("sequence") for group, part in traces.items()}),
        )
        for k, part in enumerate(parts.values())
    }
    wanted = {name.removeprefix(f"{stimulus}__{word}__") for name in names} - {"trace_time"}
    assert wanted == set(found)
    for name, part in found.items():
        golden = recorded[f"split__{stimulus}__{word}__{name}"]
        np.testing.assert_allclose(part, golden, rtol=1e-9, atol=1e-9)


# -- against a plain walk ------------------------------------------------------------------------
@pytest.fixture(scope="module")
def ds():
    return ox.sample.session(n_rois=4, n_tracked=2, scale=0.1, field_shape=(64, 64), seed=3)


def is_reference(row, stimulus):
    own = {"gabors": row.gabor_frame in ("D", "U"), "visflow": True}[stimulus]
    return row.stimulus_type == stimulus and own


def events(ds, name, stimulus):
    """Return the segments of both groups by walking through the rows of the table."""
    rows = list(ds.osca.segment_table().itertuples())
    if name == "unexpected":
        return [
            [row.Index for row in rows if is_reference(row, stimulus) and row.unexpected == wanted]
            for wanted in (0, 1)
        ]
    gray = [row.Index for row in rows if row.stimulus_type == "grayscreen"]
    if name.startswith("stimulus"):
        found = [k + 1 for k in gray[:-1]] if name == "stimulus_onset" else gray[1:]
        return [found, found]
    wanted, found, before = int(name == "unexpected_onset"), [], None
    for row in rows:
        kind = (row.stimulus_type, row.unexpected)
        if row.stimulus_type == stimulus and row.unexpected == wanted and kind != before:
            found.append(row.Index)
        before = kind
    return [found, found]


def plain_windows(ds, name, segments, start, stop):
    """Cut a trace around the start of segments, one after the other; None where it ends before."""
    clock = "stim" if "stim_time" in ds[name].dims else "twop"
    fps = ds.attrs[f"{clock}_fps"]
    trace = ds[name].transpose(..., {"stim": "stim_time", "twop": "time"}[clock]).values
    first, last = round(start * fps), round(stop * fps)
    found = []
    for number in segments:
        frame = int(ds[f"start_frame_{clock}"].sel(segment=number))
        inside = frame + first >= 0 and frame + last < trace.shape[-1]
        found.append(trace[..., frame + first : frame + last] if inside else None)
    return found, fps, first


@pytest.mark.parametrize(
    "name", ["dff", "run_velocity", pytest.param("pupil_diameter", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("stimulus", ["gabors", "visflow"])
@pytest.mark.parametrize("kind", GROUPS)
def test_equals_a_plain_walk_through_the_table(ds, kind, stimulus, name):
    window = {"gabors": (0, 0.6), "visflow": (0, 1)}[stimulus] if kind == "unexpected" else (-2, 2)
    options = {"name": name, "scale": False}
    traces = split(ds, kind, stimulus, integrated=False, **options)
    integrals = split(ds, kind, stimulus, **options)
    assert list(traces) == list(integrals) == list(GROUPS[kind])
    for k, (group, segments) in enumerate(
        zip(GROUPS[kind], events(ds, kind, stimulus), strict=True)
    ):
        cut, fps, first = plain_windows(ds, name, segments, *window)
        part = slice(None) if kind == "unexpected" else (slice(-first), slice(-first, None))[k]
        kept = [values[..., part] for values in cut if values is not None]
        assert kept
        found = traces[group]
        np.testing.assert_array_equal(found.transpose("sequence", ...), kept)
        sums = np.sum(kept, axis=-1) / fps
        np.testing.assert_allclose(integrals[group].transpose("sequence", ...), sums, rtol=1e-9)
        assert found.attrs["group"] == integrals[group].attrs["group"] == group
        assert found.attrs["stimulus"] == (stimulus if "stimulus" not in kind else "both")
        labels = [
            number for number, values in zip(segments, cut, strict=True) if values is not None
        ]
        assert found.sequence.values.tolist() == labels


def test_scaling_is_that_of_the_whole_recording(ds):
    for name, is_scaled in (("dff", 1), ("run_velocity", 0), ("pupil_diameter", 0)):
        by_default = split(ds, name=name, interpolate=name != "dff")
        assert {part.attrs["scaled"] for part in by_default.values()} == {is_scaled}
        plain = split(ds, name=name, scale=False, integrated=False, interpolate=name != "dff")
        scaled = split(ds, name=name, scale=True, interpolate=name != "dff")
        for group, part in plain.items():
            wanted = ox.integrate(ox.scale(part, ds))
            np.testing.assert_allclose(scaled[group], wanted, rtol=1e-9, atol=1e-12)


# -- options -------------------------------------------------------------------------------------
@pytest.mark.parametrize("stimulus", ["gabors", "visflow"])
@pytest.mark.parametrize("kind", ["unexpected", "unexpected_onset", "expected_onset"])
def test_thirds_are_those_of_the_numbers_of_all_segments(ds, kind, stimulus):
    groups = events(ds, kind, stimulus)
    numbers = sorted({number for group in groups for number in group})
    taken: list[int] = []
    for third in (1, 2, 3):
        low, high = (np.percentile(numbers, 100 * k / 3) for k in (third - 1, third))
        wanted = [[number for number in group if low <= number < high + 1] for group in groups]
        if not all(wanted):
            with pytest.raises(CriterionError, match="has no unexpected segments"):
                split(ds, kind, stimulus, third=third)
            return
        found = split(ds, kind, stimulus, third=third)
        for group, segments in zip(found.values(), wanted, strict=True):
            # The last may come too close to the end of the recording.
            assert group.sequence.values.tolist() in (segments, segments[:-1])
        taken += {number for group in wanted for number in group}
    assert set(taken) == set(numbers)
    assert len(taken) - len(numbers) <= 2


def test_common_orientations(ds):
    found = split(ds, common_orientations=True)
    for frame, group in zip("DU", found.values(), strict=True):
        assert set(group.gabor_mean_orientation.values) == {90, 135}
        wanted = ds.osca.select(gabor_frame=frame, gabor_mean_orientation=[90, 135])
        assert group.sizes["sequence"] == wanted.sizes["segment"]


def test_tracked_rois_and_further_criteria(ds):
    whole, tracked = split(ds), split(ds, tracked=True)
    for group, part in tracked.items():
        assert part.tracking_id.values.tolist() == [0, 1]
        np.testing.assert_array_equal(part, whole[group].sel(roi=part.roi.values))
    first = split(ds, stimulus="visflow", run_start=True)["expected"]
    assert first.sequence.equals(split(ds, "expected_onset", "visflow")["after"].sequence)
    temporal = split(ds, stimulus="visflow", main_flow_direction="temp")["expected"]
    assert set(temporal.main_flow_direction.values) == {"right (temp)"}
    other = split(ds, gabor_frame="G", window=(0, 0.3))["unexpected"]
    assert set(other.gabor_frame.values) == {"G"}


def test_same_on_dask_and_whatever_the_order_of_rois(ds):
    whole = split(ds)
    lazy = split(ds.chunk(time=700, roi=3))
    moved = split(ds.isel(roi=[2, 0, 3, 1]))
    for group, part in whole.items():
        np.testing.assert_allclose(lazy[group], part, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(moved[group].sel(roi=part.roi), part)


def test_traces_of_a_file_are_lazy(sample_path):
    with xr.open_dataset(sample_path, engine="oscaxr") as ds:
        found = split(ds, integrated=False)
        assert not any(part.variable._in_memory for part in found.values())
        integrals = split(ds)
        for group, part in found.items():
            np.testing.assert_allclose(ox.integrate(part), integrals[group], rtol=1e-9)


# -- what cannot be split ------------------------------------------------------------------------
@pytest.mark.parametrize(("published", "word"), SPLITS.items())
def test_published_words_have_others(ds, published, word):
    with pytest.raises(RenamedError, match=f"split='{published}' is now split='{word}'"):
        split(ds, published)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"split": "onset"}, "split='onset' is not known; it may be 'unexpected', 'unexpected_o"),
        ({"split": ["unexpected"]}, "is not known"),
        ({"stimulus": "grayscreen"}, "stimulus='grayscreen' is not known; it may be 'gabors'"),
        ({"unexpected": 1}, "unexpected: split='unexpected' says it itself"),
        ({"split": "expected_onset", "run_start": True}, "run_start: split='expected_onset'"),
        ({"split": "stimulus_onset", "gabor_kappa": 16}, "gabor_kappa: split='stimulus_onset'"),
        ({"common_orientations": True, "gabor_mean_orientation": 90}, "gabor_mean_orientation"),
        ({"common_orientations": True, "stimulus": "visflow"}, "does not compare"),
        ({"common_orientations": True, "split": "unexpected_onset"}, "does not compare"),
        ({"third": 4}, "third=4: it is 1, 2 or 3"),
        ({"third": True}, "third=True: it is 1, 2 or 3"),
        ({"gabor_kappa": 4}, "has no expected and no unexpected segments of gabors"),
        ({"gabk": 16}, "gabk= is now gabor_kappa"),
    ],
)
def test_what_is_asked_for_is_checked(ds, options, says):
    with pytest.raises(CriterionError, match=says):
        split(ds, **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"window": 0.6}, "give where it begins and ends"),
        ({"window": (0.6, 0)}, "empty window"),
        ({"split": "unexpected_onset", "window": (0, 2)}, "cut at 0 into 'before' and 'after'"),
        ({"window": (-1000, 600)}, "For milliseconds"),
    ],
)
def test_windows_are_checked(ds, options, says):
    with pytest.raises(WindowError, match=says):
        split(ds, **options)


def around(ds, stimulus):
    """Return a session cut to one stimulus and the gray screens beside it."""
    gray, kind = (ds.stimulus_type == word for word in ("grayscreen", stimulus))
    beside = kind.shift(segment=1, fill_value=False) | kind.shift(segment=-1, fill_value=False)
    return ds.isel(segment=(kind | (gray & beside)).values)


@pytest.mark.parametrize("stimulus", ["gabors", "visflow"])
def test_gray_screens_say_which_stimuli_they_have_beside_them(ds, stimulus):
    alone = around(ds, stimulus)
    for kind in ("stimulus_onset", "stimulus_offset"):
        whole, cut = split(ds, kind), split(alone, kind, "gabors")
        for group, responses in cut.items():
            assert responses.attrs["stimulus"] == stimulus
            # The responses are those of the whole session.
            same = whole[group].sel(sequence=responses.sequence.values)
            np.testing.assert_array_equal(responses, same)
        assert split(ds, kind, third=1)["gray"].attrs["stimulus"] == "both"


def test_gray_screens_without_their_stimuli_are_named(ds):
    gabors = ds.isel(segment=(ds.stimulus_type != "visflow").values)
    gray = ds.segment.values[ds.stimulus_type == "grayscreen"]
    numbers = ", ".join(map(str, gray))
    with pytest.raises(CriterionError) as told:
        split(gabors, "stimulus_onset")
    assert f"has gray screens at segments {numbers}, but lacks segments" in str(told.value)
    assert f" {gray[0] + 1}, {gray[1] + 1}, which were shown after them" in str(told.value)
    # What lay before a gray screen would be called the stimulus, whatever it was.
    with pytest.raises(CriterionError, match=rf"lacks segments {gray[1] - 1}, .* before them"):
        split(gabors, "stimulus_offset")
    one = ds.isel(segment=slice(int(gray[1])))
    with pytest.raises(CriterionError, match=r"gray screens at segments 0, but .* but the first"):
        split(one, "stimulus_offset")
    none = ds.isel(segment=(ds.stimulus_type == "gabors").values)
    with pytest.raises(CriterionError, match=r"has no gray screen, but .* two or more are needed"):
        split(none, "stimulus_onset")


def test_what_the_session_lacks(ds):
    flow = ds.isel(segment=ds.stimulus_type != "gabors")
    with pytest.raises(CriterionError, match=r"session \d+ has no expected and no unexpected"):
        split(flow)
    with pytest.raises(CriterionError, match="has no such segments of gabors"):
        split(flow, "unexpected_onset")
    expected = ds.isel(segment=ds.unexpected != 1)
    with pytest.raises(CriterionError, match="has no unexpected segments of visflow"):
        split(expected, stimulus="visflow")
    with pytest.raises(MissingVariableError, match="pupil_diameter"):
        split(ds.drop_vars("pupil_diameter"), name="pupil_diameter")
    with pytest.raises(TrackingError):
        split(ds.assign_coords(tracking_id=("roi", [-1] * 4)), tracked=True)
