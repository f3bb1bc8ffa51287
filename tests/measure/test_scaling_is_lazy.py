"""Scaling reads nothing but labels until it is used, wherever the session lies."""

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.arrays.xarray_internals import IndexedOnRead, LazilyIndexedArray, is_in_memory
from oscaxr.errors import SessionMismatchError

pytestmark = pytest.mark.filterwarnings("ignore::oscaxr.errors.InvalidRoiWarning")

PLACES = ("contiguous", "gzip", "original", "zarr", "netCDF", "dask")
# What the ROIs of data and session are matched by.
LABELS = frozenset({"roi", "roi_id", "tracking_id", "session_id"})


class Guarded(IndexedOnRead):
    """The values of a lazy variable, which must not be read while the gate is shut."""

    def __init__(self, variable: xr.Variable, name: str, gate: list[str]) -> None:
        self.variable, self.name, self.gate = variable, name, gate
        self.shape, self.dtype = variable.shape, variable.dtype

    def _read(self, key: tuple[Any, ...]) -> Any:
        assert "shut" not in self.gate, f"{self.name} is read at the call"
        return self.variable[key].values


def guarded(ds: xr.Dataset, gate: list[str]) -> xr.Dataset:
    """Return a session all lazy variables of which mind the gate, but for the labels."""
    behind = {
        name: variable
        for name, variable in ds.variables.items()
        if name not in LABELS and not is_in_memory(variable) and variable.chunks is None
    }
    return ds.assign(
        {
            name: (one.dims, LazilyIndexedArray(Guarded(one, str(name), gate)), one.attrs)
            for name, one in behind.items()
            if name in ds.data_vars
        }
    ).assign_coords(
        {
            name: (one.dims, LazilyIndexedArray(Guarded(one, str(name), gate)), one.attrs)
            for name, one in behind.items()
            if name in ds.coords
        }
    )


@pytest.fixture(scope="module")
def places(
    sample_paths: dict[str, Path],
    original_folders: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("exports")
    with ox.open_session(sample_paths["gzip"]) as ds:
        for name in ("s.zarr", "s.nc"):
            ox.save(ds, folder / name)
    original = next(iter(original_folders.values()))
    exports = {"zarr": folder / "s.zarr", "netCDF": folder / "s.nc", "original": original}
    return {**exports, **sample_paths, "dask": sample_paths["gzip"]}


@pytest.fixture
def gate() -> list[str]:
    return []


@pytest.fixture(params=PLACES)
def session(request: Any, places: dict[str, Path], gate: list[str]) -> Iterator[xr.Dataset]:
    import dask

    def compute(*args: Any, **options: Any) -> Any:
        assert "shut" not in gate, "dask computes at the call"
        return dask.get(*args, **options)

    options = {"chunks": {}} if request.param == "dask" else {}
    with (
        dask.config.set(scheduler=compute),
        ox.open_session(places[request.param], **options) as ds,
    ):
        for name in LABELS & {*ds.coords}:
            ds.variables[name].load()
        yield guarded(ds, gate)


# What is not about sequences is asked of some of them; of the others, with the slow ones.
few_places = pytest.mark.parametrize(
    "session",
    [
        pytest.param(one, marks=[pytest.mark.slow] * (one not in ("contiguous", "netCDF", "dask")))
        for one in PLACES
    ],
    indirect=True,
)


def shut(gate: list[str], function: Callable[[], Any]) -> Any:
    """Call a function while no data may be read."""
    gate.append("shut")
    try:
        return function()
    finally:
        gate.clear()


def references(ds: xr.Dataset) -> np.ndarray:
    return ds.start_frame_twop.values[3:9]


def test_scaled_sequences(session: xr.Dataset, gate: list[str]) -> None:
    frames, window = references(session), {"pre": 0.2, "post": 0.4}
    cut = ox.sequences(session, "dff", frames=frames, **window)
    at_once = shut(gate, lambda: ox.sequences(session, "dff", frames=frames, **window, scale=True))
    two_steps = shut(gate, lambda: cut.osca.scale(session))
    few = shut(gate, lambda: cut.isel(roi=[2, 0]).osca.scale(session))
    factors = shut(gate, lambda: session.osca.scale_factors("dff"))
    own = factors.sel(roi=cut.roi)
    by_hand = (cut - own["median"].variable) / own["spread"].variable
    np.testing.assert_array_equal(at_once.values, by_hand.transpose(*cut.dims).values)
    np.testing.assert_array_equal(two_steps.values, at_once.values)
    np.testing.assert_array_equal(few.values, at_once.values[[2, 0]])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(two_steps)).values, at_once.values)
    dff = session.dff.transpose("time", "roi").values
    with np.errstate(invalid="ignore"):
        low, middle, high = np.nanpercentile(dff, [5, 50, 95], axis=0)
    np.testing.assert_allclose(factors["median"], middle, rtol=1e-6)
    np.testing.assert_allclose(factors["spread"], high - low, rtol=1e-6)


@few_places
def test_whole_traces_and_a_dataset(session: xr.Dataset, gate: list[str]) -> None:
    chosen = session[["dff", "run_velocity"]]
    found = shut(gate, lambda: chosen.osca.scale(session))
    for name in chosen:
        factors = shut(gate, lambda name=name: ox.scale_factors(session, name))
        wanted = (session[name] - factors["median"].variable) / factors["spread"].variable
        np.testing.assert_array_equal(found[name].values, wanted.values)
    assert found.dff.attrs["scaled"] == 1


@few_places
@pytest.mark.parametrize("interpolate", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_running(session: xr.Dataset, gate: list[str], interpolate: bool) -> None:
    frames = session.start_frame_stim.values[3:9]
    options = {"frames": frames, "post": 0.4, "interpolate": interpolate}
    found = shut(gate, lambda: ox.sequences(session, "run_velocity", scale=True, **options))
    plain = ox.sequences(session, "run_velocity", **options)
    again = shut(gate, lambda: plain.osca.scale(session))
    trace = session.run_velocity.compute()
    trace = ox.interpolate(trace) if interpolate else trace
    low, middle, high = np.nanpercentile(trace, [25, 50, 75])
    np.testing.assert_allclose(found.values, (plain.values - middle) / (high - low), rtol=1e-12)
    np.testing.assert_array_equal(again.values, found.values)


@few_places
def test_factors_of_traces_that_were_changed(session: xr.Dataset, gate: list[str]) -> None:
    without = session.drop_vars(["dff_median", "dff_spread"])
    factors = shut(gate, lambda: ox.scale_factors(without, "dff"))
    own = ox.scale_factors(session, "dff")
    xr.testing.assert_allclose(factors.reset_coords(drop=True), own.reset_coords(drop=True))


@few_places
def test_other_rois_are_refused_at_the_call(session: xr.Dataset, gate: list[str]) -> None:
    cut = ox.sequences(session, "dff", frames=references(session), post=0.4)
    fewer = session.sel(roi=cut.roi[1:])
    with pytest.raises(SessionMismatchError, match="scale factors lack"):
        shut(gate, lambda: cut.osca.scale(fewer))
    renamed = session.assign_coords(roi_id=("roi", session.roi_id.values + 1))
    with pytest.raises(SessionMismatchError, match="roi_id differs"):
        shut(gate, lambda: cut.osca.scale(renamed))
