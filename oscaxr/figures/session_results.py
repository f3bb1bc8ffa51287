"""What the panels need of each session: small results, named, with how they are computed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr import analyses
from oscaxr.errors import CriterionError
from oscaxr.measure.quality import roi_correlations, snr
from oscaxr.measure.statistics import mean
from oscaxr.model import names as n
from oscaxr.select.alignment import tracked

# The published example lies at this percentile of its null.
_EXAMPLE_PERCENTILE: Final = 99.8
_N_EXAMPLES: Final = 6
_POINTS: Final = 2000
_BEHAVIOUR: Final = (n.RUN_VELOCITY, n.PUPIL_DIAMETER)


@dataclass(frozen=True, eq=False)
class Recipe:
    """One result of a session: the function, what it is given, how often labels are shuffled."""

    name: str
    function: Callable[..., xr.Dataset]
    options: Mapping[str, Any] = field(default_factory=dict)
    shuffled: str = ""
    """The argument that says how often labels are shuffled; empty where they are not."""
    full: int = 0
    """How often the papers shuffled."""
    apart: bool = False
    """Whether it is a decoding, which takes long: a task of its own."""

    def parameters(self, shuffles: int, splits: int, seed: int) -> dict[str, Any]:
        """Return all that the function is given beside the session."""
        if not self.shuffled:
            return dict(self.options)
        divided = {"splits": splits} if self.apart else {}
        return {**self.options, **divided, self.shuffled: shuffles, "seed": seed}

    def compute(self, ds: xr.Dataset, parameters: Mapping[str, Any]) -> xr.Dataset:
        """Compute it of a session."""
        found = self.function(ds, **parameters)
        facts = {name: coord for name, coord in ds.coords.items() if not coord.dims}
        return found.assign_coords(facts).load()


# -- those that are no analysis of their own -----------------------------------------------------
def differences_by_third(ds: xr.Dataset, stimulus: str = n.GABORS) -> xr.Dataset:
    """Return the differences of each ROI in the first and last third, and how they change."""
    found = {
        word: analyses.response_difference(ds, stimulus, third=third)["difference"]
        for word, third in (("first", 1), ("last", 3))
    }
    change = (found["last"] - found["first"]).assign_attrs(found["first"].attrs)
    return xr.Dataset({**found, "change": change})


def null_of_example(ds: xr.Dataset, permutations: int, seed: int) -> xr.Dataset:
    """Return the index of one significant ROI, and those of its shuffled labels."""
    found = analyses.usi(ds, permutations=permutations, seed=seed)
    distance = np.abs(found["percentile"].values - _EXAMPLE_PERCENTILE)
    if np.isnan(distance).all():
        raise CriterionError("no ROI of the session has an index")
    one = ds.sel({n.ROI: [found[n.ROI].values[np.nanargmin(distance)]]})
    chosen = analyses.usi(one, permutations=permutations, seed=seed, keep_null=True)
    return chosen.isel({n.ROI: 0})[["index", "percentile", "significant", "null"]]


def example_responses(ds: xr.Dataset, group: str, **options: Any) -> xr.Dataset:
    """Return the responses of those ROIs that have the best ratio of signal to noise."""
    split = analyses.split(ds, integrated=False, **options)
    responses = xr.concat(split.values(), n.REL_TIME) if group == "both" else split[group]
    ratio = snr(ds)["snr"].sel({n.ROI: responses[n.ROI].values})
    best = np.argsort(-ratio.fillna(-np.inf).values, kind="stable")[:_N_EXAMPLES]
    kept = responses.isel({n.ROI: best}).transpose(n.ROI, n.SEQUENCE, n.REL_TIME)
    bare = kept.drop_vars([name for name, coord in kept.coords.items() if n.SEQUENCE in coord.dims])
    times = {name: bare[name] for name in (n.ROI, n.REL_TIME, n.REL_FRAME)}
    both = {"response": bare.variable, "mean": mean(bare, n.SEQUENCE).variable}
    return xr.Dataset(both, times).assign(snr=(n.ROI, ratio.values[best], ratio.attrs))


def field_of_tracked(ds: xr.Dataset) -> xr.Dataset:
    """Return what the field of the microscope looks like, and where its tracked ROIs are."""
    return tracked(ds)[[n.ROI_MASK, n.MAX_PROJECTION]]


def behaviour(ds: xr.Dataset) -> xr.Dataset:
    """Return running and pupil of the whole session, each point the mean of an equal part."""
    found: dict[str, Any] = {}
    for name in _BEHAVIOUR:
        signal = ds[name]
        time = str(signal.dims[0])
        width = max(1, signal.sizes[time] // _POINTS)
        parts = signal.coarsen({time: width}, boundary="trim").mean()
        found[name] = (f"{name}_time", parts.values, _plain(signal.attrs))
        found[f"{name}_time"] = (f"{name}_time", parts[time].values, _plain(ds[time].attrs))
    return xr.Dataset(found)


def shares(ds: xr.Dataset, name: str) -> xr.Dataset:
    """Return how often a variable of the session has each value."""
    return analyses.value_shares(ds[name])


def _plain(attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: attrs[key] for key in ("long_name", "units") if key in attrs}


def correlations(ds: xr.Dataset) -> xr.Dataset:
    """Return how often the correlation of two ROIs has each value."""
    return analyses.value_shares(roi_correlations(ds))


# -- all of them ---------------------------------------------------------------------------------
def _usi(name: str, *, shuffled: bool = False, **options: Any) -> Recipe:
    return Recipe(name, analyses.usi, options, "permutations" * shuffled, 10_000 * shuffled)


def _decoded(name: str, full: int, **options: Any) -> Recipe:
    return Recipe(name, analyses.decode, options, "shuffles", full, apart=True)


_FLOW: Final[dict[str, Any]] = {"stimulus": n.VISFLOW, "split": "unexpected_onset"}

TRACES = Recipe("gabor_traces", analyses.mean_traces)
DIFFERENCES = Recipe("gabor_differences", analyses.response_difference, {}, "permutations", 100_000)
FRAMES = Recipe("gabor_frames", analyses.frame_responses)
EARLY = Recipe("gabor_traces_first_third", analyses.mean_traces, {"third": 1})
LATE = Recipe("gabor_traces_last_third", analyses.mean_traces, {"third": 3})
THIRDS = Recipe("gabor_differences_by_third", differences_by_third)
INDICES = _usi("gabor_usis", shuffled=True)
COMMON = _usi("gabor_usis_common_orientations", shuffled=True, common_orientations=True)
EXAMPLE_NULL = Recipe("gabor_usi_example", null_of_example, {}, "permutations", 5_000)
TRACKED = _usi("gabor_usis_tracked", tracked=True)
TRACKED_FRAMES = Recipe("gabor_frames_tracked", analyses.frame_responses, {"tracked": True})
FLOW_TRACES = Recipe("flow_traces", analyses.mean_traces, _FLOW)
FLOW_DIFFERENCES = Recipe(
    "flow_differences", analyses.response_difference, _FLOW, "permutations", 100_000
)
FLOW_FRAMES = Recipe("flow_responses", analyses.frame_responses, {"stimulus": n.VISFLOW})
FLOW_TRACKED = _usi("flow_usis_tracked", tracked=True, **_FLOW)
RUNNING = Recipe("running_traces", analyses.mean_traces, {"name": n.RUN_VELOCITY})
PUPIL = Recipe("pupil_traces", analyses.mean_traces, {"name": n.PUPIL_DIAMETER})
BLOCKS = Recipe("behaviour_by_blocks", analyses.block_responses)
# Of each expected frame as many sequences as there are of U.
_LIKE_U: Final[dict[str, Any]] = {"unexpected": 0, "counts": "unexpected"}
DECODED = {
    frame: _decoded(
        f"decoding_{frame}", 100_000, gabor_frame=frame, **(_LIKE_U if frame in "ABC" else {})
    )
    for frame in "ABCDU"
}
COURSES = {
    frame: _decoded(f"decoding_{frame}_over_time", 10_000, gabor_frame=frame, time_course=True)
    for frame in "DU"
}
_PICTURED: Final[dict[str, Any]] = {"window": (-0.9, 0.6)}
EXAMPLES = {
    kind: Recipe(f"examples_{kind}", example_responses, options)
    for kind, options in (
        ("expected", {"group": "expected", **_PICTURED}),
        ("unexpected", {"group": "unexpected", **_PICTURED}),
        ("nasal", {"group": "both", "main_flow_direction": "nasal", **_FLOW}),
        ("temp", {"group": "both", "main_flow_direction": "temp", **_FLOW}),
    )
}
SHARES = {name: Recipe(f"{name}_shares", shares, {"name": name}) for name in _BEHAVIOUR}
QUALITY = Recipe("signal_and_noise", snr)
CORRELATIONS = Recipe("correlation_shares", correlations)
ONSET = Recipe("stimulus_onset", analyses.mean_traces, {"split": "stimulus_onset"})
OFFSET = Recipe("stimulus_offset", analyses.mean_traces, {"split": "stimulus_offset"})
FIELD = Recipe("field_of_tracked_rois", field_of_tracked)
BEHAVIOUR = Recipe("behaviour", behaviour)
