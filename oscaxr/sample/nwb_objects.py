"""What a sample session's NWB file holds, as objects of pynwb; its large arrays are still empty."""

from datetime import UTC, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from oscaxr.model import names as n
from oscaxr.model.schema import SEGMENT_FRAMES, SESSION
from oscaxr.model.synthetic import ATTRS, WORDS
from oscaxr.sample.nwb_form import NwbForm, Parts
from oscaxr.sample.planted_rois import MASK_DTYPES
from oscaxr.sample.synthesis import SampleSession

_IDENTIFIER_ENDINGS: Final[dict[Parts, str]] = {
    "behavior+ophys": "",
    "behavior+image+ophys": "_with_stim",
    "obj-raw": "_with_stim_and_stack",
}
# The published files were made twice, years after the sessions.
_MADE_DAYS_AFTER: Final = (1500, 1530)


def _unfilled(shape: tuple[int, ...], dtype: str, storage: dict[str, Any]) -> Any:
    """Make one of the large datasets, which is filled when the rest of the file is there."""
    import h5py
    from pynwb import H5DataIO

    if storage.get("chunks") is True:
        # As h5py chooses them, which the published files have; pynwb has rules of its own.
        with h5py.File("chunks", "w", driver="core", backing_store=False) as file:
            chosen = file.create_dataset("of", shape, dtype, chunks=True).chunks
        storage = {**storage, "chunks": chosen}
    return H5DataIO(shape=shape, dtype=np.dtype(dtype), **storage)


def _column(name: str, data: Any, counts: NDArray[np.int64] | None = None) -> list[Any]:
    """Make a column of a table, with its index where rows hold several values."""
    from hdmf.common import VectorData, VectorIndex
    from pynwb import H5DataIO

    values = VectorData(name=name, description=name.replace("_", " "), data=data)
    if counts is None:
        return [values]
    # Wrapped, or its numbers would be stored in the fewest bytes.
    ends = H5DataIO(np.cumsum(counts).astype(np.int32))
    return [values, VectorIndex(name=f"{name}_index", target=values, data=ends)]


def _segment_table(session: SampleSession, form: NwbForm) -> Any:
    from hdmf.common import ElementIdentifiers
    from pynwb import H5DataIO
    from pynwb.epoch import TimeIntervals

    table, patches = session.segments, session.patches
    columns = {name: _column(name, _stored(name, one)) for name, one in table.items()}
    # Rows without patches have no values.
    counts = np.where(np.isfinite(patches.x[:, 0]), n.N_PATCHES, 0)
    for name, values, dtype in (
        ("gabor_locations_x", patches.x, np.float64),
        ("gabor_locations_y", patches.y, np.float64),
        ("gabor_sizes", patches.size, np.int32),
        ("gabor_orientations", patches.orientation, np.int16),
    ):
        flat = values[counts > 0].ravel().astype(dtype)
        columns[name] = _column(name, flat, counts)
    counts = np.where(table["stimulus_type"] == n.VISFLOW, session.spec.n_squares, 0)
    for axis, track in zip("xy", session.squares(), strict=True):
        tracks = track.astype(np.int32).reshape(-1, n.N_FLOW_FRAMES)
        name = f"square_locations_{axis}"
        stored = H5DataIO(tracks, **form.square_storage(tracks.shape))
        columns[name] = _column(name, stored, counts)
    return TimeIntervals(
        name="trials",
        description="stimulus segments",
        id=ElementIdentifiers(name="id", data=np.arange(len(counts), dtype=np.int32)),
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
        device=file.create_device(name="2p_microscope", description="two-photon microscope"),
        excitation_lambda=910.0,
        indicator="GCaMP6f",
        location="VISp",
    )
    shape = (spec.n_rois, *spec.field_shape)
    masks = _unfilled(shape, MASK_DTYPES[form.mask_kind_of(spec)], form.mask_storage(spec))
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
    words = "maximum projection of the recording"
    image = GrayscaleImage(name="max_projection", data=session.max_projection, description=words)
    module.add(Images(name="PlaneImages", images=[image], description="images of the plane"))
    return table


