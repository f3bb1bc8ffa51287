"""The stimulus log of a pilot session: other names, and one stimulus shown in several blocks."""

from typing import Any

import numpy as np

from oscaxr.model import names as n
from oscaxr.sample.original.form import OriginalForm
from oscaxr.sample.original.parameters import (
    flow_parameters,
    gabor_elements,
    gabor_parameters,
    square_elements,
    window_parameters,
)
from oscaxr.sample.original.stimulus_log import (
    flow_frames,
    frame_list,
    gabor_draws,
    gabor_sweeps,
    log_of_session,
    sequence_parameters,
    stimulus,
)
from oscaxr.sample.synthesis import SampleSession


def make_pilot_log(session: SampleSession, form: OriginalForm) -> dict[str, Any]:
    """Make the stimulus log of a pilot session."""
    stimuli = [_gabors(session, form), _flow(session, form)]
    return {"stimuli": stimuli, **log_of_session(session, form)}


def _subject_parameters(session: SampleSession) -> dict[str, Any]:
    return {"seed": session.spec.seed, "windowpar": window_parameters()}


def _gabors(session: SampleSession, form: OriginalForm) -> dict[str, Any]:
    chosen = session.segments["stimulus_type"] == n.GABORS
    kappa = session.spec.gabor_kappa
    rows = [
        [orientation, kappa, int(unexpected)]
        for orientation, unexpected in sequence_parameters(session, chosen)
    ]
    draws = gabor_draws(session, form)
    names = {"possize": "possizes", "orisbyimg": "orisByImg"}
    parameters = {
        "elemParams": gabor_elements(),
        "gabor_params": gabor_parameters(session),
        **{names[name]: values for name, values in draws.items()},
        "subj_params": {**_subject_parameters(session), "oriparsurps": rows},
    }
    frames = frame_list(session, chosen, gabor_sweeps(session, chosen))
    return stimulus(session, chosen, frames, {"stimParams": parameters}, {})


def _flow(session: SampleSession, form: OriginalForm) -> dict[str, Any]:
    table = session.segments
    chosen = table["stimulus_type"] == n.VISFLOW
    is_left = table["main_flow_direction"][chosen] == n.LEFT
    size, number = session.spec.square_size, session.spec.n_squares
    rows = [
        [int(unexpected), size, number, "left" if left else "right"]
        for unexpected, left in zip(table["unexpected"][chosen], is_left, strict=True)
    ]
    parameters: dict[str, Any] = {
        "elemParams": square_elements(session),
        "square_params": flow_parameters(),
        "subj_params": {**_subject_parameters(session), "flipdirecarray": rows},
    }
    if "squares" not in form.leave_out:
        parameters["posByFrame"] = flow_frames(session, chosen)
    frames = frame_list(session, chosen, np.arange(len(rows)))
    return stimulus(session, chosen, frames, {"stimParams": parameters}, {})
