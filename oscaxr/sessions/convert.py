"""Many sessions to zarr or netCDF: what is there and current is verified, the rest is written."""

import os
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, Unpack, cast, get_args

import numpy as np

from oscaxr.atomic import clean, explained
from oscaxr.errors import CriterionError, OscaxrError, OscaxrWarning, TargetExistsError, option
from oscaxr.files.remote import Place, RemoteFile, place_of
from oscaxr.formats.registry import EXPORTS
from oscaxr.options import FileOptions, PathLike, check_options
from oscaxr.progress import Report, progress_bar
from oscaxr.sessions.asked import sources_of
from oscaxr.sessions.open import SessionSource
from oscaxr.sessions.settings import TABLE
from oscaxr.sessions.tasks import NoResult
from oscaxr.sessions.tree import Errors, check_errors, tell_failures
from oscaxr.sessions.workers import run_each

Format = Literal["zarr", "zarr.zip", "nc"]
Status = Literal["written", "replaced", "verified", "failed"]

_TRY_AGAIN: Final = "Nothing is left of this export: convert again, perhaps with fewer workers"


@dataclass(frozen=True)
class Converted:
    """What became of one session.

    Parameters
    ----------
    session : str
        The name of its export, without the ending.
    target : str
        Where the export is, or would be.
    status : {"written", "replaced", "verified", "failed"}
        ``"verified"``: it was there already, and is what would be written now.
    bytes : int
        Size of the export.
    reason : str
        Why it failed.
    notes : tuple of str
        What was warned of.
    traceback : str
        Where it failed.
    """

    session: str
    target: str
    status: Status
    bytes: int = 0
    reason: str = ""
    notes: tuple[str, ...] = ()
    traceback: str = ""


@dataclass(frozen=True)
class Job:
    """One session to be converted; picklable."""

    found: SessionSource
    target: Place
    dtype: str | None = None
    overwrite: bool = False
    verify: bool = False
    advice: str = ""


def convert(
    sources: PathLike | Iterable[PathLike],
    folder: PathLike,
    *,
    format: Format = "zarr",
    table: PathLike | None = None,
    default_table: PathLike | None = None,
    datadir: PathLike | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    verify: bool = False,
    dtype: Any = None,
    progress: bool | Report = True,
    errors: Errors = "raise",
    target_options: Mapping[str, Any] | None = None,
    **options: Unpack[FileOptions],
) -> list[Converted]:
    """Convert sessions to zarr or netCDF, in processes; the same call goes on where it stopped.

    Parameters
    ----------
    sources : path-like or iterable of path-like
        NWB files, session folders in the original layout, or exports, or their addresses; folders,
        which are searched for the first two at any depth; or session tables (``.csv``), of which
        every row is converted.
    folder : path-like
        Where to: each session becomes ``sub-<mouse>_ses-<session>.<format>``. Made if it is not
        there. Or an address in an object store (``s3://bucket/exports``), for zarr.
    format : {"zarr", "zarr.zip", "nc"}, optional
        What to write.
    table : path-like, optional
        The session table, which has to have all of the sessions.
    default_table : path-like, optional
        A session table that may have them; by default ``OSCAXR_TABLE``, or the ``mouse_df.csv``
        in folders among `sources`.
    datadir : path-like, optional
        Where the files of session tables among `sources` are; by default the folder of the table.
    workers : int, optional
        Number of processes; by default one per core, at most one per session. 1 for this process.
    overwrite : bool, optional
        Whether to replace exports that differ from what would be written now.
    verify : bool, optional
        Whether to read all values of the exports that are there already, to find damage.
    dtype : dtype, optional
        Floating-point dtype of all floating data variables, e.g. ``"float32"``.
    progress : bool or callable, optional
        Whether to show a progress bar on a terminal; or a function of (sessions done, all).
    errors : {"raise", "collect"}, optional
        What to do about sessions that fail, once all others are done: raise, or warn.
    target_options : mapping, optional
        How the object store of `folder` is reached (``storage_options`` are for `sources`).
    **options
        How to open the sessions, as for :func:`open_session`: ``include``, ``segmentation``, ...

    Returns
    -------
    list of Converted
        One a session, in order, with ``session``, ``target``, ``status`` (``"written"``,
        ``"replaced"``, ``"verified"`` or ``"failed"``), ``bytes``, ``reason`` and ``notes``.

    Raises
    ------
    SessionNotFoundError
        If there is no session in `sources`.
    SessionsFailedError
        If any session failed: its ``.results`` are the list.
    CriterionError
        If `folder` is named like an export, or an option is unknown.

    Notes
    -----
    What is there already is verified and skipped: same source files (name, size and digest), same
    options, same variables and facts, no part of the data missing. An export that differs fails,
    unless `overwrite` is given. An export appears when it is complete, not before, and a call that
    is interrupted or killed leaves none that is half.

    Examples
    --------
    >>> import tempfile
    >>> import oscaxr as ox
    >>> folder = Path(tempfile.mkdtemp())
    >>> spec = ox.sample.SampleSpec(n_rois=4, n_tracked=2, scale=0.02)
    >>> path = ox.sample.write_nwb(spec, folder / "data")
    >>> for _ in range(2):
    ...     for one in convert(path, folder / "exports"):
    ...         print(one.session, one.status)
    sub-900001_ses-900000001 written
    sub-900001_ses-900000001 verified
    """
    check_errors(errors)
    asked = check_options(options)
    root = check_folder(folder, target_options)
    if format not in get_args(Format):
        allowed = ", ".join(map(repr, get_args(Format)))
        raise CriterionError(f"format={format!r}: it is one of {allowed}")
    if isinstance(root, RemoteFile) and format != "zarr":
        raise CriterionError(
            f"{option('format', format)}: into an object store ({root}) only zarr is written, of "
            "which each chunk is an object: an object cannot be written part by part"
        )
    is_one = isinstance(sources, str | os.PathLike) or not isinstance(sources, Iterable)
    paths: list[Any] = [sources] if is_one else [*cast("Iterable[PathLike]", sources)]
    try:
        precision = None if dtype is None else str(np.dtype(dtype))
    except (TypeError, ValueError) as error:
        raise CriterionError(f"dtype={dtype!r}: {error}. Give e.g. 'float32'.") from error
    with progress_bar("converting sessions", show=progress) as report:
        found = sources_of(
            paths,
            table=table,
            default_table=default_table or os.environ.get(TABLE) or None,
            datadir=datadir,
            options=asked,
        )
        how = (precision, overwrite, verify, f"{option('overwrite', True)} replaces it.")
        jobs = [Job(one, root / f"{one.name}.{format}", *how) for one in found]
        results = run_jobs(jobs, root, workers, report)
    failures = {one.session: one.reason for one in results if one.status == "failed"}
    tell_failures(failures, results, errors)
    return results


