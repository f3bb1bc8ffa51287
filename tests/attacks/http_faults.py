"""Servers that do not do what they should, with a secret at stake: read from, downloaded from."""

import gc
import gzip
import hashlib
import io
import logging
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

import oscaxr as ox
from oscaxr.download import Asset, Plan, fetch
from oscaxr.errors import OscaxrError
from scripted_server import ETAG, Handler, ScriptedServer
from tests.attacks import Outcome

SECRET = "s3cr3t"
DEADLINE = 1.0
# A busy machine may stand still for a while.
LATE = DEADLINE + 6.0
PATIENCE = {"retries": 2, "retry_wait": 0.01, "timeout": 0.4, "deadline": DEADLINE}
MODIFIED = "Sat, 28 Nov 2026 12:00:00 GMT"
Script = Callable[[Handler, "Place"], None]


@dataclass
class Place:
    """What a case plays with: the server, and one that must be told nothing."""

    server: ScriptedServer
    other: ScriptedServer
    replaced: bytes


# -- what servers do ------------------------------------------------------------------------------
def plain(handler: Handler, place: Place) -> None:
    handler.send()


def _cut(body: bytes, handler: Handler, keep: int, **headers: str) -> None:
    handler.send(body=body[:keep], headers={**ETAG, "Content-Length": str(len(body)), **headers})
    handler.hang_up()


def _part(handler: Handler) -> bytes:
    return handler.scripted.content[slice(*handler.span)]


