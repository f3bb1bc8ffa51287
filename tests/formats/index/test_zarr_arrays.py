"""Arrays of an index that say what none may say: each is refused, before anything is read."""

import base64
import json
import re
import zlib

import numpy as np
import pytest

import oscaxr as ox
from indexes import changed_index
from oscaxr.errors import FormatError


@pytest.fixture(scope="module")
def index(sample_path, tmp_path_factory):
    return ox.write_index(sample_path, tmp_path_factory.mktemp("index") / "sessions.json")


@pytest.fixture
def refusal(index, sample_path, tmp_path):
    """Return a function that gives the words in which a changed index is refused."""

    def refuse(change):
        hostile = changed_index(index, tmp_path / "hostile.json", change)
        with pytest.raises(FormatError) as caught:
            ox.open_session(hostile, sources=sample_path.parent).close()
        return str(caught.value)

    return refuse


def said(name, **values):
    """Return what changes the metadata of an array."""

    def change(references):
        key = f"{name}/.zarray"
        references[key] = json.dumps(json.loads(references[key]) | values)

    return change


def put(key, value):
    def change(references):
        references[key] = value(references.get(key)) if callable(value) else value

    return change


def leave_out(key):
    return lambda references: references.pop(key)


def base(raw):
    return "base64:" + base64.b64encode(raw).decode()


def packed(raw):
    return base(zlib.compress(raw))


def values_of(references, name):
    said = json.loads(references[f"{name}/.zarray"])
    raw = base64.b64decode(references[f"{name}/0"].removeprefix("base64:"))
    return np.frombuffer(zlib.decompress(raw), said["dtype"]).copy()


def with_values(name, alter):
    """Return what changes the values of an array that the index holds."""

    def change(references):
        values = values_of(references, name)
        alter(values)
        references[f"{name}/0"] = packed(values.tobytes())

    return change


def attrs(**values):
    return put(".zattrs", lambda text: json.dumps(json.loads(text) | values))


def raised(values):
    values[3] = values[4] = 2


def beyond(values):
    values[-1] = 10**9


