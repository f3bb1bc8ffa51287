"""The formats in which sessions are published."""
