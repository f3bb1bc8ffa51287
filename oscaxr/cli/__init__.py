"""The command line ``oscaxr``. Nothing else in the package imports it."""
