"""Reductions of very many windows: the same as of windows in memory, and without holding them."""

import itertools
import pickle
import tracemalloc

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings

import oscaxr as ox
from how_many import examples
from oscaxr.arrays import window_sums, window_variable
from oscaxr.arrays.computed import scaled
from oscaxr.arrays.window_variable import WindowVariable

REDUCTIONS = {
    "mean": lambda u: u.mean("sequence"),
    "mean, NaN kept": lambda u: u.mean("sequence", skipna=False),
    "mean of a list": lambda u: u.mean(["sequence"]),
    "sum": lambda u: u.sum("sequence"),
    "sum of at least three": lambda u: u.sum("sequence", min_count=3),
    "std": lambda u: u.std("sequence"),
    "var": lambda u: u.var("sequence", ddof=1, keep_attrs=False),
    "median": lambda u: u.median("sequence", keep_attrs=True),
    "median, NaN kept": lambda u: u.median("sequence", skipna=False),
    "quantile": lambda u: u.quantile(0.3, "sequence"),
    "quantiles": lambda u: u.quantile([0.0, 0.25, 0.75, 1.0], "sequence", keep_attrs=False),
    "nearest quantile": lambda u: u.quantile(0.3, "sequence", method="nearest"),
    "kept dims": lambda u: u.mean("sequence", keepdims=True),
    "mean over two": lambda u: u.mean(["sequence", "rel_time"]),
    "mean over another": lambda u: u.mean("rel_time"),
    "max": lambda u: u.max("sequence"),
    "numpy's": lambda u: u.reduce(np.mean, "sequence"),
    "by frame": lambda u: u.groupby("gabor_frame").mean(),
    "by two": lambda u: u.groupby(["gabor_frame", "unexpected"]).mean(),
    "Dataset": lambda u: u.to_dataset(name="x").std("sequence").x,
}
STREAMED = ["mean", "mean, NaN kept", "mean of a list", "sum", "std", "var", "median", "quantile"]
LAYOUTS = ["contiguous", "gzip"]
CUTS = {
    "all": lambda u: u,
    "some": lambda u: u.isel(sequence=slice(None, None, -2), rel_time=[0, 3, 4], roi=[2, 0]),
    "turned": lambda u: u.transpose("rel_time", "sequence", "roi").isel(roi=slice(1, None)),
    "one ROI": lambda u: u.isel(roi=1),
    "chosen": lambda u: u.isel(sequence=u.unexpected > 0),
}


@pytest.fixture
def streamed(monkeypatch):
    monkeypatch.setattr(window_variable, "LOADED_BYTES", 0)


@pytest.fixture(scope="module", params=LAYOUTS)
def ds(request, sample_paths):
    with ox.open_session(sample_paths[request.param]) as ds:
        yield ds


def in_memory(u: xr.DataArray) -> xr.DataArray:
    return xr.DataArray(u.values, u.coords, u.dims, u.name, u.attrs)


def assert_same(found: xr.DataArray, expected: xr.DataArray, source: type = np.float64) -> None:
    rtol, atol = (1e-10, 1e-12) if source == np.float64 else (1e-5, 1e-7)
    xr.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)
    assert (found.dtype, found.dims, found.attrs) == (expected.dtype, expected.dims, expected.attrs)
    assert set(found.coords) == set(expected.coords)


def not_loaded(u: xr.DataArray) -> bool:
    return window_variable._source(u.variable) is not None


@pytest.mark.parametrize(
    ("ds", "cut", "scale"),
    [
        pytest.param(
            layout,
            cut,
            scale,
            # Cut in every way or not at all; of compressed files, the former.
            marks=[pytest.mark.slow]
            * (cut != "some" and (scale or layout == "gzip" or cut != "all")),
        )
        for layout in LAYOUTS
        for cut in CUTS
        for scale in (False, True)
    ],
    indirect=["ds"],
)
def test_every_reduction_is_that_of_values_in_memory(ds, streamed, cut, scale):
    gabors = ds.osca.select(stimulus="gabors", gabor_frame=["D", "U"])

    def windows():
        return CUTS[cut](
            ds.osca.sequences("dff", gabors, pre=0.1, post=0.3, scale=scale, edge="nan")
        )

    expected = in_memory(windows())
    for name, reduce in REDUCTIONS.items():
        u = windows()
        assert isinstance(u.variable, WindowVariable)
        assert_same(reduce(u), reduce(expected), ds.dff.dtype)
        # What is streamed leaves the windows where they are.
        assert not_loaded(u) or name not in STREAMED


@pytest.mark.parametrize(
    "ds", ["contiguous", pytest.param("gzip", marks=pytest.mark.slow)], indirect=True
)
def test_on_the_other_clock_and_with_gaps(ds, streamed):
    gabors = ds.osca.select(stimulus="gabors")
    for options in ({"clock": "stim", "post": 0.2}, {"pad": (2, 5)}, {"pre": 60, "edge": "nan"}):
        u, same = (ds.osca.sequences("dff", gabors, **{"pre": 0, **options}) for _ in range(2))
        expected = in_memory(same)
        for name in STREAMED:
            assert_same(REDUCTIONS[name](u), REDUCTIONS[name](expected), ds.dff.dtype)
        assert not_loaded(u)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(25))
