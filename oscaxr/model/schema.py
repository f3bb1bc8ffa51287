"""The session Dataset and the sequences array, declared once, as data.

Readers take their attributes from these tables, :mod:`oscaxr.model.dataset` checks against them,
and the documentation's data-model page is printed from them.
"""

from typing import Final

from oscaxr.model import names as n
from oscaxr.model.attrs import Kind, VariableSpec


def _segment(
    name: str, kind: Kind, long_name: str, units: str = "", *, comment: str = ""
) -> VariableSpec:
    return VariableSpec(name, (n.SEGMENT,), kind, long_name, units, required=True, comment=comment)


_INDEXES = (
    VariableSpec(
        n.ROI,
        (n.ROI,),
        "int",
        "row of the ROI in the file's ROI table",
        role="index",
        required=True,
    ),
    VariableSpec(
        n.TIME,
        (n.TIME,),
        "float",
        "time of the two-photon frame",
        "s",
        role="index",
        required=True,
    ),
    VariableSpec(
        n.STIM_TIME,
        (n.STIM_TIME,),
        "float",
        "time of the stimulus frame",
        "s",
        role="index",
        required=True,
    ),
    VariableSpec(
        n.SEGMENT,
        (n.SEGMENT,),
        "int",
        "row of the segment in the stimulus table",
        role="index",
        required=True,
    ),
    VariableSpec(
        n.FLOW_SEGMENT,
        (n.FLOW_SEGMENT,),
        "int",
        "segment number of a visual-flow segment",
        role="index",
        include="squares",
    ),
)

_ROI_COORDS = (
    VariableSpec(n.ROI_ID, (n.ROI,), "int", "id of the ROI in the source", required=True),
    VariableSpec(
        n.TRACKING_ID,
        (n.ROI,),
        "int",
        "position of the ROI in the tracking order",
        required=True,
        comment="-1 where the ROI is not tracked; the same number is the same neuron or "
        "dendrite in every tracked session of the mouse",
    ),
    VariableSpec(
        n.VALID,
        (n.ROI,),
        "bool",
        "ROI trace is fit for analysis",
        comment="neither NaN nor infinite values; in sessions of the original layout, also none "
        "of the other reasons in invalid_reason",
    ),
    VariableSpec(
        n.INVALID_REASON,
        (n.ROI,),
        "str",
        "why the ROI is not fit for analysis",
        comment="empty where it is; only in sessions of the original layout, since NWB files "
        "leave such ROIs out",
    ),
    VariableSpec("centroid_y", (n.ROI,), "float", "centroid of the ROI mask, row", "px"),
    VariableSpec("centroid_x", (n.ROI,), "float", "centroid of the ROI mask, column", "px"),
    VariableSpec("area_px", (n.ROI,), "int", "number of pixels in the ROI mask", "px"),
)

_STIM_TIME_COORDS = (
    VariableSpec(
        n.ALIGNED_FRAME_TWOP,
        (n.STIM_TIME,),
        "int",
        "two-photon frame of the stimulus frame",
        comment="as aligned through the photodiode; only in sessions of the original layout",
    ),
)

_SEGMENT_COORDS = (
    _segment("stimulus_type", "str", "stimulus type"),
    _segment("stimulus_template_name", "str", "name of the stimulus template"),
    _segment(
        "unexpected",
        "float",
        "segment belongs to an unexpected sequence",
        comment="0 or 1, NaN for gray screen; a Gabor sequence is 1 from A to G when its "
        "fourth frame is U",
    ),
    _segment(
        "gabor_frame",
        "str",
        "Gabor frame of the segment",
        comment="A B C D/U, then G for the gray frame that ends a sequence; empty elsewhere",
    ),
    _segment("gabor_kappa", "float", "Gabor orientation dispersion (kappa)", "1"),
    _segment(
        "gabor_mean_orientation",
        "float",
        "mean Gabor orientation",
        "degree",
        comment="U is 90 degrees on from the D it replaces; NaN where not Gabor",
    ),
    _segment("gabor_number", "float", "number of Gabor patches", "1"),
    _segment("main_flow_direction", "str", "main direction of visual flow"),
    _segment("square_size", "float", "side of the visual-flow squares", "px"),
    _segment("square_number", "float", "number of visual-flow squares", "1"),
    _segment(
        "square_proportion_flipped", "float", "proportion of squares moving the other way", "1"
    ),
    _segment(
        "start_frame_stim_template",
        "int",
        "first frame in the stimulus template",
        comment="-1 where unknown",
    ),
    _segment("start_frame_stim", "int", "first stimulus frame"),
    _segment("stop_frame_stim", "int", "stimulus frame after the last"),
    _segment("num_frames_stim", "int", "number of stimulus frames"),
    _segment("start_frame_twop", "int", "first two-photon frame"),
    _segment("stop_frame_twop", "int", "two-photon frame after the last"),
    _segment("num_frames_twop", "int", "number of two-photon frames"),
    _segment("start_time", "float", "start of the segment", "s"),
    _segment("stop_time", "float", "stop of the segment", "s"),
    _segment("duration", "float", "duration of the segment", "s"),
    _segment(
        n.BLOCK,
        "int",
        "block of consecutive segments of one stimulus type",
        comment="numbered from 0 through the session, gray screens included",
    ),
    _segment(
        "run_start",
        "bool",
        "first of consecutive like segments",
        comment="alike in block and in being expected or unexpected",
    ),
    _segment(
        "sequence_index",
        "int",
        "number of the Gabor sequence (A B C D/U G)",
        comment="numbered from 0 through the session; -1 where not Gabor",
    ),
)

