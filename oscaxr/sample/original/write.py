"""Write a sample session as a folder of the original layout."""

import os
import pickle
from collections.abc import Collection, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Literal

from oscaxr.sample.nwb import Progress
from oscaxr.sample.original.devices import (
    write_pupil,
    write_sync,
    write_time_synchronization,
    write_video,
)
from oscaxr.sample.original.folder import (
    OriginalForm,
    Pickled,
    Storage,
    Tree,
    new_folder,
    original_path,
)
from oscaxr.sample.original.pickler import Python2Pickler
from oscaxr.sample.original.roi_files import (
    FoundRois,
    nway_name,
    write_allen_masks,
    write_extract_masks,
    write_max_projection,
    write_nway,
    write_traces,
)
from oscaxr.sample.original.stimulus_log import make_log
from oscaxr.sample.spec import SampleSpec
from oscaxr.sample.synthesis import SampleSession, make_session
from oscaxr.sample.timeline import COUNTS_PER_SECOND

_TIME_FORM = "%Y-%m-%d %H:%M:%S"


def write_original(
    session: SampleSession | SampleSpec,
    datadir: str | os.PathLike[str],
    *,
    mouse_folder: bool = True,
    pickled_by: Pickled = "python2",
    pickle_protocol: int = 0,
    layout: Storage = "contiguous",
    dtype: Literal["float32", "float64"] = "float32",
    mates: Iterable[SampleSpec] = (),
    leave_out: Collection[str] = (),
    startup_spike: bool = False,
    photodiode_glitches: int = 0,
    alignment_shift: int = 0,
    unknown_eye_frames: int = 0,
    pupil_frames: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write one sample session as a folder in the original layout, that from before NWB.

    Parameters
    ----------
    session : SampleSession or SampleSpec
        What to write.
    datadir : path-like
        Data directory; the folder goes below ``prod`` or ``pilot``.
    mouse_folder : bool, optional
        Whether the sessions of a mouse have a folder of their own.
    pickled_by : {"python2", "python3"}, optional
        Which Python the stimulus log looks pickled by. The recorded ones are by Python 2.
    pickle_protocol : int, optional
        0 or 2 by Python 2, up to 5 by Python 3.
    layout : {"contiguous", "chunked", "gzip"}, optional
        How HDF5 stores the traces.
    dtype : {"float32", "float64"}, optional
        Of the traces.
    mates : iterable of SampleSpec, optional
        The mouse's other sessions, named in the file of tracked ROIs with the matrices that lay
        their fields over this one.
    leave_out : collection of str, optional
        Of what not every session has: ``"pupil"`` and ``"tracking"`` (the files), ``"dff"``,
        ``"raw"`` (the trace files), ``"extract"`` (all of the second segmentation of dendrites),
        ``"squares"`` and ``"orientations"`` (in the stimulus log).
    startup_spike : bool, optional
        Whether the stimulus line has a spike a second before the first pulse. By the definitions
        of this format it counts as a pulse, so that all times and frames differ from those of the
        session without.
    photodiode_glitches : int, optional
        How many times the photodiode flickers before it sees the screen change.
    alignment_shift : int, optional
        By how many two-photon frames the stored alignment of the stimulus is off.
    unknown_eye_frames : int, optional
        Number of two-photon frames, from the first, for which no frame of the eye camera is stored.
    pupil_frames : int, optional
        At most so many rows of the pupil table: a recording that stopped early.
    overwrite : bool, optional
        Whether to replace a folder that is already there.
    progress : callable, optional
        Called with the number of steps done and the number of all steps.

    Returns
    -------
    pathlib.Path
        The session's folder. It appears under its name when it is complete, never before.

    Raises
    ------
    SampleExistsError
        If the folder is there and `overwrite` is false.
    SampleError
        If an option has no meaning; all problems are listed.

    Notes
    -----
    The same session written by :func:`write_nwb` tells the same. This layout also has unfit ROIs
    (`n_bad_rois` of the session), raw fluorescence, and the alignment of all stimulus frames; the
    gray frame of a Gabor sequence has the mean orientation of the frame before it. A session with
    other parameters than those of production is written as a pilot session.

    Examples
    --------
    >>> import tempfile
    >>> spec = SampleSpec(scale=0.01, n_rois=2, n_tracked=0, field_shape=(64, 64))
    >>> with tempfile.TemporaryDirectory() as datadir:
    ...     folder = write_original(spec, datadir)
    ...     sorted(path.name for path in folder.glob("*_s*"))
    ['758519303_408021_20180926_stim.pkl', '758519303_408021_20180926_sync.h5']
    """
    if isinstance(session, SampleSpec):
        session = make_session(session)
    form = OriginalForm(
        mouse_folder=mouse_folder,
        pickled_by=pickled_by,
        pickle_protocol=pickle_protocol,
        layout=layout,
        dtype=dtype,
        mates=tuple(mates),
        leave_out=tuple(leave_out),
        startup_spike=startup_spike,
        photodiode_glitches=photodiode_glitches,
        alignment_shift=alignment_shift,
        unknown_eye_frames=unknown_eye_frames,
        pupil_frames=pupil_frames,
    )
    form.check(session.spec)
    path = original_path(session.spec, datadir, mouse_folder=mouse_folder)
    with new_folder(path, overwrite=overwrite) as folder:
        _write(session, Tree(folder, session.spec), form, progress)
    return path


def _write(
    session: SampleSession, tree: Tree, form: OriginalForm, progress: Progress | None
) -> None:
    tree.make_folders()
    _write_behavior(session, tree, form)
    _write_rois(session, tree, form)
    for done, total in write_traces(session, tree, form):
        if progress is not None:
            progress(done, total)


def _write_behavior(session: SampleSession, tree: Tree, form: OriginalForm) -> None:
    clocks = session.clocks
    with tree.behavior_file("stim.pkl").open("wb", buffering=2**20) as file:
        log = make_log(session, form)
        if form.pickled_by == "python2":
            Python2Pickler(file, form.pickle_protocol).dump(log)
        else:
            pickle.dump(log, file, protocol=form.pickle_protocol)
    start = session.spec.start
    stop = start + timedelta(seconds=int(clocks.eye_rise[-1]) / COUNTS_PER_SECOND)
    stamps = start.strftime(_TIME_FORM), stop.strftime(_TIME_FORM)
    write_sync(tree.behavior_file("sync.h5"), clocks, form, *stamps)
    write_time_synchronization(tree.experiment_file("time_synchronization.h5"), clocks, form)
    write_video(tree.behavior_file("video-0.h5"), clocks.body_rise)
    write_video(tree.behavior_file("video-1.h5"), clocks.eye_rise)
    if "pupil" not in form.leave_out:
        rows = session.pupil_pixels[: form.pupil_frames]
        write_pupil(tree.behavior_file("pupil_data_df.h5"), rows)


def _write_rois(session: SampleSession, tree: Tree, form: OriginalForm) -> None:
    spec = session.spec
    write_max_projection(tree.processed / "max_downsample_4Hz_0.png", session.max_projection)
    write_allen_masks(tree, FoundRois(session, is_extract=False))
    if spec.plane == "dend" and "extract" not in form.leave_out:
        path = tree.processed / f"{spec.session_id}_dendritic_masks.h5"
        write_extract_masks(path, FoundRois(session, is_extract=True))
    if spec.n_tracked and "tracking" not in form.leave_out:
        write_nway(tree.processed / nway_name(spec), spec, form.mates)
