"""What a Python file imports, read from its syntax tree without running it."""

import ast
import re
from typing import NamedTuple


class Import(NamedTuple):
    """One imported name.

    Attributes:
      line: where it is written.
      name: absolute dotted name, `a.b.c` for `from a.b import c`.
      lazy: whether the module loads without it: it is inside a function, for the
        type checker only, or its absence is caught.
    """

    line: int
    name: str
    lazy: bool


def read_imports(path, root):
    """Imports of `path`, relative ones resolved from the folder `root`.

    `importlib.import_module("a.b")` counts when the name is written out.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    package = path.relative_to(root).parent.parts
    found = []

    def visit(node, lazy):
        for name in names(node, package):
            found.append(Import(node.lineno, name, lazy))
        for child in ast.iter_child_nodes(node):
            visit(child, lazy or is_optional(node))

    visit(tree, False)
    return found


def is_optional(node):
    """Whether a module loads although an import below `node` is missing."""
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    if isinstance(node, ast.Try):
        caught = [ast.unparse(handler.type or node) for handler in node.handlers]
        return any(re.search("ImportError|ModuleNotFound", name) for name in caught)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def names(node, package):
    """Dotted names that one syntax node imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        above = package[: len(package) - node.level + 1] if node.level else ()
        start = ".".join([*above, *([node.module] if node.module else [])])
        return [start if a.name == "*" else f"{start}.{a.name}" for a in node.names]
    if isinstance(node, ast.Call) and node.args:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        called = node.func.id if isinstance(node.func, ast.Name) else called
        argument = node.args[0]
        if called == "import_module" and isinstance(argument, ast.Constant):
            return [str(argument.value)]
    return []
