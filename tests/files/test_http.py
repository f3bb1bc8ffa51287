"""What servers are told, where redirects lead, what is said of failures, how long they may take."""

import base64
import logging
import os
import time
import traceback

import pytest

import oscaxr as ox
from oscaxr.errors import FormatError, RemoteError
from scripted_server import ETAG, ScriptedServer

pytest.importorskip("fsspec")
pytest.importorskip("requests")

from oscaxr.files import http
from oscaxr.files.ranges import RangeFile
from oscaxr.files.remote import remote_file

CONTENT = os.urandom(20_000)
QUICK = {"retries": 1, "retry_wait": 0.01, "timeout": 1.0, "block_size": 4000}
WHEN = "Sat, 28 Nov 2026 12:00:00 GMT"
SECRET = "s3cr3t"


@pytest.fixture(scope="module")
def servers():
    """Two servers on two hosts."""
    both = ScriptedServer(CONTENT), ScriptedServer(CONTENT, "127.0.0.2")
    yield both
    for server in both:
        server.close()


@pytest.fixture
def server(servers):
    for one in servers:
        one.act(lambda handler: handler.send())
    return servers[0]


@pytest.fixture
def other(servers, server):
    return servers[1]


def read(url, **options):
    """Read all of a file on a server."""
    file = RangeFile(remote_file(url, {**QUICK, **options}))
    try:
        return file.cache.read(0, file.size)
    finally:
        file.close()


# -- who is told what ---------------------------------------------------------------------------
LOGINS = {
    "headers": ("", {"headers": {"Authorization": SECRET, "X-Key": SECRET, "cookie": SECRET}}),
    "auth": ("", {"auth": ("user", SECRET)}),
    "address": (f"user:{SECRET}@", {}),
}


def told(server):
    """Return what a server was told that is the user's."""
    names = ("authorization", "x-key", "cookie")
    return [{name: one[name] for name in names if name in one} for one in server.told]


@pytest.mark.parametrize("login", LOGINS)
def test_credentials_are_for_their_host(login, server, other):
    user, options = LOGINS[login]
    url = server.url.replace("//", f"//{user}") + "/a"
    assert read(url, **options) == CONTENT
    assert all(told(server))
    # Also where that host sends on within itself.
    server.act(lambda handler: handler.redirect("/b") if handler.path == "/a" else handler.send())
    assert read(url, **options) == CONTENT
    assert all(told(server))
    server.act(lambda handler: handler.redirect(f"{other.url}/b"))
    assert read(url, **options) == CONTENT
    assert told(server) == [told(server)[0]]
    assert told(other) == [{}] * len(other.told)


def test_nothing_is_told_once_another_host_had_a_say(server, other):
    server.act(
        lambda handler: (
            handler.send() if handler.path == "/back" else handler.redirect(f"{other.url}/b")
        )
    )
    other.act(lambda handler: handler.redirect(f"{server.url}/back"))
    assert read(f"{server.url}/a", headers={"X-Key": SECRET}) == CONTENT
    assert [bool(one) for one in told(server)] == [True] + [False] * (len(server.told) - 1)


def test_words_that_are_not_latin_are_sent_as_utf8(server):
    assert read(f"{server.url}/a", auth=("user", "\u6f22")) == CONTENT
    sent = base64.b64encode("user:\u6f22".encode()).decode()
    assert told(server)[0] == {"authorization": f"Basic {sent}"}


def test_netrc_is_for_its_host(server, other, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text(f"default login user password {SECRET}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server.act(lambda handler: handler.redirect(f"{other.url}/b"))
    read(f"{server.url}/a")
    assert told(other) == [{}] * len(other.told)
    # What was given counts before it.
    server.act(lambda handler: handler.send())
    read(f"{server.url}/a", headers={"Authorization": "mine"})
    assert {one["authorization"] for one in told(server)} == {"mine"}


@pytest.mark.parametrize(
    ("known", "url", "same"),
    [
        ("https://a/x", "https://a:443/y", True),
        ("https://a/x", "https://A/y", True),
        ("http://a/x", "https://a/y", True),
        ("http://a:8000/x", "https://a/y", False),
        ("https://a/x", "https://a:8443/y", False),
        ("https://a/x", "https://b.a/y", False),
        ("", "https://a/", False),
    ],
)
def test_same_host(known, url, same):
    assert http.is_same_host(known, url) is same


# -- redirects ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("file:///etc/passwd", "redirects to a file: address"),
        ("ftp://127.0.0.1/a", "redirects to a ftp: address"),
        ("http://[::1", "redirects to what is no address"),
        ("/a", "more than 10 redirects"),
    ],
)
def test_redirects_that_are_not_followed(target, words, server):
    server.act(lambda handler: handler.redirect(target))
    with pytest.raises(RemoteError, match=words):
        read(f"{server.url}/a")


