"""What must not matter to any analysis: order, chunks, workers, and where sessions come from."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr import analyses
from oscaxr.analyses import pool

pytest.importorskip("sklearn")

CHANCE = {"permutations": 60, "seed": 3}
N_ROIS = (5, 4, 6)
MOUSE = {"scale": 0.05, "n_rois": N_ROIS, "n_tracked": 3}


def index_of_onsets(ds):
    """The index of any two groups of responses."""
    groups = analyses.split(ds, "expected_onset", "visflow")
    return analyses.discrimination_index(*groups.values(), **CHANCE)


def both_groups(ds):
    return xr.Dataset({name: part.mean("sequence") for name, part in analyses.split(ds).items()})


# Each analysis of a session, with options for which short sessions suffice.
OF_SESSIONS: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
    "split": both_groups,
    "discrimination_index": index_of_onsets,
    "mean_traces": analyses.mean_traces,
    "frame_responses": analyses.frame_responses,
    "frame_responses, visual flow": partial(analyses.frame_responses, stimulus="visflow"),
    "response_difference": partial(analyses.response_difference, **CHANCE),
    "block_responses": analyses.block_responses,
    "block_responses, ROIs": partial(analyses.block_responses, names="dff"),
    **{
        f"responsive_rois, {against}": partial(analyses.responsive_rois, against=against, **CHANCE)
        for against in ("baseline", "shuffled", "gray")
    },
    "usi": partial(analyses.usi, **CHANCE),
    "usi, null": partial(analyses.usi, keep_null=True, **CHANCE),
    "usi, tracked": partial(analyses.usi, tracked=True, **CHANCE),
    "decode": partial(analyses.decode, counts="all", splits=3, shuffles=40, seed=3),
    "orientation_tuning": analyses.orientation_tuning,
    "position_response": partial(
        analyses.position_response, gabor_frames=["A"], gabor_kappa=[4, 16]
    ),
    "explained_variance": partial(
        analyses.explained_variance,
        piece=5,
        folds=3,
        lags={"running": [-0.5, 0.5], "pupil": [0.0], "stimulus": [0.3]},
    ),
    "value_shares": lambda ds: analyses.value_shares(ox.roi_correlations(ds)),
}


def of_usis(function, **options):
    return lambda results: function(pool(results("usi, tracked")), **options)


def relative(results, stimulus=""):
    return analyses.relative_responses(pool(results(f"frame_responses{stimulus}")))


# Each analysis of groups, of what a function gives for the name of an analysis of sessions.
OF_GROUPS: dict[str, Callable[[Callable[[str], Any]], xr.Dataset]] = {
    "pool": lambda results: pool(results("usi")),
    "group_means": lambda results: analyses.group_means(pool(results("mean_traces")), "mean"),
    "group_means, compared": of_usis(analyses.group_means, name="index", **CHANCE),
    "group_differences": lambda results: analyses.group_differences(
        pool(results("response_difference")), **CHANCE
    ),
    "block_differences": lambda results: analyses.block_differences(
        pool(results("block_responses"), dim="pair"), "pupil_diameter", **CHANCE
    ),
    "relative_responses": relative,
    "compare_stimuli": lambda results: analyses.compare_stimuli(
        relative(results), relative(results, ", visual flow"), **CHANCE
    ),
    "percent_significant": lambda results: analyses.percent_significant(pool(results("usi"))),
    "usi_statistics": of_usis(analyses.usi_statistics, **CHANCE),
    "usi_correlations": of_usis(analyses.usi_correlations, **CHANCE),
    "group_decoding": lambda results: analyses.group_decoding(pool(results("decode"), dim="split")),
}


def test_no_analysis_is_forgotten():
    tried = {name.partition(",")[0] for name in (*OF_SESSIONS, *OF_GROUPS)}
    assert tried == set(analyses.__all__)


def assert_same(found: xr.Dataset, wanted: xr.Dataset) -> None:
    """Compare numbers to rounding, ROI by ROI, and all words exactly."""
    for dim in {"roi", "tracking_id"} & set(found.indexes):
        found = found.sel({dim: wanted[dim].values})
    xr.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-11)
    assert found.attrs == wanted.attrs
    for name, array in found.variables.items():
        assert array.attrs == wanted[name].attrs, name


# -- order and chunks ----------------------------------------------------------------------------
@pytest.fixture(scope="module")
def mouse():
    return [ox.sample.session(spec) for spec in ox.sample.mouse_specs(**MOUSE)]


@pytest.fixture(scope="module")
def plain(mouse):
    """Return what an analysis gives for a session in memory, computed once."""
    return cache(lambda name, place: OF_SESSIONS[name](mouse[place]))


EACH_SEED = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))]


@pytest.mark.parametrize("seed", EACH_SEED)
@pytest.mark.parametrize("name", OF_SESSIONS)
def test_order_and_chunks_of_a_session(mouse, plain, name, seed):
    random = np.random.default_rng(seed)
    moved = mouse[0].isel(roi=random.permutation(N_ROIS[0]))
    rois, frames = int(random.integers(1, N_ROIS[0])), int(random.integers(1000, 5000))
    chunked = moved.chunk(roi=rois, time=frames, stim_time=2 * frames)
    assert_same(OF_SESSIONS[name](chunked).compute(), plain(name, 0))


@pytest.mark.parametrize("seed", EACH_SEED)
@pytest.mark.parametrize("name", OF_GROUPS)
def test_order_of_sessions_and_of_their_rois(plain, name, seed):
    def moved(kind):
        random = np.random.default_rng(seed)
        for place in random.permutation(3):
            found = plain(kind, place)
            for dim in {"roi", "tracking_id"} & set(found.indexes):
                found = found.isel({dim: random.permutation(found.sizes[dim])})
            yield found

    wanted = OF_GROUPS[name](lambda kind: [plain(kind, place) for place in range(3)])
    assert_same(OF_GROUPS[name](moved), wanted)


# -- workers and sources -------------------------------------------------------------------------
FORMS = ("nwb", ".zarr", ".nc")


def every_analysis(ds):
    """All analyses of a session, for a worker."""
    return {name: analysis(ds).load() for name, analysis in OF_SESSIONS.items()}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Return the paths of the sessions in a form, or of each in another one, and their table."""
    folder = tmp_path_factory.mktemp("stored")
    table = ox.sample.write_mouse(folder, **MOUSE)

    @cache
    def path_of(form, place):
        (path,) = folder.rglob(f"*{table.session_id[place]}*.nwb")
        if form == "nwb":
            return path
        with ox.open_session(path, table=table) as ds:
            ox.save(ds, path.with_suffix(form), progress=False)
        return path.with_suffix(form)

    def paths(form):
        forms = FORMS if form == "mixed" else [form] * 3
        return [path_of(one, place) for place, one in enumerate(forms)]

    return paths, table


