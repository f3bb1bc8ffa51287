"""Bytes, no sessions: HDF5, chunks, files on servers, walking folders."""
