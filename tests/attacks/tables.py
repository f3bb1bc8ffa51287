"""Session tables of which cells, columns, rows or bytes are not as they should be, by their seeds.

Each is read, chosen from and used to open sample sessions. What is read is held against the plain
rows, which Python's own reader of CSV gives.
"""

import csv
import io
import math
import random
import re
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

import oscaxr as ox
from oscaxr.model.facts import FACTS, FactSpec
from tests.attacks import Outcome

CASES = 240
QUICK = range(12)
SECONDS = 20
Rows = list[list[str]]
Plain = list[dict[str, str]]

# By name and value, what published analyses ask for by default.
_DEFAULTS = {
    "pass_fail": "P",
    "incl": "yes",
    "all_files": "1",
    "any_files": "1",
    "runtype": "prod",
}
_IDS = ("sessid", "mouseid", "mouse_n", "sess_n")
_OURS = {fact.column: fact.name for fact in FACTS}


def attack(folder: Path, cases: range) -> Iterator[Outcome]:
    """Read every mutant of a table, choose from it, and open sessions by it."""
    specs = ox.sample.mouse_specs(scale=0.004, n_rois=2, n_tracked=1, field_shape=(48, 48))
    for spec in specs:
        ox.sample.write_nwb(spec, folder)
    # Others of which there are no files, so that filters have something to leave out.
    others = [
        ox.sample.SampleSpec(
            session_id=900_000_100 + k, mouse_id=900_002 + k, mouse_number=2 + k, n_rois=40 + k,
            line="L5-Rbp4" if k % 2 else "L23-Cux2", plane="dend" if k % 2 else "soma",
        )
        for k in range(5)
    ]  # fmt: skip
    table = ox.sample.sample_session_table([*specs, *others])
    table.loc[4, ["pass_fail", "included"]] = ["F", "no"]
    table.loc[6, ["n_rois", "all_files"]] = [-1, 0]
    text = table.rename(columns={ours: published for published, ours in _OURS.items()})
    whole = list(csv.reader(io.StringIO(text.to_csv(index=False))))
    path = folder / "table.csv"
    for seed in cases:
        content, done = mutate(whole, seed)
        path.write_bytes(content)
        begin = time.perf_counter()
        opened, harm = _met(path, folder, content, [spec.session_id for spec in specs])
        if time.perf_counter() - begin > SECONDS:
            harm.append("it took too long")
        yield Outcome(f"{seed}: {done}", opened, tuple(harm))


# -- what must hold -------------------------------------------------------------------------------
def _met(path: Path, folder: Path, content: bytes, files: list[int]) -> tuple[bool, list[str]]:
    table, harm = _try(lambda: ox.session_table(path))
    if isinstance(table, pd.DataFrame):
        plain = _plain(content)
        if plain is None:
            return True, ["read, but no plain reader can"]
        harm += _compare(table, plain)
        harm += _lost(table, content)
        if not harm:
            harm += _choose(path, plain)
        again, raised = _try(lambda: ox.session_table(table))
        harm += raised
        if isinstance(again, pd.DataFrame) and not again.equals(table):
            harm.append("another table when it is typed again")
    for number in files:
        harm += _open(path, folder, number, table)
    return isinstance(table, pd.DataFrame), harm


def _try(act: Callable[[], Any]) -> tuple[Any, list[str]]:
    """Return what came, or the error; and what must not be."""
    try:
        return act(), []
    except ox.OscaxrError as error:
        return error, []
    except Exception as error:
        return error, [f"{type(error).__name__}: {error!s:.200}"]


def _plain(content: bytes) -> Plain | None:
    """Read a table without this library."""
    try:
        text = content.decode("utf-8-sig")
        rows = [
            row
            for row in csv.reader(io.StringIO(text, newline=""))
            if "".join(row).strip() or len(row) > 1
        ]
    except (csv.Error, UnicodeDecodeError):
        return None
    header, *body = rows
    names = [name.strip("\ufeff").strip() for name in header]
    if len(set(names)) < len(names):
        return None
    filled = [row + [""] * (len(names) - len(row)) for row in body]
    return [dict(zip(names, row, strict=True)) for row in filled]


def _compare(table: pd.DataFrame, plain: Plain) -> list[str]:
    if len(table) != len(plain):
        return [f"{len(table)} rows of {len(plain)}"]
    wrong = []
    for spec in FACTS:
        given = next((one for one in (spec.name, spec.column) if plain and one in plain[0]), None)
        if given is None:
            continue
        for number, (value, row) in enumerate(zip(table[spec.name], plain, strict=True)):
            if not _same(value, row[given].strip(), spec):
                wrong.append(f"row {number}: {given} is {row[given]!r:.60}, read as {value!r}")
    return wrong


