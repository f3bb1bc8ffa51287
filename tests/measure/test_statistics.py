"""Statistics along one dim after the other, against plain loops and the published numbers."""

import json

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from example_sessions import SHARED
from how_many import examples
from oscaxr.errors import CriterionError, MissingVariableError
from oscaxr.measure import integrate, stats

SESSIONS = ("758519303", "759189643", "759660390", "764704289")
DIMS = ("roi", "sequence", "rel_time")
ERRORS = [("mean", "sem"), ("mean", "std"), ("median", "mad"), ("median", "quartiles")]
PARTS = {"sem": ["sem"], "std": ["std"], "mad": ["mad"], "quartiles": ["q25", "q75"]}

tables = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 3), st.integers(0, 4), st.integers(1, 4)),
    elements=st.one_of(st.just(np.nan), st.floats(-100, 100)),
)


def line_stats(line, stat, error):
    """One line of numbers."""
    known = [x for x in line if not np.isnan(x)]
    if not known:
        return {stat: np.nan, **dict.fromkeys(PARTS[error], np.nan)}
    if stat == "mean":
        middle = sum(known) / len(known)
        squares = sum((x - middle) ** 2 for x in known)
        if error == "std":
            return {"mean": middle, "std": (squares / len(known)) ** 0.5}
        if len(known) == 1:
            return {"mean": middle, "sem": np.nan}
        return {"mean": middle, "sem": (squares / (len(known) - 1)) ** 0.5 / len(known) ** 0.5}
    middle = float(np.median(known))
    if error == "mad":
        return {"median": middle, "mad": float(np.median([abs(x - middle) for x in known]))}
    low, high = np.percentile(known, [25, 75])
    return {"median": middle, "q25": low, "q75": high}


def slow_stats(array, axes, stat, error):
    """Lines along the last axis to go, of averages along those before."""
    for axis in sorted(axes[:-1], reverse=True):
        moved = np.moveaxis(array, axis, -1)
        array = np.empty(moved.shape[:-1])
        for index in np.ndindex(array.shape):
            array[index] = line_stats(moved[index], stat, error)[stat]
    axis = axes[-1] - sum(before < axes[-1] for before in axes[:-1])
    moved = np.moveaxis(array, axis, -1)
    found = {name: np.empty(moved.shape[:-1]) for name in [stat, *PARTS[error]]}
    for index in np.ndindex(moved.shape[:-1]):
        for name, value in line_stats(moved[index], stat, error).items():
            found[name][index] = value
    return found


def responses(array, dims=DIMS):
    u = xr.DataArray(
        array,
        dims=DIMS,
        name="dff",
        coords={
            "roi": np.arange(array.shape[0]),
            "roi_id": ("roi", np.arange(array.shape[0]) + 5),
            "gabor_frame": ("sequence", ["U"] * array.shape[1]),
            "rel_time": np.arange(array.shape[2]) / 30,
            "mouse": 6,
        },
        attrs={"units": "1", "long_name": "dF/F", "fps": 30.0},
    )
    return u.transpose(*dims)


@pytest.mark.parametrize(("stat", "error"), ERRORS)
@settings(max_examples=examples(60), deadline=None)
@given(array=tables, dims=st.permutations(DIMS))
def test_one_dim_equals_a_plain_loop(stat, error, array, dims):
    found = stats(responses(array, dims), "sequence", stat, error)
    expected = slow_stats(array, [1], stat, error)
    assert list(found.data_vars) == list(expected)
    for name, values in expected.items():
        assert found[name].dims == tuple(dim for dim in dims if dim != "sequence")
        np.testing.assert_allclose(
            found[name].transpose("roi", "rel_time"), values, rtol=1e-9, atol=1e-9
        )
        assert found[name].dtype == np.float64


@pytest.mark.parametrize(("stat", "error"), ERRORS)
@settings(max_examples=examples(30), deadline=None)
@given(array=tables)
def test_two_dims_are_an_average_of_averages(stat, error, array):
    found = stats(responses(array), ("sequence", "roi"), stat, error)
    middle = slow_stats(array, [1], stat, error)[stat]
    expected = slow_stats(middle, [0], stat, error)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-9, atol=1e-9)


def test_order_of_dims_matters():
    array = np.array([[[1.0], [2.0]], [[9.0], [np.nan]]])
    u = responses(array)
    assert stats(u, ("sequence", "roi"), error=None)["mean"].item() == (1.5 + 9) / 2
    assert stats(u, ("roi", "sequence"), error=None)["mean"].item() == (5 + 2) / 2
    assert list(stats(u, "roi", error=None)) == ["mean"]


