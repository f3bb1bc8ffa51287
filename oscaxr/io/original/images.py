"""The maximum projection of the original layout, a grey-scale PNG."""

from pathlib import Path

import numpy as np

from oscaxr.errors import FormatError
from oscaxr.model.lazy import Array, AxisIndex


class PngReader:
    """A grey-scale picture, decoded when it is indexed."""

    def __init__(self, path: Path) -> None:
        from PIL import Image

        self.path = str(path)
        try:
            with Image.open(path) as picture:
                mode, (width, height) = picture.mode, picture.size
                picture.verify()
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise FormatError(
                f"{path} cannot be read as a picture ({error}): it is cut short or damaged"
            ) from error
        if mode != "L":
            raise FormatError(f"{path} is a picture of mode {mode}, not of 8-bit grey")
        self.shape: tuple[int, ...] = (height, width)
        self.dtype = np.dtype(np.uint8)

    def read(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read the outer product of the indices (see :class:`oscaxr.model.lazy.Reader`)."""
        from PIL import Image

        try:
            with Image.open(self.path) as picture:
                values = np.asarray(picture)
        except (OSError, SyntaxError, ValueError) as error:
            raise FormatError(f"{self.path} cannot be decoded ({error})") from error
        height, width = indices
        return np.array(values[height][:, width])
