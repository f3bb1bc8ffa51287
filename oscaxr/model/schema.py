"""The session Dataset and the sequences array, declared once, as data.

Readers take their attributes from these tables, :mod:`oscaxr.model.dataset` checks against them,
and the documentation's data-model page is printed from them.
"""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Literal

from oscaxr.model import names as n

DATASET_ATTRS: Final[dict[str, str]] = {
    "title": "OpenScope Credit Assignment session",
    "dandiset": "DANDI:000037",
    "institution": "Allen Institute for Brain Science",
    "references": "Gillon, Lecoq et al. 2023, Scientific Data, doi 10.1038/s41597-023-02214-y; "
    "Gillon, Pina et al. 2024, Journal of Neuroscience, doi 10.1523/JNEUROSCI.1009-23.2023",
}

STIMULUS_ATTRS: Final[dict[str, float]] = {
    "screen_width_px": 1920,
    "screen_height_px": 1200,
    "degrees_per_px": 0.06251912565744862,
    "expected_run_min_s": 30.0,
    "expected_run_max_s": 90.0,
    "gabor_unexpected_run_min_s": 3.0,
    "gabor_unexpected_run_max_s": 6.0,
    "gabor_segment_duration_s": 0.3,
    "gabor_segments_per_sequence": n.SEGMENTS_PER_GABOR_SEQUENCE,
    "gabor_patches": n.N_PATCHES,
    "gabor_size_min_px": 204,
    "gabor_size_max_px": 408,
    "gabor_spatial_frequency_cycles_per_degree": 0.04,
    "gabor_phase": 0.25,
    "gabor_orientation_min_degree": 0.0,
    "gabor_orientation_max_degree": 360.0,
    "flow_unexpected_run_min_s": 2.0,
    "flow_unexpected_run_max_s": 4.0,
    "flow_segment_duration_s": 1.0,
    "flow_speed_px_per_s": 799.7552664756905,
    "flow_proportion_flipped": 0.25,
}
"""Constants of the production stimulus, from the dataset paper."""


Role = Literal["index", "coord", "data"]
Kind = Literal["float", "int", "bool", "str", "number"]

KIND_CODES: Final[dict[Kind, str]] = {
    "float": "f",
    "int": "iu",
    "bool": "b",
    "str": "UTO",
    "number": "fiu",
}


class Described:
    """What is declared with words for people."""

    long_name: str
    units: str = ""
    comment: str = ""
    axis: str = ""

    @property
    def attrs(self) -> dict[str, str]:
        """The attributes that it carries in a Dataset."""
        names = ("long_name", "units", "comment", "axis")
        return {name: text for name in names if (text := getattr(self, name))}


@dataclass(frozen=True)
class VariableSpec(Described):
    """What one variable or coordinate is.

    Parameters
    ----------
    name : str
        Name in the Dataset.
    kind : {"float", "int", "bool", "str", "number"}
        Kind of the dtype; widths vary with the file.
    long_name : str
        What it is, for people (CF ``long_name``); figures take their labels from it.
    units : str, optional
        CF units, as UDUNITS reads them: numbers and pixels are "1"; empty for labels and flags.
    comment : str, optional
        A rule of interpretation worth carrying with the data (CF ``comment``).
    axis : {"", "T", "Y", "X"}, optional
        CF axis of an index coordinate.
    dims : tuple of str
        Its dims. The order has no meaning to a user: files differ in it.
    role : {"index", "coord", "data"}, optional
        Index coordinate, other coordinate, or data variable.
    required : bool, optional
        Whether every session has it.
    include : str, optional
        The word in ``include=`` that asks for it; empty when it is always there.
    """

    name: str
    kind: Kind
    long_name: str
    units: str = ""
    comment: str = ""
    axis: str = field(default="", kw_only=True)
    dims: tuple[str, ...] = field(kw_only=True)
    role: Role = field(default="coord", kw_only=True)
    required: bool = field(default=False, kw_only=True)
    include: str = field(default="", kw_only=True)


_roi = partial(VariableSpec, dims=(n.ROI,))
_segment = partial(VariableSpec, dims=(n.SEGMENT,), required=True)
_row = partial(VariableSpec, dims=(n.HEIGHT,))
_column = partial(VariableSpec, dims=(n.WIDTH,))
_index = partial(VariableSpec, role="index", required=True)
_data = partial(VariableSpec, role="data")


_FIELD: Final = (n.HEIGHT, n.WIDTH)
_PATCHES: Final = (n.SEGMENT, n.PATCH)
_SQUARES: Final = (n.FLOW_SEGMENT, n.SQUARE, n.FLOW_FRAME)

