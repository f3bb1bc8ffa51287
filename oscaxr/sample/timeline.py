"""When things happen: the segment table and the two clocks of a synthetic session."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from oscaxr.model import names as n
from oscaxr.sample.clocks import Clocks, make_clocks
from oscaxr.sample.spec import BLOCK_ORDERS, TIMELINE, BlockName, SampleSpec

NOMINAL_RATE: Final = 60.0  # of the stimulus computer, Hz
FRAMES_PER_GABOR: Final = 18

_LETTERS: Final = np.array(["A", "B", "C", "D", "G"])
_ORIENTATIONS: Final = np.array([0.0, 45.0, 90.0, 135.0])

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Timeline:
    """Segment table and clocks of a session."""

    segments: Columns
    clocks: Clocks

    @property
    def stim_times(self) -> NDArray[np.float64]:
        """Times of the usable stimulus frames, s."""
        return self.clocks.stim_clock[:-1]

    @property
    def twop_times(self) -> NDArray[np.float64]:
        """Times of the two-photon frames, s."""
        return self.clocks.twop_times


def unexpected_runs(
    count: int, expected: tuple[int, int], unexpected: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Mark which of the units of a block are unexpected, in alternating runs."""
    longest_pair = expected[1] + unexpected[1] + 1
    shrink = min(1.0, count / longest_pair)
    lowest, highest = (max(1, int(limit * shrink)) for limit in expected)
    fewest, most = (min(limit, max(1, count - highest - 1)) for limit in unexpected)
    lengths: list[int] = []
    left = count
    while left > 0:
        run = min(int(rng.integers(lowest, highest + 1)), left)
        rest = left - run
        if 0 < rest <= most:
            # Too little remains for a whole unexpected run and an expected one to end with.
            run = left if left <= highest and lengths else max(1, left - most - 1)
        lengths.append(run)
        left -= run
        if left > 0:
            lengths.append(int(rng.integers(fewest, most + 1)))
            left -= lengths[-1]
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)


def _empty_columns(rows: int) -> Columns:
    text = ("stimulus_type", "stimulus_template_name", "gabor_frame", "main_flow_direction")
    numbers = (
        "unexpected",
        "gabor_kappa",
        "gabor_mean_orientation",
        "gabor_number",
        "square_size",
        "square_number",
        "square_proportion_flipped",
    )
    columns: Columns = {name: np.full(rows, "", dtype="<U16") for name in text}
    columns |= {name: np.full(rows, np.nan) for name in numbers}
    columns["start_frame_stim_template"] = np.zeros(rows)
    columns["num_frames_stim"] = np.zeros(rows, dtype=np.int64)
    return columns


def _gray_block(spec: SampleSpec) -> Columns:
    block = _empty_columns(1)
    block["stimulus_type"][:] = n.GRAYSCREEN
    block["stimulus_template_name"][:] = n.GRAYSCREEN
    block["num_frames_stim"][:] = spec.n_gray_frames
    return block


def _gabor_block(spec: SampleSpec, rng: np.random.Generator) -> Columns:
    sequences = spec.n_sequences
    # A sequence lasts 1.5 s: expected runs of 30 to 90 s, unexpected ones of 3 to 6 s.
    unexpected = unexpected_runs(sequences, (20, 60), (2, 4), rng)
    orientation = rng.choice(_ORIENTATIONS, sequences)
    letters = np.tile(_LETTERS, (sequences, 1))
    letters[unexpected, 3] = "U"
    orientations = np.repeat(orientation[:, np.newaxis], 5, axis=1)
    orientations[unexpected, 3] += 90.0
    orientations[:, 4] = np.nan
    numbers = np.full((sequences, 5), float(n.N_PATCHES))
    numbers[:, 4] = np.nan
    block = _empty_columns(5 * sequences)
    block["stimulus_type"][:] = n.GABORS
    block["stimulus_template_name"][:] = n.GABORS
    block["unexpected"][:] = np.repeat(unexpected, 5)
    block["gabor_frame"][:] = letters.ravel()
    block["gabor_kappa"][:] = spec.gabor_kappa
    block["gabor_mean_orientation"][:] = orientations.ravel()
    block["gabor_number"][:] = numbers.ravel()
    block["start_frame_stim_template"][:] = np.arange(5 * sequences)
    block["num_frames_stim"][:] = FRAMES_PER_GABOR
    return block


def _flow_block(spec: SampleSpec, name: BlockName, rng: np.random.Generator) -> Columns:
    unexpected = unexpected_runs(spec.n_flow, (30, 90), (2, 4), rng)
    block = _empty_columns(spec.n_flow)
    block["stimulus_type"][:] = n.VISFLOW
    block["stimulus_template_name"][:] = f"visflow_{name}"
    block["unexpected"][:] = unexpected
    block["main_flow_direction"][:] = n.FLOW_DIRECTION_WORDS[name]
    block["square_size"][:] = spec.square_size
    block["square_number"][:] = spec.n_squares
    block["square_proportion_flipped"][:] = 0.25 * unexpected
    block["start_frame_stim_template"][:] = n.N_FLOW_FRAMES * np.arange(spec.n_flow)
    block["num_frames_stim"][:] = n.N_FLOW_FRAMES
    return block


def make_timeline(spec: SampleSpec) -> Timeline:
    """Make the segment table and the clocks of a session."""
    # Gray screens come first, between the blocks and last, and each segment stops where the next
    # one starts. A segment's two-photon frame is the one during which its first stimulus frame was
    # seen on the screen; its time is that of the stimulus computer's pulse, so the two may differ
    # by up to one two-photon frame. The last segment has no pulse to stop it: it lasts as long as
    # its frames do at 60 Hz.
    rng = spec.random(TIMELINE)
    drawn = BLOCK_ORDERS[int(rng.integers(len(BLOCK_ORDERS)))]
    blocks = [_gray_block(spec)]
    for name in spec.block_order or drawn:
        stimulus = _gabor_block(spec, rng) if name == "gabors" else _flow_block(spec, name, rng)
        blocks += [stimulus, _gray_block(spec)]
    # The last pulse of the stimulus computer has no frame after it.
    blocks[-1]["num_frames_stim"][:] -= 1
    table = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}

    clocks = make_clocks(spec, rng)
    clock, twop = clocks.stim_clock, clocks.stim_to_twop
    edges = np.concatenate([[0], np.cumsum(table.pop("num_frames_stim"))]).astype(np.int64)
    frames = np.diff(edges)
    # No frame follows the last one, which is taken to last one more.
    twop_edges = np.append(twop, twop[-1] + 1)[edges]
    times = {"start_time": clock[edges[:-1]], "stop_time": clock[edges[1:]]}
    times["stop_time"][-1] = times["start_time"][-1] + frames[-1] / NOMINAL_RATE
    numbers = {
        "start_frame_stim": edges[:-1],
        "stop_frame_stim": edges[1:],
        "num_frames_stim": frames,
        "start_frame_twop": twop_edges[:-1],
        "stop_frame_twop": twop_edges[1:],
        "num_frames_twop": np.diff(twop_edges),
    }
    order = [file for _, file in n.SEGMENT_COLUMNS if file in table]
    ordered = {name: table[name] for name in order}
    return Timeline(times | ordered | numbers, clocks)
