"""The code blocks of Markdown files, and a way to run them."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Block:
    """A block of code: below which heading of level two, where it begins, in which language."""

    path: Path
    heading: str
    line: int
    language: str
    text: str

    def run(self, **names: Any) -> dict[str, Any]:
        """Run it in a fresh module, and return what it defines; errors name the document's line."""
        module = ModuleType(f"block_of_line_{self.line}")
        vars(module).update(names)
        sys.modules[module.__name__] = module  # dataclasses look their module up
        try:
            code = compile("\n" * self.line + self.text, str(self.path), "exec")
            exec(code, vars(module))
        finally:
            del sys.modules[module.__name__]
        return vars(module)


def blocks(path: Path) -> list[Block]:
    """All blocks of a file, in their order."""
    found, heading = [], ""
    pattern = re.compile(
        r"^## (?P<heading>.+?)$|^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S
    )
    text = path.read_text(encoding="utf-8")
    for one in pattern.finditer(text):
        if one["heading"]:
            heading = one["heading"]
        else:
            line = text.count("\n", 0, one.start()) + 1
            found.append(Block(path, heading, line, one["language"], one["text"]))
    return found