_COORDS = (
    _index(n.ROI, "int", "row of the ROI in the file's ROI table", dims=(n.ROI,)),
    _index(n.TIME, "float", "time of the two-photon frame", "s", dims=(n.TIME,), axis="T"),
    _index(n.STIM_TIME, "float", "time of the stimulus frame", "s", dims=(n.STIM_TIME,), axis="T"),
    _index(n.SEGMENT, "int", "row of the segment in the stimulus table", dims=(n.SEGMENT,)),
    VariableSpec(
        n.FLOW_SEGMENT,
        "int",
        "segment number of a visual-flow segment",
        dims=(n.FLOW_SEGMENT,),
        role="index",
        include="squares",
    ),
    _roi(n.ROI_ID, "int", "id of the ROI in the source", required=True),
    _roi(n.TRACKING_ID, "int", "position of the ROI in the tracking order", required=True),
    _roi(n.VALID, "bool", "ROI trace is fit for analysis"),
    _roi(n.INVALID_REASON, "str", "why the ROI is not fit for analysis"),
    _roi(n.LISTED_INVALID, "bool", "the session's files list the ROI as invalid"),
    _roi("centroid_y", "float", "centroid of the ROI mask, row, in pixels", "1"),
    _roi("centroid_x", "float", "centroid of the ROI mask, column, in pixels", "1"),
    _roi("area_px", "int", "number of pixels in the ROI mask", "1"),
    _row(n.HEIGHT, "int", "row of pixels in the field of view", "1", role="index", axis="Y"),
    _column(n.WIDTH, "int", "column of pixels in the field of view", "1", role="index", axis="X"),
    _row(n.HEIGHT_UM, "float", "distance of the row from the first", "um"),
    _column(n.WIDTH_UM, "float", "distance of the column from the first", "um"),
    VariableSpec(
        n.ALIGNED_FRAME_TWOP, "int", "two-photon frame of the stimulus frame", dims=(n.STIM_TIME,)
    ),
)

_PUBLISHED_COLUMNS = (
    _segment("stimulus_type", "str", "stimulus type"),
    _segment("stimulus_template_name", "str", "name of the stimulus template"),
    _segment("unexpected", "float", "segment belongs to an unexpected sequence"),
    _segment("gabor_frame", "str", "Gabor frame of the segment"),
    _segment("gabor_kappa", "float", "Gabor orientation dispersion (kappa)", "1"),
    _segment("gabor_mean_orientation", "float", "mean Gabor orientation", "degree"),
    _segment("gabor_number", "float", "number of Gabor patches", "1"),
    _segment("main_flow_direction", "str", "main direction of visual flow"),
    _segment("square_size", "float", "side of the visual-flow squares, in pixels", "1"),
    _segment("square_number", "float", "number of visual-flow squares", "1"),
    _segment(
        "square_proportion_flipped", "float", "proportion of squares moving the other way", "1"
    ),
    _segment("start_frame_stim_template", "int", "first frame in the stimulus template"),
    _segment("start_frame_stim", "int", "first stimulus frame"),
    _segment("stop_frame_stim", "int", "stimulus frame after the last"),
    _segment("num_frames_stim", "int", "number of stimulus frames", "1"),
    _segment("start_frame_twop", "int", "first two-photon frame"),
    _segment("stop_frame_twop", "int", "two-photon frame after the last"),
    _segment("num_frames_twop", "int", "number of two-photon frames", "1"),
    _segment("start_time", "float", "start of the segment", "s"),
    _segment("stop_time", "float", "stop of the segment", "s"),
    _segment("duration", "float", "duration of the segment", "s"),
)

_DERIVED_COLUMNS = (
    _segment(n.BLOCK, "int", "block of consecutive segments of one stimulus type"),
    _segment("run_start", "bool", "first of consecutive like segments"),
    _segment("sequence_index", "int", "number of the Gabor sequence (A B C D/U G)"),
)

_pupil = partial(_data, kind="float", units="mm", dims=(n.TIME,))
_patch = partial(_data, kind="float", dims=_PATCHES)
_square = partial(_data, kind="number", units="1", dims=_SQUARES, include="squares")

_DATA = (
    _data(n.DFF, "float", "dF/F", "1", dims=(n.TIME, n.ROI), required=True),
    _data(n.RUN_VELOCITY, "float", "running velocity", "cm/s", dims=(n.STIM_TIME,), required=True),
    _pupil(n.PUPIL_DIAMETER, long_name="pupil diameter"),
    _pupil(n.PUPIL_CENTER_X, long_name="pupil centre, x"),
    _pupil(n.PUPIL_CENTER_Y, long_name="pupil centre, y"),
    _pupil(n.PUPIL_CENTER_SHIFT, long_name="shift of the pupil centre since the last frame"),
    _patch("gabor_x", long_name="Gabor patch position, x from screen centre, in pixels", units="1"),
    _patch("gabor_y", long_name="Gabor patch position, y from screen centre, in pixels", units="1"),
    _patch("gabor_size", long_name="Gabor patch size, in pixels", units="1"),
    _patch("gabor_orientation", long_name="Gabor patch orientation", units="degree"),
    _square("square_x", long_name="visual-flow square position, x from screen centre, in pixels"),
    _square("square_y", long_name="visual-flow square position, y from screen centre, in pixels"),
    _data(n.ROI_MASK, "bool", "ROI mask", dims=(n.ROI, *_FIELD)),
    _data(n.MAX_PROJECTION, "number", "maximum projection of the recording", "1", dims=_FIELD),
    _data(n.DFF_MEDIAN, "float", "median of the full dF/F trace", "1", dims=(n.ROI,)),
    _data(
        n.DFF_SPREAD, "float", "95th less 5th percentile of the full dF/F trace", "1", dims=(n.ROI,)
    ),
    _data(
        n.MOVIE,
        "number",
        "motion-corrected two-photon stack",
        "1",
        dims=(n.TIME, *_FIELD),
        include="movie",
    ),
)

