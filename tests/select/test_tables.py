"""The stimulus table as tables: against loops over its rows."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import oscaxr as ox
from oscaxr.errors import CriterionError, MissingVariableError
from oscaxr.model import names as n
from oscaxr.model.schema import SEGMENT_COLUMNS
from oscaxr.model.segments import block_numbers
from oscaxr.select.tables import onset_pairs, patches_around

FLOW_FIRST = ("left", "right", "gabors")


@pytest.fixture(scope="module", params=[None, FLOW_FIRST], ids=["any", "flow first"])
def ds(request):
    return ox.sample.session(
        n_rois=2, n_tracked=0, scale=0.05, field_shape=(48, 48), block_order=request.param
    )


def test_segment_table_has_the_published_columns_in_their_order(ds):
    table = ox.segment_table(ds)
    assert table.columns.tolist() == [column for column, _ in SEGMENT_COLUMNS]
    assert table.index.name == "segment"
    np.testing.assert_array_equal(table.index, ds.segment)
    for column, name in SEGMENT_COLUMNS:
        np.testing.assert_array_equal(table[column].to_numpy(), ds[name].values)
    few = ox.segment_table(ox.select_segments(ds, gabor_frame="U"))
    pd.testing.assert_frame_equal(few, table[table.gabor_frame == "U"])


def test_segment_table_of_few_columns(ds):
    table = ox.segment_table(ds.drop_vars("gabor_number"))
    assert "gabor_number" not in table.columns
    assert "gabor_kappa" in table.columns


def naive_blocks(ds):
    """Group consecutive rows of one stimulus type."""
    found = []
    for segment, row in ox.segment_table(ds).iterrows():
        if not found or found[-1][0] != row.stimulus_type:
            found.append((row.stimulus_type, []))
        found[-1][1].append((segment, row))
    return found


@pytest.mark.parametrize("stimulus", [None, "gabors", "visflow", ["grayscreen", "gabors"]])
def test_blocks_equal_a_loop(ds, stimulus):
    wanted = [
        (number, kind, rows)
        for number, (kind, rows) in enumerate(naive_blocks(ds))
        if stimulus is None or kind in np.atleast_1d(stimulus)
    ]
    blocks = ox.blocks(ds, stimulus=stimulus)
    assert blocks.block.values.tolist() == [number for number, _, _ in wanted]
    for (_, kind, rows), position in zip(wanted, range(len(wanted)), strict=True):
        block = blocks.isel(block=position)
        (first_number, first), (last_number, last) = rows[0], rows[-1]
        assert block.stimulus_type == kind
        assert block.start_segment == first_number
        assert block.stop_segment == last_number + 1
        assert block.num_segments == len(rows)
        for clock in ("stim", "twop"):
            start, stop = first[f"start_frame_{clock}"], last[f"stop_frame_{clock}"]
            assert block[f"start_frame_{clock}"] == start
            assert block[f"stop_frame_{clock}"] == stop
            assert block[f"num_frames_{clock}"] == stop - start
        assert block.start_time == first.start_time_sec
        assert block.duration == pytest.approx(last.stop_time_sec - first.start_time_sec)
        if kind == "visflow":
            assert block.main_flow_direction == first.main_flow_direction
            assert block.square_size == 128
            assert block.square_number == 105
        if kind == "gabors":
            assert block.gabor_kappa == 16
    assert blocks.session_id == ds.session_id
    assert blocks.start_time.attrs["units"] == "s"


def test_blocks_have_the_parameters_of_the_stimuli_that_are_there(ds):
    assert "gabor_kappa" not in ox.blocks(ds, stimulus="visflow")
    assert "square_size" not in ox.blocks(ds, stimulus="gabors")
    assert "square_size" in ox.blocks(ds)
    assert ox.blocks(ox.select_segments(ds, gabor_kappa=4)).sizes["block"] == 0


def test_a_block_with_several_values_of_a_parameter_is_an_error(ds):
    kappa = ds.gabor_kappa.values.copy()
    kappa[np.flatnonzero(ds.gabor_frame.values == "C")[0]] = 4
    odd = ds.assign_coords(gabor_kappa=("segment", kappa))
    with pytest.raises(CriterionError, match=r"hold several values of gabor_kappa"):
        ox.blocks(odd)
    ox.blocks(odd, stimulus="visflow")


def naive_pairs(numbers, block, unexpected):
    """Walk the table: expected to unexpected, and on to the next expected one in the block."""
    pairs = []
    for i in range(1, len(numbers)):
        before = block[i - 1] == block[i] and numbers[i - 1] == numbers[i] - 1
        if before and unexpected[i - 1] == 0 and unexpected[i] == 1:
            back = -1
            for j in range(i + 1, len(numbers)):
                if block[j] != block[i] or numbers[j] != numbers[j - 1] + 1:
                    break
                if unexpected[j] == 0:
                    back = numbers[j]
                    break
            pairs.append((numbers[i], back, block[i]))
    return pairs


def pairs_of(found):
    return list(
        zip(
            found.to_unexpected.values.tolist(),
            found.to_expected.values.tolist(),
            found.block.values.tolist(),
            strict=True,
        )
    )


@pytest.mark.parametrize("stimulus", [None, "gabors", "visflow"])
def test_onset_pairs_equal_a_loop(ds, stimulus):
    wanted = naive_pairs(ds.segment.values, ds.block.values, ds.unexpected.values)
    kinds = ds.stimulus_type.values
    wanted = [pair for pair in wanted if stimulus in (None, kinds[pair[0]])]
    assert wanted
    assert pairs_of(onset_pairs(ds, stimulus=stimulus)) == wanted


@given(
    st.lists(st.tuples(st.sampled_from("gvx"), st.integers(0, 1)), max_size=30),
    st.integers(0, 30),
    st.integers(0, 5),
)
def test_onset_pairs_of_random_tables(rows, start, gap):
    names = {"g": "gabors", "v": "visflow", "x": "grayscreen"}
    kind = np.array([names[letter] for letter, _ in rows], "U10")
    unexpected = np.array([flag for _, flag in rows], float)
    unexpected[kind == "grayscreen"] = np.nan
    table = xr.Dataset(
        coords={
            "segment": np.arange(len(rows)),
            "stimulus_type": ("segment", kind),
            "unexpected": ("segment", unexpected),
            "block": ("segment", block_numbers(kind)),
        }
    )
    # Without some segments of a block, what follows what cannot be told.
    table = table.isel(segment=np.r_[:start, start + gap : len(rows)][: len(rows)]) if len(
        rows
    ) > start + gap else table  # fmt: skip
    numbers, block = table.segment.values, table.block.values
    if (np.diff(numbers)[np.diff(block) == 0] > 1).any():
        with pytest.raises(CriterionError, match="were left out"):
            onset_pairs(table)
        return
    wanted = naive_pairs(numbers, block, table.unexpected.values)
    assert pairs_of(onset_pairs(table)) == wanted


def test_onset_pairs_with_criteria(ds):
    everything = pairs_of(onset_pairs(ds, stimulus="gabors"))
    assert pairs_of(onset_pairs(ds, gabor_frame="A")) == everything
    assert pairs_of(onset_pairs(ds, gabor_frame="U")) == []
    orientation = float(ds.gabor_mean_orientation[everything[0][0]])
    some = pairs_of(onset_pairs(ds, gabor_mean_orientation=orientation))
    assert some == [p for p in everything if ds.gabor_mean_orientation[p[0]] == orientation]
    assert pairs_of(onset_pairs(ds, gabor_kappa=4)) == []


def test_patches_in_the_given_order(ds):
    numbers = [9, 3, 9, -1]
    found = ox.patches(ds, numbers)
    for name in n.GABOR_PATCH_VARIABLES:
        assert found[name].shape == (4, 30)
        for row, number in enumerate(numbers):
            wanted = ds[name].values[number] if number >= 0 else np.full(30, np.nan)
            np.testing.assert_array_equal(found[name].values[row], wanted)
        assert found[name].attrs == ds[name].attrs
    assert set(found.data_vars) == set(n.GABOR_PATCH_VARIABLES)


def test_patches_of_selections(ds):
    chosen = ox.select_segments(ds, gabor_frame="U")
    for segments in (chosen, chosen.segment):
        found = ox.patches(ds, segments)
        assert found.gabor_x.dims == ("segment", "patch")
        np.testing.assert_array_equal(found.segment, chosen.segment)
        np.testing.assert_array_equal(found.gabor_x, chosen.gabor_x)
        np.testing.assert_array_equal(found.gabor_frame, chosen.gabor_frame)
    assert ox.patches(ds, 9).gabor_x.dims == ("patch",)


def test_patches_that_do_not_exist(ds):
    with pytest.raises(CriterionError, match=r"segments -5, 100000 are not in this"):
        ox.patches(ds, [3, -5, 100000])
    with pytest.raises(MissingVariableError, match="no Gabor patch parameters"):
        ox.patches(ds.drop_vars(n.GABOR_PATCH_VARIABLES), [3])


@pytest.mark.parametrize(("clock", "dim"), [("twop", "time"), ("stim", "stim_time")])
def test_patches_around_frames_equal_a_loop(ds, clock, dim):
    starts, stops = ds[f"start_frame_{clock}"].values, ds[f"stop_frame_{clock}"].values
    frames = [0, int(starts[6]), int(starts[40]) + 3, ds.sizes[dim] - 1]
    found = patches_around(ds, frames, pre=0.3, post=0.5, clock=clock)
    fps = ds.attrs[f"{clock}_fps"]
    offsets = range(-round(0.3 * fps), round(0.5 * fps))
    assert found.gabor_size.dims == ("sequence", "rel_time", "patch")
    assert found.rel_frame.values.tolist() == list(offsets)
    np.testing.assert_allclose(found.rel_time, np.array(offsets) / fps)
    for i, reference in enumerate(frames):
        for k, offset in enumerate(offsets):
            frame = reference + offset
            row = [s for s in range(len(starts)) if starts[s] <= frame < stops[s]]
            wanted = ds.gabor_size.values[row[0]] if row else np.full(30, np.nan)
            np.testing.assert_array_equal(found.gabor_size.values[i, k], wanted)
            assert found.segment.values[i, k] == (row[0] if row else -1)
