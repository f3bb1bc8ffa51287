"""Downloading sessions of DANDI 000037: a plan first, then the files, checked."""

from oscaxr.download.assets import DANDISET, VERSION, Asset, Plan
from oscaxr.download.choose import plan
from oscaxr.download.fetch import Fetched, fetch
from oscaxr.download.listing import refresh

__all__ = ["DANDISET", "VERSION", "Asset", "Fetched", "Plan", "fetch", "plan", "refresh"]
