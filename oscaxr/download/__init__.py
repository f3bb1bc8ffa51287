"""Downloading sessions of DANDI 000037: a plan first, then the files, checked."""

from oscaxr.download.assets import DANDISET, VERSION, Asset, Plan
from oscaxr.download.fetch import Fetched, fetch
from oscaxr.download.planning import plan

__all__ = ["DANDISET", "VERSION", "Asset", "Fetched", "Plan", "fetch", "plan"]
