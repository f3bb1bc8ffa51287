"""Mean responses of ROIs, against the published code's and plain loops."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import oscaxr as ox
from how_many import examples
from oscaxr.analyses import chance, frame_responses, mean_traces, response_difference, split
from oscaxr.errors import CriterionError, InvalidRoiWarning, RenamedError
from recorded_analyses import EACH_SESSION, Recorded


@pytest.fixture(scope="module", params=EACH_SESSION)
def recorded(request, shared):
    one = Recorded(shared, request.param)
    with one.ds:
        yield one


@pytest.mark.parametrize("third", [1, 2, 3])
def test_recorded_thirds(recorded, third):
    found = mean_traces(recorded.ds, third=third)
    golden = recorded[f"thirds__{third - 1}"]
    for name, part in zip(("mean", "sem"), np.moveaxis(golden, -1, 0), strict=True):
        np.testing.assert_allclose(found[name], part, rtol=1e-9, atol=1e-9)


def test_recorded_means_of_splits(recorded):
    for stimulus in ("gabors", "visflow"):
        found = mean_traces(recorded.ds, "unexpected_onset", stimulus)
        for k, group in enumerate(("before", "after")):
            golden = recorded[f"split__{stimulus}__unexp_lock__trace_mean__{k}"]
            own = found["mean"].isel(rel_time=found.group == group)
            np.testing.assert_allclose(own, golden, rtol=1e-9, atol=1e-9)


@pytest.fixture(scope="module")
def ds():
    return ox.sample.session(n_rois=5, n_tracked=2, scale=0.1, field_shape=(64, 64), seed=3)


@pytest.mark.parametrize("name", ["dff", "run_velocity"])
@pytest.mark.parametrize("kind", ["unexpected", "expected_onset", "stimulus_offset"])
def test_mean_traces_are_those_of_the_split(ds, kind, name):
    found = mean_traces(ds, kind, "visflow", name=name)
    groups = split(ds, kind, "visflow", name=name, integrated=False)
    for group, part in groups.items():
        own = found.sel(group=group) if "group" in found.dims else found
        if "group" in found["mean"].coords and found.group.dims == ("rel_time",):
            own = found.isel(rel_time=found.group == group)
        values = part.transpose("sequence", ...).values
        np.testing.assert_allclose(own["mean"], np.nanmean(values, axis=0), rtol=1e-9, atol=1e-12)
        count = (~np.isnan(values)).sum(axis=0)
        sem = np.nanstd(values, axis=0, ddof=1) / np.sqrt(count)
        np.testing.assert_allclose(own["sem"], sem, rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(own.rel_time, part.rel_time)
        assert int(own.n_sequences) == len(values)


def test_mean_traces_have_the_window_of_the_pictures(ds):
    assert mean_traces(ds).rel_frame.values.tolist() == list(range(-27, 18))
    assert mean_traces(ds, window=(0, 0.6)).sizes["rel_time"] == 18
    with pytest.raises(RenamedError, match="by_exp"):
        mean_traces(ds, "by_exp")


@pytest.mark.parametrize("function", [mean_traces, response_difference])
def test_what_is_integrated_is_not_asked_for(ds, function):
    for integrated in (True, False):
        with pytest.raises(CriterionError, match=f"so {function.__name__} has no such argument"):
            function(ds, integrated=integrated)


def test_frame_responses_are_means_of_integrals(ds):
    found = frame_responses(ds)
    for unexpected, group in enumerate(("expected", "unexpected")):
        for frame in "ABCDUG":
            segments = ds.osca.select(
                stimulus="gabors", gabor_frame=frame, unexpected=unexpected, gabor_kappa=16
            )
            own = found.sel(group=group, gabor_frame=frame)
            assert int(own["n_sequences"]) == segments.sizes["segment"]
            if (frame, unexpected) in (("U", 0), ("D", 1)):
                assert own["response"].isnull().all()
                continue
            windows = ds.osca.sequences("dff", segments, pre=0, post=0.3)
            wanted = windows.osca.integrate().mean("sequence")
            np.testing.assert_allclose(own["response"], wanted, rtol=1e-9)
    flow = frame_responses(ds, "visflow", tracked=True)
    assert flow["response"].sizes == {"group": 2, "tracking_id": 2}
    integrals = split(ds, stimulus="visflow", tracked=True, scale=False)
    for group, part in integrals.items():
        wanted = part.mean("sequence")
        np.testing.assert_allclose(flow["response"].sel(group=group), wanted, rtol=1e-9)


@pytest.mark.parametrize("wrong", [{"seed": -3}, {"permutations": False}, {"permutations": -1}])
def test_permutations_and_seed_are_checked_also_without_permutations(ds, wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(CriterionError, match=f"{name}={value}"):
        response_difference(ds, **wrong)


def test_frame_responses_of_what_is_not_there(ds):
    with pytest.raises(CriterionError, match="unexpected: it tells the groups apart"):
        frame_responses(ds, unexpected=1)
    with pytest.raises(CriterionError, match="has no expected segments of gabors"):
        frame_responses(ds, gabor_kappa=4)
    with pytest.raises(CriterionError, match="stimulus='movies' is not known"):
        frame_responses(ds, "movies")


# -- differences ---------------------------------------------------------------------------------
@given(st.integers(0, 10), st.sampled_from(["gabors", "visflow"]))
@settings(max_examples=examples(16))
def test_null_equals_a_plain_loop(ds, seed, stimulus):
    found = response_difference(ds, stimulus, permutations=20, seed=seed)
    groups = [part.values for part in split(ds, "unexpected", stimulus).values()]
    wanted = [second.mean() - first.mean() for first, second in zip(*groups, strict=True)]
    np.testing.assert_allclose(found["difference"], wanted, rtol=1e-9, atol=1e-12)
    together = np.concatenate(groups, axis=1)
    n, k = together.shape[1], groups[1].shape[1]
    random = chance.generator(seed, int(ds.session_id))
    for value in found["null"].values:
        (chosen,) = next(chance.choice_blocks(random, 1, n, k))
        rest = np.delete(np.arange(n), chosen)
        differences = [row[chosen].mean() - row[rest].mean() for row in together]
        assert value == pytest.approx(np.mean(differences), rel=1e-9, abs=1e-12)


def test_difference_of_one_trace_and_by_seed(ds):
    options = {"permutations": 30, "seed": 1}
    whole = response_difference(ds, **options)
    run = response_difference(ds, name="run_velocity", interpolate=True, **options)
    groups = split(ds, name="run_velocity", interpolate=True)
    assert run["difference"].dims == ()
    wanted = groups["unexpected"].mean() - groups["expected"].mean()
    np.testing.assert_allclose(run["difference"], wanted)
    again = response_difference(ds, permutations=30)
    assert not np.array_equal(again["null"], whole["null"])
    by_seed = response_difference(ds, permutations=30, seed=again.attrs["seed"])
    xr.testing.assert_identical(again, by_seed)


def test_rois_with_missing_responses_are_left_out_of_the_null(ds):
    broken = ds.copy()
    number = int(ds.osca.select(gabor_frame="U").start_frame_twop[1])
    broken["dff"] = ds.dff.where((ds.roi != 2) | (ds.time != ds.time[number]))
    options = {"permutations": 30, "seed": 1}
    with pytest.warns(InvalidRoiWarning, match="1 of 5 ROIs"):
        found = response_difference(broken, **options)
    fewer = response_difference(ds.isel(roi=[0, 1, 3, 4]), **options)
    assert np.isnan(found["difference"].sel(roi=2))
    assert int(found["n_rois"]) == 4
    np.testing.assert_allclose(found["null"], fewer["null"], rtol=1e-10)
    with pytest.warns(InvalidRoiWarning, match="1 of 1 ROIs"):
        none = response_difference(broken.isel(roi=[2]), **options)
    assert none["null"].isnull().all()


def test_results_are_written_and_read(ds, tmp_path):
    for number, found in enumerate(
        (mean_traces(ds), frame_responses(ds), response_difference(ds, permutations=10))
    ):
        found.to_netcdf(tmp_path / f"{number}.nc")
        with xr.open_dataset(tmp_path / f"{number}.nc") as again:
            xr.testing.assert_identical(again.load(), found)
