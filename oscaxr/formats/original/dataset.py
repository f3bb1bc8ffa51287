"""From the folder of a session in the original layout to its lazy Dataset."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import numpy as np
import xarray as xr

from oscaxr.arrays.lazy import OrthogonalArray
from oscaxr.errors import (
    CriterionError,
    FormatError,
    OscaxrWarning,
    SessionNotFoundError,
    listed,
    warn,
)
from oscaxr.files.direct import DirectFile
from oscaxr.files.hdf5 import Hdf5File
from oscaxr.files.hdf5_arrays import DatasetReader
from oscaxr.files.remote import Place, RemoteFile
from oscaxr.formats.identity import with_table
from oscaxr.formats.original import behavior, rois, stimulus_table
from oscaxr.formats.original import synchronization as sync
from oscaxr.formats.original.files import SessionTree, read_tree, through_links
from oscaxr.formats.original.log_cache import decode
from oscaxr.formats.original.stimulus_log import StimulusLog
from oscaxr.formats.original.stimulus_table import build_patches, square_parts
from oscaxr.model import names as n
from oscaxr.model import segments as segments_of
from oscaxr.model import signals
from oscaxr.model.dataset import session_dataset
from oscaxr.model.derived import Parts, mask_facts
from oscaxr.options import OpenOptions, dropped_names, parts_of


def open_original(
    folder: Place, options: OpenOptions, facts: Mapping[str, Any] | None
) -> xr.Dataset:
    """Open a session in the original layout as a lazy Dataset."""
    tree = read_tree(folder)
    where = str(through_links(tree.folder))
    # From the table, else what the names say.
    named: dict[str, Any] = {"session_id": tree.session_id, "mouse_id": tree.mouse_id}
    if tree.run_type:
        named["run_type"] = tree.run_type
    coords, attrs = with_table(where, named, {"date": tree.date}, facts)
    is_dendritic = _is_dendritic(tree, coords)
    ending = _which_rois(tree, options.get("segmentation"), is_dendritic=is_dendritic)
    fluorescence = options.get("fluorescence") or "dff"
    # ROIs of dendrites were tracked as EXTRACT found them, never in the Allen segmentation.
    is_tracked = bool(ending) or not is_dendritic
    reading = SessionReading(tree, f"{fluorescence}{ending}", options, is_tracked=is_tracked)
    try:
        attrs |= {
            "source_format": "original",
            "fluorescence": fluorescence,
            "segmentation": "extr" if ending else "allen",
            "source_files": ", ".join(sorted(path.name for path in reading.used)),
        }
        parts = reading.parts()
        reading.close_whole()
        if reading.is_sample:
            attrs["synthetic"] = 1
        ds = session_dataset(where, parts, coords, attrs, reading.dropped)
    except BaseException:
        reading.close()
        raise
    if fluorescence == "raw":
        _label_as_raw(ds)
    ds.encoding["source"] = where
    if isinstance(folder, RemoteFile):
        known = dict.fromkeys(file.remote for file in reading.files if file.remote is not None)
        ds.encoding["remote_sources"] = tuple(known)
    else:
        ds.encoding["source_files"] = tuple(str(through_links(path)) for path in reading.used)
    ds.set_close(reading.close)
    return ds


def _is_dendritic(tree: SessionTree, coords: Mapping[str, Any]) -> bool:
    """Say whether the plane is dendritic: by the session table, else by any file of EXTRACT."""
    if "plane" in coords:
        return bool(coords["plane"] == "dend")
    return any(part in tree.files for part in (f"dff{EXTRACT}", f"raw{EXTRACT}", "dendritic_masks"))


def _which_rois(tree: SessionTree, segmentation: str | None, *, is_dendritic: bool) -> str:
    """Return the ending of the files of the segmentation that was asked for, or is the default."""
    if segmentation == "extr" and not is_dendritic:
        raise CriterionError(
            f"segmentation='extr': session {tree.session_id} is not of a dendritic plane, and only "
            "those have ROIs by EXTRACT; leave the option out, or say 'allen'"
        )
    return EXTRACT if is_dendritic and segmentation != "allen" else ""


def _label_as_raw(ds: xr.Dataset) -> None:
    """Say in its attributes that `dff` holds raw fluorescence, as was asked for."""
    for name in {n.DFF, n.DFF_MEDIAN, n.DFF_SPREAD} & set(ds.variables):
        words = ds.variables[name].attrs
        words["long_name"] = words["long_name"].replace("dF/F", "raw fluorescence")


EXTRACT: Final = "_dendritic"
"""Ending of the files that hold the ROIs which EXTRACT found."""

REQUIRED: Final = (
    "stimulus",
    "sync",
    "video_0",
    "video_1",
    "time_synchronization",
    "max_projection",
    "allen_masks",
    "object_list",
)

PATCHES: Final = ("gabor_x", "gabor_y", "gabor_size", "gabor_orientation")
SQUARES: Final = ("square_x", "square_y")
"""Variables that come from one place, and are wrong together."""


class SessionReading:
    """Reads the files of one session, and collects what is wrong with all of them."""

    def __init__(
        self, tree: SessionTree, source: str, options: OpenOptions, *, is_tracked: bool
    ) -> None:
        self.tree = tree
        self.source = source
        self.options = options
        self.dropped = dropped_names(options.get("drop_variables"))
        self.is_tracked = is_tracked
        self.is_sample = False
        self.files: list[Hdf5File | DirectFile] = []
        ending = "dendritic_masks" if source.endswith(EXTRACT) else ""
        required = [*REQUIRED, source, *([ending] if ending else [])]
        if n.MAX_PROJECTION in self.dropped:
            required.remove("max_projection")
        optional = ("pupil", "matches") if is_tracked else ("pupil",)
        self.used = [tree.files[part] for part in (*required, *optional) if part in tree.files]
        missing = [tree.missing[part] for part in required if part in tree.missing]
        if missing:
            hint = ""
            if ending and any(EXTRACT in path.rpartition("/")[2] for path in missing):
                hint = " The ROIs of the Allen segmentation are read with segmentation='allen'."
            raise SessionNotFoundError(
                f"{tree.folder} lacks {len(missing)} file(s) that a session in the original layout "
                f"has:{listed(missing)}\nFetch them, or check that the folder was copied whole."
                f"{hint}"
            )

    def close(self) -> None:
        """Release all files; reading opens them again."""
        for file in self.files:
            file.close()

    def close_whole(self) -> None:
        """Release those files that were read whole."""
        for file in self.files:
            if isinstance(file, DirectFile):
                file.close()

    def all_of(self, *functions: Callable[[], Any]) -> list[Any]:
        """Return what functions give; raise the problems of all of them at once."""
        found, problems = [], []
        for function in functions:
            try:
                found.append(function())
            except FormatError as error:
                if type(error) is not FormatError:
                    raise
                problems.append(str(error))
        if problems:
            raise FormatError(
                f"{self.tree.folder} cannot be read as a session in the original layout:"
                f"{listed(problems)}"
            )
        return found

    def part(self, names: Collection[str], function: Callable[[], Parts]) -> Parts:
        """Return a part; nothing where it fails and all its variables are left out."""
        try:
            return function()
        except FormatError as error:
            if set(names) <= set(self.dropped):
                return {}
            raise type(error)(f"{error} (Without it: drop_variables={list(names)}.)") from error

    def hdf5(self, part: str) -> Hdf5File:
        """Open one of the HDF5 files; it is closed with the Dataset."""
        file = Hdf5File(self.tree.files[part])
        self.files.append(file)
        return file

    def whole(self, part: str) -> DirectFile:
        """Return one of the files that are read whole; it is closed with the Dataset."""
        file = DirectFile(self.tree.files[part])
        self.files.append(file)
        return file

    def parts(self) -> Parts:
        """Read everything: first each file by itself, then what needs several."""
        keep = self.options.get("keep_decoded", False)
        with_squares = "squares" in parts_of(self.options.get("include", ()))[0]
        (log, tracks), lines, clocks, found, masks, picture, eye, *_ = self.all_of(
            lambda: decode(self.whole("stimulus"), keep),
            lambda: sync.read_sync(self.hdf5("sync")),
            lambda: sync.read_synchronization(self.hdf5("time_synchronization")),
            lambda: rois.find_traces(self.hdf5(self.source)),
            self._masks,
            lambda: self.part([n.MAX_PROJECTION], self._picture),
            lambda: self.part(n.PUPIL_VARIABLES, self._pupil_file),
            # Nothing of them is used; that they are whole is part of the session being whole.
            lambda: self.hdf5("video_0"),
            lambda: self.hdf5("video_1"),
        )
        self.is_sample = lines.is_sample
        n_frames = found[0].shape[1]
        (rows, clocked), running, trace_parts, roi_parts, pupil_parts = self.all_of(
            lambda: self._clocked(log, lines, clocks, n_frames),
            lambda: self.part([n.RUN_VELOCITY], lambda: self._running(log, lines)),
            lambda: rois.trace_parts(found[0], len(clocks.twop_times)),
            lambda: self._rois(found, masks),
            lambda: self.part(
                n.PUPIL_VARIABLES, lambda: self._pupil(eye.get("file"), clocks, n_frames)
            ),
        )
        patches, flow = self.all_of(
            lambda: self.part(PATCHES, lambda: build_patches(rows, log)),
            lambda: (
                self.part(
                    SQUARES, lambda: square_parts(tracks, self.tree.files["stimulus"], rows, log)
                )
                if with_squares
                else {}
            ),
        )
        # Traces first: the order of the variables is the order in which the Dataset prints them.
        return {
            **trace_parts,
            **running,
            **pupil_parts,
            **roi_parts,
            **clocked,
            **patches,
            **picture,
            **flow,
        }

    def _picture(self) -> Parts:
        if "max_projection" not in self.tree.files:
            return {}
        return {n.MAX_PROJECTION: rois.find_picture(self.whole("max_projection"))}

    def _pupil_file(self) -> Parts:
        return {"file": self.hdf5("pupil")} if "pupil" in self.tree.files else {}

    def _running(self, log: StimulusLog, lines: sync.SyncLines) -> Parts:
        velocity = behavior.running_velocity(log.wheel, lines.stim_rising)
        quiet = n.RUN_VELOCITY in self.dropped
        cleaned = signals.cleaned_running(velocity, self.tree.folder.name, quiet=quiet)
        return {n.RUN_VELOCITY: cleaned}

    def _clocked(
        self,
        log: StimulusLog,
        lines: sync.SyncLines,
        clocks: sync.Synchronization,
        n_frames: int,
    ) -> tuple[stimulus_table.Columns, Parts]:
        """Align the clocks; build the stimulus table on them."""
        session_id = self.tree.session_id
        path = self.tree.files["sync"]
        # The first pulse is that of no usable frame.
        falls = lines.stim_falling[1:]
        try:
            first = sync.align(lines.twop_falling, falls, lines.monitor_delay())
        except FormatError as error:
            if session_id not in sync.SECOND_ALIGNMENT_SESSIONS:
                raise FormatError(f"{path}: {error}") from error
            first = np.zeros(len(falls), np.int64)
        aligned, message = sync.correct(first, clocks.stimulus_alignment, session_id)
        if message:
            warn(f"{self.tree.folder}: {message}", OscaxrWarning)
        sync.check_alignment(aligned, min(n_frames, len(clocks.twop_times)))
        pulses = behavior.pulses_of_session(lines.stim_rising)
        if len(pulses) < len(aligned):
            raise FormatError(
                f"{path}: the stimulus line rises {len(pulses)} times but falls "
                f"{len(lines.stim_falling)} times"
            )
        # Of the stimulus frames, on the clock of the two-photon frames.
        clock = pulses - pulses[0] + clocks.twop_times[aligned[0]]
        rows = stimulus_table.build_rows(log, aligned)
        columns = stimulus_table.build_columns(rows, log, clock)
        lengths = {"stim": len(aligned), "twop": n_frames}
        problems = segments_of.problems_of_table(columns, lengths)
        if problems:
            raise FormatError(f"the stimulus table is not sound: {'; '.join(problems)}")
        n_shown = rows["stop_frame_stim"][-1]
        if (log.n_dropped or 0) > n.DROP_TOLERANCE * n_shown:
            warn(
                f"{self.tree.folder}: the stimulus log says that {log.n_dropped} of {n_shown} "
                "stimulus frames came late",
                OscaxrWarning,
            )
        return rows, {
            n.TIME: clocks.twop_times[:n_frames],
            n.STIM_TIME: clock[: len(aligned)],
            n.ALIGNED_FRAME_TWOP: aligned,
            n.SEGMENT: np.arange(len(rows["stimulus"]), dtype=np.int64),
            **columns,
        }

    def _masks(self) -> tuple[Any, Any]:
        """Return the masks, and their ids where they have any."""
        allen = rois.read_allen_masks(self.whole("allen_masks"), self.whole("object_list"))
        if self.source.endswith(EXTRACT):
            return rois.find_extract_masks(self.hdf5("dendritic_masks")), None
        return allen

    def _rois(self, found: tuple[DatasetReader, list[str]], masks: tuple[Any, Any]) -> Parts:
        reader, roi_names = found
        n_rois = reader.shape[0]
        array, ids = masks
        listed = "dendritic_masks" if self.source.endswith(EXTRACT) else "object_list"
        if array.shape[0] != n_rois:
            raise FormatError(
                f"{reader.file.path} has traces of {n_rois} ROIs, but {self.tree.files[listed]} "
                f"has {array.shape[0]} ROI masks: which trace is which ROI cannot be told"
            )
        named = np.array([int(name) for name in roi_names if name.isdecimal()], np.int64)
        if len(named) not in (0, n_rois):
            raise FormatError(f"{reader.file.path} has ROI names that are not numbers")
        if ids is None:
            ids = named if len(named) else np.arange(n_rois)
        elif len(named) and not np.array_equal(ids, named):
            raise FormatError(
                f"{reader.file.path} has ROIs {named[:3]}..., but the masks, by ascending id, are "
                f"those of {ids[:3]}..."
            )
        has_matches = self.is_tracked and "matches" in self.tree.files
        file = self.whole("matches") if has_matches else None
        session_id = self.tree.session_id
        of_matches = (n.TRACKING_ID, n.LISTED_INVALID)
        matched = self.part(of_matches, lambda: rois.matched(file, ids, session_id))
        if self.source.startswith("raw"):
            # The list is that of the ROIs whose dF/F is bad.
            matched.pop(n.LISTED_INVALID, None)
        return {
            n.ROI: np.arange(n_rois),
            n.ROI_ID: ids,
            **(matched or rois.matched(None, ids, session_id)),
            n.ROI_MASK: OrthogonalArray(array),
            **mask_facts(array, np.arange(n_rois)),
        }

    def _pupil(self, file: Hdf5File | None, clocks: sync.Synchronization, n_frames: int) -> Parts:
        if file is None:
            return {}
        if len(clocks.eye_frames) < n_frames:
            raise FormatError(
                f"{self.tree.files['time_synchronization']}: eye_tracking_alignment has "
                f"{len(clocks.eye_frames)} entries, where there are {n_frames} two-photon frames"
            )
        return behavior.read_pupil(file, clocks.eye_frames[:n_frames], clocks.twop_times)