CASES = {
    # references
    "beyond the end": (put("dff/0.0", lambda old: [old[0], 10**9, old[2]]), "lies beyond the"),
    "a little beyond": (put("dff/0.0", lambda old: [old[0], 2**47, 2**47]), "lies beyond the"),
    "negative": (put("dff/0.0", lambda old: [old[0], -1, old[2]]), "at no place"),
    "huge": (put("dff/0.0", lambda old: [old[0], 2**80, old[2]]), "at no place"),
    "nothing": (put("dff/0.0", lambda old: [*old[:2], 0]), "lies beyond the"),
    "fraction": (put("dff/0.0", lambda old: [old[0], 1.5, old[2]]), "not all .address, offset"),
    "boolean": (put("dff/0.0", lambda old: [old[0], True, old[2]]), "not all .address, offset"),
    "whole file": (put("dff/0.0", lambda old: old[:1]), "not all .address, offset, size"),
    "four": (put("dff/0.0", lambda old: [*old, 1]), "not all .address, offset, size"),
    "no list": (put("dff/0.0", {"a": 1}), "not all .address, offset, size"),
    "other file": (put("dff/0.0", lambda old: ["file:///etc/passwd", *old[1:]]), "in 2 files"),
    "only other": (put("time/0", lambda old: ["/etc/passwd", *old[1:]]), "not a file that"),
    "too large": (put("dff/0.0", lambda old: [old[0], 0, 10**5]), "cannot unfold to"),
    "shifted": (put("dff/0.0", lambda old: [old[0], old[1] + 1, old[2]]), "chunks overlap"),
    "wrong size": (put("time/0", lambda old: [*old[:2], 8]), "has not the"),
    "no chunk": (leave_out("dff/0.0"), r"has \d+ chunks where there are"),
    "one more": (put("dff/900.0", ""), r"has \d+ chunks where there are"),
    "one for another": (
        lambda refs: refs.update({"dff/900.0": refs.pop("dff/0.0")}),
        "it has no chunk 0.0",
    ),
    "strange key": (put("dff/../../etc", ""), "dff/../..: "),
    # what is said of an array
    "objects": (said("stimulus_type", dtype="|O"), "none of numbers"),
    "times": (said("start_time", dtype="<M8[s]"), "none of numbers"),
    "structure": (said("start_time", dtype=[["a", "<f8"]]), "none of numbers"),
    "other kind": (said("start_time", dtype="<U2"), "which no session has it in"),
    "filters": (said("dff", filters=[{"id": "pickle"}]), "it has filters"),
    "fill value": (said("dff", fill_value=0), "it has filters or a fill value"),
    "compressor": (said("dff", compressor={"id": "blosc"}), "its compressor"),
    "its options": (said("dff", compressor={"id": "zlib", "path": "x"}), "its compressor"),
    "order": (said("dff", order="F"), "order C"),
    "format": (said("dff", zarr_format=3), "zarr format 2"),
    "separator": (said("dff", dimension_separator="/"), "zarr format 2"),
    "large": (said("dff", shape=[2**40, 7]), "chunks where there are"),
    "larger": (said("dff", shape=[2**48, 2**48]), "is too large"),
    "large chunks": (said("dff", chunks=[2**40, 4]), "is too large"),
    "no size": (said("dff", shape=[0, 7]), "sizes"),
    "true size": (said("dff", shape=[True, 7]), "sizes"),
    "words": (said("dff", shape="many"), "sizes"),
    "dims": (put("dff/.zattrs", json.dumps({"_ARRAY_DIMENSIONS": ["roi", "time"]})), "the dims"),
    "number of dims": (said("dff", chunks=[64]), "the dims"),
    "no JSON": (put("dff/.zarray", "import os"), "dff: "),
    "no object": (put("dff/.zarray", "[]"), "is no JSON object"),
    "unknown": (put("evil/.zarray", "{}"), "evil: "),
    "not indexed": (
        lambda refs: refs.update(
            {f"roi_mask/{k}": refs[f"dff/{k}"] for k in (".zarray", ".zattrs")}
        ),
        "no variable that an index has",
    ),
    "missing": (
        lambda refs: [refs.pop(key) for key in [*refs] if key.startswith("gabor_kappa/")],
        "gabor_kappa: it is missing",
    ),
    # values in the index
    "bomb": (put("start_time/0", packed(bytes(50_000_000))), "do not unfold to"),
    "few": (put("start_time/0", packed(b"12345678")), "have 8 bytes"),
    "not deflated": (put("start_time/0", base(b"12345678")), "are damaged"),
    "cut": (put("start_time/0", lambda old: old[:87]), "do not unfold to"),
    "no base64": (put("start_time/0", "base64:%%%%"), "start_time: "),
    "plain text": (put("start_time/0", "12"), "are base64"),
    "no characters": (
        with_values("gabor_frame", lambda values: values.view("u4").fill(0x110000)),
        "not all of <U1",
    ),
    "no booleans": (with_values("run_start", lambda v: v.view("u1").fill(2)), "not all of bool"),
    "referred to": (put("start_time/0", ["file:///etc/passwd", 0, 8]), "not in the index itself"),
    "fact of another kind": (said("line", dtype="<i8"), "which no session has it in"),
    # the session
    "no group": (put(".zgroup", json.dumps({"zarr_format": 3})), "no group of zarr format 2"),
    "mappings": (attrs(a={}), "neither text nor numbers"),
    "nothing said": (attrs(a=None), "neither text nor numbers"),
    "lists of lists": (attrs(a=[[1]]), "neither text nor numbers"),
    "source": (attrs(source_format=1), "source_format"),
    "same number": (with_values("tracking_id", raised), "tracking_id has the same number"),
    "beyond": (with_values("stop_frame_twop", beyond), "beyond the recording"),
    "unknown frames": (with_values("gabor_frame", lambda v: v.fill("X")), "unknown gabor frames"),
}


@pytest.mark.parametrize("case", CASES)
def test_refused(case, refusal):
    change, words = CASES[case]
    message = refusal(change)
    assert re.search(words, message), message
    assert "sessions as oscaxr" not in message


def test_all_problems_are_told_at_once(refusal):
    def change(references):
        for case in ("beyond the end", "objects", "few", "unknown"):
            CASES[case][0](references)

    message = refusal(change)
    for words in ("dff: ", "stimulus_type: ", "start_time: ", "evil: "):
        assert f"\n  - {words}" in message


def test_unchanged_it_opens(index, sample_path, tmp_path):
    same = changed_index(index, tmp_path / "same.json")
    ox.open_session(same, sources=sample_path.parent).close()
