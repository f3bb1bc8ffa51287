"""Reference frames: from segments, frames and times, with what is known about each."""

import pickle

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import CriterionError, SessionMismatchError, WindowError
from oscaxr.select.references import find_references


@pytest.fixture(scope="module")
def ds():
    return ox.sample.session(n_rois=3, n_tracked=0, scale=0.02, field_shape=(48, 48))


@pytest.fixture(scope="module")
def other():
    return ox.sample.session(
        n_rois=3, n_tracked=0, scale=0.02, field_shape=(48, 48), session_id=900000002
    )


def references(ds, clock="twop", *, segments=None, frames=None, times=None):
    return find_references(ds, clock, segments=segments, frames=frames, times=times)


@pytest.mark.parametrize("clock", ["twop", "stim"])
@pytest.mark.parametrize(
    "form", ["dataset", "numbers", "list", "array", "series", "index", "transposed order"]
)
def test_segments_in_every_form(ds, clock, form):
    chosen = ox.select_segments(ds, gabor_frame="U")
    if form == "transposed order":
        chosen = chosen.isel(segment=slice(None, None, -1))
    numbers = chosen.segment.values
    segments = {
        "dataset": chosen,
        "numbers": numbers,
        "list": numbers.tolist(),
        "array": chosen.segment,
        "series": pd.Series(numbers),
        "index": pd.Index(numbers),
        "transposed order": chosen,
    }[form]
    found = references(ds, clock, segments=segments)
    np.testing.assert_array_equal(found.labels, numbers)
    np.testing.assert_array_equal(found.frames, chosen[f"start_frame_{clock}"])
    np.testing.assert_array_equal(found.lengths, chosen[f"num_frames_{clock}"])
    assert found.n_frames == ds.attrs[f"n_frames_{clock}"]
    assert set(found.coords["gabor_frame"].values) == {"U"}
    assert found.coords["gabor_frame"].dims == ("sequence",)
    assert found.coords["session_id"].dims == ()


def test_one_segment_and_repeated_segments(ds):
    assert references(ds, segments=7).labels.tolist() == [7]
    assert references(ds, segments=np.int16(7)).labels.tolist() == [7]
    assert references(ds, segments=[7, 7, 3]).labels.tolist() == [7, 7, 3]
    assert references(ds, segments=[]).frames.size == 0


def test_users_coordinates_are_carried_from_every_form(ds):
    chosen = ox.select_segments(ds, gabor_frame="U")
    mine = list(range(chosen.sizes["segment"]))
    chosen = chosen.assign_coords(mine=("segment", mine))
    for segments in (chosen, chosen.segment):
        assert references(ds, segments=segments).coords["mine"].values.tolist() == mine
    frames = chosen.start_frame_twop
    assert references(ds, frames=frames).coords["mine"].values.tolist() == mine
    assert references(ds, times=chosen.start_time).coords["mine"].values.tolist() == mine


@pytest.mark.parametrize(
    "segments", [[0, 10**6], [-1], [True, False], [1.0], ["A"], [[1, 2]]], ids=str
)
def test_segments_that_do_not_exist_are_refused(ds, segments):
    with pytest.raises(WindowError, match=r"not in this session|whole numbers|one-dimensional"):
        references(ds, segments=segments)


def test_a_single_element_without_its_dim_is_refused(ds):
    with pytest.raises(CriterionError, match="no dim 'segment'"):
        references(ds, segments=ds.isel(segment=3))


def test_segments_of_a_foreign_session_are_refused(ds, other):
    chosen = ox.select_segments(other, gabor_frame="U")
    for asked in (
        {"segments": chosen},
        {"segments": chosen.segment},
        {"frames": chosen.start_frame_twop},
        {"times": chosen.start_time},
    ):
        with pytest.raises(SessionMismatchError, match=r"900000002.*900000001"):
            references(ds, **asked)
    # Bare numbers have no session to be checked.
    assert references(ds, segments=chosen.segment.values).frames.size


def test_segments_are_looked_up_in_a_session_with_some_of_them(ds):
    few = ds.isel(segment=slice(20, 30))
    assert references(few, segments=[21]).frames.tolist() == [int(ds.start_frame_twop[21])]
    with pytest.raises(WindowError, match=r"1 segment.* of 10 segments: 3"):
        references(few, segments=[3, 21])


