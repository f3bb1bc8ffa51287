"""Sample sessions as folders of files in the format from before NWB."""

from oscaxr.sample.original.folder import OriginalForm, original_path
from oscaxr.sample.original.write import write_original

__all__ = ["OriginalForm", "original_path", "write_original"]
