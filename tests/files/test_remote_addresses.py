"""Addresses of files on servers, and how they are read: checked before anybody is asked."""

import pickle

import pytest

import oscaxr as ox
from oscaxr.errors import CriterionError, SessionNotFoundError
from oscaxr.files.remote import RemoteSource, public_url, remote_file

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    "url",
    [
        f"http://[::1?{SECRET}",
        f"http://:80/a.nwb#{SECRET}",
        f"http://user:{SECRET}@:80/a.nwb",
        f"http://user:{SECRET}/{SECRET}@host/a.nwb",
        f"http://user:{SECRET}@127.0.0.1:99999/a.nwb",
        f"http://host\x00/a.nwb?{SECRET}",
        f"http://host/a\n.nwb?{SECRET}",
        f"https://?{SECRET}",
    ],
)
def test_what_is_no_address(url):
    with pytest.raises(SessionNotFoundError, match="is no address of a file") as caught:
        ox.open_session(url)
    assert SECRET not in str(caught.value)


def test_other_schemes_show_no_secret():
    with pytest.raises(CriterionError, match=r"ftp://host/a\.nwb: addresses that") as caught:
        ox.open_session(f"ftp://{SECRET}@host/a.nwb?{SECRET}")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:word@host:8/a/b.nwb?x=1#y", "https://host:8/a/b.nwb"),
        ("https://host/a@b?x@y", "https://host/a@b"),
        ("https://host", "https://host"),
        ("http://[::1]:80/a?b", "http://[::1]:80/a"),
    ],
)
def test_public_url(url, shown):
    assert public_url(url) == shown
    file = remote_file(url, {"headers": {"X-Key": SECRET}})
    assert str(file) == shown
    assert repr(file) == f"RemoteFile({shown!r})"
    # It is opened in other processes, too, which need all of it.
    assert pickle.loads(pickle.dumps(file)) == file


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://host/a/b%20c.nwb", "b c.nwb"),
        ("https://host/a/..%2F..%2Fc.nwb", "c.nwb"),
        ("https://host/api/assets/x/download/", "download"),
        ("https://host", ""),
    ],
)
def test_names(url, name):
    assert RemoteSource(url, 0, "").name == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("timeout", value) for value in (0, -1, "1", None, True, float("nan"), float("inf"))),
        *(("retries", value) for value in (-1, 1.5, "3")),
        *(("retry_wait", value) for value in (-0.1, [])),
        *(("deadline", value) for value in (0, "")),
        *(("block_size", value) for value in (0, 1.0)),
        *(("cache_size", value) for value in (-1, 2**70)),
        *(("auth", value) for value in (SECRET, (SECRET,), (SECRET, 3), 3)),
        ("headers", [SECRET]),
        ("headers", {"X-Key": f"{SECRET}\r\nX-Other: {SECRET}"}),
        ("headers", {"X-Key": f" {SECRET}"}),
        ("headers", {"X-Key": f"{SECRET}\u6f22"}),
        ("headers", {"X-Key": 3}),
        ("headers", {"": SECRET}),
        ("headers", {f"X:{SECRET}": ""}),
    ],
)
def test_options_that_cannot_be_used(name, value):
    with pytest.raises(CriterionError, match=rf"cannot be used. Give\n  {name}: ") as caught:
        ox.open_session("http://127.0.0.1:1/a.nwb", storage_options={name: value})
    assert SECRET not in str(caught.value)


def test_options_that_are_no_mapping():
    with pytest.raises(CriterionError, match="storage_options is a mapping"):
        ox.open_session("http://127.0.0.1:1/a.nwb", storage_options="timeout")
