"""The stimulus log of production and pilot sessions, a dict as the stimulus computer kept it."""

from collections import OrderedDict
from datetime import timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from oscaxr.model import names as n
from oscaxr.model.signals import runs
from oscaxr.sample.screen import (
    DEGREES_PER_PIXEL,
    PATCH_PHASE,
    SPATIAL_FREQUENCY,
    WINDOW,
    draw_patches,
)
from oscaxr.sample.synthesis import SampleSession
from oscaxr.sample.timeline import (
    COUNTS_PER_SECOND,
    FLIPS_PER_EVENT,
    FRAMES_PER_GABOR,
    NOMINAL_RATE,
)

IMAGES_PER_SEQUENCE: Final = 4


# What the stimulus computer drew from, and by which parameters.
_SCREEN: Final = [list(WINDOW), np.float64(DEGREES_PER_PIXEL)]
_GABOR_ELEMENTS: Final = {
    "units": "pix",
    "nElements": n.N_PATCHES,
    "fieldShape": "sqr",
    "contrs": 1.0,
    "phases": PATCH_PHASE,
    "sfs": np.float64(SPATIAL_FREQUENCY * DEGREES_PER_PIXEL),
    "elementTex": "sin",
    "elementMask": "gauss",
    "texRes": 48,
    "maskParams": {"sd": 3},
    "name": "gabors",
}
_FLOW_PARAMETERS: Final = {
    "size": 8,
    "speed": 50,
    "flipfrac": 0.25,
    "density": 0.75,
    "seg_len": 1,
    "reg_len": [30, 90],
    "surp_len": [2, 4],
    "units": "pix",
    "fps": 60,
}
_GABOR_PARAMETERS: Final = {
    "n_gabors": n.N_PATCHES,
    "size_ran": [10, 20],
    "sf": SPATIAL_FREQUENCY,
    "phase": PATCH_PHASE,
    "oris": [0.0, 45.0, 90.0, 135.0],
    "im_len": FRAMES_PER_GABOR / NOMINAL_RATE,
    "reg_len": [30, 90],
    "surp_len": [3, 6],
    "sd": 3,
    "units": "pix",
    "n_im": IMAGES_PER_SEQUENCE,
}


def _flow_drawn(session: SampleSession) -> dict[str, Any]:
    """Make what all logs tell of how visual flow was drawn."""
    elements = {
        "units": "pix",
        "nElements": session.spec.n_squares,
        "sizes": np.float64(session.spec.square_size),
        "fieldShape": "sqr",
        "contrs": 1.0,
        "elementTex": None,
        "elementMask": None,
        "name": "bricks",
    }
    return {"elemParams": elements, "square_params": _FLOW_PARAMETERS}


def _gabors_drawn(session: SampleSession) -> dict[str, Any]:
    """Make what all logs tell of how Gabor patches were drawn."""
    parameters = {**_GABOR_PARAMETERS, "ori_std": session.spec.gabor_kappa**-0.5}
    return {"elemParams": _GABOR_ELEMENTS, "gabor_params": parameters}


def session_params(session: SampleSession) -> dict[str, Any]:
    """Make what all stimuli of a production session share."""
    scale = session.spec.scale
    return {
        "type": "ophys",
        "session_dur": round(4200 * scale),
        "pre_blank": round(30 * scale),
        "post_blank": round(30 * scale),
        "inter_blank": round(30 * scale),
        "gab_dur": round(2040 * scale),
        "sq_dur": round(1020 * scale),
        "seed": session.spec.seed,
        "rng": np.random.RandomState(session.spec.seed),
        "windowpar": _SCREEN,
    }


def make_log(session: SampleSession) -> dict[str, Any]:
    """Make the stimulus log of a session, as of production or of the pilots."""
    if session.spec.run_type == "pilot":
        # Other names, and each stimulus shown in several blocks.
        stimuli = [_pilot_gabors(session), _pilot_flow(session)]
    else:
        shown = session.segments["stimulus_template_name"]
        names = [name for name in dict.fromkeys(shown.tolist()) if name != n.GRAYSCREEN]
        stimuli = [
            gabor_stimulus(session) if name == n.GABORS else flow_stimulus(session, shown == name)
            for name in reversed(names)
        ]
    return {"stimuli": stimuli, **log_of_session(session)}


