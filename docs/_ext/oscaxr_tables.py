"""Directives that print tables from where their facts are declared, so that pages cannot drift.

``session-table``, ``migration-table`` and ``citations`` write MyST text, which the page then parses
like its own.
"""

import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from oscaxr.model import names as n
from oscaxr.model.attrs import DATASET_ATTRS, STIMULUS_ATTRS
from oscaxr.model.facts import FACTS
from oscaxr.model.schema import SEQUENCES, SESSION, VariableSpec, template_spec

DOCS = Path(__file__).resolve().parents[1]
KIND_WORDS = {
    "float": "float",
    "int": "int",
    "bool": "bool",
    "str": "text",
    "number": "int or float",
    "id": "int",
    "count": "int",
    "flag": "0 or 1",
    "word": "text",
    "text": "text",
    "date": "text, yyyy-mm-dd",
    "time": "text, ISO 8601",
}
DASH = "\N{EN DASH}"
Row = Sequence[str]


def list_table(header: Row, rows: Iterable[Row], widths: Sequence[int], css: str) -> str:
    """Write a table as MyST text.

    Parameters
    ----------
    header : sequence of str
        Names of the columns.
    rows : iterable of sequence of str
        Cells, MyST text of one line or several.
    widths : sequence of int
        Relative widths of the columns.
    css : str
        Class of the table.

    Returns
    -------
    str
    """
    lines = [
        "::::{list-table}",
        ":header-rows: 1",
        f":widths: {' '.join(map(str, widths))}",
        f":class: {css}",
        "",
    ]
    for row in (header, *rows):
        for position, cell in enumerate(row):
            first, *rest = cell.split("\n")
            lines.append(f"{'* - ' if not position else '  - '}{first}")
            lines += [f"    {line}" if line else "" for line in rest]
    return "\n".join([*lines, "::::"])


def variable_rows(specs: Iterable[VariableSpec], *, dims: bool = True) -> list[Row]:
    """Describe variables, one row each.

    Parameters
    ----------
    specs : iterable of VariableSpec
        Their declarations.
    dims : bool, optional
        Whether to say their dims.

    Returns
    -------
    list of rows
    """
    rows = []
    for spec in specs:
        words = [spec.long_name, *([spec.comment] if spec.comment else [])]
        if spec.include:
            words.append(f"only with `include={spec.include!r}`")
        elif not spec.required and "only in" not in spec.comment:
            words.append("where the session has it")
        rows.append(
            (
                f"`{spec.name}`",
                *([f"({', '.join(spec.dims)})"] if dims else []),
                KIND_WORDS[spec.kind],
                unit_word(spec.units),
                "; ".join(words),
            )
        )
    return rows


def unit_word(units: str) -> str:
    """Return the unit as people write it, a dash where there is none."""
    return {"": DASH, "degree": "°", "um": "µm"}.get(units, units)


def migration_rows(group: str) -> list[Row]:
    """Return the rows of one group of the migration table.

    Parameters
    ----------
    group : str
        Name of the group in ``migration.toml``.

    Returns
    -------
    list of rows
    """
    table = tomllib.loads((DOCS / "migration.toml").read_text(encoding="utf-8"))
    return [
        (
            f"`{row['there']}`",
            f"```python\n{row['here'].strip()}\n```",
            row.get("difference", "").strip() or DASH,
        )
        for row in table[group]
    ]


def citation_text() -> str:
    """Return the references of ``CITATION.cff`` as MyST text."""
    import yaml

    cited = yaml.safe_load((DOCS.parent / "CITATION.cff").read_text(encoding="utf-8"))
    entries = []
    for entry in cited["references"]:
        authors = ", ".join(
            f"{author['family-names']} {initials(author['given-names'])}"
            if "family-names" in author
            else author["name"]
            for author in entry["authors"]
        )
        where = ""
        if "journal" in entry:
            issue = f" ({entry['issue']})" if "issue" in entry else ""
            where = f"*{entry['journal']}* {entry['volume']}{issue}, {entry['number']}. "
        elif "publisher" in entry:
            where = f"{entry['publisher']['name']}, version {entry['version']}. "
        title = " ".join(entry["title"].split())
        entries.append(
            f"**{entry['notes'][0].upper()}{entry['notes'][1:]}.** {authors} ({entry['year']}). "
            f"{title}. {where}[doi:{entry['doi']}](https://doi.org/{entry['doi']})"
        )
    return "\n\n".join(entries)


