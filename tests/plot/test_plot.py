"""Matplotlib itself: imported when a picture is drawn, and needed then; axes that are made."""

import importlib
import sys

import pytest

import oscaxr as ox
from oscaxr import plot

pytest.importorskip("matplotlib").use("Agg")


@pytest.fixture(scope="module")
def ds():
    return ox.sample.session(n_rois=15, scale=0.05)


def test_own_axes_are_made(u):
    from matplotlib import pyplot

    drawn = plot.responses(u)
    assert drawn.lines[0].axes is pyplot.gca()
    pyplot.close("all")


def test_without_matplotlib(monkeypatch, u):
    axes = importlib.import_module("oscaxr.plot.axes")
    monkeypatch.setattr(axes, "find_spec", lambda name: None)
    with pytest.raises(plot.PlotLibraryError, match="pip install") as caught:
        plot.responses(u)
    assert isinstance(caught.value, ImportError)


@pytest.mark.slow
def test_importing_plot_does_not_import_matplotlib():
    import subprocess

    code = "import sys, oscaxr.plot; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
