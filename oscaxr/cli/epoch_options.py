"""``--within``: segments that lie in epochs of a session, by what these are called."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Final

import typer
import xarray as xr

from oscaxr.select.criteria import select_segments
from oscaxr.select.epochs import epoch_difference, epoch_intersection, epochs, running_bouts

# As a Literal it could not be repeated: typer has no lists of these.
Epochs = StrEnum("Epochs", "running rest unexpected expected")
"""Names of epochs."""

WithinOption = Annotated[
    list[Epochs] | None,
    typer.Option(
        "--within",
        metavar="NAME",
        help="Only segments that lie wholly within epochs: running, rest (all but bouts of "
        "running), unexpected or expected (segments). May be repeated: within all of them.",
    ),
]

_MADE: Final[Mapping[Epochs, Callable[[xr.Dataset], xr.Dataset]]] = {
    Epochs.running: running_bouts,
    Epochs.rest: lambda ds: epoch_difference(epochs(ds), running_bouts(ds)),
    Epochs.unexpected: lambda ds: epochs(select_segments(ds, unexpected=1)),
    Epochs.expected: lambda ds: epochs(select_segments(ds, unexpected=0)),
}


def within(ds: xr.Dataset, names: Sequence[Epochs] | None) -> dict[str, Any]:
    """Return the epochs that were asked for, as the criterion of a selection."""
    return {"within": epoch_intersection(*(_MADE[name](ds) for name in names))} if names else {}
