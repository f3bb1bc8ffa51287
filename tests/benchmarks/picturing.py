"""All figures of the analysis paper, from six sessions, by default settings."""

import os
import tempfile
from pathlib import Path

import oscaxr as ox
import samples
from oscaxr.figures import make_figures
from task import Case, Work, task


def two_mice(case: Case) -> Path:
    """Write three sessions each of two mice once, or find them; return their session table."""
    folder = case.folder / f"figures_{case.rois}_{case.scale:g}"
    specs = [
        samples.session_spec(
            case.rois,
            case.scale,
            seed=10 * mouse + number,
            session_id=samples.FIRST_ID + 10 * mouse + number,
            session_number=number,
            mouse_id=900_000 + mouse,
            mouse_number=mouse,
            line=line,
        )
        for mouse, line in ((1, "L23-Cux2"), (2, "L5-Rbp4"))
        for number in (1, 2, 3)
    ]
    for spec in specs:
        if not ox.sample.sample_path(spec, folder).exists():
            ox.sample.write_nwb(spec, folder)
    table = folder / "mouse_df.csv"
    ox.sample.sample_session_table(specs).to_csv(table, index=False)
    return table


@task("all figures of the analysis paper, six sessions", "figures", ("contiguous",), memory=False)
def figures(case: Case) -> Work:
    table = two_mice(case)

    def ours() -> int:
        with tempfile.TemporaryDirectory(dir=case.folder) as folder:
            workers = min(2, os.cpu_count() or 1)
            made = make_figures(table, folder, paper="analysis", workers=workers, progress=False)
        return len(made.panels)

    return Work(ours, once=True)
