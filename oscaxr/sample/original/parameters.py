"""Parameters of session and stimuli as the stimulus log has them."""

from typing import Any, Final

import numpy as np

from oscaxr.model import names as n
from oscaxr.sample.stimulus import DEGREES_PER_PIXEL, PATCH_PHASE, SPATIAL_FREQUENCY, WINDOW
from oscaxr.sample.synthesis import SampleSession
from oscaxr.sample.timeline import FRAMES_PER_GABOR, NOMINAL_RATE

IMAGES_PER_SEQUENCE: Final = 4


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
        "windowpar": window_parameters(),
    }


def window_parameters() -> list[Any]:
    """Return the size of the screen in pixels, and of a pixel in degrees."""
    return [list(WINDOW), np.float64(DEGREES_PER_PIXEL)]


def square_elements(session: SampleSession) -> dict[str, Any]:
    """Make what the stimulus computer drew visual flow from."""
    return {
        "units": "pix",
        "nElements": session.spec.n_squares,
        "sizes": np.float64(session.spec.square_size),
        "fieldShape": "sqr",
        "contrs": 1.0,
        "elementTex": None,
        "elementMask": None,
        "name": "bricks",
    }


def gabor_elements() -> dict[str, Any]:
    """Make what the stimulus computer drew Gabor patches from."""
    return {
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


def flow_parameters() -> dict[str, Any]:
    """Return the parameters of visual flow."""
    return {
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


def gabor_parameters(session: SampleSession) -> dict[str, Any]:
    """Return the parameters of Gabor patches."""
    return {
        "n_gabors": n.N_PATCHES,
        "size_ran": [10, 20],
        "sf": SPATIAL_FREQUENCY,
        "phase": PATCH_PHASE,
        "oris": [0.0, 45.0, 90.0, 135.0],
        "ori_std": session.spec.gabor_kappa**-0.5,
        "im_len": FRAMES_PER_GABOR / NOMINAL_RATE,
        "reg_len": [30, 90],
        "surp_len": [3, 6],
        "sd": 3,
        "units": "pix",
        "n_im": IMAGES_PER_SEQUENCE,
    }