@given(
    values=st.lists(
        st.sampled_from([0.0, 1.0, -2.5, 7.25, np.nan, np.inf, -np.inf]), min_size=60, max_size=60
    ),
    starts=st.lists(st.integers(-3, 22), min_size=1, max_size=8),
    length=st.integers(1, 4),
    q=st.floats(0, 1),
)
def test_values_of_every_kind_equal_a_loop(streamed, values, starts, length, q):
    trace = np.reshape(values, (20, 3))
    source = xr.Variable(("time", "roi"), trace)
    windows = window_variable_of(source, starts, length)
    found = {
        "mean": windows.mean("sequence"),
        "median": windows.median("sequence"),
        "quantile": windows.quantile(q, "sequence"),
        "std": windows.std("sequence"),
    }
    loops = {
        "mean": np.mean,
        "median": np.median,
        "quantile": lambda x: np.quantile(x, q),
        "std": np.std,
    }
    for name, roi, offset in itertools.product(found, range(3), range(length)):
        kept = [
            trace[start + offset, roi]
            for start in starts
            if 0 <= start + offset < 20 and not np.isnan(trace[start + offset, roi])
        ]
        if name == "quantile" and not np.isfinite(kept).all():
            continue  # numpy's are NaN next to an infinite value, which the published code has not
        with np.errstate(invalid="ignore"):
            expected = loops[name](kept) if kept else np.nan
        place = {"roi": roi, "rel_time": offset}
        np.testing.assert_allclose(found[name].isel(place).values, expected, 1e-10, 1e-12)


def test_groups_are_reduced_in_one_reading(ds, streamed, monkeypatch):
    asked = []
    sums = window_sums.sums_of
    monkeypatch.setattr(window_sums, "sums_of", lambda *args: asked.append(args) or sums(*args))
    gabors = ds.osca.select(stimulus="gabors")
    u, same = (ds.osca.sequences("dff", gabors, pre=0, post=0.2) for _ in range(2))
    expected = in_memory(same)
    for name in ("by frame", "by two"):
        assert_same(REDUCTIONS[name](u), REDUCTIONS[name](expected), ds.dff.dtype)
    assert len(asked) == 1
    part = {"roi": [3, 1], "rel_time": slice(None, None, -2)}
    for one, other in ((u, expected), (pickle.loads(pickle.dumps(u)), expected)):
        assert_same(
            one.isel(part).groupby("unexpected").std(),
            other.isel(part).groupby("unexpected").std(),
            ds.dff.dtype,
        )
    # What is no whole group is read for itself.
    assert_same(u[:, 1:].mean("sequence"), expected[:, 1:].mean("sequence"), ds.dff.dtype)


def window_variable_of(source, starts, length):
    from oscaxr.arrays.lazy import OrthogonalArray
    from oscaxr.arrays.windows import WindowReader, Windows

    windows = Windows(np.array(starts), np.arange(length), source.shape[0])
    array = OrthogonalArray(WindowReader(source, windows), order=(2, 0, 1))
    return WindowVariable(("roi", "sequence", "rel_time"), array)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("first", "value", "sign", "is_streamed"),
    [(0, np.nan, 1, True), (0, 0.25, 1, False), (150, np.inf, 1, True), (200, 0.0, -1, False)],
)
def test_odd_spreads_scale_as_in_memory(streamed, first, value, sign, is_streamed):
    trace = np.random.default_rng(0).normal(size=(200, 2))
    trace[first:, 1] = value
    low, middle, high = np.nanpercentile(trace, [5, 50, 95], axis=0)
    cut = window_variable_of(xr.Variable(("time", "roi"), trace), range(0, 190, 7), 5)
    factors = xr.Variable("roi", middle), xr.Variable("roi", sign * (high - low))
    windows = WindowVariable(cut.dims, scaled(cut, *factors))
    assert (window_variable._source(windows) is not None) is is_streamed
    expected = xr.Variable(windows.dims, windows.copy().values)
    for name in STREAMED:
        xr.testing.assert_allclose(REDUCTIONS[name](windows), REDUCTIONS[name](expected))
        # What each of them has read is not kept for the next.
        windows = WindowVariable(cut.dims, scaled(cut, *factors))


def test_they_are_what_they_were(ds, streamed):
    u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=0.1, post=0.3)
    again = pickle.loads(pickle.dumps(u))
    assert isinstance(again.variable, WindowVariable)
    assert_same(again.mean("sequence"), u.mean("sequence"))
    assert u.identical(in_memory(u))
    assert (u + 1).identical(in_memory(u) + 1)
    assert xr.concat([u[:, :2], u[:, 2:]], "sequence").identical(in_memory(u))
    with pytest.raises(ValueError, match="nothing"):
        u.mean("nothing")
    with pytest.raises(ValueError, match="range"):
        u.quantile(1.5, "sequence")


@pytest.mark.parametrize("name", ["mean", "median"])
def test_windows_are_never_all_there(name):
    trace = np.random.default_rng(0).normal(size=(2000, 300))
    u = window_variable_of(xr.Variable(("time", "roi"), trace), range(1500), 40)
    assert u.nbytes > window_variable.LOADED_BYTES
    tracemalloc.start()
    REDUCTIONS[name](u)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < u.nbytes / 3
