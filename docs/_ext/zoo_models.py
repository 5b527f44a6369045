"""The directive ``zoo-models``: every file of models/ as a section, from its docstring.

It is reStructuredText, as docstrings are, so a Markdown page wraps it in ``eval-rst``.
"""

import ast
import re
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

MODELS = Path(__file__).parents[2] / "models"


class ZooModels(SphinxDirective):
    """One section a model: its docstring, and the source of its function."""

    def run(self):
        return [self.section(file) for file in sorted(MODELS.glob("*.py"))]

    def section(self, file):
        self.env.note_dependency(str(file))
        docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
        # A docstring's underlined headings would clash with those of the page.
        text = re.sub(r"^(.+)\n-{3,}$", r".. rubric:: \1\n", docstring, flags=re.MULTILINE)
        text += f"\n\n.. rubric:: Source\n\n.. literalinclude:: /../models/{file.name}\n"
        text += "   :pyobject: model\n"
        section = nodes.section("", nodes.title("", file.stem), ids=[file.stem])
        self.state.nested_parse(StringList(text.splitlines(), source=str(file)), 0, section)
        return section


def outdated(app, env, added, changed, removed):
    """Read the page anew at every build: a new model file is no dependency of it yet."""
    return ["zoo"]


def setup(app):
    """Register the directive."""
    app.add_directive("zoo-models", ZooModels)
    app.connect("env-get-outdated", outdated)
    return {"parallel_read_safe": True}
