"""The NWB layout of DANDI 000037, group by group."""
