"""How data leaves: to zarr and netCDF, to the published tool's frames, to pynapple and numpy."""

from oscaxr.export.bridges import Labelled, to_numpy, to_pynapple
from oscaxr.export.hierarchical import from_hierarchical_frame, to_hierarchical_frame
from oscaxr.export.write import save

__all__ = [
    "Labelled",
    "from_hierarchical_frame",
    "save",
    "to_hierarchical_frame",
    "to_numpy",
    "to_pynapple",
]
