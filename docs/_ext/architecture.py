"""Directives ``import-layers`` and ``file-lines``: the import contract, and every file, as tables."""

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
        return first_line(self.env, file)

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


class FileLines(SphinxDirective):
    """One table a package, the top layer first: the name of each file, and its docstring's first line."""

    def run(self):
        package, tables = ROOT / "bayesnmf", []
        folders = {file.parent for file in package.rglob("*.py")}
        for folder in sorted(folders):
            body = nodes.tbody()
            for file in sorted(folder.glob("[!_]*.py")):
                body += row(nodes.literal("", file.name), first_line(self.env, file))
            place = folder.relative_to(package.parent).as_posix()
            header = nodes.thead("", row(nodes.literal("", f"{place}/"), nodes.Text("")))
            widths = [nodes.colspec(colwidth=width) for width in (2, 7)]
            tables.append(nodes.table("", nodes.tgroup("", *widths, header, body, cols=2)))
        return tables


def first_line(env, file):
    """Return the first line of a module's docstring, and let the page depend on it."""
    env.note_dependency(str(file))
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    return nodes.Text(docstring.partition("\n")[0].replace("``", ""))


def row(*cells):
    """Build a table row."""
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))


def setup(app):
    """Register the directives."""
    app.add_directive("import-layers", ImportLayers)
    app.add_directive("file-lines", FileLines)
    return {"parallel_read_safe": True}
