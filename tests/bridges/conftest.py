"""Sequences that are handed to other libraries."""

import pytest


@pytest.fixture(scope="module")
def segments(memory_session):
    return memory_session.osca.select(gabor_frame="U")


@pytest.fixture(scope="module")
def u(memory_session, segments):
    return memory_session.osca.sequences("dff", segments, pre=0.5, post=0.5)
