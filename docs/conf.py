"""How the documentation is built: `python -m sphinx -W --keep-going -n docs docs/_build/html`.

The build needs no network, and runs every notebook and every page with code cells.
"""

import os
import shutil
import sys
import sysconfig
from importlib.metadata import version as installed_version
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

import offline_inventories  # noqa: E402 (found by the line above)
import sphinx_autosummary_accessors  # noqa: E402

project = "oscaxr"
author = "The oscaxr developers"
project_copyright = "the oscaxr developers"
release = version = installed_version("oscaxr")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx_autosummary_accessors",
    "numpydoc",
    "myst_nb",
    "sphinx_design",
    "sphinx_copybutton",
]
templates_path = ["_templates", sphinx_autosummary_accessors.templates_path]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb"}
root_doc = "index"
nitpicky = True
# Bases that only give classes their fields: the reference shows these where they are used.
nitpick_ignore = [
    ("py:class", "oscaxr.model.schema.Described"),
    ("py:class", "oscaxr.sample.mouse_behavior.Behavior"),
    ("py:class", "oscaxr.sample.timeline.Timeline"),
    ("py:class", "types.SimpleNamespace"),
]

# -- pages and notebooks ---------------------------------------------------------------------------
myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3
# Every page with code cells is run, in a folder of its own that is thrown away, and the first
# error stops the build. Nothing is kept: what a page shows is what the code does now.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_execution_show_tb = True
nb_merge_streams = True
nb_mime_priority_overrides = [("html", "image/png", 0)]
nb_output_stderr = "remove"
# Kernels take what the environment says: pictures go into the page (CI asks for Agg), and `!oscaxr`
# is the command of this environment.
os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
os.environ["PATH"] = os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", "")))
# What was published with the papers' figures stands with the tests.
os.environ["PUBLISHED_RESULTS"] = str(HERE.parent / "tests" / "data" / "papers")
# A profile of their own: nobody's start-up files, and no word about the kernel's own ports.
profile = HERE / "_build" / "ipython" / "profile_default"
profile.mkdir(parents=True, exist_ok=True)
(profile / "ipython_kernel_config.py").write_text('c.IPKernelApp.log_level = "CRITICAL"\n')
os.environ["IPYTHONDIR"] = str(profile.parent)

# -- reference -------------------------------------------------------------------------------------
autosummary_generate = True
autodoc_typehints = "none"  # docstrings say the types, with shapes and units
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"  # only the names below become links
numpydoc_xref_aliases = {
    name: f":py:class:`{name}`"
    for name in (
        "xarray.Dataset",
        "xarray.DataArray",
        "xarray.DataTree",
        "xarray.Variable",
        "pandas.DataFrame",
        "pandas.Series",
        "pathlib.Path",
    )
}

# -- links to other projects -----------------------------------------------------------------------
# The few names that are linked stand in small text files here; OSCAXR_DOCS_ONLINE=1 asks the
# projects' own inventories first.
intersphinx_mapping = offline_inventories.mapping(
    HERE / "_inventories",
    HERE / "_build" / "inventories",
    online=os.environ.get("OSCAXR_DOCS_ONLINE", "") not in ("", "0"),
)
intersphinx_timeout = 5

# -- looks -----------------------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = f"oscaxr {version}"
html_static_path = ["_static"]
html_css_files = ["oscaxr.css"]
html_js_files = ["row_filter.js"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "oscaxr"},
    "show_prev_next": True,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
copybutton_exclude = ".linenos, .gp, .go"


def _skip_tuple_fields(app, what, name, obj, skip, options):
    """Named tuples describe their fields in their docstring; their getters would repeat them."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def _forget_pages_of_old_names(app):
    """Pages of the reference are written anew: one of a name that is gone would be left over."""
    shutil.rmtree(HERE / "api" / "generated", ignore_errors=True)


def setup(app):
    """Connect what the pages of classes need."""
    app.connect("autodoc-skip-member", _skip_tuple_fields)
    app.connect("builder-inited", _forget_pages_of_old_names, priority=100)