def check_folder(folder: PathLike, options: Mapping[str, Any] | None = None) -> Place:
    """Return the folder for exports, and refuse one that is named like an export itself."""
    place = place_of(folder, options)
    if any(one.recognises(place) for one in EXPORTS):
        raise CriterionError(f"{place} is named like one export, but is the folder for them")
    return place


def run_jobs(
    jobs: Sequence[Job], folder: Place, workers: int | None, report: Report
) -> list[Converted]:
    """Convert sessions, in several processes where there is more than one."""
    scheduler = "synchronous" if workers == 1 or len(jobs) == 1 else "processes"
    # In an object store, nothing is put together beside its place.
    begun = nullcontext() if isinstance(folder, RemoteFile) else _cleaned(folder)
    with begun:
        results = run_each(convert_one, jobs, scheduler=scheduler, workers=workers, report=report)
    return [
        _failed(job, f"{one.reason}. {_TRY_AGAIN}") if isinstance(one, NoResult) else one
        for job, one in zip(jobs, results, strict=True)
    ]


@contextmanager
def _cleaned(folder: Path) -> Iterator[None]:
    """Remove what unfinished exports have left, before the block and after it."""
    with explained(f"cannot write exports to {folder}"):
        clean(folder)
    try:
        yield
    finally:
        # Of workers that died or were interrupted while zarr's threads were still writing.
        clean(folder)


def _failed(job: Job, reason: str = "") -> Converted:
    return Converted(job.found.name, str(job.target), "failed", reason=reason)


def convert_one(job: Job) -> Converted:
    """Convert one session, or verify that it is converted: what runs in a worker."""
    result = _failed(job)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", OscaxrWarning)
        try:
            result = _converted(job, result)
        except Exception as error:
            expected = isinstance(error, OscaxrError | OSError)
            reason = str(error) if expected else f"{type(error).__name__}: {error}"
            result = replace(result, reason=reason, traceback=traceback.format_exc())
    return replace(result, notes=tuple(dict.fromkeys(str(one.message) for one in caught)))


def _converted(job: Job, result: Converted) -> Converted:
    export = next(one for one in EXPORTS if one.recognises(job.target))
    with job.found.open() as ds:
        there = export.n_bytes(job.target) is not None
        found = export.difference(ds, job.target, job.dtype, deep=job.verify) if there else ""
        if found and not job.overwrite:
            raise TargetExistsError(f"{job.target} exists already, and {found}. {job.advice}")
        if found or not there:
            export.save(ds, job.target, job.dtype, overwrite=job.overwrite)
    status: Status = "written" if not there else "replaced" if found else "verified"
    return replace(result, status=status, bytes=export.n_bytes(job.target) or 0)
