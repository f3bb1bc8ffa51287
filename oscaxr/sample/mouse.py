"""All sample sessions of one mouse, with the session table that goes with them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import pandas as pd

from oscaxr.files.remote import Place, as_given, place_of
from oscaxr.model.facts import FACTS, SessionTable
from oscaxr.model.synthetic import SESSION_IDS, WORDS
from oscaxr.options import PathLike
from oscaxr.sample.nwb import nwb_place, write_nwb
from oscaxr.sample.original import write_original
from oscaxr.sample.original_folder import original_place
from oscaxr.sample.place import check_place, taking_place
from oscaxr.sample.planted_rois import allen_rows, bad_rois
from oscaxr.sample.spec import Plane, Progress, SampleError, SampleSpec

FileFormat = Literal["nwb", "original"]

_WRITERS: Final[dict[str, Callable[..., Path | str]]] = {
    "nwb": write_nwb,
    "original": write_original,
}
TABLE_NAME: Final = "mouse_df.csv"
_PUBLISHED: Final = {fact.name: fact.column for fact in FACTS}
_IDS: Final = SESSION_IDS[:3]
_STARTS: Final = (
    datetime(2001, 1, 5, 17, 29, 17, tzinfo=UTC),
    datetime(2001, 1, 6, 18, 26, 32, tzinfo=UTC),
    datetime(2001, 1, 10, 17, 28, 33, tzinfo=UTC),
)


def mouse_specs(
    *,
    seed: int = 0,
    scale: float = 0.12,
    n_rois: int | Sequence[int] = (14, 12, 16),
    n_tracked: int | None = None,
    **facts: Any,
) -> tuple[SampleSpec, ...]:
    """Describe the three sessions of one mouse.

    Parameters
    ----------
    seed : int, optional
        Seed of all random numbers.
    scale : float, optional
        Length of the sessions, 1 being real ones.
    n_rois : int or three ints, optional
        Number of ROIs, of all or of each session.
    n_tracked : int, optional
        Number of tracked ROIs; 60 % of the smallest number of ROIs by default.
    **facts
        Further fields of :class:`SampleSpec`, the same for all sessions.

    Returns
    -------
    tuple of SampleSpec
        Sessions 1, 2 and 3.

    Raises
    ------
    SampleError
        If a number of ROIs is not given for each session, or a spec cannot be made.

    Examples
    --------
    >>> [spec.n_rois for spec in mouse_specs(n_rois=(5, 4, 6))]
    [5, 4, 6]
    """
    counts = [n_rois] * len(_IDS) if isinstance(n_rois, int) else list(n_rois)
    if len(counts) != len(_IDS):
        raise SampleError(f"n_rois has {len(counts)} numbers; give one, or one for each of three.")
    tracked = max(1, round(0.6 * min(counts))) if n_tracked is None else n_tracked
    return tuple(
        SampleSpec(
            seed=seed,
            session_id=session_id,
            session_number=number,
            n_rois=count,
            n_tracked=tracked,
            scale=scale,
            start=start,
            **facts,
        )
        for number, session_id, start, count in zip((1, 2, 3), _IDS, _STARTS, counts, strict=True)
    )


def sample_session_table(specs: Iterable[SampleSpec]) -> pd.DataFrame:
    """Return the session table of sample sessions.

    Parameters
    ----------
    specs : iterable of SampleSpec
        The sessions.

    Returns
    -------
    pandas.DataFrame
        One row a session, with the columns of :func:`oscaxr.session_table` in their order.

    Examples
    --------
    >>> sample_session_table([SampleSpec(n_rois=7, n_tracked=0)])["n_rois_tracked"].tolist()
    [-1]
    """
    rows = [
        {
            "session_id": spec.session_id,
            "dandi_session_time": f"{spec.start.astimezone(UTC):%Y%m%dT%H%M%S}",
            "mouse": spec.mouse_number,
            "mouse_id": spec.mouse_id,
            "sex": spec.sex,
            "date_of_birth": int(f"{spec.birth:%Y%m%d}"),
            "date": int(f"{spec.site_start:%Y%m%d}"),
            "age_weeks": (spec.site_start.date() - spec.birth.date()).days / 7,
            "depth": spec.depth,
            "plane": spec.plane,
            "line": spec.line,
            "run_type": spec.run_type,
            "session": spec.session_number,
            "n_rois": spec.n_rois,
            "n_rois_tracked": spec.n_tracked or -1,
            "n_rois_all": spec.n_rois + spec.n_bad_rois,
            "n_rois_allen": int((~bad_rois(spec)[allen_rows(spec)]).sum()),
            "n_rois_allen_all": len(allen_rows(spec)),
            "pass_fail": "P",
            "all_files": 1,
            "any_files": 1,
            "included": "yes",
            "stimulus_seed": spec.seed,
            "notes": WORDS,
        }
        for spec in specs
    ]
    return SessionTable(rows)


def session_path(
    spec: SampleSpec, folder: PathLike, format: FileFormat = "nwb", **parts: Any
) -> Path | str:
    """Return where a session belongs below a data directory, in either format.

    Parameters
    ----------
    spec : SampleSpec
        What the session is to be.
    folder : path-like
        Data directory, or its address.
    format : {"nwb", "original"}, optional
        Format of the files.
    **parts
        Of an NWB file, the option of :func:`sample_path`.

    Returns
    -------
    pathlib.Path or str
        The NWB file, or the session's folder; of an address, a str.

    Examples
    --------
    >>> session_path(SampleSpec(), "data", "original").name
    'ophys_session_900000001'
    """
    return as_given(session_place(spec, place_of(folder), format, **parts))


def session_place(
    spec: SampleSpec, folder: Place, format: FileFormat = "nwb", **parts: Any
) -> Place:
    """Return where a session belongs below a data directory, here or in a store."""
    place: Callable[..., Place] = nwb_place if format == "nwb" else original_place
    return place(spec, folder, **parts)


def write_mouse(
    folder: PathLike,
    *,
    seed: int = 0,
    scale: float = 0.12,
    n_rois: int | Sequence[int] = (14, 12, 16),
    n_tracked: int | None = None,
    n_bad_rois: int = 0,
    plane: Plane = "soma",
    format: FileFormat = "nwb",
    overwrite: bool = False,
    progress: Progress | None = None,
    storage_options: Mapping[str, Any] | None = None,
    **form: Any,
) -> pd.DataFrame:
    """Write the three sessions of one mouse, and their session table.

    Parameters
    ----------
    folder : path-like
        Data directory; ``mouse_df.csv``, with the published columns, goes into it. Or an address
        in an object store (``s3://bucket/data``).
    seed, scale, n_rois, n_tracked : optional
        See :func:`mouse_specs`.
    n_bad_rois : int, optional
        Number of unfit ROIs of each session, which only the original layout has.
    plane : {"soma", "dend"}, optional
        Imaging plane.
    format : {"nwb", "original"}, optional
        NWB files, or folders in the format from before.
    overwrite : bool, optional
        Whether to replace samples that are already there, and their table. Nothing else ever is:
        then nothing is written.
    progress : callable, optional
        Called with the number of steps done and the number of all steps.
    storage_options : mapping, optional
        How an object store is reached, as for :func:`oscaxr.open_session`.
    **form
        Form of the files, the parameters of :class:`NwbForm` or :class:`OriginalForm`.

    Returns
    -------
    pandas.DataFrame
        The session table.

    Raises
    ------
    SampleExistsError
        If a session or the table is there and `overwrite` is false, or is no sample.
    SampleError
        If the sessions or the form of the files cannot be made.
    """
    if format not in _WRITERS:
        raise SampleError(f"format is {format!r}; give one of {list(_WRITERS)}.")
    specs = mouse_specs(
        seed=seed,
        scale=scale,
        n_rois=n_rois,
        n_tracked=n_tracked,
        n_bad_rois=n_bad_rois,
        plane=plane,
    )
    root = place_of(folder, storage_options)
    table_path = root / TABLE_NAME
    parts = {"parts": form["parts"]} if "parts" in form else {}
    targets = [table_path, *(session_place(spec, root, format, **parts) for spec in specs)]
    check_place(targets, overwrite=overwrite)
    for number, spec in enumerate(specs):

        def report(done: int, total: int, before: int = number) -> None:
            if progress is not None:
                # Sessions differ in their number of steps; each counts for a thousand.
                progress(1000 * before + 1000 * done // total, 1000 * len(specs))

        mates = {"mates": [mate for mate in specs if mate is not spec]}
        own = mates | form if format == "original" else form
        _WRITERS[format](spec, root, **own, overwrite=overwrite, progress=report)
    table = sample_session_table(specs)
    with taking_place(table_path, overwrite=overwrite) as partial:
        table.rename(columns=_PUBLISHED).to_csv(partial, index=False)
    return table
