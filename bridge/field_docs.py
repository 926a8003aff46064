"""What each field of a record means, from the text that stands below it in the source.

Python keeps no docstrings of fields; the source file is where they are, and wheels carry it.
"""

import ast
import inspect
import textwrap
from itertools import pairwise

from msgspec import Struct, structs


def field_docs(cls: type[Struct]) -> dict[str, str]:
    """Return the first paragraph below each field, inherited ones too, on one line; a field without one is left out."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base is not Struct and issubclass(base, Struct):
            found |= _written(base)
    return {name: found[name] for name in (field.name for field in structs.fields(cls)) if name in found}


def _written(cls: type) -> dict[str, str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef))
    found = {}
    for field, below in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            text = _text(below)
            if text:
                found[field.target.id] = text
    return found


def _text(node: ast.stmt) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(inspect.cleandoc(node.value.value).partition("\n\n")[0].split())
    return ""
