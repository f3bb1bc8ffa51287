"""What a panel is made of: the results of the sessions at hand, pooled, and how they are tested."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import comb
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr import analyses
from oscaxr.analyses.chance import ALPHA
from oscaxr.errors import OscaxrError, few
from oscaxr.figures.session_results import Recipe
from oscaxr.figures.session_tasks import Computed, Session

BY: Final = ("line", "plane", "session")


class GapError(OscaxrError, LookupError):
    """The sessions at hand cannot fill a panel."""


@dataclass(frozen=True)
class Compared:
    """How many comparisons p is corrected for, as they add up over what is compared."""

    sessions: int = 0
    """For each session number of a group."""
    pairs: int = 0
    """For each two of them."""
    recordings: int = 0
    """For each session of each mouse."""
    groups: int = 0
    consecutive: bool = False
    once: int = 0

    def count(self, sessions: Collection[Session]) -> int:
        """Count the comparisons that there are with the sessions at hand, at least one."""
        numbers: dict[str, set[int]] = defaultdict(set)
        for session in sessions:
            numbers[session.group].add(session.number)
        counts = [len(own) for own in numbers.values()]
        pairs = sum(max(0, n - 1) if self.consecutive else comb(n, 2) for n in counts)
        total = self.sessions * sum(counts) + self.pairs * pairs + self.groups * len(counts)
        return max(1, total + self.recordings * len(sessions) + self.once)


def least(comparisons: int, tails: int) -> int:
    """Return how many shuffles can tell what is significant after so many comparisons."""
    return int(np.ceil(comparisons * tails / ALPHA - 1e-9))


@dataclass
class Material:
    """The sessions and results that a panel may use, and what it left out."""

    sessions: Sequence[Session]
    computed: Computed
    permutations: int
    seed: int
    compared: Compared
    left_out: list[str] = field(default_factory=list)
    used: set[int] = field(default_factory=set)

    def results(
        self, recipe: Recipe, *, complete: bool = False, beside: Sequence[Recipe] = ()
    ) -> list[xr.Dataset]:
        """Return a result of each session that has it; for all sessions of a mouse, if need be.

        With `beside`, of those sessions that have these other results, too.
        """
        found = self.computed.results.get(recipe.name, {})
        there = list(self.sessions)
        for one in (recipe, *beside):
            have = self.computed.results.get(one.name, {})
            failed = self.computed.failures.get(one.name, {})
            there = [session for session in there if session.id in have]
            for session in self.sessions:
                if session.id in failed:
                    name, reason = f"session {session.id}: ", str(failed[session.id])
                    self.leave_out(f"{name}{reason.removeprefix(name)}")
        if complete:
            there = self._complete(there)
        if not there:
            reasons = "; ".join(self.left_out) or "no such session is at hand"
            raise GapError(reasons)
        self.used |= {session.id for session in there}
        return [found[session.id] for session in there]

    def _complete(self, sessions: Sequence[Session]) -> list[Session]:
        """Keep mice that have all sessions that others of their group have."""
        of_group: dict[str, set[int]] = defaultdict(set)
        of_mouse: dict[int, set[int]] = defaultdict(set)
        for session in sessions:
            of_group[session.group].add(session.number)
            of_mouse[session.facts["mouse_id"]].add(session.number)
        kept = []
        for session in sessions:
            mouse = session.facts["mouse_id"]
            lacking = sorted(of_group[session.group] - of_mouse[mouse])
            if lacking:
                self.leave_out(f"mouse {mouse} has no session {few(lacking)} of tracked ROIs")
            else:
                kept.append(session)
        return kept

    def leave_out(self, words: str) -> None:
        """Note, once, what is left out."""
        if words not in self.left_out:
            self.left_out.append(words)

    def pooled(
        self,
        recipe: Recipe,
        *,
        by: Sequence[str] = BY,
        dim: str = "roi",
        complete: bool = False,
        beside: Sequence[Recipe] = (),
    ) -> xr.Dataset:
        """Pool the results of all sessions."""
        return analyses.pool(self.results(recipe, complete=complete, beside=beside), by, dim=dim)

    def of_known_rois(self, pooled: xr.Dataset, *names: str) -> xr.Dataset:
        """Leave out, by name, ROIs of which one of these variables is NaN: means would be, too."""
        known = np.logical_and.reduce([pooled[name].notnull().values for name in names])
        ids = pooled["session_id"].values
        for number in np.unique(ids[~known]).tolist():
            own = known[ids == number]
            self.leave_out(
                f"{np.count_nonzero(~own)} of {len(own)} ROIs of session {number}, which have "
                "responses that are NaN or infinite"
            )
            if not own.any():
                self.used.discard(number)
        if not known.any():
            raise GapError("; ".join(self.left_out))
        return pooled.isel(roi=known)

    @property
    def comparisons(self) -> int:
        """By how many comparisons p is corrected."""
        return self.compared.count([one for one in self.sessions if one.id in self.used])

    def testing(self) -> Mapping[str, Any]:
        """Return how groups are tested: permutations, comparisons and seed."""
        return {
            "permutations": self.permutations,
            "comparisons": self.comparisons,
            "seed": self.seed,
        }
