"""The stimulus table, with Gabor patches and square tracks, from what was shown frame by frame."""

from collections.abc import Iterator
from functools import partial
from typing import Final

import numpy as np
import pandas as pd

from oscaxr.arrays.computed import computed
from oscaxr.arrays.lazy import Array, Once
from oscaxr.errors import FormatError
from oscaxr.files.remote import Place
from oscaxr.formats.original.log_cache import Tracks
from oscaxr.formats.original.stimulus_log import ShownStimulus, StimulusLog
from oscaxr.model import names as n
from oscaxr.model import segments as segments_of
from oscaxr.model.derived import Parts

Columns = dict[str, Array]

_LETTERS: Final = np.array(["A", "B", "C", "D", "U", "G"])
UNEXPECTED_LETTER: Final = 4
GRAY_LETTER: Final = 5
_SHOWN_PER_SEQUENCE: Final = n.SEGMENTS_PER_GABOR_SEQUENCE - 1
_SEQUENCE_FRAMES: Final = 18
_FLOW_FRAMES: Final = 60
_SQUARE_NUMBERS: Final = {128.0: n.N_SQUARES, 256.0: 26}
_STARTS: Final = ["start_frame_stim", "start_frame_twop"]
_STOPS: Final = ["stop_frame_stim", "stop_frame_twop"]


def build_rows(log: StimulusLog, alignment: Array) -> Columns:
    """Build the rows of the stimulus table, in the order of time."""
    problems: list[str] = []
    parts = [_sweep_rows(log, number, alignment, problems) for number in range(len(log.stimuli))]
    _finish(problems)
    rows = pd.concat(parts).sort_values("start_frame_twop", kind="stable")
    _check_overlaps(rows, "shown at once")
    rows = pd.concat([rows, _gray_frames(rows, alignment)]).sort_values(_STARTS)
    _check_overlaps(rows, "that overlap with gray frames")
    rows = pd.concat([rows, _gray_screens(rows, alignment)]).sort_values(_STARTS)
    found = {str(name): column.to_numpy() for name, column in rows.items()}
    for name in ("stimulus_type", "main_flow_direction"):
        found[name] = found[name].astype(np.str_)
    return found


def _finish(problems: list[str]) -> None:
    if problems:
        raise FormatError("the stimulus table cannot be built: " + "; ".join(problems))


