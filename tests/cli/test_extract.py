"""``oscaxr extract``: windows around segments, or statistics of them, into a file."""

import csv
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import oscaxr as ox
from command_line import invoke, refused, told, told_json
from how_many import examples
from oscaxr.bridges import long_tables
from oscaxr.cli import extract as extract_command


@pytest.fixture(scope="module")
def first(sample_path):
    """The small sample session. Not to be written to."""
    return sample_path


@pytest.fixture(scope="module")
def session(first):
    with ox.open_session(first) as ds:
        yield ds


# -- the long table -------------------------------------------------------------------------------
def by_loops(data: xr.Dataset, columns: tuple[str, ...]) -> list[dict]:
    """The rows of the table, value by value."""
    dims = [d for d in ("sequence", "roi", "tracking_id", "rel_time") if d in data.dims]
    rows = []
    for positions in itertools.product(*(range(data.sizes[dim]) for dim in dims)):
        at = dict(zip(dims, positions, strict=True))
        row = {}
        for name in ("sequence", *columns, "roi", "tracking_id", "rel_time", "time"):
            if name in data.coords:
                row[name] = data[name].values[tuple(at[dim] for dim in data[name].dims)]
        for name, array in data.data_vars.items():
            row[name] = array.values[tuple(at[dim] for dim in array.dims)]
        rows.append(row)
    return rows


@settings(max_examples=examples(25))
@given(
    dims=st.sets(st.sampled_from(["sequence", "roi", "rel_time"])),
    sizes=st.tuples(*[st.integers(1, 5)] * 3),
    dtype=st.sampled_from(["float32", "float64"]),
    block_rows=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_the_long_table_equals_loops(tmp_path_factory, dims, sizes, dtype, block_rows, seed):
    random = np.random.default_rng(seed)
    order = random.permutation(sorted(dims)).tolist()
    lengths = dict(zip(("sequence", "roi", "rel_time"), sizes, strict=True))
    shape = [lengths[dim] for dim in order]
    values = random.normal(size=shape).astype(dtype)
    values = np.where(random.random(shape) < 0.1, np.nan, values)
    data = xr.Dataset({"dff": (order, values), "other": (order, 2 * values)})
    labels = {
        "sequence": ("sequence", random.permutation(9)[: sizes[0]]),
        "gabor_frame": ("sequence", random.choice(["U", "D"], sizes[0])),
        "left_out": ("sequence", np.zeros(sizes[0])),
        "roi": ("roi", np.arange(sizes[1])),
        "tracking_id": ("roi", random.integers(-1, 4, sizes[1])),
        "rel_time": ("rel_time", random.normal(size=sizes[2])),
        "time": (("sequence", "rel_time"), random.normal(size=(sizes[0], sizes[2]))),
    }
    data = data.assign_coords(
        {
            name: (over, value)
            for name, (over, value) in labels.items()
            if {over} <= dims or (not isinstance(over, str) and set(over) <= dims)
        }
    )
    path = tmp_path_factory.mktemp("table") / "table.csv"
    columns = ("gabor_frame",) if "sequence" in dims else ()
    reports = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_tables, "_BLOCK_ROWS", block_rows)
        long_tables.write_long_table(data, path, columns, lambda *done: reports.append(done))
    wanted = by_loops(data, columns)
    read = columns_of(path)
    assert list(read) == list(wanted[0])
    assert reports[-1] == (len(wanted), len(wanted))
    for name, texts in read.items():
        column = np.array([row[name] for row in wanted])
        np.testing.assert_array_equal(as_values(texts, column.dtype), column)


