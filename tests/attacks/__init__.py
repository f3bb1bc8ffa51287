"""Attacks: files, servers and moments of which each kind is met by the hundred.

Every module that has ``CASES``, ``QUICK`` and ``attack`` is a kind. ``python -m tests.attacks``
runs all cases of all kinds and prints what came of them; the suite runs the quick ones.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """What came of one case."""

    case: str
    """What was done, with the seed where there is one."""
    opened: bool
    """Whether it opened, or ran to its end; else it was refused."""
    harm: tuple[str, ...] = ()
    """What must never be: raw errors, crashes, hangs, wrong numbers, loss, anything executed."""
    excused: str = ""
    """Why harm is none of ours: plain h5py does the same on the same bytes."""


Attack = Callable[[Path, range], Iterable[Outcome]]
"""Takes an empty folder and the numbers of the cases."""


def kinds() -> dict[str, Any]:
    """Return the modules of attacks by name."""
    modules = {
        info.name: importlib.import_module(f"{__name__}.{info.name}")
        for info in pkgutil.iter_modules(__path__)
        if not info.name.startswith(("test_", "__"))
    }
    return {name: module for name, module in modules.items() if hasattr(module, "attack")}
