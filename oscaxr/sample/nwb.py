"""Sample sessions as NWB files, in every form the published files are known to have."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from oscaxr.sample.nwb_file import (
    DFF_PATH,
    MASK_PATH,
    MOVIE_PATH,
    FileOptions,
    Layout,
    Parts,
    build_file,
)
from oscaxr.sample.planted_rois import BLOCK_FRAMES, MaskKind
from oscaxr.sample.spec import SampleSpec, taking_place
from oscaxr.sample.synthesis import SampleSession, make_session

NameStyle = Literal["session_id", "start_time"]
Progress = Callable[[int, int], None]

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
    session = str(spec.session_id)
    if name_style == "start_time":
        session = start_stamp(spec)
    held = "obj-raw_behavior+image+ophys" if parts == "obj-raw" else parts
    mouse = f"sub-{spec.mouse_id}"
    return Path(folder) / mouse / f"{mouse}_ses-{session}_{held}.nwb"


def start_stamp(spec: SampleSpec) -> str:
    """Return the start of the session in UTC as in file names and tables."""
    start = spec.start - (spec.start.utcoffset() or spec.start - spec.start)
    return start.strftime("%Y%m%dT%H%M%S")


def _ranges(size: int, step: int) -> list[tuple[int, int]]:
    return [(start, min(start + step, size)) for start in range(0, size, step)]


def _plant(
    traces: NDArray[np.float64], start: int, rows: Iterable[int], frames: int, value: float
) -> None:
    """Put a value into a few frames of some ROIs, one of them early, one in the middle."""
    bad = np.array([frames // 7, frames // 2, frames // 2 + 1]) - start
    bad = bad[(bad >= 0) & (bad < len(traces))]
    traces[np.ix_(bad, np.fromiter(rows, dtype=np.int64))] = value


def _fill(target: Any, session: SampleSession, options: FileOptions) -> Iterator[int]:
    """Write the large datasets; yield the number of steps still to come after each."""
    dff, masks = target[DFF_PATH], target[MASK_PATH]
    frames, n_rois = session.trace_model.shape
    # Whole rows of chunks, so that each chunk is compressed once.
    row = dff.chunks[0] if dff.chunks else BLOCK_FRAMES
    trace_steps = _ranges(frames, row * max(1, BLOCK_FRAMES // row))
    mask_steps = _ranges(n_rois, _MASK_STEP)
    movie_steps = []
    if MOVIE_PATH in target:
        image_bytes = 2 * int(np.prod(session.spec.field_shape))
        movie_steps = _ranges(frames, max(16, _MOVIE_STEP_BYTES // image_bytes // 16 * 16))
    left = len(trace_steps) + len(mask_steps) + len(movie_steps)
    yield left
    for start, stop in trace_steps:
        traces = session.traces(start, stop)
        _plant(traces, start, options.nan_rois, frames, np.nan)
        _plant(traces, start, options.inf_rois, frames, np.inf)
        dff[start:stop] = traces.astype(dff.dtype, copy=False)
        yield (left := left - 1)
    for start, stop in mask_steps:
        masks[start:stop] = session.masks(start, stop, options.mask_kind)
        yield (left := left - 1)
    for start, stop in movie_steps:
        target[MOVIE_PATH][start:stop] = session.movie(start, stop)
        yield (left := left - 1)


def _write(
    session: SampleSession, path: Path, options: FileOptions, progress: Progress | None
) -> None:
    import h5py
    from pynwb import NWBHDF5IO

    with (
        h5py.File(path, mode="w-") as target,
        NWBHDF5IO(file=target, mode="w") as writer,
    ):
        writer.write(build_file(session, options))
        steps = _fill(target, session, options)
        total = next(steps)
        if progress is not None:
            progress(0, total)
        for left in steps:
            if progress is not None:
                progress(total - left, total)


def write_nwb(
    session: SampleSession | SampleSpec,
    folder: str | os.PathLike[str],
    *,
    layout: Layout = "gzip",
    dtype: Literal["float32", "float64"] = "float32",
    chunks: tuple[int, int] | None = (2048, 32),
    shuffle: bool = False,
    mask_kind: MaskKind = "uint8",
    pupil_position: bool = True,
    frame_columns: bool = True,
    tracking: bool = True,
    name_style: NameStyle = "session_id",
    parts: Parts = "behavior+ophys",
    full_table: bool = True,
    column_order: Literal["published", "shuffled"] = "published",
    empty: Literal["blank", "nan"] = "blank",
    numbers: Literal["wide", "narrow"] = "wide",
    timestamps_link: bool = True,
    template_shape: tuple[int, int] = (30, 48),
    template_frames: int = 60,
    nan_rois: Iterable[int] = (),
    inf_rois: Iterable[int] = (),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write one sample session as an NWB file.

    Parameters
    ----------
    session : SampleSession or SampleSpec
        What to write.
    folder : path-like
        Data directory; the file goes into the mouse's folder below it.
    layout : {"gzip", "chunked", "contiguous"}, optional
        How HDF5 stores dF/F, masks, square tracks and movie.
    dtype : {"float32", "float64"}, optional
        Of dF/F.
    chunks : tuple of int, optional
        Chunks of dF/F (frames, ROIs), unless it is contiguous; None lets HDF5 choose.
    shuffle : bool, optional
        Whether the bytes of dF/F are shuffled before compression.
    mask_kind : {"uint8", "bool", "weights"}, optional
        Form of the ROI masks; weights are float32 with a halo below 0.1.
    pupil_position : bool, optional
        Whether the file has pupil centres.
    frame_columns : bool, optional
        Whether the segment table has the ``start_``, ``stop_`` and ``num_frame`` columns.
    tracking : bool, optional
        Whether the ROI table has tracking ids, if the session has any.
    name_style : {"session_id", "start_time"}, optional
        What stands after ``ses-`` in the file name.
    parts : {"behavior+ophys", "behavior+image+ophys", "obj-raw"}, optional
        With ``image`` the file has stimulus templates, a raw one also the motion-corrected movie,
        as large as the session's field and as long as its recording: choose `field_shape` and
        `scale` of the session to suit.
    full_table : bool, optional
        Whether the segment table has the square tracks.
    column_order : {"published", "shuffled"}, optional
        Order of the table's columns.
    empty : {"blank", "nan"}, optional
        Form of values that do not concern a segment's stimulus: empty text and empty lists, or the
        text ``NaN`` and lists of one NaN. Numbers are NaN in both, whole-number lists empty.
    numbers : {"wide", "narrow"}, optional
        Width of the numbers in the table: 64 bits, or 32 (times always have 64).
    timestamps_link : bool, optional
        Whether series on one clock share its timestamps by a link, or repeat them.
    template_shape : tuple of int, optional
        Height and width of the template images.
    template_frames : int, optional
        At most so many images of each template.
    nan_rois, inf_rois : iterable of int, optional
        Rows of ROIs whose traces get some NaN, or infinite, values.
    overwrite : bool, optional
        Whether to replace a file that is already there.
    progress : callable, optional
        Called with the number of steps done and the number of all steps.

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
    if isinstance(session, SampleSpec):
        session = make_session(session)
    options = FileOptions(
        layout=layout,
        dtype=dtype,
        chunks=chunks,
        shuffle=shuffle,
        mask_kind=mask_kind,
        pupil_position=pupil_position,
        frame_columns=frame_columns,
        tracking=tracking,
        parts=parts,
        full_table=full_table,
        column_order=column_order,
        empty=empty,
        numbers=numbers,
        timestamps_link=timestamps_link,
        template_shape=template_shape,
        template_frames=template_frames,
        nan_rois=tuple(nan_rois),
        inf_rois=tuple(inf_rois),
    )
    options.check(session)
    path = sample_path(session.spec, folder, parts=parts, name_style=name_style)
    with taking_place(path, overwrite=overwrite) as partial:
        _write(session, partial, options, progress)
    return path