def initials(given: str) -> str:
    """Return the initials of given names."""
    return "".join(f"{part[0]}." for part in given.split())


class Generated(SphinxDirective):
    """A directive whose content is written by :meth:`text`."""

    sources: Sequence[Path] = ()

    def text(self) -> str:
        """Return MyST text."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Parse the text in place."""
        for source in self.sources:
            self.env.note_dependency(str(source))
        parent = nodes.Element()
        lines = StringList(self.text().splitlines(), source=self.get_source_info()[0])
        self.state.nested_parse(lines, self.content_offset, parent)
        return parent.children


class SessionTable(Generated):
    """Part of the data model; the argument says which."""

    required_arguments = 1

    def text(self) -> str:
        """Return the table of the part."""
        return data_model_table(self.arguments[0])


def data_model_table(part: str) -> str:
    """Return one table of the data model.

    Parameters
    ----------
    part : str
        ``"indexes"``, ``"roi"``, ``"segment"``, ``"stim_time"``, ``"data"``, ``"include"``,
        ``"sequences"``, ``"facts"``, ``"attributes"`` or ``"stimulus"``.

    Returns
    -------
    str
    """
    columns = ("name", "dims", "type", "unit", "what it is")
    widths = (22, 20, 10, 9, 39)
    specs = SESSION.values()
    if part == "facts":
        rows = [
            (
                f"`{fact.name}`",
                "coordinate" if fact.role == "coord" else "attribute",
                KIND_WORDS[fact.kind],
                unit_word(fact.units),
                fact.long_name
                + (f": {', '.join(f'`{word}`' for word in fact.allowed)}" if fact.allowed else ""),
                f"`{fact.column}`",
            )
            for fact in FACTS
        ]
        header = ("name", "kept as", "type", "unit", "what it is", "column")
        return list_table(header, rows, (22, 13, 13, 8, 27, 17), "model")
    if part in ("attributes", "stimulus"):
        values: dict[str, Any] = DATASET_ATTRS if part == "attributes" else STIMULUS_ATTRS
        rows = [(f"`{name}`", f"{value}") for name, value in values.items()]
        return list_table(("name", "value"), rows, (40, 60), "model")
    chosen = {
        "indexes": [s for s in specs if s.role == "index"],
        "roi": [s for s in specs if s.role == "coord" and s.dims == (n.ROI,)],
        "segment": [s for s in specs if s.role == "coord" and s.dims == (n.SEGMENT,)],
        "stim_time": [s for s in specs if s.role == "coord" and s.dims == (n.STIM_TIME,)],
        "data": [s for s in specs if s.role == "data" and not s.include],
        "include": [s for s in specs if s.role == "data" and s.include] + [template_spec("gabors")],
        "sequences": list(SEQUENCES.values()),
    }[part]
    if part in ("roi", "segment", "stim_time"):
        rows = variable_rows(chosen, dims=False)
        return list_table((columns[0], *columns[2:]), rows, (24, 8, 8, 60), "model")
    return list_table(columns, variable_rows(chosen), widths, "model")


class MigrationTable(Generated):
    """One group of the migration table."""

    required_arguments = 1
    sources = (DOCS / "migration.toml",)

    def text(self) -> str:
        """Return the table of the group."""
        header = ("published name", "here", "what differs")
        return list_table(header, migration_rows(self.arguments[0]), (18, 47, 35), "migration")


class Citations(Generated):
    """The papers and the dataset to cite."""

    sources = (DOCS.parent / "CITATION.cff",)

    def text(self) -> str:
        """Return the references."""
        return citation_text()


def setup(app: Any) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("session-table", SessionTable)
    app.add_directive("migration-table", MigrationTable)
    app.add_directive("citations", Citations)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
