"""What is declared of one variable or coordinate of a session."""

from dataclasses import dataclass
from typing import Final, Literal

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
