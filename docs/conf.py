"""Sphinx configuration. The build needs no network: there is no intersphinx on purpose."""

import os
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

# For the kernels that run the examples: the same arithmetic everywhere, and no warning of tqdm
# about notebook widgets, which a page does not need.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"

project = "bayesnmf"
author = "The bayesnmf developers"
copyright = f"2026, {author}"
version = release = installed_version("bayesnmf")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
    "architecture",
    "mathml",
    "zoo_models",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "jupyter_execute"]

autodoc_typehints = "none"  # numpydoc's Parameters sections give the types
autodoc_member_order = "bysource"
autosummary_generate = True
# Some file systems take bayesnmf.fit and bayesnmf.Fit for the same file.
autosummary_filename_map = {
    name: f"{name}-class" for name in ("bayesnmf.Fit", "bayesnmf.likelihoods.Likelihood")
}
numpydoc_show_class_members = False  # the class template lists them

myst_enable_extensions = ["dollarmath", "amsmath", "deflist"]
myst_heading_anchors = 3
# A page shows what the code does now: outputs cached across builds would outlive the code.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_output_stderr = "remove-warn"  # an example that warns fails the build
nb_execution_timeout = 300

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = f"bayesnmf {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sourcelink = False
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "navbar_align": "left",
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
}
html_sidebars = {"index": [], "notation": [], "zoo": [], "cli": []}
