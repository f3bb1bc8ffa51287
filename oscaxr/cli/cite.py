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
_FIELDS: Final = (
    *("title", "year", "journal", "volume", "issue", "number"),
    *("publisher", "version", "doi", "url"),
)
# What BibTeX calls number is the issue; the number of an article is its page.
_BIBTEX: Final = {"issue": "number", "number": "pages"}


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
            tell(f"For {work['notes']}", "bold")
            tell(fill(as_text(work), break_long_words=False, break_on_hyphens=False))
    if not bibtex:
        tell("\nSample sessions are synthetic: for them, cite this software alone.")


def works() -> list[dict[str, Any]]:
    """Return the works that CITATION.cff names, in its words, this software last."""
    import yaml

    shipped = files("oscaxr") / _FILE
    # In a checkout, which is not built, it lies beside the package.
    found = shipped if shipped.is_file() else Path(__file__).parents[2] / _FILE
    cff = yaml.safe_load(found.read_text(encoding="utf-8"))
    references = cff.pop("references")
    title = f"{cff['title']}: {cff['abstract'].rstrip('.')}"
    own = {"title": title, "notes": "this software", "abbreviation": "oscaxr"}
    own |= {"year": cff["date-released"][:4], "url": cff["repository-code"]}
    return [*references, {**cff, **own, "version": __version__}]


def as_text(work: Mapping[str, Any]) -> str:
    """Return a citation in words."""
    names = ", ".join(_short(one) for one in work["authors"])
    year = f" ({work['year']})" if "year" in work else ""
    if "journal" in work:
        issue = f" ({work['issue']})" if "issue" in work else ""
        place = f"{work['journal']} {work['volume']}{issue}, {work['number']}"
    else:
        publisher = f"{work['publisher']['name']}, " if "publisher" in work else ""
        place = f"{publisher}version {work['version']}"
    link = f" https://doi.org/{work['doi']}" if "doi" in work else f" {work['url']}"
    return f"{names}{year}. {work['title']}. {place}.{link}"


def _short(author: Mapping[str, str]) -> str:
    if "name" in author:
        return author["name"]
    initials = "".join(f"{word[0]}." for word in author["given-names"].split())
    return f"{author['family-names']} {initials}"


def as_bibtex(work: Mapping[str, Any]) -> str:
    """Return a citation as a BibTeX entry."""
    authors = [
        f"{{{one['name']}}}" if "name" in one else f"{one['family-names']}, {one['given-names']}"
        for one in work["authors"]
    ]
    facts = {**work, "title": f"{{{work['title']}}}"}
    if "publisher" in work:
        facts["publisher"] = work["publisher"]["name"]
    fields = {"author": " and ".join(authors)}
    fields |= {_BIBTEX.get(name, name): facts[name] for name in _FIELDS if name in facts}
    kind = "article" if work["type"] == "article" else "misc"
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@{kind}{{{work['abbreviation']},", *lines, "}"])
