"""The stimulus table, with Gabor patches and square tracks, from what was shown frame by frame."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from oscaxr.arrays.computed import computed
from oscaxr.arrays.lazy import Array, Once
from oscaxr.errors import FormatError
from oscaxr.formats.original.log_cache import Tracks
from oscaxr.formats.original.stimulus_log import ShownStimulus, StimulusLog
from oscaxr.model import names as n
from oscaxr.model import segments as segments_of

Columns = dict[str, Array]

_LETTERS: Final = np.array(["A", "B", "C", "D", "U", "G"])
UNEXPECTED_LETTER: Final = 4
GRAY_LETTER: Final = 5
_SHOWN_PER_SEQUENCE: Final = n.SEGMENTS_PER_GABOR_SEQUENCE - 1
_SEQUENCE_FRAMES: Final = 18
_FLOW_FRAMES: Final = 60
_GABORS, _FLOW, _GRAY = range(3)
_KIND_NAMES: Final = np.array([n.GABORS, n.VISFLOW, n.GRAYSCREEN])
_SQUARE_NUMBERS: Final = {128.0: n.N_SQUARES, 256.0: 26}


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of the stimulus table in the making, one element each."""

    stimulus: Array
    sweep: Array
    kind: Array
    letter: Array
    start: Array
    stop: Array
    values: Columns

    def __len__(self) -> int:
        return len(self.kind)

    def take(self, rows: Array) -> "Rows":
        """Return some of the rows, in a given order."""
        own = {name: getattr(self, name)[..., rows] for name in _ROW_FIELDS}
        return Rows(**own, values={name: values[rows] for name, values in self.values.items()})


_ROW_FIELDS: Final = ("stimulus", "sweep", "kind", "letter", "start", "stop")


def joined(parts: list[Rows]) -> Rows:
    """Return rows one after the other."""
    return Rows(
        **{
            name: np.concatenate([getattr(part, name) for part in parts], axis=-1)
            for name in _ROW_FIELDS
        },
        values={
            name: np.concatenate([part.values[name] for part in parts]) for name in parts[0].values
        },
    )


def build_rows(log: StimulusLog, alignment: Array) -> Rows:
    """Build the rows of the stimulus table, in the order of time."""
    problems: list[str] = []
    parts = []
    for number, shown in enumerate(log.stimuli):
        part = _sweep_rows(log, number, shown, alignment, problems)
        if part is not None:
            parts.append(part)
    _finish(problems)
    rows = joined(parts)
    rows = rows.take(np.argsort(rows.start[1], kind="stable"))
    _check_overlaps(rows, "shown at once", problems)
    _finish(problems)
    rows = joined([rows, _gray_frames(rows, alignment)])
    rows = rows.take(np.lexsort((rows.start[1], rows.start[0])))
    _check_overlaps(rows, "that overlap with gray frames", problems)
    _finish(problems)
    rows = joined([rows, _gray_screens(rows, alignment)])
    return rows.take(np.lexsort((rows.start[1], rows.start[0])))


def _finish(problems: list[str]) -> None:
    if problems:
        raise FormatError("the stimulus table cannot be built: " + "; ".join(problems))


