"""What the archive holds, asked with the ``dandi`` client."""

import logging
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from oscaxr.download.assets import Asset
from oscaxr.errors import DownloadError, MissingLibraryError, SessionNotFoundError

# Digests have long names in the archive's metadata.
_DIGESTS: Final = {"dandi:sha2-256": "sha2-256", "dandi:dandi-etag": "dandi-etag"}
_REQUESTS_AT_ONCE: Final = 4


class Archive:
    """One version of one dandiset."""

    def __init__(self, dandiset: str, version: str, api_url: str | None = None) -> None:
        try:
            from dandi.dandiapi import DandiAPIClient
        except ImportError as error:
            raise MissingLibraryError(
                f"downloading needs the dandi client ({error}): pip install 'oscaxr[dandi]'"
            ) from error
        self.dandiset = dandiset
        self.version = version
        # The client would ask a third party for news of itself; the archive says it too.
        os.environ.setdefault("DANDI_NO_ET", "1")
        with self._asking():
            self._client = DandiAPIClient(api_url) if api_url else DandiAPIClient()
        self._assets: dict[str, Any] = {}

    def list_assets(self) -> list[Asset]:
        """List the files of the version."""
        from dandi.dandiapi import AssetType
        from dandi.exceptions import NotFoundError

        with self._asking():
            remote = self._client.get_dandiset(self.dandiset, self.version, lazy=True)
            try:
                found = [a for a in remote.get_assets() if a.asset_type is AssetType.BLOB]
            except NotFoundError as error:
                raise SessionNotFoundError(self._no_version(remote)) from error
        self._assets = {asset.identifier: asset for asset in found}
        return [
            Asset(asset.path, asset.size, asset.identifier, asset.base_download_url)
            for asset in found
        ]

    def with_digests(self, assets: Iterable[Asset]) -> list[Asset]:
        """Add the digests that the archive knows of files."""

        def ask(asset: Asset) -> Asset:
            known = self._assets[asset.identifier].get_raw_metadata().get("digest") or {}
            digests = {short: known[name] for name, short in _DIGESTS.items() if known.get(name)}
            return replace(asset, digests=digests)

        with self._asking(), ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
            return list(pool.map(ask, assets))

    def _no_version(self, remote: Any) -> str:
        from dandi.exceptions import NotFoundError

        try:
            versions = [version.identifier for version in remote.get_versions()]
        except NotFoundError:
            return f"The archive at {self._client.api_url} has no dandiset {self.dandiset}."
        return (
            f"Dandiset {self.dandiset} has no version {self.version!r}. There are: "
            f"{', '.join(versions)}."
        )

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Say in one message what went wrong; the client's own log would repeat it."""
        from requests import RequestException

        log = logging.getLogger("dandi")
        level = log.level
        log.setLevel(logging.CRITICAL)
        try:
            yield
        except (RequestException, RuntimeError) as error:
            raise DownloadError(
                f"The archive could not be asked about dandiset {self.dandiset}: {error}. Check "
                "the connection, and try again later."
            ) from error
        finally:
            log.setLevel(level)
