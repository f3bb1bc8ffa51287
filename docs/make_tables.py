"""Write the tables of the documentation from where their facts are declared.

    python docs/make_tables.py          write them into the pages
    python docs/make_tables.py --check  only say which pages are stale (exit status 1)

A table stands in a page between ``<!-- table: ... -->`` and ``<!-- /table -->``, in plain Markdown,
so that the page reads the same in a repository and in the built documentation. A test says when
the tables no longer tell what is declared.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

from oscaxr.model import names as n
from oscaxr.model.facts import FACTS
from oscaxr.model.schema import (
    DATASET_ATTRS,
    SEQUENCES,
    SESSION,
    STIMULUS_ATTRS,
    VariableSpec,
    template_spec,
)

DOCS = Path(__file__).resolve().parent
MARKED = re.compile(r"(?<=^<!-- table: )(.+?) -->\n(.*?)(?=^<!-- /table -->$)", re.DOTALL | re.M)
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


# -- Markdown --------------------------------------------------------------------------------------
def pipe_table(header: Row, rows: Iterable[Row]) -> str:
    """Write a table whose cells are Markdown of one line."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell(text) for text in line)} |" for line in lines) + "\n"


def cell(text: str) -> str:
    """Return text as it may stand in a cell."""
    return text.strip().replace("|", r"\|").replace("\n", " ")


def code_cell(code: str) -> str:
    """Return lines of code as a cell: each between backticks, with its indentation."""
    return "<br>".join(f"`{line}`" for line in code.strip().splitlines() if line)


# -- the data model --------------------------------------------------------------------------------
def model_table(part: str) -> str:
    """Return one table of the data model."""
    if part == "facts":
        return facts_table()
    if part in ("attributes", "stimulus"):
        values = DATASET_ATTRS if part == "attributes" else STIMULUS_ATTRS
        return pipe_table(("name", "value"), [(f"`{k}`", f"{v}") for k, v in values.items()])
    with_dims = part not in ("roi", "segment", "stim_time")
    header = ("name", *(["dims"] if with_dims else []), "type", "unit", "what it is")
    return pipe_table(header, [variable_row(spec, with_dims) for spec in variables(part)])


def variables(part: str) -> list[VariableSpec]:
    """Return the declared variables that a part of the page shows."""
    specs = list(SESSION.values())
    if part == "indexes":
        return [spec for spec in specs if spec.role == "index"]
    if part == "data":
        return [spec for spec in specs if spec.role == "data" and not spec.include]
    if part == "include":
        asked = [spec for spec in specs if spec.role == "data" and spec.include]
        return [*asked, template_spec("gabors")]
    if part == "sequences":
        return list(SEQUENCES.values())
    dims = {"roi": [n.ROI], "segment": [n.SEGMENT], "stim_time": [n.STIM_TIME]}
    dims["field"] = [n.HEIGHT, n.WIDTH]
    along = [(dim,) for dim in dims[part]]
    return [spec for spec in specs if spec.role == "coord" and spec.dims in along]


def variable_row(spec: VariableSpec, with_dims: bool) -> Row:
    """Describe one variable."""
    words = [spec.long_name, *([spec.comment] if spec.comment else [])]
    if spec.include:
        words.append(f"only with `include={spec.include!r}`")
    elif not spec.required and "only in" not in spec.comment:
        words.append("where the session has it")
    dims = [f"({', '.join(spec.dims)})"] if with_dims else []
    return (f"`{spec.name}`", *dims, KIND_WORDS[spec.kind], unit(spec.units), "; ".join(words))


def unit(units: str) -> str:
    """Return the unit as people write it, a dash where there is none."""
    return {"": DASH, "degree": "°", "um": "µm"}.get(units, units)


def facts_table() -> str:
    """Return the table of the facts of a session."""
    rows = [
        (
            f"`{fact.name}`",
            "coordinate" if fact.role == "coord" else "attribute",
            KIND_WORDS[fact.kind],
            unit(fact.units),
            ": ".join([fact.long_name, *filter(None, [", ".join(f"`{w}`" for w in fact.allowed)])]),
            f"`{fact.column}`",
        )
        for fact in FACTS
    ]
    return pipe_table(("name", "kept as", "type", "unit", "what it is", "published as"), rows)


# -- migration and citations -----------------------------------------------------------------------
def migration_table(group: str) -> str:
    """Return one group of the migration table."""
    table = tomllib.loads((DOCS / "migration.toml").read_text(encoding="utf-8"))
    rows = [
        (f"`{row['there']}`", code_cell(row["here"]), row.get("difference", "").strip() or DASH)
        for row in table[group]
    ]
    return pipe_table(("published name", "here", "what differs"), rows)


def figures_table(paper: str) -> str:
    """Return the panels of one paper."""
    table = tomllib.loads((DOCS / "papers_figures.toml").read_text(encoding="utf-8"))
    header = ("panel", "what it shows", "of each session", "of groups", "picture", "published")
    return pipe_table(header, [figure_row(row) for row in table[paper]])


def figure_row(row: dict[str, str]) -> Row:
    """Describe one panel."""
    chosen = [f"session {row['sessions']}"] if "sessions" in row else []
    if "mice" in row:
        chosen.append(f"{'mice' if ',' in row['mice'] else 'mouse'} {row['mice']}")
    only = f" ({', '.join(chosen)})" if chosen else ""
    steps = [row[key] for key in ("session", "beside") if key in row]
    pooled = [f"`{key}={row[key]}`" for key in ("by", "dim") if key in row]
    groups = [f"`{row['group']}`"] if "group" in row else []
    asked = [f"pooled with {', '.join(pooled)}", *groups] if pooled else groups
    return (
        row["panel"],
        row["shows"] + only,
        "<br>".join(f"`{code}`" for code in steps) or DASH,
        "; ".join([*asked, *filter(None, [row.get("note")])]) or DASH,
        f"`{row['picture']}`" if "picture" in row else DASH,
        row.get("published", DASH),
    )


def citation_text() -> str:
    """Return the references of ``CITATION.cff``."""
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
            f"{title}. {where}[doi:{entry['doi']}](https://doi.org/{entry['doi']})\n"
        )
    return "\n".join(entries)


def initials(given: str) -> str:
    """Return the initials of given names."""
    return "".join(f"{part[0]}." for part in given.split())


# -- pages -----------------------------------------------------------------------------------------
WRITERS = {
    "model": model_table,
    "migration": migration_table,
    "figures": figures_table,
    "citations": citation_text,
}


def table_of(marker: str) -> str:
    """Return what belongs at a marker, such as ``model roi``."""
    kind, *arguments = marker.split()
    return WRITERS[kind](*arguments)


def renewed(text: str) -> str:
    """Return a page's text with its tables as they should be."""
    return MARKED.sub(lambda found: f"{found[1]} -->\n\n{table_of(found[1])}\n", text)


def stale_pages() -> dict[Path, str]:
    """Return the pages whose tables are not what they should be, with the text they should have."""
    texts = {page: page.read_text(encoding="utf-8") for page in sorted(DOCS.rglob("*.md"))}
    wanted = {page: renewed(text) for page, text in texts.items()}
    return {page: text for page, text in wanted.items() if text != texts[page]}


def main() -> int:
    """Write the tables, or say which are stale."""
    parser = argparse.ArgumentParser(description="Write the tables of the documentation.")
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if stale")
    options = parser.parse_args()
    stale = stale_pages()
    for page, text in stale.items():
        print(f"{'stale' if options.check else 'written'}: {page.relative_to(DOCS.parent)}")
        if not options.check:
            page.write_text(text, encoding="utf-8")
    return int(options.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
