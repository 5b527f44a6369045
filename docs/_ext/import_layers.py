"""The directive ``import-layers``: the import contract of pyproject.toml as a table."""

import ast
import re
import tomllib
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]


class ImportLayers(SphinxDirective):
    """One row a module, the top layer first, with the first line of its docstring."""

    def run(self):
        layers = self.read_layers()
        body = nodes.tbody()
        for height, layer in zip(range(len(layers), 0, -1), layers, strict=True):
            for module in re.findall(r"\w+", layer):
                body += row(nodes.Text(str(height)), nodes.literal("", module), self.noun(module))
        header = nodes.thead("", row(*map(nodes.Text, ("layer", "module", "what it holds"))))
        widths = [nodes.colspec(colwidth=width) for width in (1, 2, 12)]
        return [nodes.table("", nodes.tgroup("", *widths, header, body, cols=len(widths)))]

    def read_layers(self):
        config = ROOT / "pyproject.toml"
        self.env.note_dependency(str(config))
        contracts = tomllib.loads(config.read_text())["tool"]["importlinter"]["contracts"]
        return next(contract["layers"] for contract in contracts if contract["type"] == "layers")

    def noun(self, module):
        """Return the first line of a module's docstring."""
        package = ROOT / "bayesnmf" / module
        file = package / "__init__.py" if package.is_dir() else package.with_suffix(".py")
        self.env.note_dependency(str(file))
        docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
        return nodes.Text(docstring.partition("\n")[0])


def row(*cells):
    """Build a table row."""
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))


def setup(app):
    """Register the directive."""
    app.add_directive("import-layers", ImportLayers)
    return {"parallel_read_safe": True}
