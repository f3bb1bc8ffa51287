"""Links to other projects' documentation without a network.

A text file a project: its first line is the address, every other one is
``name domain:role path``, ``$`` in the path standing for the name.
"""

import zlib
from pathlib import Path

Locations = tuple[str, tuple[str | None, ...]]


def mapping(sources: Path, target: Path, *, online: bool) -> dict[str, Locations]:
    """Return the value of ``intersphinx_mapping``.

    Parameters
    ----------
    sources : Path
        Folder of the text files.
    target : Path
        Folder for the inventories made of them.
    online : bool
        Ask the project's own inventory first.

    Returns
    -------
    dict of str to (address, inventories)
    """
    target.mkdir(parents=True, exist_ok=True)
    found: dict[str, Locations] = {}
    for source in sorted(sources.glob("*.txt")):
        address, *entries = source.read_text(encoding="utf-8").split("\n")
        inventory = target / f"{source.stem}.inv"
        inventory.write_bytes(encode(source.stem, [line for line in entries if line.strip()]))
        first: tuple[str | None, ...] = (None,) if online else ()
        found[source.stem] = (address.strip(), (*first, str(inventory)))
    return found


def encode(project: str, entries: list[str]) -> bytes:
    """Return an inventory in the format that Sphinx reads (version 2).

    Parameters
    ----------
    project : str
        Name of the project.
    entries : list of str
        Lines ``name domain:role path``.

    Returns
    -------
    bytes
    """
    header = (
        f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
        "# The remainder of this file is compressed using zlib.\n"
    )
    lines = []
    for entry in entries:
        name, role, path = entry.split()
        lines.append(f"{name} {role} 1 {path.replace('$', name)} -\n")
    return header.encode() + zlib.compress("".join(lines).encode())