def test_encryption_is_not_left():
    with pytest.raises(RemoteError, match=r"redirects to http://b, which is not encrypted"):
        http._joined(f"https://a/x?{SECRET}", f"http://b/y?{SECRET}")
    assert http._joined("http://a/x", "https://b/y") == "https://b/y"


# -- changes ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("headers", "condition"),
    [
        (ETAG, '"one"'),
        ({**ETAG, "Last-Modified": WHEN}, '"one"'),
        ({"Last-Modified": WHEN}, WHEN),
        ({"ETag": 'W/"one"', "Last-Modified": WHEN}, WHEN),
        ({"ETag": 'W/"one"'}, None),
        ({}, None),
    ],
)
def test_parts_are_asked_for_on_condition(headers, condition, server):
    server.act(lambda handler: handler.send(headers=headers))
    assert read(f"{server.url}/a") == CONTENT
    assert [one.get("if-range") for one in server.told] == [None, condition]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (ETAG, {"ETag": '"two"'}),
        (ETAG, {}),
        ({"Last-Modified": WHEN}, {"Last-Modified": WHEN.replace(":00 ", ":01 ")}),
        ({"ETag": 'W/"one"'}, {"ETag": 'W/"two"'}),
        (
            {"ETag": 'W/"one"', "Last-Modified": WHEN},
            {"ETag": 'W/"one"', "Last-Modified": WHEN.replace(":00 ", ":01 ")},
        ),
        ({}, ETAG),
    ],
)
@pytest.mark.parametrize("knows_conditions", [True, False])
def test_file_that_is_replaced(before, after, knows_conditions, server):
    def answer(handler):
        start, stop = handler.span
        later = after if handler.number else before
        if knows_conditions:
            handler.send(headers=later)
        else:
            handler.send(206, CONTENT[start:stop], later)

    server.act(answer)
    with pytest.raises(FormatError, match="it was replaced on the server"):
        read(f"{server.url}/a")
    assert len(server.told) == 2


def test_answers_on_condition_may_leave_out_the_time(server):
    def answer(handler):
        start, stop = handler.span
        handler.send(206, CONTENT[start:stop], {} if handler.number else {"Last-Modified": WHEN})

    server.act(answer)
    assert read(f"{server.url}/a") == CONTENT


def test_server_that_knows_no_conditions(server):
    server.act(lambda handler: handler.send(200 if "If-Range" in handler.headers else None))
    assert read(f"{server.url}/a") == CONTENT


# -- wrong answers ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("bytes {a1}-{b}/{n}", "bytes 1 to 4000 of 20000 came in place of those"),
        ("bytes {a}-{b1}/{n}", "bytes 0 to 3999 of 20000 came in place of those"),
        ("bytes {a}-{b}/*", "does not serve ranges"),
        ("bytes {b}-{a}/{n}", "does not serve ranges"),
        ("bytes {a}-{b}/1" + "0" * 30, "does not serve ranges"),
    ],
)
def test_ranges_that_were_not_asked_for(told, words, server):
    def answer(handler):
        start, stop = handler.span
        found = told.format(a=start, b=stop - 1, n=20_000, a1=start + 1, b1=stop - 2)
        handler.send(headers={"Content-Range": found})

    server.act(answer)
    with pytest.raises(RemoteError, match=words):
        read(f"{server.url}/a")


def test_compressed_answers_are_refused(server):
    server.act(lambda handler: handler.send(headers={"Content-Encoding": "gzip"}))
    with pytest.raises(RemoteError, match="compresses what it sends"):
        read(f"{server.url}/a")
    assert len(server.told) == 1
    assert server.told[0]["accept-encoding"] == "identity"


# -- causes, and secrets ------------------------------------------------------------------------
def _hang_up(handler):
    handler.hang_up()


def _no_http(handler):
    handler.wfile.write(b"SSH-2.0-OpenSSH\r\n")
    handler.hang_up()


