"""Digests of a part's code, and package versions; of aumer's own code see `aumer.source_code`."""

from __future__ import annotations

import platform
import types
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from aumer.identity import declared, digest_of_part, held

#: Types of code objects.
_CODE = (type, types.FunctionType, types.MethodType)


def code_of_part(part: Any) -> list[Any]:
    """The identity of a user's part as JSON values; for aumer's parts the name.

    A part that `aumer.identity` cannot identify gets a unique value each time.
    """
    kind = part if isinstance(part, _CODE) else type(part)
    name = f"{kind.__module__}:{kind.__qualname__}"
    around = isinstance(part, types.FunctionType) and part.__closure__
    if kind.__module__.partition(".")[0] == "aumer" and not around:
        return [name, []]
    version = declared(part)
    if version is not None:  # the version of the code; the state of an object is separate
        return [name, version, [] if part is kind else held(part)]
    return [name, digest_of_part(part) or f"nameless {uuid.uuid4()}"]


def machine() -> str:
    """The kind of this machine, such as "Linux x86_64"."""
    return f"{platform.system()} {platform.machine()}"


def agreed(found: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """By package the version of all folds, or the different versions."""
    names = dict.fromkeys(name for versions in found for name in versions)
    return {n: " and ".join(dict.fromkeys(v.get(n, "none") for v in found)) for n in names}