def columns_of(path: Path) -> dict[str, list[str]]:
    """The words of a .csv file by column."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in rows[0]}


def as_values(texts: list[str], dtype: np.dtype) -> np.ndarray:
    """Numbers as they were before they were written; nothing is NaN."""
    if dtype.kind == "f":
        texts = [text or "nan" for text in texts]
    return np.array(texts).astype(dtype)


def test_a_table_too_long_is_refused_before_anything_is_read(first, tmp_path, monkeypatch):
    monkeypatch.setattr(long_tables, "MAX_ROWS", 500)
    out = tmp_path / "u.csv"
    text = refused("extract", first, "gabor_frame=U", "-o", out)
    assert "is too long; the longest has 500" in text
    assert "7 roi" in text
    assert not out.exists()
    told("extract", first, "gabor_frame=U", "-o", out, "--stats", "mean")


# -- extract --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "suffix",
    [".zarr", *(pytest.param(one, marks=pytest.mark.slow) for one in (".nc", ".zarr.zip"))],
)
def test_what_is_extracted_is_what_the_library_gives(first, session, tmp_path, suffix):
    out = tmp_path / f"u{suffix}"
    text = told("extract", first, "gabor_frame=U", "gabor_kappa=16", "-o", out, "--post", 0.5)
    u = session.osca.sequences(
        "dff", session.osca.select(gabor_frame="U", gabor_kappa=16), pre=1, post=0.5
    )
    with ox.open_exported(out) as found:
        xr.testing.assert_identical(found.load(), u.load())
    assert text.splitlines()[0].split() == ["all", "segments", str(session.sizes["segment"])]
    assert f"dff over roi 7, sequence {u.sizes['sequence']}, rel_time 45" in text
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize(
    ("block_bytes", "which"),
    [
        pytest.param(2**26, slice(0, None, 2), marks=pytest.mark.slow),
        pytest.param(2**26, slice(1, None, 2), marks=pytest.mark.slow),
        pytest.param(1, slice(None), marks=pytest.mark.slow),
    ],
)
def test_options_do_what_the_library_does(
    first, session, tmp_path, monkeypatch, block_bytes, which
):
    monkeypatch.setattr(extract_command, "_BLOCK_BYTES", block_bytes)
    segments = session.osca.select(gabor_frame=["D", "U"])
    windows = session.osca.sequences("dff", segments, pre=1, post=1, scale=True)
    tracked = session.osca.tracked()
    own = tracked.osca.sequences("dff", segments, pre=1, post=1)
    running = session.osca.sequences("run_velocity", segments, pre=0.5, post=1)
    both = ("sequence", "roi")
    cases = {
        "--scale --baseline 0.5": windows.osca.baseline(0.5),
        "--scale --integrate": windows.osca.integrate(),
        "--scale --stats mean": ox.stats(windows, both),
        "--scale --baseline 0.5 --stats median --error quartiles": ox.stats(
            windows.osca.baseline(0.5), both, stat="median", error="quartiles"
        ),
        "--scale --stats median --by-roi": ox.stats(windows, "sequence", "median", "mad"),
        "--scale --integrate --stats mean --error std": ox.stats(
            windows.osca.integrate(), both, error="std"
        ),
        "--tracked": own,
        "--tracked --stats mean": ox.stats(own, ("sequence", "tracking_id")),
        "-v run_velocity --pre 0.5": running,
        "-v run_velocity --pre 0.5 --stats mean": ox.stats(running, "sequence"),
    }
    if block_bytes == 1:  # the others are not worked on block by block
        cases = {
            words: wanted
            for words, wanted in cases.items()
            if "--baseline" in words or "--integrate" in words
        }
    for number, (options, wanted) in enumerate([*cases.items()][which]):
        out = tmp_path / f"{number}.nc"
        told("extract", first, "gabor_frame=D,U", *options.split(), "-o", out)
        with ox.open_exported(out) as found:
            assert found.load().attrs == wanted.attrs
            # Blocks of other sizes are summed in another order.
            xr.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)
            data = found if isinstance(found, xr.Dataset) else found.to_dataset(name=found.name)
        table = tmp_path / f"{number}.csv"
        told("extract", first, "gabor_frame=D,U", *options.split(), "-o", table)
        read = columns_of(table)
        dims = [d for d in ("sequence", "roi", "tracking_id", "rel_time") if d in data.dims]
        for name, array in data.data_vars.items():
            values = array.transpose(*dims).values.ravel()
            np.testing.assert_array_equal(as_values(read[name], values.dtype), values)
        if "sequence" in data.dims:
            assert set(read["gabor_frame"]) == {"D", "U"}


def test_the_columns_of_the_table(first, tmp_path):
    cases = {
        (): ["sequence", "gabor_frame", "roi", "tracking_id", "rel_time", "time", "dff"],
        ("block=5", "segment=0:999"): [
            "sequence", "gabor_frame", "block", "roi", "tracking_id", "rel_time", "time", "dff",
        ],
        ("--integrate",): ["sequence", "gabor_frame", "roi", "tracking_id", "dff"],
        ("--stats", "mean"): ["rel_time", "mean", "sem"],
        ("--stats", "mean", "--by-roi", "--integrate"): ["roi", "tracking_id", "mean", "sem"],
        ("--stats", "mean", "--integrate"): ["mean", "sem"],
        ("-v", "pupil_diameter"): ["sequence", "gabor_frame", "rel_time", "time", "pupil_diameter"],
    }  # fmt: skip
    for number, (options, columns) in enumerate(cases.items()):
        out = tmp_path / f"{number}.csv"
        told("extract", first, "gabor_frame=U", *options, "-o", out)
        assert pd.read_csv(out).columns.tolist() == columns, options


def test_extract_tells_programs_what_it_did(first, session, tmp_path):
    found = told_json("extract", first, "gabor_frame=U", "-o", tmp_path / "u.csv")
    count = session.osca.select(gabor_frame="U").sizes["segment"]
    assert found == {
        "path": str(tmp_path / "u.csv"),
        "bytes": (tmp_path / "u.csv").stat().st_size,
        "variables": ["dff"],
        "sizes": {"roi": 7, "sequence": count, "rel_time": 60},
        "total": session.sizes["segment"],
        "synthetic": True,
        "criteria": [
            {
                "criterion": "stimulus = ['gabors'] (implied)",
                "left": session.osca.select(stimulus="gabors").sizes["segment"],
            },
            {"criterion": "gabor_frame = 'U'", "left": count},
        ],
        "selected": count,
        "sequences": count,
    }


def test_windows_that_leave_the_recording(first, tmp_path):
    # The last segment ends too near the end of the recording.
    words = ("extract", first, "stimulus=grayscreen", "--pre", 0, "--post", 20)
    done = invoke(*words, "-o", tmp_path / "drop.nc")
    assert done.exit_code == 0
    assert "Note: the windows of 1 of 4 sequences" in done.stderr
    assert "--edge nan keeps them" in done.stderr
    assert "1 dropped at the ends of the recording" in done.stdout
    told(*words, "-o", tmp_path / "nan.csv", "--edge", "nan")
    assert pd.read_csv(tmp_path / "nan.csv")["dff"].isna().any()
    assert "Shorten pre or post" in refused(*words, "-o", tmp_path / "r.nc", "--edge", "raise")
    for post, says in ((80, "none of the"), (500, "For milliseconds, give --post 0.5")):
        done = invoke("extract", first, "gabor_frame=U", "--post", post, "-o", tmp_path / "none.nc")
        assert done.exit_code == 1
        assert says in done.stderr
    assert not (tmp_path / "none.nc").exists()


@pytest.mark.parametrize(
    ("options", "says", "code"),
    [
        (("-o", "u.txt"), ".zarr.zip or .csv", 1),
        (("-o", "u.nc", "-v", "dfff"), "traces: dff", 1),
        (("-o", "u.nc", "gabor_kappa=4"), "gabor_kappa = 4", 1),
        (("-o", "u.nc", "--pre", "-1", "--post", "1"), "--pre -1.0 s, --post 1.0 s", 1),
        (("-o", "u.nc", "--by-roi"), "about --stats", 2),
        (("-o", "u.nc", "--stats", "mean", "--error", "mad"), "--error mad is not known", 1),
        (("-o", "u.nc", "-v", "run_velocity", "--stats", "mean", "--by-roi"), "has no ROIs", 1),
        ((), "-o", 2),
    ],
)
def test_what_cannot_be_extracted(first, tmp_path, monkeypatch, options, says, code):
    monkeypatch.chdir(tmp_path)
    assert says in refused("extract", first, "gabor_frame=U", *options, code=code)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["u.csv", *(pytest.param(one, marks=pytest.mark.slow) for one in ("u.nc", "u.zarr"))]
)
def test_targets_are_replaced_only_when_told(first, tmp_path, name):
    out = tmp_path / name
    told("extract", first, "gabor_frame=U", "-o", out)
    newest = max(path.stat().st_mtime_ns for path in [out, *out.rglob("*")])
    text = refused("extract", first, "gabor_frame=D", "-o", out)
    assert (
        text == f"Error: {out} exists already. Give another path, or --overwrite to replace it.\n"
    )
    assert newest == max(path.stat().st_mtime_ns for path in [out, *out.rglob("*")])
    found = told_json("extract", first, "gabor_frame=D", "-o", out, "--overwrite")
    assert found["bytes"] > 0
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.slow
def test_the_source_is_not_overwritten(first, tmp_path):
    export = tmp_path / "s.nc"
    with ox.open_session(first) as ds:
        ox.save(ds, export)
    text = refused("extract", export, "gabor_frame=U", "-o", export, "--overwrite")
    assert "is what the data are still read from" in text
    with ox.open_session(export) as ds:
        assert "dff" in ds


def test_rois_listed_as_invalid_are_left_out_unless_they_are_asked_for(original_folders, tmp_path):
    words = ("extract", original_folders["soma"], "gabor_frame=U", "--stats", "mean", "--by-roi")
    for options, count in (((), 7), (("--invalid", "keep"), 12)):
        out = tmp_path / f"{count}.nc"
        done = invoke(*words, *options, "-o", out)
        assert ("listed as invalid" in done.stderr) == (count == 7)
        with xr.open_dataset(out) as found:
            assert found.sizes["roi"] == count
