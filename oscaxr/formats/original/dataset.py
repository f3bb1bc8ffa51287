"""From the folder of a session in the original layout to its lazy Dataset."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from oscaxr.errors import CriterionError, MissingVariableError
from oscaxr.formats.checks import check_ids, check_sizes, included_parts, set_preferred_chunks
from oscaxr.formats.original.files import SessionTree, read_tree
from oscaxr.formats.original.reading import EXTRACT, SessionReading
from oscaxr.model import names as n
from oscaxr.model.dataset import session_dataset
from oscaxr.model.facts import facts_from_row
from oscaxr.model.validate import check_structure


def open_original(
    folder: Path,
    *,
    include: str | Collection[str] = (),
    drop_variables: Collection[str] = (),
    facts: Mapping[str, Any] | None = None,
    fluorescence: str | None = None,
    segmentation: str | None = None,
    keep_decoded: bool | str | os.PathLike[Any] = False,
) -> xr.Dataset:
    """Open a session in the original layout as a lazy Dataset."""
    wanted, strict = included_parts(include)
    tree = read_tree(folder)
    where = str(tree.folder.resolve())
    coords, attrs = _facts(tree, facts, where)
    is_dendritic = _is_dendritic(tree, coords)
    ending = _which_rois(tree, segmentation, is_dendritic=is_dendritic)
    source = f"{_check_word('fluorescence', fluorescence or 'dff', n.FLUORESCENCES)}{ending}"
    # ROIs of dendrites were tracked as EXTRACT found them, never in the Allen segmentation.
    reading = SessionReading(tree, source, is_tracked=bool(ending) or not is_dendritic)
    try:
        parts = reading.parts(keep_decoded, drop_variables, squares="squares" in wanted)
        missing = [word for word in wanted if word != "squares" or "square_x" not in parts]
        if strict and missing:
            raise MissingVariableError(
                f"include={include!r}: {where} holds no {', '.join(missing)}: the original layout "
                "has neither stimulus templates nor movies, and reduced stimulus logs no squares"
            )
        attrs |= {
            "fluorescence": source.partition("_")[0],
            "segmentation": "extr" if ending else "allen",
            "source_files": ", ".join(sorted(path.name for path in reading.used)),
        }
        check_sizes(where, parts, drop_variables)
        ds = session_dataset(
            parts, coords=coords, attrs=attrs, source_format="original", dropped=drop_variables
        )
        check_structure(ds, dropped=drop_variables).raise_errors(where)
    except BaseException:
        reading.close()
        raise
    if source.startswith("raw"):
        _label_as_raw(ds)
    set_preferred_chunks(ds)
    ds.encoding["source"] = where
    ds.encoding["source_files"] = tuple(str(path.resolve()) for path in reading.used)
    ds.set_close(reading.close)
    return ds


def _facts(
    tree: SessionTree, facts: Mapping[str, Any] | None, where: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return scalar coordinates and attributes: from the table, else what the names say."""
    coords: dict[str, Any] = {"session_id": tree.session_id, "mouse_id": tree.mouse_id}
    if tree.run_type:
        coords["run_type"] = tree.run_type
    attrs: dict[str, Any] = {"date": tree.date}
    if facts is not None:
        table_coords, table_attrs = facts_from_row(pd.Series(dict(facts)))
        check_ids(where, tree.facts, {**table_coords, **table_attrs})
        coords, attrs = {**coords, **table_coords}, {**attrs, **table_attrs}
    return coords, attrs


def _check_word(option: str, word: str, known: tuple[str, ...]) -> str:
    if word not in known:
        raise CriterionError(f"{option}={word!r}: it is {' or '.join(map(repr, known))}")
    return word


def _is_dendritic(tree: SessionTree, coords: Mapping[str, Any]) -> bool:
    """Say whether the plane is dendritic: by the session table, else by any file of EXTRACT."""
    if "plane" in coords:
        return bool(coords["plane"] == "dend")
    return any(part in tree.files for part in (f"dff{EXTRACT}", f"raw{EXTRACT}", "dendritic_masks"))


def _which_rois(tree: SessionTree, segmentation: str | None, *, is_dendritic: bool) -> str:
    """Return the ending of the files of the segmentation that was asked for, or is the default."""
    if segmentation is None:
        segmentation = "extr" if is_dendritic else "allen"
    _check_word("segmentation", segmentation, n.SEGMENTATIONS)
    if segmentation == "extr" and not is_dendritic:
        raise CriterionError(
            f"segmentation='extr': session {tree.session_id} is not of a dendritic plane, and only "
            "those have ROIs by EXTRACT; leave the option out, or say 'allen'"
        )
    return EXTRACT if segmentation == "extr" else ""


def _label_as_raw(ds: xr.Dataset) -> None:
    """Say in its attributes that `dff` holds raw fluorescence, as was asked for."""
    for name, what in (
        (n.DFF, "raw fluorescence"),
        (n.DFF_MEDIAN, "median of the full raw fluorescence trace"),
        (n.DFF_SPREAD, "95th less 5th percentile of the full raw fluorescence trace"),
    ):
        if name in ds.variables:
            ds.variables[name].attrs["long_name"] = what