def _sweep_rows(
    log: StimulusLog,
    number: int,
    shown: ShownStimulus,
    alignment: Array,
    problems: list[str],
) -> Rows | None:
    """Return one row a sweep of a stimulus."""
    what = f"stimulus {number} ({shown.kind})"
    frames = np.flatnonzero(shown.frame_list >= 0)
    if not frames.size:
        problems.append(f"{what} was never shown")
        return None
    sweeps, first, count = np.unique(
        shown.frame_list[frames], return_index=True, return_counts=True
    )
    last = len(frames) - 1 - np.unique(shown.frame_list[frames][::-1], return_index=True)[1]
    start, stop = frames[first] + log.offset, frames[last] + 1 + log.offset
    is_gabors = shown.kind == n.GABORS
    per = _SHOWN_PER_SEQUENCE if is_gabors else 1
    n_blocks = max(1, len(log.stimuli[0].seconds))
    problems += [f"{what}{words}" for words in _odd_sweeps(shown, sweeps, per, n_blocks)]
    broken = np.count_nonzero(stop - start != count)
    if broken:
        problems.append(f"{what}: {broken} sweeps are interrupted")
    if stop.max() >= len(alignment):
        problems.append(
            f"{what} is shown up to frame {stop.max()}, but the sync file has {len(alignment)} "
            "stimulus frames"
        )
    if problems:
        return None
    of = sweeps // per
    nothing = np.full(len(sweeps), np.nan)
    unexpected = shown.unexpected[of].astype(np.float64)
    letter = np.full(len(sweeps), -1)
    orientation, kappa, size = nothing, nothing, nothing
    direction = np.full(len(sweeps), "", dtype=f"U{max(map(len, n.FLOW_DIRECTIONS))}")
    if is_gabors:
        letter = sweeps % per
        letter[(letter == per - 1) & (unexpected == 1)] = UNEXPECTED_LETTER
        # U replaces D, turned by 90 degrees.
        orientation = shown.mean_orientation[of] + 90.0 * (letter == UNEXPECTED_LETTER)
        kappa = shown.kappa[of]
    else:
        size, direction = shown.size[of], shown.direction[of].astype(direction.dtype)
    return Rows(
        stimulus=np.full(len(sweeps), number),
        sweep=sweeps,
        kind=np.full(len(sweeps), _GABORS if is_gabors else _FLOW),
        letter=letter,
        start=np.stack([start, alignment[start]]),
        stop=np.stack([stop, alignment[stop]]),
        values={
            "unexpected": unexpected,
            "gabor_kappa": kappa,
            "gabor_mean_orientation": orientation,
            "square_size": size,
            "main_flow_direction": direction,
        },
    )