def _add_series(file: Any, table: Any, session: SampleSession, form: NwbForm) -> None:
    """Add pupil, running and (still empty) dF/F."""
    from pynwb import TimeSeries
    from pynwb.behavior import BehavioralTimeSeries, PupilTracking, SpatialSeries
    from pynwb.ophys import DfOverF, RoiResponseSeries

    pupil = {
        "pupil_diameter": session.pupil_diameter,
        "pupil_position_x": session.pupil_center_x,
        "pupil_position_y": session.pupil_center_y,
    }
    tracking = PupilTracking(name="PupilTracking")
    clock: Any = session.twop_times
    for name, data in pupil.items():
        words = SESSION[name.replace("position", "center")].long_name
        facts: dict[str, Any] = {"name": name, "data": data, "description": words}
        if name == "pupil_diameter":
            series = TimeSeries(**facts, timestamps=clock, unit="mm")
            # Given a series instead of times, pynwb writes a link.
            clock = series
        else:
            # The word that nwbinspector has for it.
            where = {"unit": "millimeters", "reference_frame": "camera image"}
            series = SpatialSeries(**facts, timestamps=clock, **where)
        tracking.add_timeseries(series)
    running = TimeSeries(
        name="running_velocity",
        data=session.run_velocity,
        unit="cm/s",
        timestamps=session.stim_times,
        description=SESSION[n.RUN_VELOCITY].long_name,
    )
    module = file.create_processing_module(name="behavior", description="running and pupil")
    module.add(BehavioralTimeSeries(time_series=running))
    module.add(tracking)

    shape = session.trace_model.shape
    region = table.create_roi_table_region(
        description="all ROIs", region=list(range(session.spec.n_rois))
    )
    traces = _unfilled(shape, form.dtype, form.trace_storage(session.spec, shape))
    response = RoiResponseSeries(
        name="RoiResponseSeries",
        data=traces,
        rois=region,
        unit="dF/F",
        timestamps=clock,
        description="dF/F of each ROI",
    )
    # The container first: the series refers to the ROI table, which must be in the same file.
    dff = DfOverF()
    file.processing["ophys"].add(dff)
    dff.add_roi_response_series(response)


def _presented(
    session: SampleSession, name: str, n_images: int
) -> tuple[NDArray[np.float64], NDArray[np.uint32]]:
    """Return when images of a template were shown, and which, of those that the file has."""
    table = session.segments
    rows = np.flatnonzero(table["stimulus_template_name"] == name)
    image = table["start_frame_stim_template"][rows].astype(np.int64)
    times = table["start_time"][rows]
    if table["stimulus_type"][rows[0]] == n.VISFLOW:
        # One image a stimulus frame; of the others one a segment.
        step = np.arange(n.N_FLOW_FRAMES)
        times = session.stim_times[table["start_frame_stim"][rows, np.newaxis] + step]
        image = image[:, np.newaxis] + step
    is_kept = image < n_images
    return times[is_kept], image[is_kept].astype(np.uint32)


def _add_images(file: Any, session: SampleSession, form: NwbForm) -> None:
    """Add stimulus templates, when they were shown, and, to a raw file, the (still empty) movie."""
    from pynwb.image import ImageSeries, IndexSeries
    from pynwb.ophys import TwoPhotonSeries

    for name, images in session.templates(frames=form.template_frames).items():
        template = ImageSeries(
            name=name,
            data=images,
            unit="NA",
            format="raw",
            rate=60.0,
            starting_time=0.0,
            description=f"images of {name}",
        )
        file.add_stimulus_template(template)
        times, image = _presented(session, name, len(images))
        # pynwb writes and reads a link to a template, as the published files have it, but no longer
        # makes one, but for a file that is being read.
        shown = IndexSeries.__new__(IndexSeries, in_construct_mode=True)
        shown.__init__(
            name=name,
            data=image,
            unit="N/A",
            indexed_timeseries=template,
            timestamps=times,
            description=f"when images of {name} were shown",
        )
        file.add_stimulus(shown)
    if form.parts == "obj-raw":
        shape = (session.n_twop_frames, *session.spec.field_shape)
        pupil = file.processing["behavior"]["PupilTracking"]
        file.add_acquisition(
            TwoPhotonSeries(
                name="motion_corrected_stack",
                data=_unfilled(shape, "uint16", form.movie_storage(session.spec, shape)),
                imaging_plane=file.imaging_planes["imaging_plane_1"],
                unit="n.a.",
                description=SESSION[n.MOVIE].long_name,
                timestamps=pupil["pupil_diameter"],
            )
        )


def _stored(name: str, values: NDArray[Any]) -> Any:
    """Return a column of the segment table with the type that it has in the files."""
    if values.dtype.kind == "U":
        return values.tolist()
    return values.astype(np.int32) if name in SEGMENT_FRAMES else values


def build_file(session: SampleSession, form: NwbForm) -> Any:
    """Build the pynwb object of a session."""
    from pynwb import NWBFile
    from pynwb.file import Subject

    spec = session.spec
    file = NWBFile(
        session_description=WORDS,
        experiment_description=WORDS,
        keywords=["synthetic", "two-photon calcium imaging"],
        identifier=f"{spec.session_id}{_IDENTIFIER_ENDINGS[form.parts]}",
        # As published: digits of UTC, with the offset that these would have in Los Angeles.
        session_start_time=spec.start.astimezone(UTC).replace(tzinfo=spec.site_start.tzinfo),
        file_create_date=[spec.start + timedelta(days=days) for days in _MADE_DAYS_AFTER],
        session_id=None if form.draft else str(spec.session_id),
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
