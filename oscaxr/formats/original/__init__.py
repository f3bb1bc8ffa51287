"""The layout in which sessions left the recording site, before they were converted to NWB."""
