"""``oscaxr cite``: what to cite, as text or BibTeX."""

from dataclasses import asdict, dataclass
from textwrap import fill
from typing import Annotated, Any, Final

import typer

from oscaxr import __version__
from oscaxr.cli.console import DebugOption, JsonOption, output, print_json, reported_errors, say


@dataclass(frozen=True)
class Citation:
    """A work to cite, as in CITATION.cff."""

    key: str
    kind: str
    cite_for: str
    authors: tuple[tuple[str, str], ...]
    title: str
    year: int | None
    where: dict[str, str]
    doi: str = ""
    url: str = ""


def _people(names: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (family, given) for family, given in (name.split(", ") for name in names.split("; "))
    )


_BEGIN: Final = "Gillon, Colleen J."
_TEAM: Final = (
    "Ahmed, Ruweida; Billeh, Yazan N.; Caldejon, Shiella; Groblewski, Peter; Henley, Timothy M.; "
    "Kato, India; Lee, Eric; Luviano, Jennifer; Mace, Kyla; Nayan, Chelsea; Nguyen, Thuyanh V.; "
    "North, Kat; Perkins, Jed; Seid, Sam; Valley, Matthew T.; Williford, Ali; Bengio, Yoshua; "
    "Lillicrap, Timothy P."
)

WORKS: Final = (
    Citation(
        "gillon2023",
        "article",
        "the data",
        _people(
            f"{_BEGIN}; Lecoq, Jérôme A.; Pina, Jason E.; {_TEAM}; Zylberberg, Joel; "
            "Richards, Blake A."
        ),
        "Responses of pyramidal cell somata and apical dendrites in mouse visual cortex over "
        "multiple days",
        2023,
        {"journal": "Scientific Data", "volume": "10", "number": "287"},
        doi="10.1038/s41597-023-02214-y",
    ),
    Citation(
        "gillon2024",
        "article",
        "the published analyses, if your work builds on them",
        _people(
            f"{_BEGIN}; Pina, Jason E.; Lecoq, Jérôme A.; {_TEAM}; Richards, Blake A.; "
            "Zylberberg, Joel"
        ),
        "Responses to pattern-violating visual stimuli evolve differently over days in somata and "
        "distal apical dendrites",
        2024,
        {
            "journal": "Journal of Neuroscience",
            "volume": "44",
            "issue": "5",
            "number": "e1009232023",
        },
        doi="10.1523/JNEUROSCI.1009-23.2023",
    ),
    Citation(
        "dandi000037",
        "misc",
        "the files, DANDI:000037, with the version that you downloaded",
        (("Gillon", "Colleen J."), ("other contributors listed in the DANDI record", "")),
        "Allen Institute Openscope - Responses to inconsistent stimuli in somata and distal apical "
        "dendrites in primary visual cortex",
        2024,
        {"publisher": "DANDI Archive", "version": "0.240209.1623"},
        doi="10.48324/dandi.000037/0.240209.1623",
        url="https://dandiarchive.org/dandiset/000037",
    ),
    Citation(
        "oscaxr",
        "misc",
        "this software",
        (("The oscaxr developers", ""),),
        "oscaxr: OpenScope Credit Assignment sessions (DANDI 000037) as lazy labelled xarray "
        "Datasets",
        None,
        {"version": __version__},
    ),
)


def cite(
    bibtex: Annotated[bool, typer.Option("--bibtex", help="Print BibTeX entries.")] = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Print what to cite: the dataset, the analyses, the files, and this software."""
    with reported_errors(debug):
        if bibtex and as_json:
            raise typer.BadParameter("give --bibtex or --json, not both")
        if as_json:
            print_json([asdict(work) for work in WORKS])
            return
        console = output()
        for number, work in enumerate(WORKS):
            if number:
                say(console)
            if bibtex:
                say(console, as_bibtex(work))
            else:
                say(console, f"For {work.cite_for}", style="bold")
                say(console, fill(as_text(work), break_long_words=False, break_on_hyphens=False))


def as_text(work: Citation) -> str:
    """Return a citation in words."""
    names = ", ".join(f"{family} {_initials(given)}".strip() for family, given in work.authors)
    where = work.where
    issue = f" ({where['issue']})" if "issue" in where else ""
    place = (
        f"{where['journal']} {where['volume']}{issue}, {where['number']}"
        if "journal" in where
        else ", ".join(filter(None, [where.get("publisher"), f"version {where['version']}"]))
    )
    year = f" ({work.year})" if work.year else ""
    link = f" https://doi.org/{work.doi}" if work.doi else ""
    return f"{names}{year}. {work.title}. {place}.{link}"


def as_bibtex(work: Citation) -> str:
    """Return a citation as a BibTeX entry."""
    authors = [f"{family}, {given}" if given else f"{{{family}}}" for family, given in work.authors]
    fields: dict[str, Any] = {
        "author": " and ".join(authors),
        "title": f"{{{work.title}}}",
        "year": work.year,
        **({"number": work.where["issue"]} if "issue" in work.where else {}),
        **{
            ("pages" if key == "number" and "journal" in work.where else key): value
            for key, value in work.where.items()
            if key != "issue"
        },
        "doi": work.doi,
        "url": work.url,
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{work.kind}{{{work.key},", *lines, "}"])


def _initials(given: str) -> str:
    return "".join(f"{word[0]}." for word in given.split())
