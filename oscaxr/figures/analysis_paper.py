"""The panels of Gillon, Pina et al. (2024): from results of sessions to those of groups."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

import oscaxr.figures.session_results as of_session
from oscaxr import analyses
from oscaxr.analyses.pooling import RESPONSE_GROUP
from oscaxr.errors import few
from oscaxr.figures.material import GapError, Material
from oscaxr.figures.session_results import Recipe
from oscaxr.model import names as n

Results = dict[str, xr.Dataset]
Build = Callable[[Material], Results]

# The mean indices that example ROIs are to be near, and whether they are to be significant.
_EXAMPLES = ((0.5, True), (0.0, False), (-0.5, True))


# -- figures 2, 3 and 6: responses of groups -----------------------------------------------------
def traces(recipe: Recipe, *, dim: str = n.ROI) -> Build:
    """Return what averages the traces of each group."""

    def build(material: Material) -> Results:
        return {"traces": analyses.group_means(material.pooled(recipe, dim=dim), "mean")}

    return build


def traces_of_thirds(material: Material) -> Results:
    """Average the traces in the first and in the last third of the sessions."""
    early, late = of_session.EARLY, of_session.LATE
    return {
        word: analyses.group_means(material.pooled(recipe), "mean")
        for word, recipe in (("first_third", early), ("last_third", late))
    }


def differences(recipe: Recipe) -> Build:
    """Return what tests differences of responses."""

    def build(material: Material) -> Results:
        pooled = material.of_known_rois(material.pooled(recipe), "difference")
        return {"differences": analyses.group_differences(pooled, **material.testing())}

    return build


def differences_of_thirds(material: Material) -> Results:
    """Compare differences between the first and the last third of the sessions, ROI by ROI."""
    pooled = material.of_known_rois(material.pooled(of_session.THIRDS), "first", "last")
    found = {f"{word}_third": analyses.group_means(pooled, word) for word in ("first", "last")}
    # The thirds of an ROI are exchanged by a coin, as are the blocks of a pair.
    change = analyses.block_differences(pooled, "change", **material.testing())
    return {**found, "change": change}


def relative(recipe: Recipe, *, tracked: bool = False) -> Build:
    """Return what compares responses relative to the first session of each mouse."""

    def build(material: Material) -> Results:
        pooled = _relative(material, recipe, tracked=tracked)
        return {
            kind: analyses.group_means(pooled, kind, **material.testing())
            for kind in ("expected", "unexpected")
        }

    return build


def _relative(
    material: Material, recipe: Recipe, *, tracked: bool = False, beside: Sequence[Recipe] = ()
) -> xr.Dataset:
    results = material.results(recipe, complete=tracked, beside=beside)
    have = {int(one["mouse_id"]) for one in results if int(one["session"]) == 1}
    lacking = sorted({int(one["mouse_id"]) for one in results} - have)
    if lacking:
        material.leave_out(f"mice {few(lacking)} have no session 1, which others are relative to")
    kept = [one for one in results if int(one["mouse_id"]) in have]
    unused = [one for one in results if int(one["mouse_id"]) not in have]
    material.used -= {int(one["session_id"]) for one in unused}
    if not kept:
        raise GapError("; ".join(material.left_out))
    return analyses.relative_responses(analyses.pool(kept))


# -- figures 4, 5 and 7: indices -----------------------------------------------------------------
def example_rois(material: Material) -> Results:
    """Choose three ROIs by their indices, and take their traces."""
    pooled = material.pooled(of_session.INDICES, beside=(of_session.TRACES,))
    responses = material.pooled(of_session.TRACES, beside=(of_session.INDICES,))
    index, significant = pooled["index"].values, pooled["significant"].values.astype(bool)
    rows = []
    for wanted, has_to_be in _EXAMPLES:
        allowed = (significant == has_to_be) & np.isfinite(index)
        if allowed.any():
            distance = np.where(allowed, np.abs(index - wanted), np.inf)
            rows.append(int(distance.argmin()))
    if not rows:
        raise GapError("no ROI has an index")
    whose = ("session_id", "session_roi")
    if not all(np.array_equal(pooled[name], responses[name]) for name in whose):
        raise GapError("indices and traces are not of the same ROIs")
    chosen = responses[["mean", "sem"]].isel({n.ROI: rows})
    names = ("index", "percentile", "significant")
    kept = {name: (n.ROI, pooled[name].values[rows]) for name in names}
    return {"examples": chosen.assign(kept)}


def example_null(material: Material) -> Results:
    """Take the null of one ROI of the first session there is."""
    return {"example": material.results(of_session.EXAMPLE_NULL)[0]}


def distribution(material: Material) -> Results:
    """Pool the indices of all ROIs."""
    return {"indices": material.pooled(of_session.INDICES)}


def significant(recipe: Recipe, *by: str) -> Build:
    """Return what counts significant indices, of groups or of mice."""

    def build(material: Material) -> Results:
        pooled = material.pooled(recipe, by=("line", "plane", *by, "session"))
        found = analyses.percent_significant(pooled, comparisons=material.comparisons)
        return {"percent_significant": found}

    return build


def tracked_indices(recipe: Recipe) -> Build:
    """Return what lays the indices of tracked ROIs beside each other."""

    def build(material: Material) -> Results:
        return {"indices": material.pooled(recipe, complete=True)}

    return build


def statistics(recipe: Recipe, statistic: Any, *by: str, absolute: bool = False) -> Build:
    """Return what compares mean or variance of tracked indices between sessions."""

    def build(material: Material) -> Results:
        pooled = material.pooled(recipe, by=("line", "plane", *by, "session"), complete=True)
        found = analyses.usi_statistics(pooled, statistic, absolute=absolute, **material.testing())
        return {"statistics": found}

    return build


def responses_by_stimulus(material: Material) -> Results:
    """Compare the change of relative responses between Gabors and visual flow."""
    recipes = (of_session.FRAMES, of_session.FLOW_FRAMES)
    both = [_relative(material, one, beside=recipes) for one in recipes]
    return {"comparison": analyses.compare_stimuli(both[0], both[1], **material.testing())}


def indices_by_stimulus(material: Material) -> Results:
    """Compare the change of absolute indices of tracked ROIs between Gabors and visual flow."""
    recipes = (of_session.TRACKED, of_session.FLOW_TRACKED)
    both = [material.pooled(recipe, complete=True, beside=recipes) for recipe in recipes]
    absolute = [one.assign(unexpected=np.abs(one["index"])) for one in both]
    return {"comparison": analyses.compare_stimuli(absolute[0], absolute[1], **material.testing())}


# -- figures 8 and 9: behaviour, and correlations ------------------------------------------------
def behaviour(material: Material) -> Results:
    """Average running and pupil over the mice of each group."""
    found = {}
    for word, recipe in (("running", of_session.RUNNING), ("pupil", of_session.PUPIL)):
        # One trace a mouse takes the place of the ROIs.
        each = [one.expand_dims(trace=[0]) for one in material.results(recipe)]
        found[word] = analyses.group_means(analyses.pool(each, dim="trace"), "mean")
    return found


def blocks(material: Material) -> Results:
    """Test how running and pupil differ between expected and unexpected runs."""
    pooled = material.pooled(of_session.BLOCKS, dim="pair")
    words = {"running": n.RUN_VELOCITY, "pupil": n.PUPIL_DIAMETER}
    tests = {
        word: analyses.block_differences(pooled, name, **material.testing())
        for word, name in words.items()
    }
    responses = pooled[[*words.values()]]
    expected, unexpected = (
        responses.sel({RESPONSE_GROUP: kind}, drop=True) for kind in ("expected", "unexpected")
    )
    return {**tests, "pairs": unexpected - expected}


def scattered(recipe: Recipe) -> Build:
    """Return what lays indices beside those of the next session, and correlates them."""

    def build(material: Material) -> Results:
        pooled = material.pooled(recipe, complete=True)
        numbers = sorted({*pooled["session"].values.tolist()})
        if len(numbers) < 2:
            raise GapError(f"there is session {few(numbers)} only, and no other to compare it with")
        found = analyses.usi_correlations(pooled, "session", tail="low", **material.testing())
        return {"correlations": found, "indices": pooled}

    return build


def correlations(recipe: Recipe) -> Build:
    """Return what correlates tracked indices over sessions."""

    def build(material: Material) -> Results:
        pooled = material.pooled(recipe, complete=True)
        found = analyses.usi_correlations(
            pooled, "session", consecutive=True, tail="low", **material.testing()
        )
        return {"correlations": found}

    return build


# -- figures 10 and 11: decoding -----------------------------------------------------------------
def decoded(recipe: Recipe) -> Build:
    """Return what averages decoding over mice."""

    def build(material: Material) -> Results:
        return {"decoding": _decoded(material, recipe)}

    return build


def decoded_over_time(material: Material) -> Results:
    """Average the decoding of D and of U, frame by frame."""
    return {frame: _decoded(material, recipe) for frame, recipe in of_session.COURSES.items()}


def _decoded(material: Material, recipe: Recipe) -> xr.Dataset:
    pooled = material.pooled(recipe, dim="split")
    return analyses.group_decoding(pooled, comparisons=material.comparisons)
