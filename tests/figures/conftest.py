"""Sessions of two mice, one of which lacks its third: files, and their session table."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

import oscaxr as ox
from made_once import made_once


class Mice(NamedTuple):
    folder: Path
    table: Path
    rows: pd.DataFrame


@pytest.fixture(scope="session")
def mice(tmp_path_factory) -> Mice:
    """Sessions 1 to 3 of mouse 1 (somata), and of mouse 2 (dendrites), the last without files."""
    return made_once(tmp_path_factory.getbasetemp(), "mice", written)


def written(folder: Path) -> Mice:
    """Write them."""
    first = ox.sample.mouse_specs(scale=0.05, n_rois=6, n_tracked=4)
    facts = {"mouse_id": 900_002, "mouse_number": 2, "plane": "dend", "line": "L5-Rbp4"}
    second = [
        ox.sample.SampleSpec(
            seed=5,
            session_id=900_000_010 + number,
            session_number=number,
            n_rois=5,
            n_tracked=3,
            scale=0.05,
            **facts,
        )
        for number in (1, 2, 3)
    ]
    for spec in (*first, *second[:2]):
        ox.sample.write_nwb(spec, folder)
    rows = ox.sample.sample_session_table([*first, *second])
    table = folder / "mouse_df.csv"
    rows.to_csv(table, index=False)
    return Mice(folder, table, rows)
