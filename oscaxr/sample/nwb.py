"""Sample sessions as NWB files, in the forms that the published files are known to have."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from oscaxr.model import names as n
from oscaxr.model.synthetic import ATTRS, WORDS
from oscaxr.paths import local_path
from oscaxr.sample.place import mark_file, taking_place
from oscaxr.sample.planted_rois import BLOCK_FRAMES, MASK_DTYPES, MaskKind
from oscaxr.sample.spec import (
    Layout,
    Progress,
    SampleSpec,
    hdf5_storage,
    not_among,
    refuse,
    tell_steps,
)
from oscaxr.sample.synthesis import SampleSession, make_session

Parts = Literal["behavior+ophys", "behavior+image+ophys", "obj-raw"]

DFF_PATH: Final = "processing/ophys/DfOverF/RoiResponseSeries/data"
MASK_PATH: Final = "processing/ophys/ImageSegmentation/PlaneSegmentation/image_mask"
MOVIE_PATH: Final = "acquisition/motion_corrected_stack/data"

_MASK_STEP = 64
_MOVIE_STEP_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class NwbForm:
    """The form of an NWB file, of those that the published files are known to have.

    Parameters
    ----------
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
    parts : {"behavior+ophys", "behavior+image+ophys", "obj-raw"}, optional
        With ``image`` the file has stimulus templates, a raw one also the motion-corrected movie,
        as large as the session's field and as long as its recording: choose `field_shape` and
        `scale` of the session to suit.
    template_frames : int, optional
        At most so many images of each template.
    """

    layout: Layout = "gzip"
    dtype: Literal["float32", "float64"] = "float32"
    chunks: tuple[int, ...] | None = (2048, 32)
    shuffle: bool = False
    mask_kind: MaskKind = "uint8"
    parts: Parts = "behavior+ophys"
    template_frames: int = 60

    def check(self, session: SampleSession) -> None:
        """Raise a SampleError that lists the options with no meaning for the session."""
        problems = not_among(self)
        if self.chunks is not None and (len(self.chunks) != 2 or min(self.chunks) < 1):
            problems.append(f"chunks is {self.chunks!r}; give (frames, ROIs), 1 or more, or None")
        refuse(f"Cannot write session {session.spec.session_id} in this form", problems)


def _unfilled(
    form: NwbForm,
    shape: tuple[int, ...],
    dtype: str,
    chunks: tuple[int, ...] | None,
    shuffle: bool = False,
) -> Any:
    """Make one of the large datasets, which is filled when the rest of the file is there."""
    from pynwb import H5DataIO

    storage = hdf5_storage(form.layout, shape, chunks, shuffle)
    return H5DataIO(shape=shape, dtype=np.dtype(dtype), **storage)


def _column(name: str, data: Any, counts: NDArray[np.int64] | None = None) -> list[Any]:
    """Make a column of the segment table, with its index where rows hold several values."""
    from hdmf.common import VectorData, VectorIndex

    values = VectorData(name=name, description=name.replace("_", " "), data=data)
    if counts is None:
        return [values]
    index = VectorIndex(name=f"{name}_index", target=values, data=np.cumsum(counts).tolist())
    return [values, index]


def _segment_table(session: SampleSession, form: NwbForm) -> Any:
    from pynwb import H5DataIO
    from pynwb.epoch import TimeIntervals

    table, patches = session.segments, session.patches
    columns = {
        name: _column(name, values.tolist() if values.dtype.kind == "U" else values)
        for name, values in table.items()
    }
    # Rows without patches have no values.
    counts = np.where(np.isfinite(patches.x[:, 0]), n.N_PATCHES, 0)
    for name, values in (
        ("gabor_locations_x", patches.x),
        ("gabor_locations_y", patches.y),
        ("gabor_sizes", patches.size),
        ("gabor_orientations", patches.orientation),
    ):
        columns[name] = _column(name, values[counts > 0].ravel(), counts)
    counts = np.where(table["stimulus_type"] == n.VISFLOW, session.spec.n_squares, 0)
    for axis, track in zip("xy", session.squares(), strict=True):
        flat = np.ascontiguousarray(track).reshape(-1, n.N_FLOW_FRAMES)
        name = f"square_locations_{axis}"
        stored = H5DataIO(flat, **hdf5_storage(form.layout, flat.shape, shuffle=True))
        columns[name] = _column(name, stored, counts)
    return TimeIntervals(
        name="trials",
        description="stimulus segments",
        columns=[part for parts in columns.values() for part in parts],
        colnames=list(columns),
    )


def _add_rois(file: Any, session: SampleSession, form: NwbForm) -> Any:
    """Add imaging plane, ROI table and maximum projection; return the ROI table."""
    from hdmf.common import ElementIdentifiers
    from pynwb.base import Images
    from pynwb.image import GrayscaleImage
    from pynwb.ophys import ImageSegmentation, OpticalChannel, PlaneSegmentation

    spec = session.spec
    plane = file.create_imaging_plane(
        name="imaging_plane_1",
        optical_channel=OpticalChannel(
            name="optical_channel", description="green channel", emission_lambda=510.0
        ),
        imaging_rate=spec.twop_rate,
        description=f"{spec.plane} plane, {spec.depth} um deep",
        device=file.create_device(name="two-photon microscope"),
        excitation_lambda=910.0,
        indicator="GCaMP6f",
        location="VISp",
    )
    shape = (spec.n_rois, *spec.field_shape)
    masks = _unfilled(form, shape, MASK_DTYPES[form.mask_kind], (1, *spec.field_shape))
    columns = _column("image_mask", masks)
    if session.tracking_id is not None:
        columns += _column("tracking_id", session.tracking_id)
    table = PlaneSegmentation(
        name="PlaneSegmentation",
        description="ROIs",
        imaging_plane=plane,
        id=ElementIdentifiers(name="id", data=session.roi_id),
        columns=columns,
        colnames=[column.name for column in columns],
    )
    module = file.create_processing_module(name="ophys", description="two-photon data")
    module.add(ImageSegmentation(plane_segmentations=[table]))
    projection = GrayscaleImage(name="max_projection", data=session.max_projection)
    module.add(Images(name="PlaneImages", images=[projection]))
    return table


def _add_series(file: Any, table: Any, session: SampleSession, form: NwbForm) -> None:
    """Add pupil, running and (still empty) dF/F."""
    from pynwb import TimeSeries
    from pynwb.behavior import BehavioralTimeSeries, PupilTracking
    from pynwb.ophys import DfOverF, RoiResponseSeries

    pupil = {
        "pupil_diameter": session.pupil_diameter,
        "pupil_position_x": session.pupil_center_x,
        "pupil_position_y": session.pupil_center_y,
    }
    tracking = PupilTracking(name="PupilTracking")
    clock: Any = session.twop_times
    for name, data in pupil.items():
        series = TimeSeries(name=name, data=data, unit="mm", timestamps=clock)
        tracking.add_timeseries(series)
        # Given a series instead of times, pynwb writes a link.
        clock = tracking.time_series["pupil_diameter"]
    running = TimeSeries(
        name="running_velocity",
        data=session.run_velocity,
        unit="cm/s",
        timestamps=session.stim_times,
    )
    module = file.create_processing_module(name="behavior", description="running and pupil")
    module.add(BehavioralTimeSeries(time_series=running))
    module.add(tracking)

    shape = session.trace_model.shape
    region = table.create_roi_table_region(
        description="all ROIs", region=list(range(session.spec.n_rois))
    )
    traces = _unfilled(form, shape, form.dtype, form.chunks, shuffle=form.shuffle)
    response = RoiResponseSeries(
        name="RoiResponseSeries", data=traces, rois=region, unit="dF/F", timestamps=clock
    )
    # The container first: the series refers to the ROI table, which must be in the same file.
    dff = DfOverF()
    file.processing["ophys"].add(dff)
    dff.add_roi_response_series(response)


def _add_images(file: Any, session: SampleSession, form: NwbForm) -> None:
    """Add stimulus templates and, to a raw file, the (still empty) movie."""
    from pynwb.image import ImageSeries
    from pynwb.ophys import TwoPhotonSeries

    for name, images in session.templates(frames=form.template_frames).items():
        file.add_stimulus_template(
            ImageSeries(
                name=name, data=images, unit="NA", format="raw", rate=60.0, starting_time=0.0
            )
        )
    if form.parts == "obj-raw":
        shape = (session.n_twop_frames, *session.spec.field_shape)
        file.add_acquisition(
            TwoPhotonSeries(
                name="motion_corrected_stack",
                data=_unfilled(form, shape, "uint16", (16, *session.spec.field_shape)),
                imaging_plane=file.imaging_planes["imaging_plane_1"],
                unit="n.a.",
                timestamps=session.twop_times,
            )
        )


def build_file(session: SampleSession, form: NwbForm) -> Any:
    """Build the pynwb object of a session."""
    from pynwb import NWBFile
    from pynwb.file import Subject

    spec = session.spec
    file = NWBFile(
        session_description=WORDS,
        identifier=str(spec.session_id),
        session_start_time=spec.start,
        session_id=str(spec.session_id),
        institution=str(ATTRS["institution"]),
        subject=Subject(
            subject_id=str(spec.mouse_id),
            species="Mus musculus",
            sex=spec.sex,
            genotype=spec.genotype,
            age=f"P{(spec.start - spec.birth).days}D",
            date_of_birth=spec.birth,
            description="synthetic mouse",
        ),
        trials=_segment_table(session, form),
    )
    table = _add_rois(file, session, form)
    _add_series(file, table, session, form)
    if form.parts != "behavior+ophys":
        _add_images(file, session, form)
    return file


def sample_path(
    spec: SampleSpec,
    folder: str | os.PathLike[str],
    *,
    parts: Parts = "behavior+ophys",
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

    Returns
    -------
    pathlib.Path
        ``sub-<mouse>/sub-<mouse>_ses-<session>_<parts>.nwb`` below the folder.

    Examples
    --------
    >>> sample_path(SampleSpec(), "data").as_posix()
    'data/sub-900001/sub-900001_ses-900000001_behavior+ophys.nwb'
    """
    held = "obj-raw_behavior+image+ophys" if parts == "obj-raw" else parts
    mouse = f"sub-{spec.mouse_id}"
    return local_path(folder) / mouse / f"{mouse}_ses-{spec.session_id}_{held}.nwb"


def _fill(target: Any, session: SampleSession, form: NwbForm) -> Iterator[tuple[int, int]]:
    """Write the large datasets; yield the number of steps done and of all steps after each."""
    # Whole rows of chunks, so that each chunk is compressed once.
    chunks = target[DFF_PATH].chunks
    row = chunks[0] if chunks else BLOCK_FRAMES
    image_bytes = 2 * int(np.prod(session.spec.field_shape))
    readers: dict[str, tuple[int, Callable[[int, int], NDArray[Any]]]] = {
        DFF_PATH: (row * max(1, BLOCK_FRAMES // row), session.traces),
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
        Whether to replace a sample that is already there; another file never is.
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
    from pynwb import NWBHDF5IO

    if isinstance(session, SampleSpec):
        session = make_session(session)
    asked = NwbForm(**form)
    asked.check(session)
    path = sample_path(session.spec, folder, parts=asked.parts)
    with (
        taking_place(path, overwrite=overwrite) as partial_path,
        h5py.File(partial_path, mode="w-") as target,
        NWBHDF5IO(file=target, mode="w") as writer,
    ):
        mark_file(target)
        writer.write(build_file(session, asked))
        tell_steps(_fill(target, session, asked), progress)
    return path