def cut_always(handler: Handler, place: Place) -> None:
    _cut(_part(handler), handler, len(_part(handler)) // 2)


def cut_twice(handler: Handler, place: Place) -> None:
    handler.send() if handler.number > 1 else cut_always(handler, place)


def cut_in_every_other(handler: Handler, place: Place) -> None:
    handler.send() if handler.number % 2 else cut_always(handler, place)


def one_byte_each(handler: Handler, place: Place) -> None:
    _cut(_part(handler), handler, 1)


def too_short(handler: Handler, place: Place) -> None:
    handler.send(body=_part(handler)[:-7])


def too_long(handler: Handler, place: Place) -> None:
    handler.send(body=_part(handler) + b"more than was asked for")


def too_long_by_length(handler: Handler, place: Place) -> None:
    handler.send(headers={**ETAG, "Content-Length": "999999999999"})


def _length(text: str) -> Script:
    def length(handler: Handler, place: Place) -> None:
        handler.send(headers={**ETAG, "Content-Length": text})
        handler.hang_up()

    length.__name__ = f"length_{text[:12]}"
    return length


def two_lengths(handler: Handler, place: Place) -> None:
    handler.send(headers={**ETAG, "content-length": "5"})


def _range(text: str) -> Script:
    def wrong_range(handler: Handler, place: Place) -> None:
        start, stop = handler.span
        size = len(handler.scripted.content)
        told = text.format(a=start, b=stop - 1, n=size, a1=start + 1, b1=stop + 4, n1=size + 10**6)
        handler.send(headers={**ETAG, "Content-Range": told})

    wrong_range.__name__ = f"range_{text}"
    return wrong_range


def total_smaller(handler: Handler, place: Place) -> None:
    content = handler.scripted.content
    handler.send(content=content[: len(content) // 2] if handler.span[0] == 0 else content)


def total_changes(handler: Handler, place: Place) -> None:
    start, stop = handler.span
    total = len(handler.scripted.content) + handler.number
    handler.send(headers={**ETAG, "Content-Range": f"bytes {start}-{stop - 1}/{total}"})


def _replaced(*states: dict[str, str | None]) -> Script:
    """Send other bytes later on, for a server that knows no conditions."""

    def replaced(handler: Handler, place: Place) -> None:
        later = handler.number >= 2
        content = place.replaced if later else handler.scripted.content
        body = content[slice(*handler.span)]
        handler.send(206, body, states[later])

    replaced.__name__ = f"replaced_{states[1]}"
    return replaced


def replaced_with_conditions(handler: Handler, place: Place) -> None:
    later = handler.number >= 2
    content = place.replaced if later else None
    handler.send(headers={"ETag": '"two"' if later else '"one"'}, content=content)


def whole_always(handler: Handler, place: Place) -> None:
    handler.send(200)


def whole_later(handler: Handler, place: Place) -> None:
    handler.send(200 if handler.number > 1 else None)


def whole_on_condition(handler: Handler, place: Place) -> None:
    handler.send(200 if "If-Range" in handler.headers else None)


def whole_of_another_later(handler: Handler, place: Place) -> None:
    handler.send(200, place.replaced) if handler.number > 1 else handler.send()


def compressed(handler: Handler, place: Place) -> None:
    body = gzip.compress(_part(handler))
    handler.send(body=body, headers={**ETAG, "Content-Encoding": "gzip"})


def bomb(handler: Handler, place: Place) -> None:
    handler.send(body=_bomb(), headers={**ETAG, "Content-Encoding": "gzip"})


@cache
def _bomb() -> bytes:
    return gzip.compress(bytes(200_000_000), 1)


def called_compressed(handler: Handler, place: Place) -> None:
    handler.send(headers={**ETAG, "Content-Encoding": "br"})


def drips_body(handler: Handler, place: Place) -> None:
    body = _part(handler)
    _cut(body, handler, 0)
    handler.drip(body[i : i + 1] for i in range(len(body)))


def drips_headers(handler: Handler, place: Place) -> None:
    handler.wfile.write(b"HTTP/1.1 206 Partial Content\r\n")
    handler.drip(b"X-Header-%d: more to come\r\n" % i for i in range(90))
    handler.drip(b"x" for _ in range(10_000))


def drips_interim(handler: Handler, place: Place) -> None:
    handler.drip(b"HTTP/1.1 100 Continue\r\n\r\n" for _ in range(10_000))


def drips_chunks(handler: Handler, place: Place) -> None:
    start, stop = handler.span
    size = len(handler.scripted.content)
    told = {"Content-Range": f"bytes {start}-{stop - 1}/{size}", "Transfer-Encoding": "chunked"}
    handler.send_head(206, {**ETAG, **told})
    handler.wfile.write(b"1;")
    handler.drip(b"x" for _ in range(10_000))


def drips_after_a_while(handler: Handler, place: Place) -> None:
    handler.send() if handler.number < 3 else drips_body(handler, place)


def wrong_chunks(handler: Handler, place: Place) -> None:
    start, stop = handler.span
    told = {"Content-Range": f"bytes {start}-{stop - 1}/{len(handler.scripted.content)}"}
    handler.send_head(206, {**ETAG, **told, "Transfer-Encoding": "chunked"})
    handler.wfile.write(b"-5\r\nxxxxx\r\nzz\r\n")
    handler.hang_up()


def stalls(handler: Handler, place: Place) -> None:
    handler.scripted.sleep(30)


def stalls_in_body(handler: Handler, place: Place) -> None:
    _cut(_part(handler), handler, 100)
    handler.wfile.flush()
    handler.scripted.sleep(30)


def resets(handler: Handler, place: Place) -> None:
    handler.reset()


def resets_in_body(handler: Handler, place: Place) -> None:
    _cut(_part(handler), handler, 100)
    handler.wfile.flush()
    handler.reset()


def hangs_up(handler: Handler, place: Place) -> None:
    handler.hang_up()


def loop(handler: Handler, place: Place) -> None:
    handler.redirect(handler.path)


def chain(handler: Handler, place: Place) -> None:
    handler.redirect(f"/{handler.number}?token={SECRET}", status=307)


def to_other_host(handler: Handler, place: Place) -> None:
    handler.redirect(f"{place.other.url}/there?X-Signature={SECRET}x")


def to_other_host_and_back(handler: Handler, place: Place) -> None:
    if handler.path == "/back":
        handler.send()
        return
    place.other.act(lambda other: other.redirect(f"{place.server.url}/back"))
    handler.redirect(f"{place.other.url}/there")


def to_user_of_other_host(handler: Handler, place: Place) -> None:
    handler.redirect(place.other.url.replace("//", f"//user:{SECRET}x@") + "/there")


def _redirect(target: str | None) -> Script:
    def redirect(handler: Handler, place: Place) -> None:
        handler.redirect(target)

    redirect.__name__ = f"redirect_{target}"
    return redirect


def redirect_with_endless_body(handler: Handler, place: Place) -> None:
    handler.send_head(302, {"Location": "/loop", "Content-Length": str(10**12)})
    for _ in range(10_000):
        handler.wfile.write(bytes(2**16))


def _status(code: int, headers: dict[str, str] | None = None) -> Script:
    def status(handler: Handler, place: Place) -> None:
        handler.send(code, b"", headers or {})

    status.__name__ = f"status_{code}_{headers or ''}"
    return status


def busy_at_first(handler: Handler, place: Place) -> None:
    handler.send(503, b"", {"Retry-After": "0"}) if handler.number < 2 else handler.send()


def echoes_in_reason(handler: Handler, place: Place) -> None:
    handler.wfile.write(f"HTTP/1.1 403 {handler.path} {dict(handler.headers)}\r\n\r\n".encode())
    handler.hang_up()


def no_http(handler: Handler, place: Place) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.2p1\r\n")
    handler.hang_up()


def broken_headers(handler: Handler, place: Place) -> None:
    # What urllib3 logs with the whole address.
    handler.wfile.write(b"HTTP/1.1 206 Partial Content\r\nno colon\r\n\x00: x\r\nA: b\r\n\r\n")
    handler.hang_up()


def page(handler: Handler, place: Place) -> None:
    body = b"<html>Sign in</html>" * 999
    handler.send(body=body[slice(*handler.span)], content=body, headers={})


def page_whole(handler: Handler, place: Place) -> None:
    handler.send(200, b"<html>Sign in</html>", {"Content-Type": "text/html"})


def endless(handler: Handler, place: Place) -> None:
    _cut(_part(handler), handler, 10**9, **{"Content-Length": str(10**15)})
    for _ in range(100_000):
        handler.wfile.write(bytes(2**16))


def endless_chunks(handler: Handler, place: Place) -> None:
    handler.send_head(200, {**ETAG, "Transfer-Encoding": "chunked"})
    for _ in range(100_000):
        handler.wfile.write(b"10000\r\n" + bytes(2**16) + b"\r\n")


def giant_header(handler: Handler, place: Place) -> None:
    handler.send(headers={**ETAG, "X-Giant": "x" * 1_000_000})


def many_headers(handler: Handler, place: Place) -> None:
    handler.send(headers={**ETAG, **{f"X-{i}": "x" for i in range(5000)}})


def empty(handler: Handler, place: Place) -> None:
    handler.send(200, b"")


def two_ranges(handler: Handler, place: Place) -> None:
    told = {"Content-Type": "multipart/byteranges; boundary=x", "Content-Range": None}
    handler.send(body=b"--x\r\n\r\nabc\r\n--x--", headers={**ETAG, **told})


_NO_TAG: dict[str, str | None] = {}
_BOTH = (
    *(cut_always, cut_twice, one_byte_each, too_short, too_long, too_long_by_length),
    *(two_lengths, _length("-5"), _length("five"), compressed, called_compressed, bomb),
    *(drips_body, drips_headers, drips_interim, drips_chunks, stalls, stalls_in_body),
    *(resets, resets_in_body, hangs_up, loop, chain, to_other_host, to_user_of_other_host),
    *(_redirect("file:///etc/passwd"), endless, endless_chunks, giant_header, broken_headers),
    *(echoes_in_reason, busy_at_first),
)
_READ: tuple[Script, ...] = (
    *(plain, whole_always, replaced_with_conditions),
    _replaced(ETAG, {"ETag": '"two"'}),
    _replaced({"Last-Modified": MODIFIED}, {"Last-Modified": MODIFIED.replace(":00 ", ":01 ")}),
    _replaced(ETAG, _NO_TAG),
    _replaced({"ETag": 'W/"one"'}, {"ETag": 'W/"two"'}),
    *(whole_on_condition, whole_later, whole_of_another_later, cut_in_every_other),
    *(_range("bytes {a1}-{b}/{n}"), _range("bytes {a}-{b1}/{n}"), _range("bytes {a}-{b}/{n1}")),
    *(_range("bytes {a}-{b}/*"), _range("bytes {b}-{a}/{n}"), _range("rows {a}-{b}/{n}")),
    *(_range("bytes {a}-{b}/1" + "0" * 40), _range("bytes {a}-{b}/1" + "0" * 16)),
    *(total_smaller, total_changes, wrong_chunks, drips_after_a_while, to_other_host_and_back),
    *(_redirect(None), _redirect("http://[::1"), _redirect("http://127.0.0.1:1/")),
    *(_redirect("http://nowhere.invalid/"), _redirect("//"), redirect_with_endless_body),
    *(_status(401), _status(403), _status(404), _status(416), _status(500), _status(204)),
    *(_status(429, {"Retry-After": "99999999999"}), _status(503, {"Retry-After": "soon"})),
    *(no_http, page, page_whole, many_headers, empty, two_ranges),
)
ADDRESSES = (
    *("http://[::1", "http://:80/a.nwb", "http://a..b/a.nwb", "http://127.0.0.1:99999/a.nwb"),
    *("http://xn--a/a.nwb", "https://{host}/a.nwb", "http://nowhere.invalid/a.nwb"),
    *("http://127.0.0.1:1/a.nwb", "http://host\x00/a.nwb", "http://" + "a" * 300 + "/a.nwb"),
    *("ftp://127.0.0.1/a.nwb", "http://{host6}/a.nwb"),
)


# -- how they are met -----------------------------------------------------------------------------
def _cases() -> list[tuple[str, Callable[["_Attack"], Any]]]:
    made: list[tuple[str, Callable[[_Attack], Any]]] = []
    for script in _READ:
        made.append((f"read: {script.__name__}", lambda at, s=script: at.read(s)))
    for script in _BOTH:
        made.append((f"read: {script.__name__}", lambda at, s=script: at.read(s)))
        made.append((f"download: {script.__name__}", lambda at, s=script: at.download(s)))
    for url in ADDRESSES:
        made.append((f"address: {url[:40]}", lambda at, u=url: at.address(u)))
    return made


CASES = len(_cases())
QUICK = range(2, 28, 3)


def attack(folder: Path, cases: range) -> Iterator[Outcome]:
    """Meet each server, and say what came of it."""
    met = _Attack(folder)
    try:
        all_cases = _cases()
        for number in cases:
            name, case = all_cases[number]
            yield met.meet(f"{number}: {name}", case)
    finally:
        met.close()


class _Attack:
    """The servers, what they hold, and what must not come out."""

    def __init__(self, folder: Path) -> None:
        spec = ox.sample.SampleSpec(n_rois=4, n_tracked=2, scale=0.02, field_shape=(48, 50))
        path = ox.sample.write_nwb(spec, folder / "source", layout="contiguous")
        with ox.open_session(path) as ds:
            self.expected = ds.load()
        content = path.read_bytes()
        self.folder = folder
        self.place = Place(
            ScriptedServer(content),
            ScriptedServer(content, "127.0.0.2"),
            _with_other_traces(path),
        )
        self.server6 = _server6(content)
        self.sizes: tuple[int, ...] = ()

    def close(self) -> None:
        for server in (self.place.server, self.place.other, self.server6):
            if server is not None:
                server.close()

    def act(self, script: Script) -> str:
        """Let the server act so; return the address of the file."""
        self.place.server.act(lambda handler: script(handler, self.place))
        self.place.other.act(lambda handler: handler.send())
        return f"{self.place.server.url}/a.nwb?token={SECRET}#{SECRET}"

    def read(self, script: Script) -> None:
        headers = {"Authorization": f"token {SECRET}", "X-Key": SECRET, "Cookie": SECRET}
        self._read(self.act(script), {"headers": headers})

    def address(self, url: str) -> None:
        self.act(plain)
        host6 = self.server6.url.partition("//")[2] if self.server6 else "[::1]:1"
        host = self.place.server.url.partition("//")[2]
        url = url.replace("{host}", host).replace("{host6}", host6)
        self._read(url.replace("//", f"//user:{SECRET}@", 1) + f"?token={SECRET}", {})

    def _read(self, url: str, options: dict[str, Any]) -> None:
        options = {**PATIENCE, **options, "block_size": 20_000}
        with ox.open_session(url, storage_options=options) as ds:
            shown = f"{ds!r} {ds.encoding} {ds.attrs} {ds.dff.variable._data!r}"
            for name, variable in self.expected.variables.items():
                if not _equal(variable, ds[name].variable):
                    raise AssertionError(f"{name} differs")
        if SECRET in shown:
            raise AssertionError("the session shows the secret")

    def download(self, script: Script) -> None:
        url = self.act(script)
        content = self.place.server.content
        digests = {"sha2-256": hashlib.sha256(content).hexdigest()}
        asset = Asset("sub-1/a.nwb", len(content), "1", url, digests)
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            target = asset.target(Path(folder))
            try:
                fetch(Plan("000037", "draft", (asset,)), folder, **PATIENCE)
            finally:
                if target.exists() and target.read_bytes() != content:
                    raise AssertionError("another file has got the name")

    def meet(self, name: str, case: Callable[["_Attack"], Any]) -> Outcome:
        """Go through one case; note what must not be."""
        log = io.StringIO()
        handler = logging.StreamHandler(log)
        logging.getLogger().addHandler(handler)
        before = set(Path(tempfile.gettempdir()).iterdir())
        harm, opened, said = [], False, ""
        begin = time.perf_counter()
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                case(self)
                opened = True
            except OscaxrError as error:
                said = "".join(traceback.format_exception(error))
            except Exception as error:
                said = "".join(traceback.format_exception(error))
                harm.append(f"{type(error).__name__}: {error}")
        seconds = time.perf_counter() - begin
        logging.getLogger().removeHandler(handler)
        if seconds > LATE:
            harm.append(f"it took {seconds:.1f} s")
        if SECRET in "".join([said, log.getvalue(), *(str(one.message) for one in warned)]):
            harm.append("the secret is shown")
        told = [v for one in self.place.other.told for k, v in one.items() if k != ":path"]
        if any(SECRET in value.replace(f"{SECRET}x", "") for value in told):
            harm.append("the other host was told the secret")
        gc.collect()
        left = [
            one.name
            for one in set(Path(tempfile.gettempdir()).iterdir()) - before
            if one.name.startswith("oscaxr")
        ]
        return Outcome(name, opened, (*harm, *(f"left behind: {one}" for one in left)))


def _with_other_traces(path: Path) -> bytes:
    """Return a file that is as good as the given one, with other numbers."""
    content = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        traces = file["processing/ophys/DfOverF/RoiResponseSeries/data"]
        start, size = traces.id.get_offset(), traces.id.get_storage_size()
    content[start : start + size] = bytes(byte ^ 1 for byte in content[start : start + size])
    return bytes(content)


def _equal(expected: xr.Variable, found: xr.Variable) -> bool:
    values = found.values
    return expected.dims == found.dims and np.array_equal(
        expected.values, values, equal_nan=values.dtype.kind == "f"
    )


def _server6(content: bytes) -> ScriptedServer | None:
    """Return a server at an address of IPv6, where this machine has them."""
    with suppress(OSError):
        return ScriptedServer(content, "::1")
    return None
