"""Groups of sessions: nulls of pooled differences, against one permutation after the other."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from oscaxr.analyses import chance, group_differences, pool
from task import Case, Work, task

NONE = ("-",)
PERMUTATIONS = 100_000
# The loop takes hours: what so many permutations of it take stands for all.
LOOPED = 100
N_EXPECTED, N_UNEXPECTED = 1_270, 90
# The ROIs of the 33 sessions of the papers, by line and plane, mouse and session.
N_ROIS = {
    ("L23-Cux2", "dend"): [(628, 348, 512), (727, 300, 333)],
    ("L23-Cux2", "soma"): [(96, 74, 107), (87, 90, 80), (224, 224, 210)],
    ("L5-Rbp4", "dend"): [(205, 159, 182), (966, 1029, 986), (1636, 445, 496)],
    ("L5-Rbp4", "soma"): [(90, 70, 79), (15, 26, 29), (99, 87, 97)],
}


@dataclass(frozen=True)
class Session:
    """Integrated responses of a session (roi, sequence), expected ones first."""

    facts: dict[str, object]
    responses: np.ndarray

    def null(self, permutations: int) -> np.ndarray:
        random = chance.generator(1, int(str(self.facts["session_id"])))
        mean = self.responses.mean(axis=0)
        return chance.difference_null(random, permutations, mean, N_UNEXPECTED)

    def difference(self) -> np.ndarray:
        expected, unexpected = np.split(self.responses, [N_EXPECTED], axis=1)
        return unexpected.mean(axis=1) - expected.mean(axis=1)


def sessions(case: Case) -> list[Session]:
    """Make responses of as many ROIs as there were; of fewer, in a test."""
    random = np.random.default_rng(0)
    made = []
    for (line, plane), mice in N_ROIS.items():
        for mouse in mice:
            for number, n_rois in enumerate(mouse, 1):
                facts = {"line": line, "plane": plane, "session": number, "mouse_id": sum(mouse)}
                size = (max(2, round(n_rois * case.scale)), N_EXPECTED + N_UNEXPECTED)
                facts["session_id"] = len(made)
                made.append(Session(facts, random.normal(1, 1, size)))
    return made


def pooled(recorded: list[Session], permutations: int) -> xr.Dataset:
    """Return the differences of groups by way of the nulls of sessions."""
    results = [
        xr.Dataset(
            {
                "difference": ("roi", one.difference()),
                "null": ("permutation", one.null(permutations)),
            },
            one.facts,
        )
        for one in recorded
    ]
    return group_differences(pool(results), permutations=1000, seed=1)


def looped(recorded: list[Session], permutations: int) -> dict[str, np.ndarray]:
    """Permute the sequences of each session, take each ROI's difference, and pool the ROIs."""
    random = np.random.default_rng(1)
    nulls: dict[str, list[float]] = {}
    for _ in range(permutations):
        groups: dict[str, list[np.ndarray]] = {}
        for one in recorded:
            shuffled = one.responses[:, random.permutation(N_EXPECTED + N_UNEXPECTED)]
            expected, unexpected = np.split(shuffled, [N_EXPECTED], axis=1)
            of = "{line} {plane} {session}".format(**one.facts)
            groups.setdefault(of, []).append(unexpected.mean(axis=1) - expected.mean(axis=1))
        for of, differences in groups.items():
            nulls.setdefault(of, []).append(float(np.concatenate(differences).mean()))
    return {of: np.array(null) for of, null in nulls.items()}


@task("pooled differences, 100,000 permutations, to a loop of 100", "groups", NONE)
def pooled_differences(case: Case) -> Work:
    recorded = sessions(case)
    permutations = max(400, round(PERMUTATIONS * case.scale))

    def same(ours: xr.Dataset, nulls: dict[str, np.ndarray]) -> None:
        width = ours.null_interval.sel(bound="high") - ours.null_interval.sel(bound="low")
        for group in ours.group.values:
            for session in ours.session.values:
                null = nulls[f"{group} {session}"]
                # From -1.96 to 1.96 deviations, which 100 permutations give to 7 %.
                wide = width.sel(group=group, session=session).item() / (2 * 1.96 * null.std())
                assert abs(wide - 1) < 0.35, (group, session, wide)

    return Work(
        ours=lambda: pooled(recorded, permutations),
        floor=lambda: looped(recorded, LOOPED),
        same=same,
        once=True,
    )