def log_of_session(session: SampleSession) -> dict[str, Any]:
    """Make all of a log but its stimuli."""
    spec = session.spec
    intervals = np.diff(session.clocks.stim_fall) / (COUNTS_PER_SECOND / 1000)
    dropped = np.flatnonzero(intervals > 1500 / NOMINAL_RATE)
    # Up to the end of the last stimulus.
    last = int(session.segments["start_frame_stim"][-1])
    start = spec.start.replace(tzinfo=None)
    duration = float(intervals.sum() / 1000)
    encoder = {
        "dx": session.wheel,
        "vin": [],
        "vsig": [],
        "gain": 1.0,
        "value": float(session.wheel[-1]),
        "items": OrderedDict(),
        "unpickleable": [],
    }
    return {
        "fps": NOMINAL_RATE,
        "pre_blank_sec": 0.0,
        "post_blank_sec": float(len(session.clocks.stim_fall) - last) / NOMINAL_RATE,
        "vsynccount": len(session.clocks.stim_fall),
        "total_frames": last,
        "intervalsms": intervals,
        "droppedframes": (list(intervals[dropped]), (dropped + 1).tolist()),
        "items": OrderedDict(
            sync_square={"frequency": FLIPS_PER_EVENT, "colorSequence": [-1, 1]},
            foraging={
                "encoders": [encoder],
                "items": OrderedDict(),
                "rewards": [],
                "lick_sensors": [],
                "unpickleable": [],
            },
        ),
        "startdatetime": start,
        "stopdatetime": start + timedelta(seconds=duration),
        "start_time": spec.start.timestamp(),
        "stop_time": spec.start.timestamp() + duration,
        "script": "C:\\camstim\\script.py",
        "scripttext": "",
        "params": {},
        "config": {"mouseid": f"M{spec.mouse_id}"},
        "lims_config": {},
        "sync_config": {},
        "platform": {"os": ("Windows", "7"), "python": "2.7.11"},
        "monitor": {"widthcm": 52.0, "distancecm": 15.0, "sizepix": list(WINDOW)},
        "window": {"size": np.array(WINDOW)},
        "wwidth": WINDOW[0],
        "wheight": WINDOW[1],
        "nidaq_tasks": {},
        "movie_output": "",
        "sweepstim_text": "",
        "primary_stimulus": None,
        "unpickleable": ["framepulse", "onpulse"],
    }


def stimulus(
    session: SampleSession,
    chosen: NDArray[np.bool_],
    sweeps: NDArray[np.int64],
    own: dict[str, Any],
) -> dict[str, Any]:
    """Make the dict of one stimulus: what all have, then its own."""
    table = session.segments
    first, count = runs(chosen)
    starts = table["start_frame_stim"][first]
    stops = table["stop_frame_stim"][first + count - 1]
    shown = np.full(len(chosen), -1, dtype=np.int32)
    shown[chosen] = sweeps
    # Each segment stops where the next one starts, and the list with the stimulus' last frame.
    frames = np.repeat(shown, table["num_frames_stim"])[: stops[-1]]
    return {
        "fps": NOMINAL_RATE,
        "frame_list": frames,
        "total_frames": len(frames),
        "display_sequence": np.column_stack([starts, stops]) / NOMINAL_RATE,
        "start_time": 0.0,
        "stop_time": None,
        "blank_length": 0,
        "runs": 1,
        "shuffle": False,
        "save_sweep_table": True,
        "stim_text": "",
        "stim_path": "",
        "on_draw": {},
        "items": OrderedDict(),
        "current_frame": len(frames),
        "stim": "<cred_assign_stims.CredAssignStims object>",
        "unpickleable": [],
        **own,
    }


def sweep_frames(count: int, length: int) -> list[tuple[int, int]]:
    """Return first and last frame of each sweep of a stimulus, blank ones included."""
    return [(start, start + length - 1) for start in range(0, count * length, length)]


def flow_frames(session: SampleSession, chosen: NDArray[np.bool_]) -> list[NDArray[np.int16]]:
    """Return the (square, 2) positions of each drawn frame of the chosen visual flow."""
    is_flow = session.segments["stimulus_type"] == n.VISFLOW
    rows = chosen[is_flow]
    track = np.stack([axis[rows] for axis in session.squares()], axis=-1)
    # From (segment, square, frame, axis) to one array a frame.
    return list(np.ascontiguousarray(track.swapaxes(1, 2)).reshape(-1, *track.shape[1::2]))


def flow_stimulus(session: SampleSession, chosen: NDArray[np.bool_]) -> dict[str, Any]:
    """Make the dict of visual flow in one direction."""
    unexpected = session.segments["unexpected"][chosen].astype(np.int64).tolist()
    count = len(unexpected)
    is_left = session.segments["main_flow_direction"][chosen][0] == n.LEFT
    parameters = {
        **_flow_drawn(session),
        "fieldSize": list(WINDOW),
        "tex": None,
        "colors": -np.ones(3),
        "initScr": False,
        "autoLog": False,
        "units": "pix",
        "actual_fps": (16.67, 0.1, 16.66),
        "direc": "left" if is_left else "right",
        "last_frame": [[count * n.N_FLOW_FRAMES]],
        "session_params": {**session_params(session), "posbyframe": flow_frames(session, chosen)},
    }
    own = {
        "stim_params": parameters,
        "sweep_params": {"Flip": (unexpected, 0)},
        "dimnames": ["Flip"],
        "sweep_length": 1,
        "blank_sweeps": 0,
        "sweep_order": list(range(count)),
        "sweep_frames": sweep_frames(count, n.N_FLOW_FRAMES),
        "sweep_table": [(flip,) for flip in unexpected],
    }
    return stimulus(session, chosen, np.arange(count), own)


