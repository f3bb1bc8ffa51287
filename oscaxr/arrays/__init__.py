"""The array engine: lazy arrays, windows, going through columns, percentiles; knows no session."""
