"""OpenScope Credit Assignment sessions (DANDI 000037) as lazy labelled xarray Datasets."""

from importlib import import_module as _import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from oscaxr import accessor as accessor  # registers ds.osca and da.osca
from oscaxr.bridges.long_tables import to_frame
from oscaxr.bridges.pandas_frames import from_hierarchical_frame, to_hierarchical_frame
from oscaxr.bridges.pynapple import to_numpy, to_pynapple
from oscaxr.errors import OscaxrError, OscaxrWarning
from oscaxr.errors import RenamedError as _RenamedError
from oscaxr.explore import explore
from oscaxr.measure import (
    active_rois,
    baseline,
    integrate,
    interpolate,
    invalid_rois,
    plateau_traces,
    roi_correlations,
    scale,
    scale_factors,
    smooth,
    snr,
    stats,
)
from oscaxr.measure.label_image import roi_labels
from oscaxr.measure.registration import register_masks, register_projection
from oscaxr.model.dataset import validate
from oscaxr.renamed import NAMES as _NAMES
from oscaxr.select.alignment import align_tracked, n_tracked, tracked
from oscaxr.select.criteria import select_segments
from oscaxr.select.epochs import (
    epoch_difference,
    epoch_intersection,
    epoch_union,
    epochs,
    running_bouts,
)
from oscaxr.select.frames import segments_at, stimulus_images
from oscaxr.select.responses import responses
from oscaxr.select.sequences import sequences
from oscaxr.select.tables import blocks, patches, segment_table

if _TYPE_CHECKING:
    from oscaxr import analyses, download, plot, sample
    from oscaxr.formats.original.matches import read_matches
    from oscaxr.sessions.convert import convert
    from oscaxr.sessions.find import find_sessions
    from oscaxr.sessions.map import map_sessions
    from oscaxr.sessions.open import open_session
    from oscaxr.sessions.settings import show_config
    from oscaxr.sessions.table import default_sessions, session_table
    from oscaxr.sessions.tree import open_sessions
    from oscaxr.sessions.write_index import write_index
    from oscaxr.store.open import open_exported
    from oscaxr.store.save import save
    from oscaxr.versions import show_versions

__version__ = _version("oscaxr")


_PACKAGES = ("analyses", "download", "plot", "sample", "sessions")
_LATER = {
    "open_session": "oscaxr.sessions.open",
    "open_sessions": "oscaxr.sessions.tree",
    "find_sessions": "oscaxr.sessions.find",
    "session_table": "oscaxr.sessions.table",
    "default_sessions": "oscaxr.sessions.table",
    "show_config": "oscaxr.sessions.settings",
    "read_matches": "oscaxr.formats.original.matches",
    "save": "oscaxr.store.save",
    "open_exported": "oscaxr.store.open",
    "convert": "oscaxr.sessions.convert",
    "map_sessions": "oscaxr.sessions.map",
    "write_index": "oscaxr.sessions.write_index",
    "show_versions": "oscaxr.versions",
}


def __getattr__(name: str) -> _Any:
    # Not needed by every analysis, or heavy (h5py): loaded when first used.
    if name in _PACKAGES:
        return _import_module(f"oscaxr.{name}")
    if name == "formats":  # whose own folder holds nothing
        _import_module("oscaxr.formats.original")
        return _import_module("oscaxr.formats")
    if name in _LATER:
        return getattr(_import_module(_LATER[name]), name)
    if name in _NAMES:
        raise _RenamedError(f"oscaxr.{name} is now {_NAMES[name]}")
    raise AttributeError(f"module 'oscaxr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


__all__ = [
    # opening
    "open_session",
    "open_sessions",
    "map_sessions",
    "session_table",
    "find_sessions",
    "default_sessions",
    "show_config",
    "analyses",
    "sample",
    "plot",
    "download",
    # saving, and other tools
    "save",
    "convert",
    "write_index",
    "open_exported",
    "to_frame",
    "to_hierarchical_frame",
    "from_hierarchical_frame",
    "to_pynapple",
    "to_numpy",
    # which data
    "select_segments",
    "sequences",
    "tracked",
    "n_tracked",
    "responses",
    "segment_table",
    "blocks",
    "epochs",
    "running_bouts",
    "epoch_union",
    "epoch_intersection",
    "epoch_difference",
    "patches",
    "stimulus_images",
    "segments_at",
    # ROIs over sessions
    "align_tracked",
    "read_matches",
    "register_masks",
    "register_projection",
    # what about it
    "scale",
    "scale_factors",
    "baseline",
    "smooth",
    "integrate",
    "interpolate",
    "stats",
    "active_rois",
    "plateau_traces",
    "invalid_rois",
    "snr",
    "roi_correlations",
    "roi_labels",
    "validate",
    # looking
    "explore",
    "show_versions",
    # errors
    "OscaxrError",
    "OscaxrWarning",
]