def gabor_sweeps(session: SampleSession, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the sweep of each Gabor segment: four a sequence, and -1 for the gray one."""
    is_image = session.segments["gabor_frame"][chosen] != "G"
    return np.where(is_image, np.cumsum(is_image) - 1, -1)


def sequence_parameters(session: SampleSession, chosen: NDArray[np.bool_]) -> list[tuple[Any, Any]]:
    """Return mean orientation (of A) and whether it is unexpected of each Gabor sequence."""
    first = chosen & (session.segments["gabor_frame"] == "A")
    orientation = session.segments["gabor_mean_orientation"][first].tolist()
    return list(zip(orientation, list(session.segments["unexpected"][first]), strict=True))


def gabor_draws(session: SampleSession) -> dict[str, Any]:
    """Return what was drawn for the patches: sets of positions and sizes, and orientations."""
    drawn = draw_patches(session.spec, session.segments)
    places = np.stack([drawn.x, drawn.y], axis=-1)
    return {
        "possize": list(zip(places, drawn.size, strict=True)),
        "orisbyimg": list(drawn.orientation),
    }


def gabor_stimulus(session: SampleSession) -> dict[str, Any]:
    """Make the dict of the Gabor patches."""
    chosen = session.segments["stimulus_type"] == n.GABORS
    sweeps = gabor_sweeps(session, chosen)
    sequences = sequence_parameters(session, chosen)
    count = len(sequences) * IMAGES_PER_SEQUENCE
    images = list(range(IMAGES_PER_SEQUENCE))
    parameters = {
        **_gabors_drawn(session),
        "fieldSize": list(WINDOW),
        "tex": "sin",
        "colors": np.ones(3),
        "initScr": True,
        "autoLog": False,
        "units": "pix",
        "last_frame": [[count * FRAMES_PER_GABOR]],
        "session_params": {**session_params(session), **gabor_draws(session)},
    }
    own = {
        "stim_params": parameters,
        "sweep_params": {"OriSurp": (sequences, 0), "PosSizesAll": (images, 1)},
        "dimnames": ["OriSurp", "PosSizesAll"],
        "sweep_length": FRAMES_PER_GABOR / NOMINAL_RATE,
        "blank_sweeps": IMAGES_PER_SEQUENCE,
        "sweep_order": sweeps.tolist(),
        "sweep_frames": sweep_frames(len(sweeps), FRAMES_PER_GABOR),
        "sweep_table": [(sequence, image) for sequence in sequences for image in images],
    }
    return stimulus(session, chosen, sweeps, own)


def _pilot_gabors(session: SampleSession) -> dict[str, Any]:
    chosen = session.segments["stimulus_type"] == n.GABORS
    kappa = session.spec.gabor_kappa
    rows = [
        [orientation, kappa, int(unexpected)]
        for orientation, unexpected in sequence_parameters(session, chosen)
    ]
    draws = gabor_draws(session)
    parameters = {
        **_gabors_drawn(session),
        "possizes": draws["possize"],
        "orisByImg": draws["orisbyimg"],
        "subj_params": {"seed": session.spec.seed, "windowpar": _SCREEN, "oriparsurps": rows},
    }
    return stimulus(session, chosen, gabor_sweeps(session, chosen), {"stimParams": parameters})


def _pilot_flow(session: SampleSession) -> dict[str, Any]:
    table = session.segments
    chosen = table["stimulus_type"] == n.VISFLOW
    is_left = table["main_flow_direction"][chosen] == n.LEFT
    size, number = session.spec.square_size, session.spec.n_squares
    rows = [
        [int(unexpected), size, number, "left" if left else "right"]
        for unexpected, left in zip(table["unexpected"][chosen], is_left, strict=True)
    ]
    parameters: dict[str, Any] = {
        **_flow_drawn(session),
        "subj_params": {"seed": session.spec.seed, "windowpar": _SCREEN, "flipdirecarray": rows},
        "posByFrame": flow_frames(session, chosen),
    }
    return stimulus(session, chosen, np.arange(len(rows)), {"stimParams": parameters})
