"""The xarray backend: xarray's own checklist for a lazy, read-only engine."""

import io
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.errors import CriterionError, MissingVariableError, OscaxrWarning
from oscaxr.files.hdf5_arrays import DatasetReader
from oscaxr.model import dataset
from oscaxr.model.schema import SESSION
from oscaxr.sessions.backend import OscaxrBackendEntrypoint
from sample_forms import write_nwb_form


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the datasets that are read lazily, as they are read."""
    log: list[str] = []
    # Whatever ways of reading a reader offers beside the plain one; to check, or to say where
    # values lie, reads none.
    for method, original in vars(DatasetReader).items():
        if method.startswith("_") or method in ("check", "storage") or not callable(original):
            continue

        def logged(
            self: DatasetReader, *args: Any, _original: Callable[..., Any] = original
        ) -> Any:
            log.append(self.name)
            return _original(self, *args)

        monkeypatch.setattr(DatasetReader, method, logged)
    return log


# -- the engine ----------------------------------------------------------------------------------


def test_engine_is_found_by_name() -> None:
    engines = xr.backends.list_engines()
    assert isinstance(engines["oscaxr"], OscaxrBackendEntrypoint)
    assert "OpenScope" in engines["oscaxr"].description
    assert engines["oscaxr"].url.startswith("https://")


def test_engine_is_guessed_from_the_ending(sample_path: Path) -> None:
    engine = OscaxrBackendEntrypoint()
    assert engine.guess_can_open(sample_path)
    assert engine.guess_can_open("a/B.NWB")
    assert engine.guess_can_open("a/Ophys_session_900000001")
    for other in ("a.nc", b"a.nwb", 3, None, "nwb", "a\0b", "ophys_session_1"):
        assert not engine.guess_can_open(other)


def test_guessing_does_not_look_at_the_disk(tmp_path: Path) -> None:
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    named = tmp_path / "ophys_session_900000001"
    named.symlink_to(tmp_path / "elsewhere")
    assert not OscaxrBackendEntrypoint().guess_can_open(circle)
    assert OscaxrBackendEntrypoint().guess_can_open(named)


def test_function_and_engine_are_the_same(layout_path: Path) -> None:
    for options in ({}, {"include": "squares"}, {"drop_variables": ["roi_mask"]}):
        with (
            ox.open_session(layout_path, **options) as function,
            xr.open_dataset(layout_path, engine="oscaxr", **options) as engine,
            xr.open_dataset(str(layout_path), engine=OscaxrBackendEntrypoint, **options) as direct,
        ):
            xr.testing.assert_identical(function, engine)
            xr.testing.assert_identical(function, direct)


def test_decoding_options_change_nothing(sample_path: Path) -> None:
    with (
        xr.open_dataset(sample_path, engine="oscaxr") as ds,
        xr.open_dataset(sample_path, engine="oscaxr", cache=False) as uncached,
    ):
        xr.testing.assert_identical(ds, uncached)


def test_dataset_is_plain(open_both: Callable[..., xr.Dataset], layout_path: Path) -> None:
    ds = open_both(layout_path, include="all")
    dims = {"roi", "time", "stim_time", "segment", "flow_segment", "height", "width"}
    assert set(ds.xindexes) == dims
    for name, variable in ds.variables.items():
        assert variable.dtype.kind in "fiubU", name
        assert variable.attrs.get("long_name"), name
        if str(name) in SESSION:
            assert set(variable.dims) == set(SESSION[str(name)].dims)
    for name, value in ds.attrs.items():
        assert isinstance(value, str | int | float), name
        assert not isinstance(value, bool), name
    assert ds.encoding["source"] == str(layout_path.resolve())


# -- laziness ------------------------------------------------------------------------------------


def test_nothing_big_is_read_before_it_is_asked_for(
    layout_path: Path, open_both: Callable[..., xr.Dataset], reads: list[str]
) -> None:
    ds = open_both(layout_path, include="squares")
    repr(ds)
    ds._repr_html_()
    ds.info(buf=io.StringIO())
    segments = ds.osca.select(stimulus="gabors", gabor_frame="U")
    assert segments.sizes["segment"]
    tracked = ds.osca.tracked()
    for name in ("dff", "pupil_diameter"):
        sequences = ds.osca.sequences(name, segments, pre=0.5, post=0.5)
        repr(sequences)
        repr(tracked.osca.sequences(name, segments, pre=0.5, post=0.5))
    repr(ds.roi_mask.isel(roi=[3, 1]).isel(height=slice(3, 9)))
    repr(ds.dff.isel(time=slice(10, 20), roi=0).transpose())
    repr(ds.square_x.isel(flow_segment=3))
    repr(tracked)
    ds.osca.segment_table()
    ds.osca.blocks()
    assert not ds.osca.validate().at_level("error")
    assert reads == []
    # Sure that the watch works.
    sequences = ds.osca.sequences("dff", segments.isel(segment=[0]), pre=0.5, post=0.5)
    assert np.isfinite(sequences.values).all()
    assert len(set(reads)) == 1
    assert reads[0].endswith("RoiResponseSeries/data")


def test_second_access_does_not_read(
    layout_path: Path, open_both: Callable[..., xr.Dataset], reads: list[str]
) -> None:
    ds = open_both(layout_path)
    for name in ("dff", "roi_mask", "gabor_x", "pupil_diameter", "centroid_y", "dff_median"):
        first = ds[name].values
        assert reads, name
        reads.clear()
        np.testing.assert_array_equal(first, ds[name].values)
        assert not reads, name
    # The other results of the same pass over the traces and masks.
    ds.dff_spread.load()
    ds.area_px.load()
    ds.valid.load()
    assert not reads


def test_parts_of_the_dataset_are_not_kept(
    sample_path: Path, open_both: Callable[..., xr.Dataset], reads: list[str]
) -> None:
    ds = open_both(sample_path)
    for _ in range(2):
        assert ds.dff.isel(time=slice(0, 10)).values.size
        assert reads
        reads.clear()
    assert not ds.dff._in_memory


def test_empty_selections_read_nothing(
    sample_path: Path, open_both: Callable[..., xr.Dataset], reads: list[str]
) -> None:
    ds = open_both(sample_path)
    assert ds.dff.isel(time=slice(0, 0)).values.shape == (0, 7)
    assert ds.dff.isel(roi=[]).values.shape == (2797, 0)
    assert ds.roi_mask.isel(roi=np.zeros(7, bool)).values.shape == (0, 64, 64)
    assert ds.gabor_x.isel(segment=[]).values.shape == (0, 30)
    matrix = xr.Variable(("sequence", "rel_time"), np.zeros((0, 9), int))
    assert ds.dff.isel(time=matrix).values.shape == (0, 9, 7)
    assert not [name for name in reads if "locations" not in name]


@pytest.mark.parametrize(
    "key",
    [
        {"time": slice(100, 400, 3)},
        {"time": slice(None, None, -1), "roi": slice(-3, None)},
        {"time": -1},
        {"time": [2700, 3, 3, -5], "roi": [6, 0, 0]},
        {"roi": np.array([True, False] * 3 + [True])},
        {"time": xr.Variable(("s", "t"), np.array([[500], [3], [500]]) + np.arange(30))},
        {"time": xr.Variable("p", [5, 2000]), "roi": xr.Variable("p", [6, -1])},
        {"roi": 2, "time": slice(2790, 9999)},
    ],
    ids=str,
)
def test_indexing_equals_the_loaded_array(layout_path: Path, key: dict[str, Any]) -> None:
    with ox.open_session(layout_path) as ds:
        lazy, eager = ds.dff.variable, ds.dff.variable.copy(deep=True).load()
        xr.testing.assert_identical(lazy.isel(key).load(), eager.isel(key))
        xr.testing.assert_identical(
            lazy.transpose("roi", "time").isel(key).load(),
            eager.transpose("roi", "time").isel(key),
        )
        assert not lazy._in_memory


def test_other_variables_by_index(layout_path: Path, open_both: Callable[..., xr.Dataset]) -> None:
    lazy = open_both(layout_path, include="squares")
    eager = open_both(layout_path, include="squares").load()
    for name, key in (
        ("roi_mask", {"roi": [3, 0], "height": slice(60, 10, -7), "width": 5}),
        ("roi_mask", {"roi": xr.Variable("p", [1, 2]), "width": xr.Variable("p", [9, 20])}),
        ("max_projection", {"height": [5, 1], "width": slice(2, 30)}),
        ("square_x", {"flow_segment": [5, 0], "square": slice(3, 90, 8), "flow_frame": -1}),
        ("square_y", {"flow_segment": slice(None, None, -9), "flow_frame": [0, 59]}),
        ("gabor_orientation", {"segment": [90, 5, 44], "patch": slice(None, None, -2)}),
        ("pupil_center_shift", {"time": [0, 1, -1]}),
        ("dff_spread", {"roi": [-1, 2]}),
        ("centroid_x", {"roi": slice(None, None, -1)}),
    ):
        xr.testing.assert_identical(lazy[name].isel(key).load(), eager[name].isel(key))


def test_out_of_range(sample_path: Path, open_both: Callable[..., xr.Dataset]) -> None:
    ds = open_both(sample_path)
    for key in ({"time": 2797}, {"roi": [7]}, {"roi": -8}):
        with pytest.raises(IndexError):
            ds.dff.isel(key).load()


# -- pickling, copies, closing -------------------------------------------------------------------


def test_pickle(layout_path: Path, open_both: Callable[..., xr.Dataset], reads: list[str]) -> None:
    ds = open_both(layout_path, include="squares")
    again = pickle.loads(pickle.dumps(ds))
    selected = pickle.loads(pickle.dumps(ds.dff.isel(time=[5, 2], roi=slice(2, 4))))
    assert reads == []
    assert not again.dff._in_memory
    xr.testing.assert_identical(again, ds)
    xr.testing.assert_identical(selected, ds.dff.isel(time=[5, 2], roi=slice(2, 4)))
    sequences = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=0.5, post=0.5)
    xr.testing.assert_identical(pickle.loads(pickle.dumps(sequences)), sequences)


def test_pickle_of_a_closed_dataset(layout_path: Path) -> None:
    with ox.open_session(layout_path) as ds:
        expected = ds.dff.isel(time=slice(10, 20)).load()
    again = pickle.loads(pickle.dumps(ds))
    xr.testing.assert_identical(again.dff.isel(time=slice(10, 20)).load(), expected)
    again.close()


def test_copies_stay_lazy_and_independent(
    sample_path: Path, open_both: Callable[..., xr.Dataset], reads: list[str]
) -> None:
    ds = open_both(sample_path)
    deep = ds.copy(deep=True)
    assert not reads
    assert not deep.dff._in_memory
    deep["run_velocity"][:] = 0.0
    deep["dff"].load()[:] = 0.0
    assert float(np.abs(ds.dff).sum()) > 0
    assert float(np.abs(ds.run_velocity).sum()) > 0


def test_close_releases_the_file(
    layout_path: Path, open_files: Callable[[Path], list[str]]
) -> None:
    assert open_files(layout_path) == []
    with ox.open_session(layout_path, include="squares") as ds:
        for name in ds.variables:
            ds[name].load()
        assert open_files(layout_path)
    assert open_files(layout_path) == []
    ds = xr.open_dataset(layout_path, engine="oscaxr")
    ds.dff.isel(time=[0]).load()
    ds.close()
    ds.close()
    assert open_files(layout_path) == []
    # Closed, not dead: reading opens the file again.
    ds.roi_mask.load()
    ds.close()
    assert open_files(layout_path) == []


def test_deleting_the_dataset_releases_the_file(
    layout_path: Path, open_files: Callable[[Path], list[str]]
) -> None:
    ds = ox.open_session(layout_path)
    part = ds.dff.isel(time=slice(0, 50)).load()
    windows = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=0.5, post=0.5).load()
    del ds
    assert open_files(layout_path) == []
    assert part.size
    assert windows.size


def test_a_failed_opening_releases_the_file(
    sample_path: Path, open_files: Callable[[Path], list[str]]
) -> None:
    with pytest.raises(MissingVariableError):
        ox.open_session(sample_path, include="movie")
    assert open_files(sample_path) == []


def test_two_at_once_and_again(layout_path: Path) -> None:
    first, second = ox.open_session(layout_path), ox.open_session(layout_path)
    first.close()
    xr.testing.assert_identical(first, second)
    second.close()
    first.close()
    with ox.open_session(layout_path) as third:
        xr.testing.assert_identical(third, second.load())


# -- dask ----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:The specified chunks separate the stored chunks")
@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param("auto", marks=pytest.mark.slow),
        pytest.param({"time": 500}, marks=pytest.mark.slow),
        {"roi": 2, "time": -1},
    ],
    ids=str,
)
def test_dask_equals_eager(layout_path: Path, chunks: Any, reads: list[str]) -> None:
    with (
        ox.open_session(layout_path, include="squares", chunks=chunks) as lazy,
        ox.open_session(layout_path, include="squares") as eager,
    ):
        assert lazy.dff.chunks is not None
        assert lazy.roi_mask.chunks is not None
        assert reads == []
        if chunks == {"time": 500}:
            assert lazy.dff.chunks[0] == (500,) * 5 + (297,)
        xr.testing.assert_identical(lazy.compute(), eager.load())


def test_chunks_of_the_file_are_kept(sample_paths: dict[str, Path]) -> None:
    with ox.open_session(sample_paths["gzip"], chunks={}) as ds:
        assert ds.dff.data.chunksize == (64, 4)
        assert ds.dff.encoding["preferred_chunks"] == {"time": 64, "roi": 4}
    with (
        warnings.catch_warnings(action="error"),
        ox.open_session(sample_paths["gzip"], chunks={"time": 640, "roi": 4}) as ds,
    ):
        assert ds.dff.data.chunksize == (640, 4)


def test_what_is_in_one_piece_gets_chunks_of_whole_rows(
    sample_paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ox.open_session(sample_paths["contiguous"]) as ds:
        assert "preferred_chunks" not in ds.dff.encoding  # small
        row_bytes = ds.dff.sizes["roi"] * ds.dff.dtype.itemsize
        monkeypatch.setattr(dataset, "PIECE_BYTES", 500 * row_bytes)
    with ox.open_session(sample_paths["contiguous"], chunks={}) as ds:
        assert ds.dff.chunks == ((500,) * 5 + (297,), (ds.sizes["roi"],))
        assert ds.unexpected.chunks is None or len(ds.unexpected.chunks[0]) == 1


@pytest.mark.filterwarnings("ignore:The specified chunks separate the stored chunks")
@pytest.mark.parametrize(
    "scheduler",
    [
        "threads",
        pytest.param("processes", marks=pytest.mark.slow),
        pytest.param("synchronous", marks=pytest.mark.slow),
    ],
)
def test_dask_schedulers(sample_paths: dict[str, Path], scheduler: str) -> None:
    import dask

    # Processes take their time to start: all arrays in one go.
    found, expected = {}, {}
    for name, path in sample_paths.items():
        for into, chunks in ((found, {"time": 1000}), (expected, None)):
            with ox.open_session(path, chunks=chunks) as ds:
                segments = ds.osca.select(gabor_frame="U")
                windows = ds.osca.sequences("dff", segments, pre=0.5, post=0.5)
                into[name] = windows.variable
                into[f"{name} maximum"] = ds.dff.max("time").variable
                into[f"{name} masks"] = ds.roi_mask.mean("roi").variable
                into[f"{name} spread"] = ds.dff_spread.variable
    assert all(variable.chunks is not None for variable in found.values())
    # Of processes one: each of them begins with all that is imported.
    with dask.config.set(scheduler=scheduler, num_workers=1 + (scheduler != "processes")):
        (computed,) = dask.compute(found)
    for name, variable in expected.items():
        assert computed[name].identical(variable.load())


def test_open_mfdataset(sample_paths: dict[str, Path]) -> None:
    """Two forms of a session, side by side along a new dim, in parallel."""
    paths = [sample_paths["gzip"], sample_paths["shuffle"]]
    with xr.open_mfdataset(
        paths,
        engine="oscaxr",
        combine="nested",
        concat_dim="copy",
        data_vars=["dff"],
        coords="minimal",
        compat="override",
        combine_attrs="override",
        join="exact",
        preprocess=lambda ds: ds[["dff"]],
    ) as ds:
        assert ds.dff.sizes["copy"] == 2
        both = ds.dff.isel(time=slice(0, 100)).compute()
        np.testing.assert_array_equal(both[0], both[1])


# -- drop_variables, include ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "dropped",
    [
        "roi_mask",
        pytest.param(["dff", "run_velocity"], marks=pytest.mark.slow),
        ("pupil_diameter", "gabor_x", "valid"),
        pytest.param(["time"], marks=pytest.mark.slow),
        ["stim_time", "roi", "segment"],
        ["stimulus_type", "start_frame_twop", "stop_time", "tracking_id"],
        pytest.param(["session_id", "mouse_id"], marks=pytest.mark.slow),
        ["no_such_variable"],
        pytest.param([], marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_drop_variables(
    sample_path: Path, open_both: Callable[..., xr.Dataset], dropped: Any
) -> None:
    whole = open_both(sample_path)
    ds = open_both(sample_path, drop_variables=dropped)
    names = [dropped] if isinstance(dropped, str) else dropped
    xr.testing.assert_identical(ds, whole.drop_vars(names, errors="ignore"))


def test_dropping_everything_of_a_dim(sample_path: Path) -> None:
    names = [name for name, spec in SESSION.items() if "segment" in spec.dims]
    with ox.open_session(sample_path, drop_variables=names) as ds:
        assert "segment" not in ds.dims
        assert ds.attrs["twop_fps"] > 29


@pytest.fixture(scope="module")
def several_files(
    tmp_path_factory: pytest.TempPathFactory, spec: ox.sample.SampleSpec
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("several")
    made = ox.sample.make_session(
        ox.sample.SampleSpec(scale=0.01, n_rois=3, n_tracked=0, field_shape=(48, 48), dropped=0.0)
    )
    return {
        part: write_nwb_form(made, folder, "no_full_table", parts=part, template_frames=5)
        for part in ("behavior+ophys", "behavior+image+ophys", "obj-raw")
    }


@pytest.mark.slow
def test_templates_and_movie_of_other_files(
    several_files: dict[str, Path], open_files: Callable[[Path], list[str]]
) -> None:
    folder = several_files["obj-raw"].parents[1]
    with (
        ox.open_session(900000001, datadir=folder, include=("templates", "movie")) as ds,
        ox.open_session(several_files["obj-raw"], include=["movie", "templates"]) as raw,
    ):
        assert Path(ds.encoding["source"]) == several_files["behavior+image+ophys"].resolve()
        assert ds.attrs["source_files"].count(".nwb") == 3
        assert ds.movie.dims == ("time", "height", "width")
        assert ds.template_gabors.dtype == np.uint8
        assert ds.template_gabors.dims[1:] == ("template_height", "template_width")
        assert not ds.movie._in_memory
        np.testing.assert_array_equal(
            ds.movie.isel(time=[9, 2], height=slice(None, None, -5)).values,
            raw.movie.values[[9, 2], ::-5],
        )
        for name in ds.data_vars:
            xr.testing.assert_equal(ds[name].drop_attrs(), raw[name].drop_attrs())
        key = {"template_gabors_frame": -1, "template_width": [7, 0]}
        np.testing.assert_array_equal(
            ds.template_gabors.isel(key).values, raw.template_gabors.values[-1][:, [7, 0]]
        )
    assert open_files(folder) == []


def test_files_for_the_engine(several_files: dict[str, Path]) -> None:
    base = several_files["behavior+ophys"]
    with xr.open_dataset(
        base,
        engine="oscaxr",
        files=[several_files["obj-raw"]],
        include="movie",
    ) as ds:
        assert "movie" in ds
        assert Path(ds.encoding["source"]) == base.resolve()


def test_memory_has_the_same_templates_and_movie(several_files: dict[str, Path]) -> None:
    spec = ox.sample.SampleSpec(
        scale=0.01, n_rois=3, n_tracked=0, field_shape=(48, 48), dropped=0.0
    )
    memory = ox.sample.session(spec, include=["movie", "templates"])
    with ox.open_session(several_files["obj-raw"], include=["movie", "templates"]) as ds:
        xr.testing.assert_identical(ds.movie.load().variable, memory.movie.variable)
        assert {v for v in ds if str(v).startswith("template")} == {
            v for v in memory if str(v).startswith("template")
        }


def test_include_all_takes_what_there_is(
    several_files: dict[str, Path], open_both: Callable[..., xr.Dataset]
) -> None:
    ds = open_both(several_files["behavior+ophys"], include="all")
    assert not {"movie", "square_x", "template_gabors"} & set(ds.variables)
    ds = open_both(several_files["obj-raw"], include="all")
    assert {"movie", "template_gabors"} <= set(ds.variables)


@pytest.mark.parametrize(
    ("include", "word"),
    [("squares", "squares"), (["templates"], "templates"), (("movie", "squares"), "movie")],
)
def test_including_what_is_absent(
    several_files: dict[str, Path],
    open_both: Callable[..., xr.Dataset],
    include: Any,
    word: str,
) -> None:
    path = several_files["behavior+ophys"]
    with pytest.raises(MissingVariableError, match=word) as caught:
        open_both(path, include=include)
    assert path.name in str(caught.value)
    assert "obj-raw" in str(caught.value)


@pytest.mark.parametrize("include", ["square", ["templates", "films"], ["All"]])
def test_including_an_unknown_word(
    sample_path: Path, open_both: Callable[..., xr.Dataset], include: Any
) -> None:
    with pytest.raises(CriterionError, match=r"unknown part.*'squares', 'templates', 'movie'"):
        open_both(sample_path, include=include)


def test_include_is_off_by_default(sample_path: Path) -> None:
    with ox.open_session(sample_path) as ds:
        assert not {"square_x", "flow_segment"} & set(ds.variables)
    with ox.open_session(sample_path, include="squares") as ds:
        assert ds.square_x.dims == ("flow_segment", "square", "flow_frame")
        assert (ds.stimulus_type.sel(segment=ds.flow_segment.values) == "visflow").all()


def test_other_engines_and_pynwb_may_read_beside(sample_path: Path) -> None:
    from pynwb import NWBHDF5IO

    with ox.open_session(sample_path) as ds, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", OscaxrWarning)
        with NWBHDF5IO(str(sample_path), "r") as reader:
            series = reader.read().processing["ophys"]["DfOverF"]["RoiResponseSeries"]
            np.testing.assert_array_equal(series.data[:], ds.dff.values)
        assert len(ox.find_sessions(sample_path.parent)) == 1
