"""The pynwb objects of a sample file, with its large datasets still empty."""

from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from oscaxr.model import names as n
from oscaxr.model.schema import SEGMENT_FRAMES
from oscaxr.sample.planted_rois import MaskKind
from oscaxr.sample.spec import not_among, refuse
from oscaxr.sample.synthesis import SampleSession

Layout = Literal["gzip", "chunked", "contiguous"]
Parts = Literal["behavior+ophys", "behavior+image+ophys", "obj-raw"]

DFF_PATH: Final = "processing/ophys/DfOverF/RoiResponseSeries/data"
MASK_PATH: Final = "processing/ophys/ImageSegmentation/PlaneSegmentation/image_mask"
MOVIE_PATH: Final = "acquisition/motion_corrected_stack/data"
MASK_DTYPES: Final[dict[MaskKind, str]] = {"uint8": "uint8", "bool": "bool", "weights": "float32"}


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """The form of a file; see :func:`oscaxr.sample.write_nwb` for what each option means."""

    layout: Layout = "gzip"
    dtype: Literal["float32", "float64"] = "float32"
    chunks: tuple[int, ...] | None = (2048, 32)
    shuffle: bool = False
    mask_kind: MaskKind = "uint8"
    pupil_position: bool = True
    frame_columns: bool = True
    tracking: bool = True
    parts: Parts = "behavior+ophys"
    full_table: bool = True
    column_order: Literal["published", "shuffled"] = "published"
    empty: Literal["blank", "nan"] = "blank"
    numbers: Literal["wide", "narrow"] = "wide"
    timestamps_link: bool = True
    template_shape: tuple[int, int] = (30, 48)
    template_frames: int = 60
    nan_rois: tuple[int, ...] = field(default=())
    inf_rois: tuple[int, ...] = field(default=())

    def check(self, session: SampleSession) -> None:
        """Raise a SampleError that lists the options with no meaning for the session."""
        allowed = {
            "layout": ("gzip", "chunked", "contiguous"),
            "dtype": ("float32", "float64"),
            "mask_kind": tuple(MASK_DTYPES),
            "parts": ("behavior+ophys", "behavior+image+ophys", "obj-raw"),
            "column_order": ("published", "shuffled"),
            "empty": ("blank", "nan"),
            "numbers": ("wide", "narrow"),
        }
        problems = not_among(self, allowed)
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

    def storage(
        self,
        shape: tuple[int, ...],
        chunks: tuple[int, ...] | None = None,
        *,
        shuffle: bool = False,
    ) -> dict[str, Any]:
        """HDF5 dataset options of one of the large arrays."""
        if self.layout == "contiguous":
            return {}
        # Chunks may not be larger than the array; without any, HDF5 is left to choose.
        fitted = True if chunks is None else tuple(map(min, chunks, shape))
        if self.layout == "chunked":
            return {"chunks": fitted}
        return {"chunks": fitted, "compression": "gzip", "shuffle": shuffle}


def _ragged(
    name: str, flat: Any, counts: NDArray[np.int64], description: str
) -> tuple[Any, Any]:  # pynwb is untyped
    from hdmf.common import VectorData, VectorIndex

    data = VectorData(name=name, description=description, data=flat)
    index = VectorIndex(name=f"{name}_index", target=data, data=np.cumsum(counts).tolist())
    return data, index


def _scalar_columns(session: SampleSession, options: FileOptions) -> dict[str, list[Any]]:
    from hdmf.common import VectorData

    columns: dict[str, list[Any]] = {}
    for name, values in session.segments.items():
        if name in SEGMENT_FRAMES and not name.endswith("template") and not options.frame_columns:
            continue
        data: Any = values
        if values.dtype.kind == "U":
            data = np.where(values == "", "NaN", values) if options.empty == "nan" else values
            data = data.tolist()
        elif options.numbers == "narrow" and not name.endswith("_time"):
            data = values.astype("int32" if values.dtype.kind == "i" else "float32")
        columns[name] = [VectorData(name=name, description=name.replace("_", " "), data=data)]
    return columns


