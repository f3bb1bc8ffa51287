"""Exports of ours, both ways, beside their layout."""
