"""The figures of the papers: every data panel of both, from the sessions at hand."""

from oscaxr.figures.make import Drawn, Made, make_figures
from oscaxr.figures.panels import Panel, panels

__all__ = ["make_figures", "panels", "Panel", "Made", "Drawn"]
