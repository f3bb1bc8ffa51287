"""Run the attacks and print what came of them: python -m tests.attacks [KIND ...] [--cases A:B]."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))

from tests.attacks import kinds


def main() -> int:
    """Run the kinds that are named, or all; return whether something went wrong."""
    known = kinds()
    parser = argparse.ArgumentParser(prog="python -m tests.attacks", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(known)}")
    parser.add_argument("--cases", metavar="A:B", help="only these cases, by their numbers")
    said = parser.parse_args()
    if unknown := set(said.kinds) - set(known):
        parser.error(f"no such kind: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    bad = 0
    for name in said.kinds or known:
        module = known[name]
        cases = range(module.CASES)
        if said.cases:
            first, last = said.cases.split(":")
            cases = cases[int(first or 0) : int(last) if last else None]
        begin = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            outcomes = list(module.attack(Path(folder), cases))
        opened = sum(one.opened for one in outcomes)
        excused = [one for one in outcomes if one.harm and one.excused]
        harmed = [one for one in outcomes if one.harm and not one.excused]
        bad += len(harmed)
        print(
            f"{name}: {len(outcomes)} cases, {opened} open, {len(outcomes) - opened} refused, "
            f"{len(harmed)} not met well, {len(excused)} as plain h5py does "
            f"({time.perf_counter() - begin:.0f} s)",
            flush=True,
        )
        for one in harmed + excused:
            print(f"  {one.case}: {'; '.join(one.harm)} {one.excused}".rstrip(), flush=True)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
