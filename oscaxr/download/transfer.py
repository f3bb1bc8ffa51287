"""One file that comes over from the archive: taken up where it stopped, asked for again."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from oscaxr.download.assets import Asset
from oscaxr.errors import DownloadError
from oscaxr.files.folders import size_of
from oscaxr.files.patience import PassingError
from oscaxr.files.remote import public_url

if TYPE_CHECKING:
    import requests

    from oscaxr.files.http import Client, Version
    from oscaxr.files.patience import Patience

Progress = Callable[[Asset, int], None]


def size_at(path: Path) -> int:
    """Return how many bytes of a file are there."""
    return size_of(path) or 0


@dataclass
class Transfer:
    """One file that comes over: from where, how patiently, and who is told how far it is."""

    asset: Asset
    client: "Client"
    patience: "Patience"
    progress: Progress | None
    version: "Version | None" = None
    """What the server said of the state of the file, of which a part is there."""

    def report(self, done: int) -> None:
        """Tell how many bytes are there."""
        if self.progress is not None:
            self.progress(self.asset, done)

    def complete(self, part: Path) -> None:
        """Ask until all bytes are there."""
        asset = self.asset

        def gave_up(reason: str) -> DownloadError:
            return self.failure(f"{reason}. {size_at(part)} of {asset.size} bytes are there")

        if size_at(part) > asset.size:
            part.unlink()
        part.touch()
        if size_at(part) < asset.size:
            self.patience.insist(lambda: self._append(part), gave_up, lambda: size_at(part))
        self.report(asset.size)

    def failure(self, what: str) -> DownloadError:
        """Return an error of this file."""
        return DownloadError(f"{public_url(self.asset.url)}: {what}")

    def _append(self, part: Path) -> None:
        """Ask once, for the bytes that are not there yet."""
        from oscaxr.files.http import Version

        asset = self.asset
        start = size_at(part)
        self.report(start)
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and self.version is not None:
            headers |= self.version.condition
        with self.client.answer(asset.url, headers) as response, part.open("r+b") as file:
            start, version = self._start_of(response, start), Version.of(response)
            if start and self.version is not None and not self.version.is_in(version):
                file.truncate(0)
                raise PassingError("the file was replaced on the server")
            self.version = version
            file.seek(start)
            file.truncate()
            for piece in self.client.pieces(response):
                start += len(piece)
                if start > asset.size:
                    file.truncate(0)
                    raise self.failure(f"more bytes come than the {asset.size} of the archive")
                file.write(piece)
                self.report(start)
        if start < asset.size:
            raise PassingError(f"the answer ended after {start} of {asset.size} bytes")

    def _start_of(self, response: "requests.Response", start: int) -> int:
        """Return at which byte of the file an answer begins; refuse what is not the file."""
        from oscaxr.files.http import Part, part_of, status_of

        size = self.asset.size
        if response.status_code not in (200, 206):
            raise self.failure(f"the server answered {status_of(response)}")
        found = part_of(response)
        if response.status_code == 200:
            # All of it, also where a part was asked for; it need not say how much that is.
            found = found or Part(0, size, size)
        if found is None or found.total != size or found.start not in (0, start):
            said = "a part of unknown place" if found is None else f"{found.total} bytes"
            raise self.failure(f"the server offers {said}, where the archive says {size} bytes")
        return found.start
