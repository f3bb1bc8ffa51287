"""A few cases of each kind of attack; all of them: python -m tests.attacks."""

from pathlib import Path

import pytest

from tests.attacks import kinds

# These begin processes, or wait for servers.
SLOW = {"changed_files", "cut_files", "http_faults", "kills", "odd_targets", "original_mutants"}


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[pytest.mark.slow] * (kind in SLOW)) for kind in sorted(kinds())],
)
def test_the_quick_cases_do_no_harm(kind: str, tmp_path: Path) -> None:
    module = kinds()[kind]
    outcomes = list(module.attack(tmp_path, module.QUICK))
    assert len(outcomes) == len(module.QUICK)
    harmed = [one for one in outcomes if one.harm and not one.excused]
    assert not harmed, "\n".join(f"{one.case}: {'; '.join(one.harm)}" for one in harmed)