def test_frames(ds):
    found = references(ds, frames=[5, 3])
    assert found.frames.tolist() == [5, 3]
    assert found.labels.tolist() == [0, 1]
    assert found.lengths is None
    assert references(ds, frames=np.uint16([5])).frames.dtype == np.int64
    assert references(ds, frames=[]).frames.size == 0


@pytest.mark.parametrize("frames", [[-1], [3, 10**6], [1.0], [True], [[1]]], ids=str)
def test_frames_that_do_not_exist_are_refused(ds, frames):
    with pytest.raises(WindowError, match=r"outside the recording|whole numbers|one-dimensional"):
        references(ds, frames=frames)


@pytest.mark.parametrize(("clock", "dim"), [("twop", "time"), ("stim", "stim_time")])
def test_times_stand_for_the_nearest_frame(ds, clock, dim):
    clock_times = ds[dim].values
    times = np.random.default_rng(0).uniform(clock_times[0], clock_times[-1], 30)
    found = references(ds, clock, times=times)
    wanted = [int(np.argmin(abs(clock_times - time))) for time in times]
    assert found.frames.tolist() == wanted
    np.testing.assert_array_equal(found.coords["reference_time"].values, times)
    edges = references(ds, clock, times=clock_times[[0, -1]])
    assert edges.frames.tolist() == [0, len(clock_times) - 1]


@pytest.mark.parametrize("times", [[0.0], [1e6], [np.nan]])
def test_times_outside_the_recording_are_refused(ds, times):
    with pytest.raises(WindowError, match="outside the recording"):
        references(ds, times=times)


def test_exactly_one_of_them_is_given(ds):
    with pytest.raises(WindowError, match="found: none"):
        references(ds)
    with pytest.raises(WindowError, match="found: segments and times"):
        references(ds, segments=[1], times=[20.0])


def test_what_is_kept(ds):
    found = references(ds, segments=[4, 5, 6]).keep(np.array([True, False, True]))
    assert found.labels.tolist() == [4, 6]
    assert found.lengths.tolist() == ds.num_frames_twop.values[[4, 6]].tolist()
    assert found.coords["segment"].values.tolist() == [4, 6]
    assert found.coords["session_id"].dims == ()
    assert isinstance(found.coords["session_id"], xr.Variable)


@pytest.mark.parametrize("wrap", [lambda array: array, lambda array: array.to_series()])
def test_what_is_given_as_something_else_is_told_by_its_name(ds, wrap):
    chosen = ox.select_segments(ds, gabor_frame="A")
    columns = {
        "segments": chosen.segment,
        "frames": chosen.start_frame_twop,
        "times": chosen.start_time,
    }
    for kind, column in columns.items():
        for given in columns.keys() - {kind}:
            with pytest.raises(WindowError, match=f"are {kind}, not {given}; give them as {kind}="):
                references(ds, **{given: wrap(column)})
    for given in ("frames", "times"):
        with pytest.raises(WindowError, match=f"are segments, not {given}"):
            references(ds, **{given: chosen})


def test_numbers_without_a_name_get_a_hint(ds):
    chosen = ox.select_segments(ds, gabor_frame="A")
    with pytest.raises(WindowError, match="If these are frames, give them as frames="):
        references(ds, segments=chosen.start_frame_twop.values)
    with pytest.raises(WindowError, match="seem to be milliseconds"):
        references(ds, times=chosen.start_time.values * 1000)


# -- labels -----------------------------------------------------------------------------------
def test_a_label_that_is_not_there_is_explained(ds):
    u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=0.2, post=0.2)
    for part in (u, u[:, 1:], u.isel(sequence=u.reference_frame > 0), u - 1, u.mean("roi")):
        with pytest.raises(KeyError) as caught:
            part.sel(sequence=-1)
        said = str(caught.value.__cause__)
        assert "numbers of segments" in said
        assert ".isel(sequence=-1)" in said
    assert u.sel(sequence=int(u.segment[1])).identical(u[:, 1])


def test_labels_line_up_with_plain_ones(ds):
    u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=0.2, post=0.2)
    plain = u.assign_coords(sequence=("sequence", u.sequence.values, u.sequence.attrs))
    assert type(plain.indexes["sequence"]) is pd.Index
    assert u.identical(plain)
    assert pickle.loads(pickle.dumps(u)).identical(u)
    assert (u + plain).sizes == u.sizes
    assert (plain[:, 2:] + u).sequence.values.tolist() == u.sequence.values[2:].tolist()
    whole = xr.concat([plain[:, :2], u[:, 2:]], "sequence")
    assert whole.identical(u)
