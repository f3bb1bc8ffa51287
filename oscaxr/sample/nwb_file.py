"""The pynwb objects of a sample file, with its large datasets still empty."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from oscaxr.model import names as n
from oscaxr.model.schema import SEGMENT_FRAMES
from oscaxr.sample.planted_rois import MASK_DTYPES, MaskKind
from oscaxr.sample.spec import Layout, hdf5_storage, not_among, refuse
from oscaxr.sample.synthesis import SampleSession

Parts = Literal["behavior+ophys", "behavior+image+ophys", "obj-raw"]
NameStyle = Literal["session_id", "start_time"]

DFF_PATH: Final = "processing/ophys/DfOverF/RoiResponseSeries/data"
MASK_PATH: Final = "processing/ophys/ImageSegmentation/PlaneSegmentation/image_mask"
MOVIE_PATH: Final = "acquisition/motion_corrected_stack/data"


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
    """

    layout: Layout = "gzip"
    dtype: Literal["float32", "float64"] = "float32"
    chunks: tuple[int, ...] | None = (2048, 32)
    shuffle: bool = False
    mask_kind: MaskKind = "uint8"
    pupil_position: bool = True
    frame_columns: bool = True
    tracking: bool = True
    name_style: NameStyle = "session_id"
    parts: Parts = "behavior+ophys"
    full_table: bool = True
    column_order: Literal["published", "shuffled"] = "published"
    empty: Literal["blank", "nan"] = "blank"
    numbers: Literal["wide", "narrow"] = "wide"
    timestamps_link: bool = True
    template_shape: tuple[int, int] = (30, 48)
    template_frames: int = 60
    nan_rois: Collection[int] = ()
    inf_rois: Collection[int] = ()

    def check(self, session: SampleSession) -> None:
        """Raise a SampleError that lists the options with no meaning for the session."""
        problems = not_among(self)
        n_rois = session.spec.n_rois
        problems += [
            f"{name} has {row}; give rows from 0 to {n_rois - 1}"
            for name in ("nan_rois", "inf_rois")
            for row in getattr(self, name)
            if not 0 <= row < n_rois
        ]
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


def _scalar_columns(session: SampleSession, form: NwbForm) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for name, values in session.segments.items():
        if name in SEGMENT_FRAMES and not name.endswith("template") and not form.frame_columns:
            continue
        data: Any = values
        if values.dtype.kind == "U":
            data = np.where(values == "", "NaN", values) if form.empty == "nan" else values
            data = data.tolist()
        elif form.numbers == "narrow" and not name.endswith("_time"):
            data = values.astype("int32" if values.dtype.kind == "i" else "float32")
        columns[name] = _column(name, data)
    return columns


def _ragged_columns(session: SampleSession, form: NwbForm) -> dict[str, list[Any]]:
    from pynwb import H5DataIO

    columns: dict[str, list[Any]] = {}
    patches = session.patches
    # Rows without patches have no values, or one that is NaN.
    has_patches = np.isfinite(patches.x[:, 0])
    counts = np.where(has_patches, n.N_PATCHES, int(form.empty == "nan"))
    kept = np.arange(n.N_PATCHES) < counts[:, np.newaxis]
    for name, values in (
        ("gabor_locations_x", patches.x),
        ("gabor_locations_y", patches.y),
        ("gabor_sizes", patches.size),
        ("gabor_orientations", patches.orientation),
    ):
        columns[name] = _column(name, values[kept], counts)
    if form.full_table:
        is_flow = session.segments["stimulus_type"] == n.VISFLOW
        counts = np.where(is_flow, session.spec.n_squares, 0)
        for axis, track in zip("xy", session.squares(), strict=True):
            flat = np.ascontiguousarray(track).reshape(-1, n.N_FLOW_FRAMES)
            name = f"square_locations_{axis}"
            stored = H5DataIO(flat, **hdf5_storage(form.layout, flat.shape, shuffle=True))
            columns[name] = _column(name, stored, counts)
    return columns


def _segment_table(session: SampleSession, form: NwbForm) -> Any:
    from pynwb.epoch import TimeIntervals

    columns = _scalar_columns(session, form) | _ragged_columns(session, form)
    order = list(columns)
    if form.column_order == "shuffled":
        order = [str(name) for name in np.random.default_rng(session.spec.seed).permutation(order)]
    return TimeIntervals(
        name="trials",
        description="stimulus segments",
        columns=[part for name in order for part in columns[name]],
        colnames=order,
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
    if form.tracking and session.tracking_id is not None:
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

    pupil = {"pupil_diameter": session.pupil_diameter}
    if form.pupil_position:
        pupil["pupil_position_x"] = session.pupil_center_x
        pupil["pupil_position_y"] = session.pupil_center_y
    tracking = PupilTracking(name="PupilTracking")
    clock: Any = session.twop_times
    for name, data in pupil.items():
        series = TimeSeries(name=name, data=data, unit="mm", timestamps=clock)
        tracking.add_timeseries(series)
        if form.timestamps_link:
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

    templates = session.templates(shape=form.template_shape, frames=form.template_frames)
    for name, images in templates.items():
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
        session_description="synthetic session with the structure of a Credit Assignment session",
        identifier=str(spec.session_id),
        session_start_time=spec.start,
        session_id=str(spec.session_id),
        institution="none: synthetic data",
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
