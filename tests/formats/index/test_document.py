"""The file of an index: which session is where in it, and what no such file may say."""

import json
import zlib

import pytest

import oscaxr as ox
from indexes import changed_index
from oscaxr.errors import FormatError
from oscaxr.formats.index.document import Index


@pytest.fixture(scope="module")
def index(sample_path, tmp_path_factory):
    return ox.write_index(sample_path, tmp_path_factory.mktemp("index") / "sessions.json")


def test_it_is_one_json_object_of_kerchunk(index):
    text = index.read_text()
    content = json.loads(text)
    assert list(content) == ["version", "oscaxr", "refs"]
    assert content["version"] == 1
    assert "{{" not in text
    refs = content["refs"]
    session = "mouse_900001/session_900000001"
    assert json.loads(refs[f"{session}/dff/.zarray"])["compressor"]["id"] == "zlib"
    assert all(
        isinstance(value, str) or [type(one) for one in value] == [str, int, int]
        for value in refs.values()
    )
    # One line for what it is, one a session, one for what is above them.
    assert len(text.splitlines()) == 3
    read = Index(index)
    own = {key: refs[f"{session}/{key}"] for key in read.references(session)}
    assert read.references(session) == own
    assert len(own) == sum(key.startswith(f"{session}/") for key in refs)


def test_the_same_files_give_the_same_index(index, sample_path, tmp_path):
    again = ox.write_index(sample_path, tmp_path / "again.json")
    assert again.read_bytes() == index.read_bytes()


def in_head(old, new):
    return lambda text: text.replace(old, new, 1)


HEADS = {
    "later": (in_head('"format": 1', '"format": 2'), "a later version of oscaxr"),
    "other version": (in_head('"version": 1', '"version": 0'), "not version 1 and oscaxr"),
    "templates": (in_head("{", '{"templates": {"u": "x"}, '), "it has templates, version"),
    "made": (in_head("{", '{"gen": [], '), "it has gen, version"),
    "braces": (in_head("file://", "{{u}}"), "which are not followed"),
    "braces below": (lambda text: text.replace('"file://', '"{{u}}', 2), "which are not followed"),
    "no index": (lambda text: "[]", "does not begin as an index does"),
    "empty": (lambda text: " ", "does not begin as an index does"),
    "plain kerchunk": (
        lambda text: json.dumps({"version": 1, "refs": {}}),
        "does not begin as an index does",
    ),
    "no JSON": (in_head("{", "<"), "its beginning is damaged"),
    "group": (in_head("mouse_900001/", "../../"), "is no name of a session"),
    "not a mapping": (in_head('"sessions": {', '"sessions": 1, "x": {'), "beginning is damaged"),
    "deep": (lambda text: "[" * 10_000 + '"refs":{\n', "its beginning is damaged"),
    "long head": (lambda text: " " * 2**20 + text, "does not begin as an index does"),
}


@pytest.mark.parametrize("case", HEADS)
def test_refused(case, index, tmp_path):
    change, words = HEADS[case]
    path = changed_index(index, tmp_path / "hostile.json")
    path.write_text(change(path.read_text()))
    with pytest.raises(FormatError, match=words) as caught:
        ox.open_session(path)
    assert "hostile.json is no index of sessions" in str(caught.value)


SAID = {
    "beyond the end": ({"length": 10**9}, "lies beyond its end"),
    "before": ({"start": -5}, "lies beyond its end"),
    "fraction": ({"start": 0.5}, "not all whole numbers"),
    "true": ({"session_id": True}, "not all whole numbers"),
    "word": ({"mouse_id": "x"}, "not all whole numbers"),
    "cut": ({"length": 1000}, "the line of mouse_900001/session_900000001 is damaged"),
    "files": ({"files": []}, "beginning is damaged"),
    "state": ({"files": {"file:///x": {"size": "1"}}}, "not all whole numbers"),
    "more of a file": ({"files": {"file:///x": {"size": 1, "x": 1}}}, "beginning is damaged"),
}


@pytest.mark.parametrize("case", SAID)
def test_what_is_said_of_a_session_is_refused(case, index, tmp_path):
    said, words = SAID[case]
    path = changed_index(index, tmp_path / "hostile.json", **said)
    with pytest.raises(FormatError, match=words):
        ox.open_session(path)


def test_damage_is_noticed(index, sample_path, tmp_path):
    damaged = tmp_path / "damaged.json"
    text = index.read_text()
    offset = text.index('",', text.index("/dff/0.0")) + 2
    digit = "2" if text[offset] == "1" else "1"
    damaged.write_text(text[:offset] + digit + text[offset + 1 :])
    with pytest.raises(FormatError, match="its checksum is another one"):
        ox.open_session(damaged, sources=sample_path.parent)


def test_keys_of_other_groups_are_refused(index, tmp_path):
    path = changed_index(index, tmp_path / "hostile.json")
    text = path.read_text()
    head, line = text.split("\n", 1)
    other = line.replace('"mouse_900001/', '"mouse_900002/', 1)
    sums = [zlib.crc32(one.split("\n")[0].encode()) for one in (line, other)]
    path.write_text("\n".join([head.replace(*map(str, sums)), other]))
    with pytest.raises(FormatError, match="is none of its keys"):
        ox.open_session(path)
