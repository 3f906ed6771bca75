"""Where code looks whether a part has this or that, instead of asking its interface."""

from __future__ import annotations

import ast


def probes(source: str) -> list[int]:
    """Lines that ask whether there is something: hasattr, a signature, getattr with a default."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in ("hasattr", "inspect.signature", "signature", "getattr_static") or (
            name == "getattr" and len(node.args) == 3
        ):
            found.append(node.lineno)
    return found
