"""The panels of Gillon, Lecoq et al. (2023): recordings as they are, and their quality."""

import oscaxr.figures.session_results as of_session
from oscaxr import analyses
from oscaxr.figures.analysis_paper import Build, Results
from oscaxr.figures.material import GapError, Material
from oscaxr.figures.session_results import Recipe


def examples(recipe: Recipe) -> Build:
    """Return what takes the example responses of the first session of each group."""

    def build(material: Material) -> Results:
        first: Results = {}
        for one in material.results(recipe):
            first.setdefault(f"{one['line'].item()} {one['plane'].item()}", one)
        return first

    return build


def histograms(material: Material) -> Results:
    """Pool the shares of running velocities and pupil diameters, over mice."""
    found = {}
    for name, recipe in of_session.SHARES.items():
        each = [one.expand_dims(trace=[0]) for one in material.results(recipe)]
        pooled = analyses.pool(each, dim="trace")
        found[name] = analyses.group_means(pooled, "share")
    return found


def quality(*names: str) -> Build:
    """Return what pools signal and noise of all ROIs."""

    def build(material: Material) -> Results:
        return {"quality": material.pooled(of_session.QUALITY)[[*names]]}

    return build


def correlations(material: Material) -> Results:
    """Pool how often ROIs correlate how much."""
    found = [one.expand_dims(trace=[0]) for one in material.results(of_session.CORRELATIONS)]
    return {"correlations": analyses.pool(found, dim="trace")}


def fields(material: Material) -> Results:
    """Take the field of each example session, by mouse and session."""
    return {
        f"mouse_{one['mouse_id'].item()}_session_{one['session'].item()}": one
        for one in material.results(of_session.FIELD)
    }


def behaviour(material: Material) -> Results:
    """Take running and pupil of a whole session."""
    return {"behaviour": material.results(of_session.BEHAVIOUR)[0]}


def matching(material: Material) -> Results:
    """Say why examples of matching cannot be drawn from sessions."""
    raise GapError(
        "ROIs of sessions are matched with the published matching files, which are no part of the "
        "sessions: see oscaxr.read_matches and oscaxr.plot.registered_masks"
    )
