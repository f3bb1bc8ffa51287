"""The unexpected-stimulus index of sessions, against the published code's and its own parts."""

import warnings

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.analyses import discrimination_index, split, usi
from oscaxr.errors import (
    CriterionError,
    DroppedSequencesWarning,
    RenamedError,
    TrackingError,
    WindowError,
)
from recorded_analyses import EACH_SESSION, SPLITS, Recorded


@pytest.fixture(scope="module", params=EACH_SESSION)
def recorded(request, shared):
    one = Recorded(shared, request.param)
    with one.ds:
        one.ds.load()
        yield one


def test_recorded_indices(recorded):
    for name in recorded.names("usi"):
        stimulus, word, operation = name.split("__")
        options = {"common_orientations": True} if operation.endswith("_common_oris") else {}
        operation = operation.removesuffix("_common_oris")
        found = usi(recorded.ds, stimulus, SPLITS[word], operation, **options)
        golden = recorded[f"usi__{name}"]
        np.testing.assert_allclose(found["index"], golden, rtol=1e-9, atol=1e-9, err_msg=name)


def test_recorded_percentiles(recorded):
    (name,) = recorded.names("usi_percentile")
    stimulus, word, operation = name.split("__")
    found = usi(recorded.ds, stimulus, SPLITS[word], operation, permutations=10_000, seed=0)
    golden = recorded[f"usi_percentile__{name}"]
    share = np.clip(golden / 100, 1 / 2_000, 1 - 1 / 2_000)
    error = 100 * np.sqrt(share * (1 - share) * (1 / 2_000 + 1 / 10_000))
    assert (np.abs(found["percentile"] - golden) < 3 * error).all()


# -- of a session ------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def mouse():
    specs = ox.sample.mouse_specs(scale=0.05, n_rois=(6, 5, 7), n_tracked=3, field_shape=(64, 64))
    return [ox.sample.session(spec) for spec in specs]


@pytest.mark.parametrize("operation", ["d-prime", "diff", "rel_diff"])
@pytest.mark.parametrize(
    ("stimulus", "kind"), [("gabors", "unexpected"), ("visflow", "unexpected_onset")]
)
def test_is_that_of_the_groups_of_the_split(mouse, stimulus, kind, operation):
    ds = mouse[1]
    options = {"permutations": 60, "seed": 3}
    found = usi(ds, stimulus, kind, operation, **options)
    groups = split(ds, kind, stimulus)
    wanted = discrimination_index(*groups.values(), operation=operation, **options)
    for name in wanted.data_vars:
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-9, atol=1e-12)
    assert found.group.values.tolist() == list(groups)
    sizes = [part.sizes["sequence"] for part in groups.values()]
    np.testing.assert_array_equal(found["n_sequences"].isel(roi=0), sizes)
    assert found.attrs == {
        **options, "operation": operation, "split": kind, "stimulus": stimulus,
    }  # fmt: skip
    units = found["index"].attrs["units"]
    assert units == ("s" if operation == "diff" else "1")


def test_of_tracked_rois(mouse):
    whole = usi(mouse[1], permutations=60, seed=3)
    tracked = usi(mouse[1], permutations=60, seed=3, tracked=True)
    np.testing.assert_array_equal(tracked["roi_id"], mouse[1].osca.tracked()["roi_id"])
    for name in ("index", "percentile"):
        rows = whole[name].sel(roi=tracked["roi"].values)
        np.testing.assert_allclose(tracked[name], rows, rtol=1e-10)


def test_blocks_do_not_matter(mouse, monkeypatch):
    options = {"permutations": 40, "seed": 1}
    whole, groups = usi(mouse[0], **options), ox.analyses.split(mouse[0])
    monkeypatch.setattr("oscaxr.select.sequences._BLOCK_BYTES", 5_000)
    xr.testing.assert_allclose(usi(mouse[0], **options), whole, rtol=1e-12)
    for group, responses in ox.analyses.split(mouse[0]).items():
        xr.testing.assert_identical(responses, groups[group])
        assert list(responses.coords) == list(groups[group].coords)


def test_what_cannot_be_asked_for(mouse):
    with pytest.raises(RenamedError, match="split='by_exp' is now split='unexpected'"):
        usi(mouse[0], split="by_exp")
    with pytest.raises(CriterionError, match="operation='dprime' is not known"):
        usi(mouse[0], operation="dprime")
    with pytest.raises(CriterionError, match="has no expected and no unexpected segments"):
        usi(mouse[0], gabor_kappa=4)
    with pytest.raises(CriterionError, match="grayscreen"):
        usi(mouse[0], "grayscreen")
    with pytest.raises(WindowError, match="none of the"):
        usi(mouse[0], window=(-220, 0.6))
    untracked = ox.sample.session(n_rois=3, n_tracked=0, scale=0.05, field_shape=(64, 64))
    with pytest.raises(TrackingError, match="no tracked ROIs"):
        usi(untracked, tracked=True)


def test_a_single_unexpected_sequence_has_no_d_prime(mouse):
    ds = mouse[0]
    unexpected = split(ds)["unexpected"].segment.values
    fewer = ds.drop_sel(segment=unexpected[1:])
    with pytest.raises(CriterionError, match=r"2 or more responses .* 1 unexpected ones"):
        usi(fewer)
    found = usi(fewer, operation="diff")
    assert found["n_sequences"].sel(group="unexpected").values.tolist() == [1] * ds.sizes["roi"]


def test_planted_responses_are_found():
    ds = ox.sample.session(n_rois=30, n_tracked=0, scale=0.25, field_shape=(64, 64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DroppedSequencesWarning)
        found = usi(ds, permutations=400, seed=0)
    assert found["significant"].sum() > 3  # 5 % of 30 would be 1.5
    assert ((found["percentile"] > 97.5) == (found["significant"] & (found["index"] > 0))).all()


def test_over_tracked_rois_and_sessions(mouse):
    options = {"permutations": 40, "seed": 0, "tracked": True}
    found = ox.align_tracked([usi(ds, **options) for ds in mouse[::-1]])
    assert dict(found.sizes) == {"session": 3, "tracking_id": 3, "group": 2}
    for number, ds in enumerate(mouse, start=1):
        own = usi(ds, **options)
        for name in ("index", "percentile", "roi_id"):
            np.testing.assert_array_equal(found[name].sel(session=number), own[name])


def test_results_are_written_and_read(mouse, tmp_path):
    found = usi(mouse[0], permutations=40)
    found.to_netcdf(tmp_path / "usi.nc")
    with xr.open_dataset(tmp_path / "usi.nc") as again:
        xr.testing.assert_identical(again.load(), found)
