"""The sessions that are measured: written once, and found again in the folder."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import oscaxr as ox

FORMS: dict[str, dict[str, Any]] = {
    # As published files of somata and of dendrites are.
    "contiguous": {},
    "dendritic": {},
    "gzip": {"layout": "gzip", "dtype": "float32", "chunks": (2048, 32)},
}
FIRST_ID = 900000001


def session_spec(rois: int, scale: float, **more: Any) -> ox.sample.SampleSpec:
    """Describe a session of real structure; at scale 1 it has 126,741 frames."""
    facts = {"n_rois": rois, "n_tracked": min(100, rois // 2), "scale": scale, **more}
    return ox.sample.SampleSpec(**facts)


@contextmanager
def beside(folder: Path) -> Iterator[Path]:
    """Give a folder to write in, on the same disk, so that files appear when they are whole."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="writing-") as name:
        yield Path(name)


def session_file(folder: Path, layout: str, rois: int, scale: float) -> Path:
    """Write a session in a layout once, or find it."""
    spec = session_spec(rois, scale, plane="dend" if layout == "dendritic" else "soma")
    path = ox.sample.sample_path(spec, folder / f"{layout}_{rois}_{scale:g}")
    if not path.exists():
        with beside(folder) as made:
            written = ox.sample.write_nwb(spec, made, **FORMS[layout])
            path.parent.mkdir(parents=True, exist_ok=True)
            written.replace(path)
    return path


def original_folder(folder: Path, rois: int, scale: float) -> Path:
    """Write a session in the original layout once, or find it."""
    spec = session_spec(rois, scale, n_bad_rois=min(20, rois // 3))
    target = folder / f"original_{rois}_{scale:g}"
    if not target.exists():
        with beside(folder) as made:
            ox.sample.write_original(spec, made)
            made.rename(target)
            made.mkdir()
    (found,) = target.glob(f"prod/**/ophys_session_{spec.session_id}")
    return found


def many_files(folder: Path, count: int, rois: int, scale: float) -> list[Path]:
    """Write several sessions once, or find them."""
    target = folder / f"many_{rois}_{scale:g}"
    specs = [
        session_spec(rois, scale, seed=number, session_id=FIRST_ID + number)
        for number in range(count)
    ]
    paths = [ox.sample.sample_path(spec, target) for spec in specs]
    for spec, path in zip(specs, paths, strict=True):
        if not path.exists():
            ox.sample.write_nwb(spec, target, **FORMS["gzip"])
    return paths
