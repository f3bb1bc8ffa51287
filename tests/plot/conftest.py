"""What pictures are drawn of, and where; each module says which session (``ds``)."""

import pytest


@pytest.fixture
def ax():
    figure = pytest.importorskip("matplotlib.figure").Figure
    return figure(layout="constrained").subplots()


@pytest.fixture(scope="module")
def u(ds):
    return ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=1, post=1)


@pytest.fixture(scope="module")
def d(ds):
    return ds.osca.sequences("dff", ds.osca.select(gabor_frame="D"), pre=1, post=1)
