"""The analyses of the papers: sessions in, small labelled arrays out."""

from oscaxr.analyses.splits import split
from oscaxr.analyses.tracked import tracked_unexpected_index, unexpected_index_of
from oscaxr.analyses.unexpected_index import unexpected_index

__all__ = ["split", "tracked_unexpected_index", "unexpected_index", "unexpected_index_of"]
