"""The words of the dataset: dims, variables, category values, constants.

Everything else in the package says these names by importing them from here, so that a name is
spelled in one place only.
"""

from typing import Final

# -- dims ---------------------------------------------------------------------------------------
ROI: Final = "roi"
TIME: Final = "time"
STIM_TIME: Final = "stim_time"
SEGMENT: Final = "segment"
FLOW_SEGMENT: Final = "flow_segment"
PATCH: Final = "patch"
SQUARE: Final = "square"
FLOW_FRAME: Final = "flow_frame"
HEIGHT: Final = "height"
WIDTH: Final = "width"
BLOCK: Final = "block"
EPOCH: Final = "epoch"
SEQUENCE: Final = "sequence"
REL_TIME: Final = "rel_time"
REL_FRAME: Final = "rel_frame"
TRACKING_ID: Final = "tracking_id"

# -- variables ----------------------------------------------------------------------------------
DFF: Final = "dff"
RUN_VELOCITY: Final = "run_velocity"
PUPIL_DIAMETER: Final = "pupil_diameter"
PUPIL_CENTER_X: Final = "pupil_center_x"
PUPIL_CENTER_Y: Final = "pupil_center_y"
PUPIL_CENTER_SHIFT: Final = "pupil_center_shift"
ROI_MASK: Final = "roi_mask"
MAX_PROJECTION: Final = "max_projection"
DFF_MEDIAN: Final = "dff_median"
DFF_SPREAD: Final = "dff_spread"
VALID: Final = "valid"
INVALID_REASON: Final = "invalid_reason"
LISTED_INVALID: Final = "listed_invalid"
ROI_ID: Final = "roi_id"
ALIGNED_FRAME_TWOP: Final = "aligned_frame_twop"
MOVIE: Final = "movie"
HEIGHT_UM: Final = "height_um"
WIDTH_UM: Final = "width_um"

PUPIL_VARIABLES: Final = (PUPIL_DIAMETER, PUPIL_CENTER_X, PUPIL_CENTER_Y, PUPIL_CENTER_SHIFT)
GABOR_PATCH_VARIABLES: Final = ("gabor_x", "gabor_y", "gabor_size", "gabor_orientation")

# -- category values ----------------------------------------------------------------------------
GABORS: Final = "gabors"
VISFLOW: Final = "visflow"
GRAYSCREEN: Final = "grayscreen"
STIMULUS_TYPES: Final = (GABORS, VISFLOW, GRAYSCREEN)
# As pictures and summaries say them.
STIMULUS_WORDS: Final = {GABORS: "Gabors", VISFLOW: "visual flow", GRAYSCREEN: "gray screen"}

GABOR_FRAMES: Final = ("A", "B", "C", "D", "U", "G")
# The published tool numbers the frames of a Gabor sequence; its frame 3 is either D or U.
GABOR_FRAME_NUMBERS: Final = {0: ("A",), 1: ("B",), 2: ("C",), 3: ("D", "U"), 4: ("G",)}
GABOR_KAPPAS: Final = (4.0, 16.0)
# A to D have one of four mean orientations; U is 90 degrees on from the D it replaces.
GABOR_MEAN_ORIENTATIONS: Final = (0.0, 45.0, 90.0, 135.0, 180.0, 225.0)

RIGHT: Final = "right (temp)"
LEFT: Final = "left (nasal)"
FLOW_DIRECTIONS: Final = (RIGHT, LEFT)
FLOW_DIRECTION_WORDS: Final = {
    **dict.fromkeys(("right", "temp", "temporal", RIGHT), RIGHT),
    **dict.fromkeys(("left", "nasal", LEFT), LEFT),
}
FLOW_WORDS: Final = {RIGHT: "temporal", LEFT: "nasal"}
SQUARE_SIZES: Final = (128.0, 256.0)
# The numbers that a column may hold; the others are free.
NUMBER_DOMAINS: Final[dict[str, tuple[float, ...]]] = {
    "unexpected": (0.0, 1.0),
    "gabor_kappa": GABOR_KAPPAS,
    "gabor_mean_orientation": GABOR_MEAN_ORIENTATIONS,
    "square_size": SQUARE_SIZES,
}

# -- numbers ------------------------------------------------------------------------------------
UNTRACKED: Final = -1
N_PATCHES: Final = 30
N_SQUARES: Final = 105
N_FLOW_FRAMES: Final = 60
SEGMENTS_PER_GABOR_SEQUENCE: Final = 5
MM_PER_PUPIL_PIXEL: Final = 0.0102
RUNNING_OUTLIER_CM_PER_S: Final = 50.0
DROP_TOLERANCE: Final = 0.0003
"""Fraction of running frames that may be missing before a warning is given."""

# -- scaling: how a variable's published (median, spread) factors are defined ---------------------
SPREAD_PERCENTILES: Final = {
    DFF: (5.0, 95.0),
    **dict.fromkeys((RUN_VELOCITY, *PUPIL_VARIABLES), (25.0, 75.0)),
}
