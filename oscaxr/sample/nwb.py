"""Sample sessions as NWB files, in every form the published files are known to have."""

import os
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oscaxr.sample.nwb_file import (
    DFF_PATH,
    MASK_PATH,
    MOVIE_PATH,
    NameStyle,
    NwbForm,
    Parts,
    build_file,
)
from oscaxr.sample.planted_rois import BLOCK_FRAMES
from oscaxr.sample.spec import Progress, SampleSpec, taking_place, tell_steps
from oscaxr.sample.synthesis import SampleSession, make_session

_MASK_STEP = 64
_MOVIE_STEP_BYTES = 64 * 2**20


def sample_path(
    spec: SampleSpec,
    folder: str | os.PathLike[str],
    *,
    parts: Parts = "behavior+ophys",
    name_style: NameStyle = "session_id",
) -> Path:
    """Return where a session's file belongs below a data directory.

    Parameters
    ----------
    spec : SampleSpec
        What the session is to be.
    folder : path-like
        Data directory.
    parts : {"behavior+ophys", "behavior+image+ophys", "obj-raw"}, optional
        What the file holds.
    name_style : {"session_id", "start_time"}, optional
        What stands after ``ses-``; early releases had the start of the session in UTC.

    Returns
    -------
    pathlib.Path
        ``sub-<mouse>/sub-<mouse>_ses-<session>_<parts>.nwb`` below the folder.

    Examples
    --------
    >>> sample_path(SampleSpec(), "data").as_posix()
    'data/sub-408021/sub-408021_ses-758519303_behavior+ophys.nwb'
    """
    session = start_stamp(spec) if name_style == "start_time" else spec.session_id
    held = "obj-raw_behavior+image+ophys" if parts == "obj-raw" else parts
    mouse = f"sub-{spec.mouse_id}"
    return Path(folder) / mouse / f"{mouse}_ses-{session}_{held}.nwb"


def start_stamp(spec: SampleSpec) -> str:
    """Return the start of the session in UTC as in file names and tables."""
    return spec.start.astimezone(UTC).strftime("%Y%m%dT%H%M%S")


def _plant(
    traces: NDArray[np.float64], start: int, rows: Iterable[int], frames: int, value: float
) -> None:
    """Put a value into a few frames of some ROIs, one of them early, one in the middle."""
    bad = np.array([frames // 7, frames // 2, frames // 2 + 1]) - start
    bad = bad[(bad >= 0) & (bad < len(traces))]
    traces[np.ix_(bad, np.fromiter(rows, dtype=np.int64))] = value


def _fill(target: Any, session: SampleSession, form: NwbForm) -> Iterator[tuple[int, int]]:
    """Write the large datasets; yield the number of steps done and of all steps after each."""

    def traces(start: int, stop: int) -> NDArray[Any]:
        values = session.traces(start, stop)
        _plant(values, start, form.nan_rois, session.n_twop_frames, np.nan)
        _plant(values, start, form.inf_rois, session.n_twop_frames, np.inf)
        return values.astype(form.dtype, copy=False)

    # Whole rows of chunks, so that each chunk is compressed once.
    chunks = target[DFF_PATH].chunks
    row = chunks[0] if chunks else BLOCK_FRAMES
    image_bytes = 2 * int(np.prod(session.spec.field_shape))
    readers: dict[str, tuple[int, Callable[[int, int], NDArray[Any]]]] = {
        DFF_PATH: (row * max(1, BLOCK_FRAMES // row), traces),
        MASK_PATH: (_MASK_STEP, partial(session.masks, kind=form.mask_kind)),
        MOVIE_PATH: (max(16, _MOVIE_STEP_BYTES // image_bytes // 16 * 16), session.movie),
    }
    steps = [
        (target[path], read, start, min(start + step, len(target[path])))
        for path, (step, read) in readers.items()
        if path in target
        for start in range(0, len(target[path]), step)
    ]
    for done, (dataset, read, start, stop) in enumerate(steps, start=1):
        dataset[start:stop] = read(start, stop)
        yield done, len(steps)


def write_nwb(
    session: SampleSession | SampleSpec,
    folder: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    **form: Any,
) -> Path:
    """Write one sample session as an NWB file.

    Parameters
    ----------
    session : SampleSession or SampleSpec
        What to write.
    folder : path-like
        Data directory; the file goes into the mouse's folder below it.
    overwrite : bool, optional
        Whether to replace a file that is already there.
    progress : callable, optional
        Called with the number of steps done and the number of all steps.
    **form
        Form of the file, the parameters of :class:`NwbForm`.

    Returns
    -------
    pathlib.Path
        The file. It appears under its name when it is complete, never before.

    Raises
    ------
    SampleExistsError
        If the file is there and `overwrite` is false.
    SampleError
        If an option has no meaning; all problems are listed.

    Examples
    --------
    >>> import tempfile
    >>> spec = SampleSpec(scale=0.01, n_rois=2, n_tracked=0, field_shape=(64, 64))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_nwb(spec, folder, full_table=False).name
    'sub-408021_ses-758519303_behavior+ophys.nwb'
    """
    import h5py
    from pynwb import NWBHDF5IO

    if isinstance(session, SampleSpec):
        session = make_session(session)
    asked = NwbForm(**form)
    asked.check(session)
    path = sample_path(session.spec, folder, parts=asked.parts, name_style=asked.name_style)
    with (
        taking_place(path, overwrite=overwrite) as partial_path,
        h5py.File(partial_path, mode="w-") as target,
        NWBHDF5IO(file=target, mode="w") as writer,
    ):
        writer.write(build_file(session, asked))
        tell_steps(_fill(target, session, asked), progress)
    return path
