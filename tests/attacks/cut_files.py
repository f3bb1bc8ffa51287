"""Files that are cut short by another thread in the middle of reading, in a process of its own."""

import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import oscaxr as ox
from tests.attacks import Outcome

CASES = 20
QUICK = range(1)
FORMS = ("contiguous", "gzip", "nc", "zarr.zip")

_READ = """
import os, sys, threading, time, warnings
import numpy as np
import oscaxr as ox
warnings.simplefilter("ignore")
path, after, part = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
with ox.open_session(path) as ds:
    expected = ds.dff.values

def cut():
    time.sleep(after)
    os.truncate(path, int(os.path.getsize(path) * part))

with ox.open_session(path) as ds:
    threading.Thread(target=cut).start()
    end = time.monotonic() + 10
    try:
        while time.monotonic() < end:
            if not np.array_equal(ds.dff[:].values, expected, equal_nan=True):
                sys.exit("other numbers, without a word")
        sys.exit("nothing was noticed")
    except ox.errors.OscaxrError:
        print("refused")
"""


def attack(folder: Path, cases: range) -> Iterator[Outcome]:
    """Cut files of some megabytes, which are read again and again."""
    spec = ox.sample.SampleSpec(n_rois=60, n_tracked=2, scale=0.2, field_shape=(64, 64))
    made: dict[str, Path] = {}
    for number in cases:
        choice = random.Random(number)
        form = FORMS[number % len(FORMS)]
        if form not in made:
            made[form] = _made(folder / form, form, spec)
        target = folder / str(number) / made[form].name
        target.parent.mkdir()
        shutil.copy(made[form], target)
        after, part = choice.uniform(0.01, 0.3), choice.uniform(0.05, 0.95)
        done = subprocess.run(
            [sys.executable, "-c", _READ, target, str(after), str(part)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        target.unlink()
        harm = () if done.stdout.strip() == "refused" else (done.stderr[-300:] or "it died",)
        yield Outcome(f"{number}: {form} cut to {part:.2f} after {after:.2f} s", False, harm)


def _made(folder: Path, form: str, spec: ox.sample.SampleSpec) -> Path:
    if form in ("contiguous", "gzip"):
        return ox.sample.write_nwb(spec, folder, layout=form)
    folder.mkdir()
    return ox.save(ox.sample.session(spec), folder / f"session.{form}")