CAUSES = {
    "{server}": (lambda handler: handler.send(403, b""), "403 Forbidden"),
    "{server}/": (lambda handler: handler.send(404, b""), "404 Not Found"),
    "{server}/a": (lambda handler: handler.send(416, b""), "416 (Requested )?Range"),
    "{server}/b": (lambda handler: handler.send(500, b""), "500 Internal Server Error"),
    "{server}/c": (lambda handler: handler.scripted.sleep(9), "did not answer in time"),
    "{server}/d": (_hang_up, "closed the connection without an answer"),
    "{server}/e": (lambda handler: handler.reset(), "the connection was cut"),
    "{server}/f": (_no_http, "was not HTTP"),
    "{server}/g": (
        lambda handler: handler.redirect("http://127.0.0.1:1/x"),
        r"refused the connection \(127\.0\.0\.1, where it redirects to\)",
    ),
    "{safe}/a": (None, r"no safe connection \(TLS"),
    "http://127.0.0.1:1/a": (None, "refused the connection"),
    "http://nowhere.invalid/a": (None, r"could not be looked up \(DNS"),
    "http://a..b/a": (None, "no address of a server"),
}


@pytest.mark.parametrize("url", CAUSES)
def test_causes_are_named_and_secrets_are_not(url, server, caplog):
    script, words = CAUSES[url]
    if script:
        server.act(script)
    url = url.format(server=server.url, safe=server.url.replace("http:", "https:"))
    url = url.replace("//", f"//user:{SECRET}@", 1) + f"?token={SECRET}#{SECRET}"
    options = {**QUICK, "timeout": 0.2, "headers": {"X-Key": SECRET}}
    caplog.set_level(logging.DEBUG)
    try:
        raise ConnectionResetError("of somebody else")
    except ConnectionResetError:
        # What goes wrong while another error is handled is not taken for that one.
        with pytest.raises(ox.OscaxrError, match=words) as caught:
            ox.open_session(url, storage_options=options)
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert SECRET not in shown
    assert "requests.exceptions" not in shown


def test_secrets_are_not_logged(server, caplog):
    def broken(handler):
        handler.wfile.write(b"HTTP/1.1 206 Partial Content\r\nA: b\r\nno colon\r\n\r\n")
        handler.hang_up()

    server.act(broken)
    with pytest.raises(RemoteError):
        read(f"{server.url}/a?token={SECRET}")
    assert "Failed to parse headers" in caplog.text
    assert SECRET not in caplog.text


# -- how long it may take -----------------------------------------------------------------------
def _drip_headers(handler):
    handler.wfile.write(b"HTTP/1.1 206 Partial Content\r\nX: ")
    handler.drip(b"x" for _ in range(1000))


def _drip_body(handler):
    start, stop = handler.span
    told = {**ETAG, "Content-Range": f"bytes {start}-{stop - 1}/20000", "Content-Length": "9999"}
    handler.send_head(206, told)
    handler.drip(b"x" for _ in range(1000))


def _drip_interim(handler):
    handler.drip(b"HTTP/1.1 100 Continue\r\n\r\n" for _ in range(1000))


def _drip_redirects(handler):
    handler.scripted.sleep(0.15)
    handler.redirect(f"/{handler.number}")


@pytest.mark.parametrize(
    "script",
    [
        *(_drip_headers, _drip_body),
        *(
            pytest.param(one, marks=pytest.mark.slow)
            for one in (_drip_interim, _drip_redirects, "later")
        ),
    ],
)
def test_deadline_that_drops_of_data_do_not_put_off(script, server):
    if script == "later":
        server.act(lambda handler: _drip_body(handler) if handler.number else handler.send())
    else:
        server.act(script)
    begin = time.perf_counter()
    with pytest.raises(RemoteError, match=r"it took longer than deadline=0\.5 s"):
        read(f"{server.url}/a", deadline=0.5)
    assert time.perf_counter() - begin < 4


def test_long_wait_that_a_server_asks_for_is_not_waited(server):
    server.act(lambda handler: handler.send(503, b"", {"Retry-After": "999999999999"}))
    begin = time.perf_counter()
    with pytest.raises(RemoteError, match=r"503 .* would take longer than deadline=5 s"):
        read(f"{server.url}/a", deadline=5)
    assert time.perf_counter() - begin < 4


def test_slow_line_is_no_drip():
    content = os.urandom(200_000)

    def slow(handler):
        start, stop = handler.span
        told = {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
        handler.send_head(206, {**told, "Content-Length": str(stop - start)})
        handler.drip((content[i : min(i + 5000, stop)] for i in range(start, stop, 5000)), 0.02)

    server = ScriptedServer(content)
    server.act(slow)
    begin = time.perf_counter()
    try:
        assert read(f"{server.url}/a", deadline=0.5) == content
    finally:
        server.close()
    assert time.perf_counter() - begin > 0.5
