"""Sample sessions as NWB files, in the forms that the published files are known to have."""

import itertools
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from oscaxr.files.remote import Place, as_given, place_of
from oscaxr.options import PathLike
from oscaxr.sample.nwb_form import NwbForm, Parts
from oscaxr.sample.nwb_objects import build_file
from oscaxr.sample.place import mark_file, taking_place
from oscaxr.sample.planted_rois import BLOCK_FRAMES
from oscaxr.sample.spec import Progress, SampleSpec, tell_steps
from oscaxr.sample.synthesis import SampleSession, make_session

DFF_PATH: Final = "processing/ophys/DfOverF/RoiResponseSeries/data"
MASK_PATH: Final = "processing/ophys/ImageSegmentation/PlaneSegmentation/image_mask"
MOVIE_PATH: Final = "acquisition/motion_corrected_stack/data"

_MASK_STEP = 64
_MOVIE_STEP_BYTES = 64 * 2**20
_THREADS = 2

Array = NDArray[Any]


def sample_path(
    spec: SampleSpec,
    folder: PathLike,
    *,
    parts: Parts = "behavior+ophys",
) -> Path | str:
    """Return where a session's file belongs below a data directory.

    Parameters
    ----------
    spec : SampleSpec
        What the session is to be.
    folder : path-like
        Data directory, or its address.
    parts : {"behavior+ophys", "behavior+image+ophys", "obj-raw"}, optional
        What the file holds.

    Returns
    -------
    pathlib.Path or str
        ``sub-<mouse>/sub-<mouse>_ses-<session>_<parts>.nwb`` below the folder; of an address, a
        str.

    Examples
    --------
    >>> sample_path(SampleSpec(), "data").as_posix()
    'data/sub-900001/sub-900001_ses-900000001_behavior+ophys.nwb'
    """
    return as_given(nwb_place(spec, place_of(folder), parts))


def nwb_place(spec: SampleSpec, folder: Place, parts: Parts = "behavior+ophys") -> Place:
    """Return where a session's file belongs below a data directory, here or in a store."""
    held = "obj-raw_behavior+image+ophys" if parts == "obj-raw" else parts
    mouse = f"sub-{spec.mouse_id}"
    return folder / mouse / f"{mouse}_ses-{spec.session_id}_{held}.nwb"


def _fill(target: Any, session: SampleSession, form: NwbForm) -> Iterator[tuple[int, int]]:
    """Write the large datasets; yield the number of steps done and of all steps after each."""
    image_bytes = 2 * int(np.prod(session.spec.field_shape))
    readers: dict[str, tuple[int, Callable[[int, int], Array]]] = {
        DFF_PATH: (BLOCK_FRAMES, session.traces),
        MASK_PATH: (_MASK_STEP, partial(session.masks, kind=form.mask_kind_of(session.spec))),
        MOVIE_PATH: (max(16, _MOVIE_STEP_BYTES // image_bytes // 16 * 16), session.movie),
    }
    steps = [
        (target[path], read, start, min(start + step, len(target[path])))
        for path, (step, read) in readers.items()
        if path in target
        for start in range(0, len(target[path]), step)
    ]
    left: Array | None = None
    with ThreadPoolExecutor(_THREADS) as threads:
        for done, (dataset, read, start, stop) in enumerate(steps, start=1):
            values = read(start, stop).astype(dataset.dtype, copy=False)
            if left is not None:
                values = np.concatenate([left, values])
            # Whole rows of chunks, so that each chunk is compressed once.
            row = dataset.chunks[0] if dataset.chunks else 1
            ready = len(values) if stop == len(dataset) else len(values) // row * row
            if ready:
                _write_rows(dataset, stop - len(values), values[:ready], threads)
            left = values[ready:] if ready < len(values) else None
            yield done, len(steps)


def _write_rows(dataset: Any, start: int, values: Array, threads: ThreadPoolExecutor) -> None:
    """Write rows of a dataset, whole rows of chunks if it has any."""
    chunks = dataset.chunks
    if dataset.compression != "gzip" or dataset.shuffle:
        dataset[start : start + len(values)] = values
        return

    # HDF5 compresses in one thread only.
    def compressed(corner: tuple[int, ...]) -> bytes:
        inside = tuple(slice(at, at + size) for at, size in zip(corner, chunks, strict=True))
        part = values[inside]
        if part.shape != chunks:
            part = np.pad(part, [(0, c - s) for c, s in zip(chunks, part.shape, strict=True)])
        return zlib.compress(part.tobytes(), dataset.compression_opts)

    steps = zip(values.shape, chunks, strict=True)
    corners = list(itertools.product(*(range(0, size, step) for size, step in steps)))
    for corner, data in zip(corners, threads.map(compressed, corners), strict=True):
        dataset.id.write_direct_chunk((start + corner[0], *corner[1:]), data)


def write_nwb(
    session: SampleSession | SampleSpec,
    folder: PathLike,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    storage_options: Mapping[str, Any] | None = None,
    **form: Any,
) -> Path | str:
    """Write one sample session as an NWB file.

    Parameters
    ----------
    session : SampleSession or SampleSpec
        What to write.
    folder : path-like
        Data directory; the file goes into the mouse's folder below it. Or an address in an object
        store (``s3://bucket/data``): the file is then made in a temporary folder, and put.
    overwrite : bool, optional
        Whether to replace a sample that is already there; another file never is.
    progress : callable, optional
        Called with the number of steps done and the number of all steps.
    storage_options : mapping, optional
        How an object store is reached, as for :func:`oscaxr.open_session`.
    **form
        Form of the file, the parameters of :class:`NwbForm`.

    Returns
    -------
    pathlib.Path or str
        The file; in a store, its address, a str. It appears under its name when it is complete,
        never before.

    Raises
    ------
    SampleExistsError
        If the file is there and `overwrite` is false, or it is no sample.
    SampleError
        If an option has no meaning; all problems are listed.

    Examples
    --------
    >>> import tempfile
    >>> spec = SampleSpec(scale=0.01, n_rois=2, n_tracked=0, field_shape=(64, 64))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_nwb(spec, folder).name
    'sub-900001_ses-900000001_behavior+ophys.nwb'
    """
    import h5py
    from hdmf.utils import get_docval
    from pynwb import NWBHDF5IO

    if isinstance(session, SampleSpec):
        session = make_session(session)
    asked = NwbForm(**form)
    asked.check(session.spec)
    path = nwb_place(session.spec, place_of(folder, storage_options), asked.parts)
    with (
        taking_place(path, overwrite=overwrite) as partial_path,
        h5py.File(partial_path, mode="w-") as target,
        NWBHDF5IO(file=target, mode="w") as writer,
    ):
        mark_file(target)
        # Newer versions make tables that can grow, in chunks, unless they are told not to.
        grows = any(one["name"] == "expandable" for one in get_docval(writer.write))
        writer.write(build_file(session, asked), **({"expandable": ()} if grows else {}))
        tell_steps(_fill(target, session, asked), progress)
    return as_given(path)