def _same(value: Any, text: str, spec: FactSpec) -> bool:
    if spec.kind in ("word", "text", "time"):
        return bool(value == text)
    if not text:
        return bool(math.isnan(value) if spec.kind == "float" else value == -1)
    if spec.kind == "float":
        return bool(float(text) == value)
    # Exactly: as a float, a long number would be another one.
    return bool(value == (int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)))


def _lost(table: pd.DataFrame, content: bytes) -> list[str]:
    """Name the sessions that begin a line of the file and are not in the table."""
    if "session_id" not in table or not content.lstrip(b"\xef\xbb\xbf").startswith(b"sessid,"):
        return []
    begun = {int(one) for one in re.findall(rb"(?:\n|\r)(\d{9}),", content)}
    gone = sorted(begun - set(table["session_id"]))
    return [f"lost without a word: {gone}"] if gone else []


def _choose(path: Path, plain: Plain) -> list[str]:
    """Choose as published analyses do; compare with what the plain rows say."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found, harm = _try(lambda: ox.default_sessions(path))
    if not isinstance(found, pd.DataFrame):
        return harm
    said = "\n".join(str(one.message) for one in caught)
    chosen = set(found["session_id"])
    for row in plain:
        named = {old: row.get(ours, row.get(old, "")).strip() for old, ours in _OURS.items()}
        number = int(float(named["sessid"]))
        fits = {name: _number(named[name]) == _number(one) for name, one in _DEFAULTS.items()}
        rois = _number(named["nrois"])
        fits["nrois"] = isinstance(rois, float) and rois >= 1
        unknown = {name for name in fits if named[name] in ("", "-1")}
        if all(fits.values()) != (number in chosen):
            harm.append(f"session {number} is {'not ' * (number not in chosen)}chosen: {named}")
        may_fit = all(fit or name in unknown for name, fit in fits.items())
        if may_fit and number not in chosen and f"session {number} " not in said:
            harm.append(f"session {number} is left out without a word: {named}")
    return harm


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _open(path: Path, folder: Path, number: int, table: Any) -> list[str]:
    """Open a session by the table, whose facts are then those of its row."""
    opened, harm = _try(lambda: ox.open_session(number, datadir=folder, table=path))
    if isinstance(opened, Exception):
        return harm
    with opened:
        if not isinstance(table, pd.DataFrame) or number not in set(table["session_id"]):
            return [f"session {number} is open by a table that has none of it"]
        row = table.set_index("session_id").loc[number]
        facts = {name: row[name] for name in ("mouse", "mouse_id", "session")}
        facts |= {
            name: row[name]
            for name in ("plane", "line", "depth", "run_type")
            if name in row and row[name] not in ("", -1)
        }
        return [
            f"session {number}: {name} is {opened[name].item()!r}, in the table {value!r}"
            for name, value in facts.items()
            if name not in opened.coords or opened[name].item() != value
        ]


# -- changes --------------------------------------------------------------------------------------
def mutate(whole: Rows, seed: int) -> tuple[bytes, str]:
    """Return a mutant of a table, and what was done to it."""
    choice = random.Random(seed)
    rows = [list(row) for row in whole]
    done = [choice.choice(CELLS)(choice, rows) for _ in range(choice.choice([0, 1, 1, 2, 4]))]
    if choice.random() < 0.4:
        done.append(choice.choice(SHAPES)(choice, rows))
    ending = choice.choice(["\n", "\n", "\r\n", "\r"])
    out = io.StringIO()
    csv.writer(out, lineterminator=ending).writerows(rows)
    content = out.getvalue().encode()
    if choice.random() < 0.4:
        change = choice.choice(BYTES)
        done.append(change.__name__)
        content = change(choice, content)
    return content, "; ".join(done) or "nothing"


def _cell(choice: random.Random, rows: Rows) -> tuple[list[str], int, str]:
    row = choice.choice(rows[1:])
    column = choice.randrange(len(row))
    return row, column, f"{rows[0][column] if column < len(rows[0]) else column} of {row[0]}"


def empty(choice: random.Random, rows: Rows) -> str:
    """Empty a cell that filters look at, or any."""
    row, column, name = _cell(choice, rows)
    if choice.random() < 0.7:
        name = choice.choice([*_DEFAULTS, "nrois"])
        column = rows[0].index(name) if name in rows[0] else column
    if column < len(row):
        row[column] = choice.choice(["", "", " ", "-1"])
    return f"emptied {name}"


ODD = [
    *("nan", "NaN", "None", "n/a", "inf", "-inf", "-0", "+7", "1.0", "1.5", "1e3", "0x10", "1_000"),
    *("true", "yes", "P ", "p", "é", "\u202e12", "\uff11\uff12", "=1+1", "'", "a,b", "a\nb", "\t"),
    *("9" * 400, "1" + "0" * 400 + ".0", "1e400", "20180231", "20180101T250000", "\\", "\x1a", "#"),
]
HUGE = [
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809", "18446744073709551616"),
    *("9007199254740993", "9007199254740993.0", "1e19", "1e308", "123456789012345678901234567890"),
]


def odd(choice: random.Random, rows: Rows) -> str:
    row, column, name = _cell(choice, rows)
    row[column] = choice.choice(ODD)
    return f"{row[column]!r:.20} in {name}"


def huge(choice: random.Random, rows: Rows) -> str:
    row, column, name = _cell(choice, rows)
    if choice.random() < 0.7:
        name = choice.choice([*_IDS, "nrois", "depth", "stim_seed", "age_weeks"])
        column = rows[0].index(name) if name in rows[0] else column
    if column < len(row):
        row[column] = choice.choice(HUGE)
    return f"huge in {name}"


CELLS = [empty, empty, odd, huge]


def drop_column(choice: random.Random, rows: Rows) -> str:
    column = choice.randrange(len(rows[0]))
    name = rows[0][column]
    for row in rows:
        del row[column : column + 1]
    return f"without {name}"


def rename_column(choice: random.Random, rows: Rows) -> str:
    column = choice.randrange(len(rows[0]))
    name = rows[0][column]
    forms = [f" {name} ", name.upper(), _OURS.get(name, name), "", "x", f"{name}.1", f'"{name}"']
    rows[0][column] = choice.choice(forms)
    return f"{name} called {rows[0][column]!r}"


def double_column(choice: random.Random, rows: Rows) -> str:
    column = choice.randrange(len(rows[0]))
    name = rows[0][column]
    for number, row in enumerate(rows):
        value = row[column] if column < len(row) else ""
        row.append(value if not number or choice.random() < 0.5 else "7")
    return f"{name} twice"


def double_row(choice: random.Random, rows: Rows) -> str:
    row = list(choice.choice(rows[1:]))
    if choice.random() < 0.5:
        row[choice.randrange(1, len(row))] = "7"
    rows.insert(choice.randrange(1, len(rows) + 1), row)
    return f"{row[0]} twice"


def drop_row(choice: random.Random, rows: Rows) -> str:
    return f"without the row of {rows.pop(choice.randrange(1, len(rows)))[0]}"


def shuffle(choice: random.Random, rows: Rows) -> str:
    columns = list(range(len(rows[0])))
    choice.shuffle(columns)
    rows[:] = [[row[k] for k in columns if k < len(row)] for row in rows]
    body = rows[1:]
    choice.shuffle(body)
    rows[1:] = body
    return "columns and rows in another order"


def lengthen(choice: random.Random, rows: Rows) -> str:
    for row in choice.choice([rows, rows[1:], rows[2:3]]):
        row.append(choice.choice(["", "7"]))
    return "longer rows"


def shorten(choice: random.Random, rows: Rows) -> str:
    row = choice.choice(rows)
    del row[choice.randrange(1, len(row)) :]
    return "a shorter row"


def only_header(choice: random.Random, rows: Rows) -> str:
    del rows[1:]
    return "no rows"


SHAPES = [
    *(drop_column, rename_column, double_column, double_row, drop_row, shuffle, lengthen),
    *(shorten, only_header),
]


def bom(choice: random.Random, content: bytes) -> bytes:
    return b"\xef\xbb\xbf" * choice.choice([1, 1, 2]) + content


def other_encoding(choice: random.Random, content: bytes) -> bytes:
    text = content.decode().replace("synthetic", "synth\xe9tique")
    return text.encode(choice.choice(["utf-16", "latin-1", "utf-32", "cp1252"]), "replace")


def other_separator(choice: random.Random, content: bytes) -> bytes:
    return content.replace(b",", choice.choice([b";", b"\t", b"|", b", "]))


def nul(choice: random.Random, content: bytes) -> bytes:
    place = choice.randrange(len(content))
    return content[:place] + b"\0" + content[place:]


def stray_quotes(choice: random.Random, content: bytes) -> bytes:
    """Put quotes at the beginnings of cells, where they run on to the next quote."""
    for _ in range(choice.choice([1, 2, 2])):
        places = [k + 1 for k, one in enumerate(content) if one == ord(",")]
        place = choice.choice(places)
        content = content[:place] + b'"' + content[place:]
    return content


def cut(choice: random.Random, content: bytes) -> bytes:
    return content[: choice.randrange(len(content))]


def flip(choice: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(choice.choice([1, 3])):
        changed[choice.randrange(len(changed))] ^= 1 << choice.randrange(8)
    return bytes(changed)


def blank_lines(choice: random.Random, content: bytes) -> bytes:
    return content.replace(b"\n", choice.choice([b"\n\n", b"\n \n", b"\n,,,\n"]))


BYTES = [bom, other_encoding, other_separator, nul, stray_quotes, cut, flip, blank_lines]