@pytest.mark.parametrize(
    ("form", "how"),
    [
        pytest.param("mixed", {"workers": 2}, marks=pytest.mark.slow),
        *(pytest.param(form, {"workers": 1}, marks=pytest.mark.slow) for form in FORMS),
        *(pytest.param(form, {"scheduler": "threads"}, marks=pytest.mark.slow) for form in FORMS),
        *(pytest.param(form, {"workers": 2}, marks=pytest.mark.slow) for form in FORMS),
    ],
)
def test_workers_and_sources(stored, plain, form, how):
    paths, table = stored
    results = ox.map_sessions(every_analysis, paths(form), table=table, progress=False, **how)
    found = [*results.values()]
    assert len(found) == 3
    for name in OF_SESSIONS:
        for place, own in enumerate(found):
            assert_same(own[name], plain(name, place))
    for of_groups in OF_GROUPS.values():
        wanted = of_groups(lambda kind: [plain(kind, place) for place in range(3)])
        assert_same(of_groups(lambda kind: [own[kind] for own in found]), wanted)


@pytest.mark.slow
def test_both_layouts_of_published_sessions(stored, tmp_path):
    _, table = stored
    spec = ox.sample.mouse_specs(**MOUSE)[0]
    # The original layout stores dF/F in single precision.
    paths = (
        ox.sample.write_nwb(spec, tmp_path / "nwb", dtype="float32"),
        ox.sample.write_original(spec, tmp_path / "original"),
    )
    opened = [ox.open_session(path, table=table) for path in paths]
    with opened[0] as nwb, opened[1] as original:
        assert (nwb.source_format, original.source_format) == ("nwb", "original")
        # What the original layout alone tells: the frames shown at each frame of the microscope,
        # and which ROIs are bad and why.
        told = ["aligned_frame_twop", "listed_invalid", "invalid_reason"]
        original = original.drop_vars(told)
        found, wanted = every_analysis(original), every_analysis(nwb)
    for name in OF_SESSIONS:
        assert_same(found[name], wanted[name])
