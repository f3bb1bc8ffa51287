"""Indexes: where the values of sessions lie in their files, as references of kerchunk."""
