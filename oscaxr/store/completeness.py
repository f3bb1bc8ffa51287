"""Whether an export is whole: all of its data there, and on request readable."""

from pathlib import Path
from typing import Final

import numpy as np
import xarray as xr

from oscaxr.errors import DamagedExportError, OscaxrError
from oscaxr.store.export_file import opened_export
from oscaxr.store.open import layouts_of

_BLOCK_BYTES: Final = 32 * 2**20
_LISTED: Final = 10


def check_complete(path: Path, *, deep: bool = False) -> None:
    """Check that all data of an export are there."""
    problems: list[str] = []
    layouts = layouts_of(path)
    with opened_export(path) as file:
        for group, layout in layouts.items():
            variables = file.variables(group, layout.dims)
            shown = f" of {group}" if group else ""
            problems += [f"{path} lacks {n}{shown}" for n in layout.order if n not in variables]
            found = file.problems(group, layout.order)
            problems += found
            if deep and not found:
                for variable in variables.values():
                    problems += _unreadable(variable)
    if problems:
        more = len(problems) - _LISTED
        listed = problems[:_LISTED] + ([f"... and {more} more problems"] if more > 0 else [])
        raise DamagedExportError("\n".join(listed))


def _unreadable(variable: xr.Variable) -> list[str]:
    """Read a variable block by block; say why it cannot be."""
    try:
        if not variable.ndim or not variable.size:
            np.asarray(variable.values)
            return []
        rows, width = variable.shape[0], variable.encoding.get("preferred_chunks", {})
        step = width.get(variable.dims[0], 1)
        step *= max(1, _BLOCK_BYTES // max(1, step * variable.nbytes // rows))
        for start in range(0, rows, step):
            np.asarray(variable[start : start + step].values)
    except OscaxrError as error:
        return [str(error)]
    return []
