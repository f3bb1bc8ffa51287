"""Attributes that every session Dataset carries: references, constants of the stimulus."""

from dataclasses import dataclass
from typing import Final, Literal

from oscaxr.model import names as n

DATASET_ATTRS: Final[dict[str, str]] = {
    "title": "OpenScope Credit Assignment session",
    "dandiset": "DANDI:000037",
    "institution": "Allen Institute for Brain Science",
    "references": "Gillon, Lecoq et al. 2023, Scientific Data, doi 10.1038/s41597-023-02214-y; "
    "Gillon, Pina et al. 2024, Journal of Neuroscience, doi 10.1523/JNEUROSCI.1009-23.2023",
    "Conventions": "CF-1.11",
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


@dataclass(frozen=True)
class VariableSpec:
    """What one variable or coordinate is.

    Parameters
    ----------
    name : str
        Name in the Dataset.
    dims : tuple of str
        Its dims. The order has no meaning to a user: files differ in it.
    kind : {"float", "int", "bool", "str", "number"}
        Kind of the dtype; widths vary with the file.
    long_name : str
        What it is, for people (CF ``long_name``); figures take their labels from it.
    units : str, optional
        CF units; empty for labels and flags.
    role : {"index", "coord", "data"}, optional
        Index coordinate, other coordinate, or data variable.
    required : bool, optional
        Whether every session has it.
    include : str, optional
        The word in ``include=`` that asks for it; empty when it is always there.
    comment : str, optional
        A rule of interpretation worth carrying with the data (CF ``comment``).
    """

    name: str
    dims: tuple[str, ...]
    kind: Kind
    long_name: str
    units: str = ""
    role: Role = "coord"
    required: bool = False
    include: str = ""
    comment: str = ""

    @property
    def attrs(self) -> dict[str, str]:
        """The attributes a variable of this kind carries in a Dataset."""
        attrs = {"long_name": self.long_name}
        if self.units:
            attrs["units"] = self.units
        if self.comment:
            attrs["comment"] = self.comment
        return attrs