def test_names_attributes_and_coordinates():
    u = responses(np.random.default_rng(0).normal(size=(3, 4, 5)))
    found = stats(u, "sequence", "median", "std")
    assert list(found) == ["median", "q25", "q75"]
    assert list(stats(u, "sequence", "median", "sem")) == ["median", "mad"]
    assert set(found.coords) == {"roi", "roi_id", "rel_time", "mouse"}
    assert found["q25"].attrs == {
        "units": "1",
        "long_name": "25th percentile of dF/F",
        "fps": 30.0,
    }
    both = stats(xr.Dataset({"dff": u, "run": u.isel(roi=0, drop=True)}), "sequence")
    assert list(both) == ["dff_mean", "dff_sem", "run_mean", "run_sem"]
    both = stats(xr.Dataset({"dff": u, "run": u.isel(roi=0, drop=True)}), ("sequence", "roi"))
    assert list(both) == ["dff_mean", "dff_sem"]


def test_an_empty_selection_has_no_average():
    u = responses(np.empty((3, 0, 5)))
    for stat, error in ERRORS:
        found = stats(u, ("sequence", "roi"), stat, error)
        assert all(value.isnull().all() for value in found.values())


@pytest.mark.parametrize(
    "arguments",
    [
        {"dim": "sequence", "stat": "mode"},
        {"dim": "sequence", "error": "mad"},
        {"dim": "sequence", "stat": "median", "error": "iqr"},
        {"dim": ()},
        {"dim": ("roi", "roi")},
    ],
)
def test_what_is_not_known_is_refused(arguments):
    with pytest.raises(CriterionError):
        stats(responses(np.zeros((2, 2, 2))), **arguments)


def test_missing_dims_are_named():
    u = responses(np.zeros((2, 2, 2)))
    for data in (u, u.to_dataset()):
        with pytest.raises(MissingVariableError, match=r"\['session'\].*'roi'"):
            stats(data, "session")


@pytest.mark.parametrize("dtype", [pytest.param(np.float32, marks=pytest.mark.slow), np.float64])
@pytest.mark.parametrize(("stat", "error"), ERRORS)
def test_dask_gives_the_same_and_stays_lazy(stat, error, dtype):
    array = np.random.default_rng(0).normal(size=(5, 8, 6)).astype(dtype)
    array[1, 2, 3] = array[0, :, 1] = np.nan
    u = responses(array)
    lazy = stats(u.chunk({"roi": 2, "sequence": 3}), ("sequence", "roi"), stat, error)
    assert all(value.chunks is not None for value in lazy.values())
    xr.testing.assert_allclose(lazy, stats(u, ("sequence", "roi"), stat, error), rtol=1e-13)


@pytest.mark.shared
@pytest.mark.parametrize("session", SESSIONS)
def test_published_statistics(session):
    if not SHARED.exists():
        pytest.skip("needs ../shared")
    (path,) = SHARED.glob(f"sessions/*/*{session}*.nwb")
    fps = json.loads((SHARED / "golden" / f"{session}.json").read_text())["fps"]["twop"]
    golden = np.load(SHARED / "golden" / f"{session}.npz")
    with h5py.File(path) as file:
        dff = file["processing/ophys/DfOverF/RoiResponseSeries/data"][:]
    offsets = np.arange(-round(fps), round(fps))
    trace = xr.DataArray(
        dff[golden["frames_twop__gab_U"][:, None] + offsets],
        dims=("sequence", "rel_time", "roi"),
        attrs={"fps": fps},
    )
    # The published sums are taken in the file's precision.
    rtol = 1e-5 if dff.dtype == np.float32 else 1e-10
    for what, data in (("trace", trace), ("integ", integrate(trace))):
        for stat in ("mean", "median"):
            for error in ("std", "sem"):
                by_roi = stats(data, "sequence", stat, error)
                pooled = stats(data, ("sequence", "roi"), stat, error)
                lines = [part.transpose("roi", ...).values for part in by_roi.values()]
                np.testing.assert_allclose(
                    np.stack(lines, axis=1).ravel(),
                    golden[f"stats__{stat}_{error}_byroi_{what}"],
                    rtol=rtol,
                )
                np.testing.assert_allclose(
                    np.stack([part.values for part in pooled.values()]).ravel(),
                    golden[f"stats__{stat}_{error}_pooled_{what}"],
                    rtol=rtol,
                )
