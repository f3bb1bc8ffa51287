"""Which addresses an index may lead to, by the places that are allowed."""

from pathlib import Path

import pytest

from oscaxr.errors import CriterionError, OscaxrError
from oscaxr.files.remote import RemoteFile
from oscaxr.formats.index.allowed import allowed_steps, followed_place

HERE = Path("/data/index.json")
SERVER = RemoteFile("https://host.org/a/index.json?key=secret")

FOLLOWED = [
    (None, HERE, "file:///data/sub-1/x.nwb"),
    (None, SERVER, "https://host.org/a/b/x.nwb"),
    (None, SERVER, "https://HOST.org:443/a/x%20y.nwb"),
    ("https://host.org", HERE, "https://host.org/any/x.nwb"),
    ("https://host.org/a/", HERE, "https://host.org/a/x.nwb"),
    (["/other", "http://host:8000/a"], HERE, "http://host:8000/a/x.nwb"),
    (["/other", "http://host:8000/a"], HERE, "file:///other/x.nwb"),
    ("s3://bucket/a", HERE, "s3://bucket/a/%2e/x.nwb"),
    ("file:///other", SERVER, "file:///other/x.nwb"),
    (Path("/other"), SERVER, "file:///other/x.nwb"),
]

NOT_FOLLOWED = [
    (None, HERE, "file:///other/x.nwb"),
    (None, HERE, "file:///database/x.nwb"),
    (None, HERE, "file:///data/../etc/passwd"),
    (None, HERE, "file://data/x.nwb"),
    (None, HERE, "FILE:///data/x.nwb"),
    (None, HERE, "/data/x.nwb"),
    (None, HERE, "https://host.org/data/x.nwb"),
    (None, SERVER, "file:///a/x.nwb"),
    (None, SERVER, "http://host.org/a/x.nwb"),
    (None, SERVER, "https://host.org/b/x.nwb"),
    (None, SERVER, "https://host.org/ab/x.nwb"),
    (None, SERVER, "https://host.org:8443/a/x.nwb"),
    (None, SERVER, "https://host.org.evil.org/a/x.nwb"),
    (None, SERVER, "https://host.org@evil.org/a/x.nwb"),
    (None, SERVER, "https://host.org/a/../b/x.nwb"),
    (None, SERVER, "https://host.org/a/%2e%2e/b/x.nwb"),
    (None, SERVER, "https://host.org/a/..%2fb/x.nwb"),
    (None, SERVER, "https://host.org/a/..\\b/x.nwb"),
    (None, SERVER, "https://host.org/a/x.nwb?url=http://localhost"),
    (None, SERVER, "https://host.org/a/x.nwb#y"),
    (None, SERVER, "https://host.org/a/x\r\nHost: evil.org"),
    (None, SERVER, "https://host.org:port/a/x.nwb"),
    ("https://host.org", HERE, "s3://host.org/x.nwb"),
    ("s3://bucket/a", HERE, "s3://bucket/b/x.nwb"),
    ("s3://bucket/a", HERE, "s3://bucket/a/../b/x.nwb"),
    ("s3://bucket/a", HERE, "gs://bucket/a/x.nwb"),
    ("s3://bucket", HERE, "s3://Bucket/x.nwb"),
    ("s3://bucket", HERE, "ftp://bucket/x.nwb"),
    ("https://host.org", HERE, "reference://https://host.org/x.nwb"),
    ("https://host.org", HERE, "simplecache::https://host.org/x.nwb"),
    ("https://host.org", HERE, "https:///x.nwb"),
    ("https://host.org", HERE, ""),
]


@pytest.mark.parametrize(("sources", "index", "address"), FOLLOWED)
def test_followed(sources, index, address):
    place = followed_place(address, allowed_steps(sources, index), None)
    assert str(place).endswith(address.removeprefix("file://"))


@pytest.mark.parametrize(("sources", "index", "address"), NOT_FOLLOWED)
def test_not_followed(sources, index, address):
    with pytest.raises(ValueError) as caught:
        followed_place(address, allowed_steps(sources, index), None)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("source", ["ftp://bucket", "https://host/a?b", "https://u:p@host/"])
def test_no_place_to_allow(source):
    with pytest.raises(CriterionError, match="sources=") as caught:
        allowed_steps([source], HERE)
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize("sources", [7, b"/data", [b"/data"], [7]])
def test_neither_text_nor_paths(sources):
    with pytest.raises(OscaxrError):
        allowed_steps(sources, HERE)
