"""The archive's files as they are listed at hand, so that it need not be asked; and asked anew."""

from pathlib import Path
from typing import Final

from oscaxr.download.assets import DANDISET, VERSION, Archive, Asset
from oscaxr.errors import DownloadError, ExportError
from oscaxr.formats.published import API_URL, PublishedFile, PublishedFiles, keep, list_of

_SHA256: Final = "sha2-256"
_ETAG: Final = "dandi-etag"


def assets_at_hand(version: str, api_url: str | None) -> list[Asset] | None:
    """Return the files of a version, by the list at hand; None where there is none."""
    listed = list_of(version, _address(api_url))
    return None if listed is None else [_asset(one, listed.api_url) for one in listed.files]


def refresh(version: str = VERSION, *, api_url: str | None = None) -> Path:
    """Ask the archive for its list of files, and keep it for this and later sessions of Python.

    Parameters
    ----------
    version : str, optional
        Version of the dandiset; ``"draft"`` for what is not published yet.
    api_url : str, optional
        Another server with the archive's interface.

    Returns
    -------
    pathlib.Path
        Where the list is kept, in the user's data folder. To go back to the list that came with
        oscaxr, remove the file.

    Raises
    ------
    SessionNotFoundError
        If there is no such version.
    DownloadError
        If the archive cannot be reached, or the list cannot be kept.

    Notes
    -----
    The list of the pinned version comes with oscaxr and does not change: to ask for it adds the
    addresses on S3. Other versions are listed here once, and then planned without the archive.

    Examples
    --------
    >>> refresh("draft")  # doctest: +SKIP
    PosixPath('/home/me/.local/share/oscaxr/published/https-api.dandiarchive.org-api-draft.json')
    """
    archive = Archive(DANDISET, version, api_url)
    assets = archive.with_digests(archive.list_assets())
    listed = PublishedFiles(version, tuple(map(_listed, assets)), _address(api_url))
    try:
        return keep(listed)
    except (ExportError, OSError) as error:
        raise DownloadError(f"The list of the archive's files cannot be kept: {error}") from error


def _address(api_url: str | None) -> str:
    return (api_url or API_URL).rstrip("/")


def _listed(asset: Asset) -> PublishedFile:
    sha256, etag = (asset.digests.get(name, "") for name in (_SHA256, _ETAG))
    return PublishedFile(asset.path, asset.size, asset.identifier, asset.blob_id, sha256, etag)


def _asset(one: PublishedFile, api_url: str) -> Asset:
    digests = {_SHA256: one.sha256, _ETAG: one.etag}
    return Asset(
        one.path,
        one.size,
        one.asset_id,
        f"{api_url}/assets/{one.asset_id}/download/",
        {name: digest for name, digest in digests.items() if digest},
        blob_id=one.blob_id,
    )
