"""The directive ``import-layers``: the import contract of pyproject.toml as a table."""

import ast
import re
import tomllib
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]


class ImportLayers(SphinxDirective):
    """One row a module, the top layer first: the first line of its docstring, and what it imports."""

    def run(self):
        layers = self.read_layers()
        body = nodes.tbody()
        for height, layer in zip(range(len(layers), 0, -1), layers, strict=True):
            for module in re.findall(r"\w+", layer):
                imports = nodes.Text(", ".join(self.imports(module)) or "–")
                name = nodes.literal("", module)
                body += row(nodes.Text(str(height)), name, self.noun(module), imports)
        titles = ("layer", "module", "what it holds", "imports")
        header = nodes.thead("", row(*map(nodes.Text, titles)))
        widths = [nodes.colspec(colwidth=width) for width in (1, 2, 7, 5)]
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
        return nodes.Text(docstring.partition("\n")[0].replace("``", ""))

    def imports(self, module):
        """Return the names of the other modules of the package that a module imports."""
        place = ROOT / "bayesnmf" / module
        found = set()
        for file in place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]:
            self.env.note_dependency(str(file))
            text = file.read_text(encoding="utf-8")
            found |= set(re.findall(r"^\s*from bayesnmf\.(\w+)", text, re.MULTILINE))
            for names in re.findall(r"^\s*from bayesnmf import (.+)", text, re.MULTILINE):
                found |= set(re.findall(r"\w+", names))
        return sorted(found - {module})


def row(*cells):
    """Build a table row."""
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))


def setup(app):
    """Register the directive."""
    app.add_directive("import-layers", ImportLayers)
    return {"parallel_read_safe": True}
