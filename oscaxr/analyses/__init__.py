"""The analyses of the papers: sessions in, small labelled arrays out."""

from typing import NoReturn as _NoReturn

from oscaxr.analyses.behaviour import block_responses
from oscaxr.analyses.decoding import decode
from oscaxr.analyses.decoding_groups import group_decoding
from oscaxr.analyses.discrimination import discrimination_index
from oscaxr.analyses.group_correlations import usi_correlations
from oscaxr.analyses.group_indices import percent_significant, usi_statistics
from oscaxr.analyses.group_responses import block_differences, group_differences, group_means
from oscaxr.analyses.mean_responses import frame_responses, mean_traces, response_difference
from oscaxr.analyses.pooling import pool
from oscaxr.analyses.positions import position_response
from oscaxr.analyses.relative import compare_stimuli, relative_responses
from oscaxr.analyses.responsive import responsive_rois
from oscaxr.analyses.roi_encoding import explained_variance
from oscaxr.analyses.splits import split
from oscaxr.analyses.tuning import orientation_tuning
from oscaxr.analyses.usi import usi
from oscaxr.analyses.value_shares import value_shares
from oscaxr.errors import RenamedError as _RenamedError
from oscaxr.renamed import ANALYSES as _ANALYSES


def __getattr__(name: str) -> _NoReturn:
    if name in _ANALYSES:
        raise _RenamedError(f"oscaxr.analyses.{name} is now {_ANALYSES[name]}")
    raise AttributeError(f"module 'oscaxr.analyses' has no attribute {name!r}")


__all__ = [
    "block_responses",
    "discrimination_index",
    "frame_responses",
    "mean_traces",
    "response_difference",
    "responsive_rois",
    "split",
    "usi",
    "decode",
    "orientation_tuning",
    "position_response",
    "explained_variance",
    "value_shares",
    # groups of sessions
    "pool",
    "group_means",
    "group_differences",
    "block_differences",
    "relative_responses",
    "compare_stimuli",
    "percent_significant",
    "usi_statistics",
    "usi_correlations",
    "group_decoding",
]
