r"""Mathematics as MathML, translated by docutils when the docs are built.

Browsers draw MathML themselves, so the pages need neither a script nor the network to be read, and
TeX that cannot be translated fails the build.
"""

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import SphinxError


def visit_math(translator, node):
    translator.body.append(mathml(node, as_block=False))
    raise nodes.SkipNode


def visit_displaymath(translator, node):
    translator.body.append(translator.starttag(node, "div", CLASS="math"))
    translator.body.append(mathml(node, as_block=True) + "</div>\n")
    raise nodes.SkipNode


def mathml(node, as_block):
    """Translate the TeX of a node."""
    try:
        return tex2mathml(node.astext(), as_block)
    except MathError as error:
        raise SphinxError(f"{node.source}, line {node.line}: {error}") from error


def setup(app):
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
    return {"parallel_read_safe": True}