def _sweep_rows(
    log: StimulusLog, number: int, alignment: Array, problems: list[str]
) -> pd.DataFrame | None:
    """Return one row a sweep of a stimulus."""
    shown = log.stimuli[number]
    what = f"stimulus {number} ({shown.kind})"
    frames = np.flatnonzero(shown.frame_list >= 0)
    if not frames.size:
        problems.append(f"{what} was never shown")
        return None
    listed = shown.frame_list[frames]
    sweeps, first, count = np.unique(listed, return_index=True, return_counts=True)
    last = len(frames) - 1 - np.unique(listed[::-1], return_index=True)[1]
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
    unexpected = shown.unexpected[of].astype(np.float64)
    letter = sweeps % per if is_gabors else np.full(len(sweeps), -1)
    letter[(letter == _SHOWN_PER_SEQUENCE - 1) & (unexpected == 1)] = UNEXPECTED_LETTER
    # U replaces D, turned by 90 degrees.
    turned = 90.0 * (letter == UNEXPECTED_LETTER)
    return pd.DataFrame(
        {
            "stimulus": number,
            "sweep": sweeps,
            "stimulus_type": shown.kind,
            "letter": letter,
            "start_frame_stim": start,
            "start_frame_twop": alignment[start],
            "stop_frame_stim": stop,
            "stop_frame_twop": alignment[stop],
            "unexpected": unexpected,
            "gabor_kappa": shown.kappa[of] if is_gabors else np.nan,
            "gabor_mean_orientation": shown.mean_orientation[of] + turned if is_gabors else np.nan,
            "square_size": np.nan if is_gabors else shown.size[of],
            "main_flow_direction": "" if is_gabors else shown.direction[of],
        }
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


def _check_overlaps(rows: pd.DataFrame, what: str) -> None:
    starts = rows[_STARTS].to_numpy()[1:]
    stops = rows[_STOPS].to_numpy()[:-1]
    over = np.flatnonzero((starts < stops).any(axis=1))
    if over.size:
        between = f"{starts[over[0], 1]} to {stops[over[0], 1]}"
        _finish([f"there are {over.size} segments {what} (first: two-photon frames {between})"])


def _gray_frames(rows: pd.DataFrame, alignment: Array) -> pd.DataFrame:
    """Return the gray frame that ends each Gabor sequence, from D or U to the next row."""
    # After the last of a block there is no next one: its gray frame is as long as the longest so
    # far, as far as there is room.
    ends = np.flatnonzero(rows["letter"] >= _SHOWN_PER_SEQUENCE - 1)
    is_last = ends + 1 == len(rows)
    sequence, follower = rows.iloc[ends], rows.iloc[np.where(is_last, ends, ends + 1)]
    start = sequence["stop_frame_stim"].to_numpy()
    following = np.where(is_last, len(alignment), follower["start_frame_stim"])
    same = ["stimulus", "gabor_kappa"]
    # The next sequence of the same block begins with the next sweep, after a gray frame.
    has_next = (
        ~is_last
        & (sequence[same].to_numpy() == follower[same].to_numpy()).all(axis=1)
        & (following - start <= 2 * _SEQUENCE_FRAMES)
    )
    longest = np.maximum.accumulate(np.where(has_next, following - start, 0))
    stop = np.where(has_next, following, np.minimum(start + longest, following))
    # Beyond the last frame that is aligned, the two-photon frame after its own.
    beyond = np.append(alignment, alignment[-1] + 1)
    return sequence.assign(
        sweep=np.full(len(ends), -1),
        letter=np.full(len(ends), GRAY_LETTER),
        start_frame_stim=start,
        start_frame_twop=sequence["stop_frame_twop"],
        stop_frame_stim=stop,
        stop_frame_twop=beyond[stop],
    )


def _gray_screens(rows: pd.DataFrame, alignment: Array) -> pd.DataFrame:
    """Return a row for each gap: before the first segment, between segments, after the last."""
    gaps = pd.DataFrame(
        {
            "stimulus": -1,
            "sweep": -1,
            "stimulus_type": n.GRAYSCREEN,
            "letter": -1,
            "start_frame_stim": np.append(0, rows["stop_frame_stim"]),
            "start_frame_twop": np.append(alignment[0], rows["stop_frame_twop"]),
            "stop_frame_stim": np.append(rows["start_frame_stim"], len(alignment)),
            "stop_frame_twop": np.append(rows["start_frame_twop"], alignment[-1] + 1),
            "main_flow_direction": "",
        }
    )
    return gaps[gaps["stop_frame_stim"] > gaps["start_frame_stim"]]


def build_columns(rows: Columns, log: StimulusLog, clock: Array) -> Columns:
    """Return the columns of the stimulus table."""
    is_flow, is_gabor = (rows["stimulus_type"] == kind for kind in (n.VISFLOW, n.GABORS))
    template = _template_names(rows, log.is_pilot)
    is_shown = is_gabor & (rows["letter"] != GRAY_LETTER)
    squares = pd.Series(rows["square_size"]).map(_SQUARE_NUMBERS).to_numpy(np.float64)
    start, stop = rows["start_frame_stim"], rows["stop_frame_stim"]
    start_time, stop_time = clock[start], clock[np.minimum(stop, len(clock) - 1)]
    # The last frames' own length is not known: they are taken as long as the screen's.
    stop_time[-1] = start_time[-1] + (stop[-1] - start[-1]) / log.fps
    columns: Columns = {
        "stimulus_type": rows["stimulus_type"],
        "stimulus_template_name": template,
        "gabor_frame": np.where(rows["letter"] >= 0, _LETTERS[rows["letter"]], ""),
        "main_flow_direction": rows["main_flow_direction"],
        "unexpected": rows["unexpected"],
        "gabor_kappa": rows["gabor_kappa"],
        "gabor_mean_orientation": rows["gabor_mean_orientation"],
        "gabor_number": np.where(is_shown, float(n.N_PATCHES), np.nan),
        "square_size": rows["square_size"],
        "square_number": squares,
        "square_proportion_flipped": np.where(is_flow, 0.25 * rows["unexpected"], np.nan),
        "start_frame_stim_template": _template_frames(rows, template),
        "start_time": start_time,
        "stop_time": stop_time,
        **{name: rows[name] for name in (*_STARTS, *_STOPS)},
    }
    return segments_of.completed(columns)


def _template_names(rows: Columns, is_pilot: bool) -> Array:
    kind = pd.Series(rows["stimulus_type"], dtype=str)
    direction = pd.Series(rows["main_flow_direction"], dtype=str)
    flow = "_" + direction.str.split(" ").str[0]
    gabors = pd.Series("", index=kind.index)
    if is_pilot:
        flow += "_size_" + pd.Series(rows["square_size"]).map("{:.0f}".format)
        gabors += "_kappa_" + pd.Series(rows["gabor_kappa"]).map("{:.0f}".format)
    names = kind + flow.where(kind == n.VISFLOW, "") + gabors.where(kind == n.GABORS, "")
    return np.array(names, np.str_)


def _template_frames(rows: Columns, template: Array) -> Array:
    """Return where in its template each segment begins: Gabors by the row, flow by the frame."""
    frames = np.zeros(len(template), np.int64)
    for name in np.unique(template[rows["stimulus"] >= 0]):
        of = np.flatnonzero(template == name)
        if rows["stimulus_type"][of[0]] == n.GABORS:
            frames[of] = np.arange(len(of))
        else:
            frames[of] = rows["start_frame_stim"][of] - rows["start_frame_stim"][of[0]]
    return frames


def square_parts(tracks: Tracks, path: Place, rows: Columns, log: StimulusLog) -> Parts:
    """Return the tracks of the squares, lazy."""
    with_tracks = [i for i, shown in enumerate(log.stimuli) if shown.n_tracks]
    flow = np.flatnonzero(np.isin(rows["stimulus"], with_tracks))
    if not flow.size:
        return {}
    lengths = np.unique(rows["stop_frame_stim"][flow] - rows["start_frame_stim"][flow])
    sizes = np.unique(rows["square_size"][flow])
    if len(lengths) > 1 or len(sizes) > 1:
        raise FormatError(
            f"{path}: visual-flow segments of {lengths.tolist()} frames with squares of "
            f"{sizes.tolist()} px have no common form: open the session without squares"
        )
    n_frames, n_squares = int(lengths[0]), n.N_SQUARES if sizes[0] == 128 else 26
    first = np.zeros(len(flow), np.int64)
    which = np.searchsorted(with_tracks, rows["stimulus"][flow])
    for place, number in enumerate(with_tracks):
        shown = log.stimuli[number]
        # Positions run on through the blocks of a stimulus, one a frame on which it is drawn.
        drawn = np.cumsum(shown.frame_list >= 0) - 1
        of = which == place
        first[of] = drawn[rows["start_frame_stim"][flow[of]] - log.offset]
        if first[of].max() + n_frames > shown.n_tracks:
            raise FormatError(
                f"{path} has square positions for {shown.n_tracks} frames of stimulus {number}, "
                f"which was drawn on {first[of].max() + n_frames}"
            )
    shape = (len(flow), n_squares, n_frames)
    once = Once(partial(_cut, tracks, which, first, shape))
    return {
        "square_x": computed(once, shape, np.int16, "x"),
        "square_y": computed(once, shape, np.int16, "y"),
        n.FLOW_SEGMENT: flow.astype(np.int64),
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


def build_patches(rows: Columns, log: StimulusLog) -> Columns:
    """Return the parameters of the Gabor patches."""
    found: Columns = {}
    for number, shown in enumerate(log.stimuli):
        of = np.flatnonzero((rows["stimulus"] == number) & (rows["letter"] != GRAY_LETTER))
        if shown.kind == n.GABORS:
            for name, values in _patches(shown, rows["letter"][of], rows["sweep"][of]).items():
                blank = np.full((len(rows["letter"]), n.N_PATCHES), np.nan)
                found.setdefault(name, blank)[of] = values
    return found


def _patches(shown: ShownStimulus, letter: Array, sweep: Array) -> Columns:
    """Return what is known of the patches in each sweep of a stimulus."""
    places = {"gabor_x": shown.patch_x, "gabor_y": shown.patch_y, "gabor_size": shown.patch_size}
    found = {name: values[letter] for name, values in places.items() if values is not None}
    if shown.orientations is None:
        return found
    if shown.orientations.shape != (sweep.max() + 1, n.N_PATCHES):
        raise FormatError(
            f"orisbyimg has shape {shown.orientations.shape}, where {sweep.max() + 1} Gabor sweeps "
            f"of {n.N_PATCHES} patches were shown"
        )
    turned = shown.orientations[sweep] + 90.0 * (letter == UNEXPECTED_LETTER)[:, np.newaxis]
    turned += 360.0 * (turned < 0) - 360.0 * (turned > 360)
    return {**found, "gabor_orientation": turned}
