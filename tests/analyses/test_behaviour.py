"""Responses in pairs of runs, against the published code's and a plain walk over sequences."""

import itertools

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.analyses import block_responses
from oscaxr.errors import CriterionError, MissingVariableError
from recorded_analyses import EACH_SESSION, Recorded


@pytest.mark.parametrize("number", EACH_SESSION)
def test_recorded_blocks(shared, number):
    recorded = Recorded(shared, number)
    with recorded.ds:
        found = block_responses(recorded.ds, keep_last=False)
        whole = block_responses(recorded.ds)
    for name, word in (("run_velocity", "run"), ("pupil_diameter", "pupil")):
        golden = recorded[f"blocks__{word}"]
        np.testing.assert_allclose(found[name], golden[..., 0], rtol=1e-9)
        np.testing.assert_allclose(found[f"{name}_sem"], golden[..., 1], rtol=1e-9)
        np.testing.assert_array_equal(whole[name].isel(pair=slice(-1)), found[name])
    assert whole.sizes["pair"] == found.sizes["pair"] + 1


@pytest.fixture(scope="module")
def ds():
    return ox.sample.session(
        n_rois=3, n_tracked=2, scale=0.1, field_shape=(64, 64), seed=3, dropped=0.05
    )


def runs_of(segments):
    """Put segments into runs of like ones, one after the other."""
    runs = []
    for number, unexpected, block in zip(
        segments.segment.values, segments.unexpected.values, segments.block.values, strict=True
    ):
        if not runs or runs[-1][:2] != (unexpected, block):
            runs.append((unexpected, block, []))
        runs[-1][2].append(number)
    return runs


def error_of(values):
    values = values[~np.isnan(values)]
    return np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan


@pytest.mark.parametrize("stimulus", ["gabors", "visflow"])
@pytest.mark.parametrize("name", ["run_velocity", "pupil_diameter", "dff"])
@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_equals_a_plain_walk(ds, stimulus, name):
    found = block_responses(ds, name, stimulus)
    frames = {"gabor_frame": ["D", "U"]} if stimulus == "gabors" else {}
    segments = ds.osca.select(stimulus=stimulus, **frames)
    windows = ds.osca.sequences(name, segments, pre=0, post={"gabors": 0.6, "visflow": 1}[stimulus])
    runs = runs_of(segments.sel(segment=windows.sequence.values))
    pairs = [
        pair
        for pair in itertools.pairwise(runs)
        if pair[0][0] == 0 and pair[1][:2] == (1, pair[0][1])
    ]
    assert found.sizes["pair"] == len(pairs) > 0
    for number, pair in enumerate(pairs):
        for group, (_, block, segments_of_run) in enumerate(pair):
            own = found.isel(pair=number, group=group)
            values = np.nanmean(windows.sel(sequence=segments_of_run).values, axis=-1)
            wanted = [np.nanmean(row) for row in np.atleast_2d(values)]
            np.testing.assert_allclose(np.atleast_1d(own[name]), wanted, rtol=1e-9)
            wanted = [error_of(row) for row in np.atleast_2d(values)]
            np.testing.assert_allclose(np.atleast_1d(own[f"{name}_sem"]), wanted, rtol=1e-9)
            assert int(own.n_sequences) == len(segments_of_run)
            assert int(own.first_segment) == segments_of_run[0]
            assert int(own.block) == block


def test_both_together_and_of_rois(ds, tmp_path):
    both = block_responses(ds)
    for name in ("run_velocity", "pupil_diameter"):
        xr.testing.assert_allclose(both[name], block_responses(ds, name)[name])
    of_rois = block_responses(ds, ["dff"])
    assert of_rois["dff"].dims == ("group", "pair", "roi")
    np.testing.assert_array_equal(of_rois.roi_id, ds.roi_id)
    of_rois.to_netcdf(tmp_path / "blocks.nc")
    with xr.open_dataset(tmp_path / "blocks.nc") as again:
        xr.testing.assert_identical(again.load(), of_rois)


def test_what_cannot_be_paired(ds):
    with pytest.raises(CriterionError, match="no unexpected run of gabors that follows"):
        block_responses(ds, unexpected=1)
    with pytest.raises(CriterionError, match="no unexpected run of visflow that follows"):
        block_responses(ds.isel(segment=ds.stimulus_type == "gabors"), stimulus="visflow")
    with pytest.raises(CriterionError, match="name one variable or more"):
        block_responses(ds, [])
    with pytest.raises(MissingVariableError, match="pupil_diameter"):
        block_responses(ds.drop_vars("pupil_diameter"))