def _ragged_columns(session: SampleSession, options: FileOptions) -> dict[str, list[Any]]:
    from pynwb import H5DataIO

    columns: dict[str, list[Any]] = {}
    patches = session.patches
    has_patches = np.isfinite(patches.x[:, 0])
    for name, values in (
        ("gabor_locations_x", patches.x),
        ("gabor_locations_y", patches.y),
        ("gabor_sizes", patches.size),
        ("gabor_orientations", patches.orientation),
    ):
        counts = np.where(has_patches, n.N_PATCHES, 0)
        kept = np.broadcast_to(has_patches[:, np.newaxis], values.shape).copy()
        if options.empty == "nan":
            counts[~has_patches] = 1
            kept[:, 0] = True
        columns[name] = [*_ragged(name, values[kept], counts, name.replace("_", " "))]
    if options.full_table:
        is_flow = session.segments["stimulus_type"] == n.VISFLOW
        counts = np.where(is_flow, session.spec.n_squares, 0)
        for axis, track in zip("xy", session.squares(), strict=True):
            flat = np.ascontiguousarray(track).reshape(-1, n.N_FLOW_FRAMES)
            name = f"square_locations_{axis}"
            wrapped = H5DataIO(flat, **options.storage(flat.shape, shuffle=True))
            columns[name] = [*_ragged(name, wrapped, counts, f"square locations {axis}")]
    return columns


def _segment_table(session: SampleSession, options: FileOptions) -> Any:
    from pynwb.epoch import TimeIntervals

    columns = _scalar_columns(session, options) | _ragged_columns(session, options)
    order = list(columns)
    if options.column_order == "shuffled":
        order = [str(name) for name in np.random.default_rng(session.spec.seed).permutation(order)]
    return TimeIntervals(
        name="trials",
        description="stimulus segments",
        columns=[part for name in order for part in columns[name]],
        colnames=order,
    )


def _add_rois(file: Any, session: SampleSession, options: FileOptions) -> Any:
    """Add imaging plane, ROI table and maximum projection; return the ROI table."""
    from hdmf.common import ElementIdentifiers, VectorData
    from pynwb import H5DataIO
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
    masks = H5DataIO(
        shape=shape,
        dtype=np.dtype(MASK_DTYPES[options.mask_kind]),
        **options.storage(shape, (1, *spec.field_shape)),
    )
    columns = [VectorData(name="image_mask", description="ROI masks", data=masks)]
    if options.tracking and session.tracking_id is not None:
        columns.append(
            VectorData(
                name="tracking_id", description="order of tracked ROIs", data=session.tracking_id
            )
        )
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


def _add_series(file: Any, table: Any, session: SampleSession, options: FileOptions) -> None:
    """Add pupil, running and (still empty) dF/F."""
    from pynwb import H5DataIO, TimeSeries
    from pynwb.behavior import BehavioralTimeSeries, PupilTracking
    from pynwb.ophys import DfOverF, RoiResponseSeries

    pupil = {"pupil_diameter": session.pupil_diameter}
    if options.pupil_position:
        pupil["pupil_position_x"] = session.pupil_center_x
        pupil["pupil_position_y"] = session.pupil_center_y
    tracking = PupilTracking(name="PupilTracking")
    clock: Any = session.twop_times
    for name, data in pupil.items():
        series = TimeSeries(name=name, data=data, unit="mm", timestamps=clock)
        tracking.add_timeseries(series)
        if options.timestamps_link:
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
    traces = H5DataIO(
        shape=shape,
        dtype=np.dtype(options.dtype),
        **options.storage(shape, options.chunks, shuffle=options.shuffle),
    )
    response = RoiResponseSeries(
        name="RoiResponseSeries", data=traces, rois=region, unit="dF/F", timestamps=clock
    )
    # The container first: the series refers to the ROI table, which must be in the same file.
    dff = DfOverF()
    file.processing["ophys"].add(dff)
    dff.add_roi_response_series(response)


def _add_images(file: Any, session: SampleSession, options: FileOptions) -> None:
    """Add stimulus templates and, to a raw file, the (still empty) movie."""
    from pynwb import H5DataIO
    from pynwb.image import ImageSeries
    from pynwb.ophys import TwoPhotonSeries

    templates = session.templates(shape=options.template_shape, frames=options.template_frames)
    for name, images in templates.items():
        file.add_stimulus_template(
            ImageSeries(
                name=name, data=images, unit="NA", format="raw", rate=60.0, starting_time=0.0
            )
        )
    if options.parts == "obj-raw":
        shape = (session.n_twop_frames, *session.spec.field_shape)
        storage = options.storage(shape, (16, *session.spec.field_shape))
        file.add_acquisition(
            TwoPhotonSeries(
                name="motion_corrected_stack",
                data=H5DataIO(shape=shape, dtype=np.dtype("uint16"), **storage),
                imaging_plane=file.imaging_planes["imaging_plane_1"],
                unit="n.a.",
                timestamps=session.twop_times,
            )
        )


def build_file(session: SampleSession, options: FileOptions) -> Any:
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
        trials=_segment_table(session, options),
    )
    table = _add_rois(file, session, options)
    _add_series(file, table, session, options)
    if options.parts != "behavior+ophys":
        _add_images(file, session, options)
    return file
