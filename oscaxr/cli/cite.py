"""``oscaxr cite``: what to cite, as text or BibTeX; the facts are those of CITATION.cff."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from textwrap import fill
from typing import Annotated, Any, Final

import typer

from oscaxr import __version__
from oscaxr.cli.console import JsonOption, print_json, tell

_FILE: Final = "CITATION.cff"
_WHERE: Final = ("journal", "volume", "issue", "number", "publisher", "version")


def cite(
    bibtex: Annotated[bool, typer.Option("--bibtex", help="Print BibTeX entries.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print what to cite: the dataset, the analyses, the files, and this software."""
    if bibtex and as_json:
        raise typer.BadParameter("give --bibtex or --json, not both")
    if as_json:
        print_json(works())
        return
    for number, work in enumerate(works()):
        if number:
            tell()
        if bibtex:
            tell(as_bibtex(work))
        else:
            tell(f"For {work['cite_for']}", "bold")
            tell(fill(as_text(work), break_long_words=False, break_on_hyphens=False))


def works() -> list[dict[str, Any]]:
    """Return the works that CITATION.cff names, this software last."""
    import yaml

    shipped = files("oscaxr") / _FILE
    # In a checkout, which is not built, it lies beside the package.
    found = shipped if shipped.is_file() else Path(__file__).parents[2] / _FILE
    cff = yaml.safe_load(found.read_text(encoding="utf-8"))
    title = f"{cff['title']}: {cff['abstract'].rstrip('.')}"
    software = {**cff, "title": title, "notes": "this software", "version": __version__}
    return [_citation(work) for work in (*cff["references"], software)]


def _citation(work: Mapping[str, Any]) -> dict[str, Any]:
    facts = dict(work)
    if "publisher" in work:
        facts["publisher"] = work["publisher"]["name"]
    return {
        "key": work.get("abbreviation", "oscaxr"),
        "kind": "article" if work["type"] == "article" else "misc",
        "cite_for": work["notes"],
        "authors": [
            (one.get("family-names", one.get("name")), one.get("given-names", ""))
            for one in work["authors"]
        ],
        "title": work["title"],
        "year": work.get("year"),
        "where": {name: str(facts[name]) for name in _WHERE if name in facts},
        "doi": work.get("doi", ""),
        "url": work.get("url", ""),
    }


def as_text(work: Mapping[str, Any]) -> str:
    """Return a citation in words."""
    names = ", ".join(f"{family} {_initials(given)}".strip() for family, given in work["authors"])
    where = work["where"]
    issue = f" ({where['issue']})" if "issue" in where else ""
    place = (
        f"{where['journal']} {where['volume']}{issue}, {where['number']}"
        if "journal" in where
        else ", ".join(filter(None, [where.get("publisher"), f"version {where['version']}"]))
    )
    year = f" ({work['year']})" if work["year"] else ""
    link = f" https://doi.org/{work['doi']}" if work["doi"] else ""
    return f"{names}{year}. {work['title']}. {place}.{link}"


def as_bibtex(work: Mapping[str, Any]) -> str:
    """Return a citation as a BibTeX entry."""
    authors = [
        f"{family}, {given}" if given else f"{{{family}}}" for family, given in work["authors"]
    ]
    # What BibTeX calls number is the issue; the number of an article is its page.
    names = {"issue": "number", "number": "pages"}
    fields = {
        "author": " and ".join(authors),
        "title": f"{{{work['title']}}}",
        "year": work["year"],
        **{names.get(name, name): value for name, value in work["where"].items()},
        "doi": work["doi"],
        "url": work["url"],
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{work['kind']}{{{work['key']},", *lines, "}"])


def _initials(given: str) -> str:
    return "".join(f"{word[0]}." for word in given.split())