def _odd_sweeps(shown: ShownStimulus, sweeps: Array, per: int, n_blocks: int) -> Iterator[str]:
    """Say where the sweeps are not as many as there should be."""
    if sweeps[-1] != len(sweeps) - 1:
        yield f": sweeps are missing ({len(sweeps)} of {sweeps[-1] + 1} are shown)"
    if -(-len(sweeps) // per) > len(shown.unexpected):
        of_what = " sequences" if per > 1 else ""
        yield f" has {len(sweeps)} sweeps, but parameters of {len(shown.unexpected)}{of_what}"
    seconds = float(np.diff(shown.seconds, axis=1).sum()) if shown.seconds.size else 0.0
    expected = int(60 * seconds / _FLOW_FRAMES)
    if per > 1:
        expected = int(60 * seconds / _SEQUENCE_FRAMES * 4 / 5)
    if abs(len(sweeps) - expected) > 2 * n_blocks:
        yield f" has {len(sweeps)} sweeps, where {seconds:g} s hold {expected}"


def _check_overlaps(rows: Rows, what: str, problems: list[str]) -> None:
    over = np.flatnonzero((rows.start[:, 1:] < rows.stop[:, :-1]).any(axis=0))
    if over.size:
        problems.append(
            f"there are {over.size} segments {what} (first: two-photon frames "
            f"{rows.start[1, over[0] + 1]} to {rows.stop[1, over[0]]})"
        )


def _gray_frames(rows: Rows, alignment: Array) -> Rows:
    """Return the gray frame that ends each Gabor sequence, from D or U to the next row."""
    # After the last of a block there is no next one: its gray frame is as long as the longest so
    # far, as far as there is room.
    ends = np.flatnonzero(rows.letter >= _SHOWN_PER_SEQUENCE - 1)
    follows = np.minimum(ends + 1, len(rows) - 1)
    # The next sequence of the same block begins with the next sweep, after a gray frame.
    has_next = (
        (ends + 1 < len(rows))
        & (rows.stimulus[follows] == rows.stimulus[ends])
        & (rows.values["gabor_kappa"][follows] == rows.values["gabor_kappa"][ends])
        & (rows.start[0, follows] - rows.stop[0, ends] <= 2 * _SEQUENCE_FRAMES)
    )
    start = rows.stop[:, ends]
    following = np.where(ends + 1 < len(rows), rows.start[0, follows], len(alignment))
    longest = np.maximum.accumulate(np.where(has_next, following - start[0], 0))
    stop = np.where(has_next, following, np.minimum(start[0] + longest, following))
    # Beyond the last frame that is aligned, the two-photon frame after its own.
    beyond = np.append(alignment, alignment[-1] + 1)
    values = {name: column[ends] for name, column in rows.values.items()}
    return Rows(
        stimulus=rows.stimulus[ends],
        sweep=np.full(len(ends), -1),
        kind=np.full(len(ends), _GABORS),
        letter=np.full(len(ends), GRAY_LETTER),
        start=start,
        stop=np.stack([stop, beyond[stop]]),
        values=values,
    )


def _gray_screens(rows: Rows, alignment: Array) -> Rows:
    """Return a row for each gap: before the first segment, between segments, after the last."""
    ends = np.array([[len(alignment)], [alignment[-1] + 1]])
    start = np.concatenate([[[0], [alignment[0]]], rows.stop], axis=1)
    stop = np.concatenate([rows.start, ends], axis=1)
    gaps = np.flatnonzero(stop[0] > start[0])
    empty = np.full(len(gaps), np.nan)
    values: Columns = dict.fromkeys(rows.values, empty)
    values["main_flow_direction"] = np.full(len(gaps), "", rows.values["main_flow_direction"].dtype)
    return Rows(
        stimulus=np.full(len(gaps), -1),
        sweep=np.full(len(gaps), -1),
        kind=np.full(len(gaps), _GRAY),
        letter=np.full(len(gaps), -1),
        start=start[:, gaps],
        stop=stop[:, gaps],
        values=values,
    )


def build_columns(rows: Rows, log: StimulusLog, clock: Array) -> Columns:
    """Return the columns of the stimulus table."""
    kind = _KIND_NAMES[rows.kind]
    is_flow, is_gabor = rows.kind == _FLOW, rows.kind == _GABORS
    template = _template_names(rows, log.is_pilot)
    size = rows.values["square_size"]
    unexpected = rows.values["unexpected"]
    number = np.where(is_gabor & (rows.letter != GRAY_LETTER), float(n.N_PATCHES), np.nan)
    squares = np.full(len(rows), np.nan)
    for side, count in _SQUARE_NUMBERS.items():
        squares[size == side] = count
    start_time, stop_time = clock[rows.start[0]], clock[np.minimum(rows.stop[0], len(clock) - 1)]
    # The last frames' own length is not known: they are taken as long as the screen's.
    stop_time[-1] = start_time[-1] + (rows.stop[0, -1] - rows.start[0, -1]) / log.fps
    columns: Columns = {
        "stimulus_type": kind,
        "stimulus_template_name": template,
        "gabor_frame": np.where(rows.letter >= 0, _LETTERS[rows.letter], ""),
        "main_flow_direction": rows.values["main_flow_direction"],
        "unexpected": unexpected,
        "gabor_kappa": rows.values["gabor_kappa"],
        "gabor_mean_orientation": rows.values["gabor_mean_orientation"],
        "gabor_number": number,
        "square_size": size,
        "square_number": squares,
        "square_proportion_flipped": np.where(is_flow, 0.25 * unexpected, np.nan),
        "start_frame_stim_template": _template_frames(rows, template),
        "start_time": start_time,
        "stop_time": stop_time,
        "duration": stop_time - start_time,
    }
    for place, which in enumerate(("stim", "twop")):
        start, stop = rows.start[place].astype(np.int64), rows.stop[place].astype(np.int64)
        columns |= {
            f"start_frame_{which}": start,
            f"stop_frame_{which}": stop,
            f"num_frames_{which}": stop - start,
        }
    return {**columns, **segments_of.derive(columns)}


def _template_names(rows: Rows, is_pilot: bool) -> Array:
    names = _KIND_NAMES[rows.kind].astype("U32")
    is_flow = rows.kind == _FLOW
    sides = np.char.partition(rows.values["main_flow_direction"].astype("U32"), " ")[..., 0]
    flow = np.char.add("visflow_", sides)
    if is_pilot:
        sizes = np.nan_to_num(rows.values["square_size"]).astype(np.int64).astype("U8")
        flow = np.char.add(np.char.add(flow, "_size_"), sizes)
        kappas = np.nan_to_num(rows.values["gabor_kappa"]).astype(np.int64).astype("U8")
        is_gabor = rows.kind == _GABORS
        names[is_gabor] = np.char.add("gabors_kappa_", kappas)[is_gabor]
    names[is_flow] = flow[is_flow]
    width = max(map(len, names.tolist()), default=1)
    return names.astype(f"U{width}")


def _template_frames(rows: Rows, template: Array) -> Array:
    """Return where in its template each segment begins: Gabors by the row, flow by the frame."""
    frames = np.zeros(len(rows), np.int64)
    is_gabor = rows.kind == _GABORS
    for name in np.unique(template[rows.kind != _GRAY]):
        of = np.flatnonzero(template == name)
        if is_gabor[of[0]]:
            frames[of] = np.arange(len(of))
        else:
            frames[of] = rows.start[0, of] - rows.start[0, of[0]]
    return frames


Parts = dict[str, tuple[tuple[str, ...], Any]]


def square_parts(tracks: Tracks, path: Path, rows: Rows, log: StimulusLog) -> Parts:
    """Return the tracks of the squares, lazy."""
    with_tracks = [i for i, shown in enumerate(log.stimuli) if shown.n_tracks]
    flow = np.flatnonzero(np.isin(rows.stimulus, with_tracks))
    if not flow.size:
        return {}
    lengths = np.unique(rows.stop[0, flow] - rows.start[0, flow])
    sizes = np.unique(rows.values["square_size"][flow])
    if len(lengths) > 1 or len(sizes) > 1:
        raise FormatError(
            f"{path}: visual-flow segments of {lengths.tolist()} frames with squares of "
            f"{sizes.tolist()} px have no common form: open the session without squares"
        )
    n_frames, n_squares = int(lengths[0]), n.N_SQUARES if sizes[0] == 128 else 26
    first = np.zeros(len(flow), np.int64)
    which = np.searchsorted(with_tracks, rows.stimulus[flow])
    for place, number in enumerate(with_tracks):
        shown = log.stimuli[number]
        # Positions run on through the blocks of a stimulus, one a frame on which it is drawn.
        drawn = np.cumsum(shown.frame_list >= 0) - 1
        of = which == place
        first[of] = drawn[rows.start[0, flow[of]] - log.offset]
        if first[of].max() + n_frames > shown.n_tracks:
            raise FormatError(
                f"{path} has square positions for {shown.n_tracks} frames of stimulus {number}, "
                f"which was drawn on {first[of].max() + n_frames}"
            )
    shape = (len(flow), n_squares, n_frames)
    once = Once(partial(_cut, tracks, which, first, shape))
    dims = (n.FLOW_SEGMENT, n.SQUARE, n.FLOW_FRAME)
    return {
        "square_x": (dims, computed(once, shape, np.int16, "x")),
        "square_y": (dims, computed(once, shape, np.int16, "y")),
        n.FLOW_SEGMENT: ((n.FLOW_SEGMENT,), flow.astype(np.int64)),
    }


def _cut(tracks: Tracks, which: Array, first: Array, shape: tuple[int, ...]) -> dict[str, Array]:
    found = np.empty((2, *shape), np.int16)
    for number, positions in enumerate(tracks()):
        of = np.flatnonzero(which == number)
        if positions.ndim != 3 or positions.shape[1:] != (shape[1], 2):
            raise FormatError(
                f"square positions have shape {positions.shape}, where (frame, {shape[1]}, 2) was "
                "expected"
            )
        frames = first[of, np.newaxis] + np.arange(shape[2])
        found[:, of] = positions[frames].transpose(3, 0, 2, 1)
    return {"x": found[0], "y": found[1]}


def build_patches(rows: Rows, log: StimulusLog) -> Columns:
    """Return the parameters of the Gabor patches."""
    found: Columns = {}
    for number, shown in enumerate(log.stimuli):
        if shown.kind != n.GABORS:
            continue
        of = np.flatnonzero((rows.stimulus == number) & (rows.letter != GRAY_LETTER))
        letter, sweep = rows.letter[of], rows.sweep[of]
        for name, places in (
            ("gabor_x", shown.patch_x),
            ("gabor_y", shown.patch_y),
            ("gabor_size", shown.patch_size),
        ):
            if places is not None:
                _column(found, name, len(rows))[of] = places[letter]
        if shown.orientations is not None:
            if shown.orientations.shape != (sweep.max() + 1, n.N_PATCHES):
                raise FormatError(
                    f"orisbyimg has shape {shown.orientations.shape}, where {sweep.max() + 1} "
                    f"Gabor sweeps of {n.N_PATCHES} patches were shown"
                )
            turned = shown.orientations[sweep].astype(np.float64)
            turned[letter == UNEXPECTED_LETTER] += 90.0
            turned += 360.0 * (turned < 0) - 360.0 * (turned > 360)
            _column(found, "gabor_orientation", len(rows))[of] = turned
    return found


def _column(found: Columns, name: str, length: int) -> Array:
    return found.setdefault(name, np.full((length, n.N_PATCHES), np.nan))