_DATA = (
    VariableSpec(n.DFF, (n.TIME, n.ROI), "float", "dF/F", "1", role="data", required=True),
    VariableSpec(
        n.RUN_VELOCITY,
        (n.STIM_TIME,),
        "float",
        "running velocity",
        "cm/s",
        role="data",
        required=True,
        comment="outliers and dropped frames are NaN",
    ),
    VariableSpec(
        n.PUPIL_DIAMETER,
        (n.TIME,),
        "float",
        "pupil diameter",
        "mm",
        role="data",
        comment="NaN in blinks; 0.0102 mm a camera pixel",
    ),
    VariableSpec(n.PUPIL_CENTER_X, (n.TIME,), "float", "pupil centre, x", "mm", role="data"),
    VariableSpec(n.PUPIL_CENTER_Y, (n.TIME,), "float", "pupil centre, y", "mm", role="data"),
    VariableSpec(
        n.PUPIL_CENTER_SHIFT,
        (n.TIME,),
        "float",
        "shift of the pupil centre since the last frame",
        "mm",
        role="data",
        comment="first value NaN",
    ),
    VariableSpec(
        "gabor_x",
        (n.SEGMENT, n.PATCH),
        "float",
        "Gabor patch position, x from screen centre",
        "px",
        role="data",
    ),
    VariableSpec(
        "gabor_y",
        (n.SEGMENT, n.PATCH),
        "float",
        "Gabor patch position, y from screen centre",
        "px",
        role="data",
    ),
    VariableSpec(
        "gabor_size", (n.SEGMENT, n.PATCH), "float", "Gabor patch size", "px", role="data"
    ),
    VariableSpec(
        "gabor_orientation",
        (n.SEGMENT, n.PATCH),
        "float",
        "Gabor patch orientation",
        "degree",
        role="data",
    ),
    VariableSpec(
        "square_x",
        (n.FLOW_SEGMENT, n.SQUARE, n.FLOW_FRAME),
        "number",
        "visual-flow square position, x from screen centre",
        "px",
        role="data",
        include="squares",
    ),
    VariableSpec(
        "square_y",
        (n.FLOW_SEGMENT, n.SQUARE, n.FLOW_FRAME),
        "number",
        "visual-flow square position, y from screen centre",
        "px",
        role="data",
        include="squares",
    ),
    VariableSpec(n.ROI_MASK, (n.ROI, n.HEIGHT, n.WIDTH), "bool", "ROI mask", role="data"),
    VariableSpec(
        n.MAX_PROJECTION,
        (n.HEIGHT, n.WIDTH),
        "number",
        "maximum projection of the recording",
        "1",
        role="data",
    ),
    VariableSpec(
        n.DFF_MEDIAN, (n.ROI,), "float", "median of the full dF/F trace", "1", role="data"
    ),
    VariableSpec(
        n.DFF_SPREAD,
        (n.ROI,),
        "float",
        "95th less 5th percentile of the full dF/F trace",
        "1",
        role="data",
    ),
    VariableSpec(
        n.MOVIE,
        (n.TIME, n.HEIGHT, n.WIDTH),
        "number",
        "motion-corrected two-photon stack",
        "1",
        role="data",
        include="movie",
    ),
)

SESSION: Final[dict[str, VariableSpec]] = {
    spec.name: spec
    for spec in (*_INDEXES, *_ROI_COORDS, *_STIM_TIME_COORDS, *_SEGMENT_COORDS, *_DATA)
}
"""Every variable and coordinate of a session Dataset, by name."""


def template_spec(template: str) -> VariableSpec:
    """Return the declaration of the images of one stimulus template."""
    return VariableSpec(
        f"template_{template}",
        (f"template_{template}_frame", "template_height", "template_width"),
        "number",
        f"stimulus template images, {template}",
        "1",
        role="data",
        include="templates",
    )


SEQUENCES: Final[dict[str, VariableSpec]] = {
    spec.name: spec
    for spec in (
        VariableSpec(
            n.SEQUENCE,
            (n.SEQUENCE,),
            "int",
            "segment number of the sequence, or its position among the frames asked for",
            role="index",
            required=True,
        ),
        VariableSpec(
            n.REL_TIME,
            (n.REL_TIME,),
            "float",
            "time from the reference frame",
            "s",
            role="index",
            required=True,
        ),
        VariableSpec(
            n.REL_FRAME, (n.REL_TIME,), "int", "frames from the reference frame", required=True
        ),
        VariableSpec(
            "reference_frame",
            (n.SEQUENCE,),
            "int",
            "reference frame on the variable's own clock",
            required=True,
        ),
        VariableSpec(
            n.TIME,
            (n.SEQUENCE, n.REL_TIME),
            "float",
            "time of the frame in the session",
            "s",
            required=True,
            comment="NaN outside the recording",
        ),
    )
}
"""What every array of sequences carries, beside the dims and coords of its variable."""
