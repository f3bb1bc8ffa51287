"""Connections to servers: noted while they are read, and silent about secrets."""

import logging
import socket
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from oscaxr.files.remote import public_url

noting: ContextVar[Callable[[socket.socket], None] | None] = ContextVar("noting", default=None)
"""What is told of sockets before anything is read from them; None where nobody is."""


class _Noted:
    """A connection whose socket is noted before anything is read from it."""

    def getresponse(self) -> Any:
        note, connected = noting.get(), getattr(self, "sock", None)
        if note is not None and connected is not None:
            note(connected)
        return super().getresponse()  # type: ignore[misc] # of the connection


class _Http(_Noted, HTTPConnection):
    pass


class _Https(_Noted, HTTPSConnection):
    pass


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Https


class Adapter(HTTPAdapter):
    """Keeps connections open, whose sockets are noted; repeats nothing by itself."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make what opens connections."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Make what opens connections by way of a proxy."""
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
        return manager


def _without_queries(record: logging.LogRecord) -> bool:
    """Leave what may be secret out of what urllib3 logs of our own requests."""
    if noting.get() is not None and isinstance(record.args, tuple):
        record.args = tuple(public_url(one) if isinstance(one, str) else one for one in record.args)
    return True


for _name in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).addFilter(_without_queries)
