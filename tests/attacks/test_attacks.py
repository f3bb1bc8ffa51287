"""A few cases of each kind of attack; all of them: python -m tests.attacks."""

from pathlib import Path

import pytest

from tests.attacks import kinds

# The others begin processes, wait for servers, or are much like other tests of the suite.
FAST = {"tables"}


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[pytest.mark.slow] * (kind not in FAST)) for kind in sorted(kinds())],
)
def test_the_quick_cases_do_no_harm(kind: str, tmp_path: Path) -> None:
    module = kinds()[kind]
    outcomes = list(module.attack(tmp_path, module.QUICK))
    assert len(outcomes) == len(module.QUICK)
    harmed = [one for one in outcomes if one.harm and not one.excused]
    assert not harmed, "\n".join(f"{one.case}: {'; '.join(one.harm)}" for one in harmed)
