"""The layout in which sessions left the recording site, before they were converted to NWB."""

from oscaxr.submodules import on_demand

__getattr__ = on_demand(__name__)