_COMMENTS: Final = {
    n.HEIGHT_UM: "by the spacing of pixels that the file states",
    n.WIDTH_UM: "by the spacing of pixels that the file states",
    n.TRACKING_ID: "-1 where the ROI is not tracked; the same number is the same neuron or "
    "dendrite in every tracked session of the mouse",
    n.VALID: "neither NaN nor infinite values; in sessions of the original layout, also none "
    "of the other reasons in invalid_reason",
    n.INVALID_REASON: "empty where it is; only in sessions of the original layout, since NWB files "
    "leave such ROIs out",
    n.LISTED_INVALID: "such ROIs are left out of sequences and statistics; only in sessions of the "
    "original layout whose ROIs were matched over sessions",
    n.ALIGNED_FRAME_TWOP: "as aligned through the photodiode; only in sessions of the original "
    "layout",
    "unexpected": "0 or 1, NaN for gray screen; a Gabor sequence is 1 from A to G when its "
    "fourth frame is U",
    "gabor_frame": "A B C D/U, then G for the gray frame that ends a sequence; empty elsewhere",
    "gabor_mean_orientation": "U is 90 degrees on from the D it replaces; G, "
    "without patches, has that of its D or U; NaN where not Gabor",
    "start_frame_stim_template": "-1 where unknown",
    n.BLOCK: "numbered from 0 through the session, gray screens included",
    "run_start": "alike in block and in being expected or unexpected",
    "sequence_index": "numbered from 0 through the session; -1 where not Gabor",
    n.RUN_VELOCITY: "outliers and dropped frames are NaN",
    n.PUPIL_DIAMETER: "NaN in blinks; 0.0102 mm a camera pixel",
    n.PUPIL_CENTER_SHIFT: "first value NaN",
}
"""Rules of interpretation worth carrying with the data."""

SESSION: Final[dict[str, VariableSpec]] = {
    spec.name: replace(spec, comment=_COMMENTS.get(spec.name, ""))
    for spec in (*_COORDS, *_PUBLISHED_COLUMNS, *_DERIVED_COLUMNS, *_DATA)
}
"""Every variable and coordinate of a session Dataset, by name."""

SEGMENT_TEXT: Final = tuple(spec.name for spec in _PUBLISHED_COLUMNS if spec.kind == "str")
SEGMENT_NUMBERS: Final = tuple(
    spec.name for spec in _PUBLISHED_COLUMNS if spec.kind == "float" and spec.units != "s"
)
SEGMENT_FRAMES: Final = tuple(
    spec.name
    for spec in _PUBLISHED_COLUMNS
    if spec.name.startswith(("start_frame", "stop_frame", "num_frames"))
)
"""Columns of the stimulus table that hold labels, numbers other than times, frame numbers."""

SEGMENT_COLUMNS: Final = tuple(
    (f"{spec.name}_sec" if spec.units == "s" else spec.name, spec.name)
    for spec in _PUBLISHED_COLUMNS
)
"""The stimulus table in the published order: (published column, coordinate of the Dataset)."""


def template_spec(template: str) -> VariableSpec:
    """Return the declaration of the images of one stimulus template."""
    name = f"template_{template}"
    dims = (f"{name}_frame", "template_height", "template_width")
    what = f"stimulus template images, {template}"
    return _data(name, "number", what, "1", dims=dims, include="templates")


_SEQUENCE_COORDS = (
    _index(
        n.SEQUENCE,
        "int",
        "segment number of the sequence, or its position among the frames asked for",
        comment=".sel(sequence=...) takes these labels, .isel(sequence=...) positions",
        dims=(n.SEQUENCE,),
    ),
    _index(n.REL_TIME, "float", "time from the reference frame", "s", dims=(n.REL_TIME,), axis="T"),
    VariableSpec(
        n.REL_FRAME, "int", "frames from the reference frame", dims=(n.REL_TIME,), required=True
    ),
    VariableSpec(
        "reference_frame",
        "int",
        "reference frame on the variable's own clock",
        dims=(n.SEQUENCE,),
        required=True,
    ),
    VariableSpec(
        n.TIME,
        "float",
        "time of the frame in the session",
        "s",
        "NaN outside the recording",
        dims=(n.SEQUENCE, n.REL_TIME),
        required=True,
    ),
)

SEQUENCES: Final[dict[str, VariableSpec]] = {spec.name: spec for spec in _SEQUENCE_COORDS}
"""What every array of sequences carries, beside the dims and coords of its variable."""
