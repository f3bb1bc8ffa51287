"""Indexes of sessions, a few of whose words, numbers or bytes are changed."""

import json
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import oscaxr as ox
from indexes import changed_index
from small_sessions import LAYOUTS, small_spec
from tests.attacks import Outcome

CASES = 2000
QUICK = range(20)
_FORMS = ("gzip", "contiguous")
_ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 2**31, 2**53, 2**64, 1e308, float("nan"), "", "x", [], {}, [[]]),
    *("base64:", "base64:AAAA", "{{", "file:///etc/passwd", "\0", "<f8", "|O", "<U9999"),
)


def attack(folder: Path, cases: range) -> Iterator[Outcome]:
    """Open changed indexes and read all of what opens."""
    made = {}
    for form in _FORMS:
        path = ox.sample.write_nwb(small_spec(), folder / form, **LAYOUTS[form])
        made[form] = ox.write_index(path, folder / f"{form}.json")
    for number in cases:
        form = _FORMS[number % len(_FORMS)]
        yield _outcome(number, made[form], folder / form, folder / "changed.json")


def _outcome(number: int, index: Path, sources: Path, target: Path) -> Outcome:
    choice = random.Random(number)
    changed_index(index, target, lambda references: _change(references, choice))
    if choice.random() < 0.2:
        content = bytearray(target.read_bytes())
        content[choice.randrange(1000)] = choice.randrange(256)
        target.write_bytes(content)
    case = f"{number}: {index.stem}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ox.OscaxrWarning)
            with ox.open_session(target, sources=sources) as ds:
                ds.load()
    except ox.OscaxrError:
        return Outcome(case, False)
    except Exception as error:
        return Outcome(case, False, (f"{type(error).__name__}: {error}",))
    return Outcome(case, True)


def _change(references: dict[str, Any], choice: random.Random) -> None:
    """Change what an index holds of a session, in a few places."""
    for key in choice.sample(list(references), choice.choice((1, 1, 1, 2, 5))):
        value = references[key]
        if isinstance(value, str) and value.startswith("{") and choice.random() < 0.8:
            references[key] = json.dumps(_changed(json.loads(value), choice))
        elif isinstance(value, str) and value and choice.random() < 0.6:
            place = choice.randrange(len(value))
            references[key] = value[:place] + choice.choice("AZ/+=\n") + value[place + 1 :]
        else:
            references[key] = _changed(value, choice)


def _changed(value: Any, choice: random.Random) -> Any:
    """Return a value with something in it changed."""
    if isinstance(value, dict) and value:
        key = choice.choice(list(value))
        if choice.random() < 0.1:
            return {name: one for name, one in value.items() if name != key}
        return value | {key: _changed(value[key], choice)}
    if isinstance(value, list) and value:
        place = choice.randrange(len(value))
        return [*value[:place], _changed(value[place], choice), *value[place + 1 :]]
    if type(value) is int and choice.random() < 0.5:
        return value + choice.choice((-1, 1, 7, 64, -64, 10**6))
    return choice.choice(_ODD)
