"""Users' modules that register parts, imported before names are resolved.

Worker processes load the same modules again (`there`).
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from aumer.arguments import require_path
from aumer.errors import AumerError, UsageError
from aumer.names import expanded, is_file

Job = TypeVar("Job")
Done = TypeVar("Done")

#: Loaded plugins: absolute paths and names of modules.
_loaded: list[str] = []


def load(plugin: str | os.PathLike[str]) -> ModuleType:
    """Import a module that registers parts; an imported one is not imported again.

    Args:
        plugin: a Python file, which becomes the module of its name and whose folder is appended to
            the import path; or the name of an importable module.

    Raises:
        UsageError: it does not exist, another module has its name, or importing fails; the message
            has file and line.
    """
    require_path("plugin", plugin, "a Python file, or the name of a module")
    text = os.fspath(plugin)
    is_file = text.endswith(".py") or os.sep in text
    module = _file(expanded(text)) if is_file else _import(text, text)
    location = str(expanded(text).resolve()) if is_file else text
    if location not in _loaded:
        _loaded.append(location)
    return module


def line_of(error: BaseException) -> str | None:
    """File and line of the innermost plugin code in an error's traceback; None if there is none."""
    modules = {name: vars(sys.modules[name]) for name in _loaded if name in sys.modules}
    loaded = {*_loaded, *(module.get("__file__") for module in modules.values())}
    frames = traceback.extract_tb(error.__traceback__)
    through = [f"{f.filename}, line {f.lineno}" for f in frames if f.filename in loaded]
    return through[-1] if through else None


def there(function: Callable[[Job], Done]) -> Callable[[Job], Done]:
    """The function, wrapped so that a process that receives it first loads the same plugins."""
    return _There(_Ticket(tuple(_loaded)), function) if _loaded else function


@dataclass(frozen=True)
class _Ticket:
    plugins: tuple[str, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrive, (self.plugins,)


def _arrive(plugins: Sequence[str]) -> _Ticket:
    for plugin in plugins:
        load(plugin)
    return _Ticket(tuple(plugins))


@dataclass(frozen=True)
class _There(Generic[Job, Done]):
    # The plugins come first: later arguments may be of a class that a plugin defines.
    ticket: _Ticket
    function: Callable[[Job], Done]

    def __call__(self, job: Job) -> Done:
        return self.function(job)

    def __reduce__(self) -> tuple[Any, ...]:
        return _There, (self.ticket, self.function)


def _file(path: Path) -> ModuleType:
    if not is_file(path):
        raise UsageError(
            f"there is no plugin {path}; give a Python file, or the name of a module that can be "
            "imported"
        )
    name, path = path.stem, path.resolve()
    if not name.isidentifier():
        raise UsageError(
            f"the name of the plugin {path} must be one that Python can import, of letters, "
            "digits and "
            f"_; found {name!r}"
        )
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)  # last, so that it hides no other module
    importlib.invalidate_caches()
    found = sys.modules.get(name)
    origin = vars(found).get("__file__") if found else _origin(name)
    if origin is None or Path(origin).resolve() != path:
        raise UsageError(
            f"the plugin {path} has the name of another module, {name} "
            f"({origin or 'built in'}): rename "
            "the file"
        )
    return _import(name, str(path))


def _origin(name: str) -> str | None:
    spec = importlib.util.find_spec(name)
    return spec.origin if spec else None


def _import(name: str, what: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise UsageError(
                f"there is no plugin {what}: no module of that name can be imported; give a Python "
                "file (.py), or install the module"
            ) from error
        raise _broken(what, error) from error
    except (Exception, SystemExit) as error:
        raise _broken(what, error) from error


def _broken(what: str, error: BaseException) -> UsageError:
    """An error with the innermost line in the plugin's folder or below."""
    aside = (str(Path(__file__).parent), importlib.__file__, "<frozen")
    lines = [
        (frame.filename, frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(aside)
    ]
    if isinstance(error, SyntaxError) and error.filename:
        lines.append((error.filename, error.lineno))
    where = what
    if lines:
        folder = Path(lines[0][0]).parent
        file, line = [one for one in lines if Path(one[0]).is_relative_to(folder)][-1]
        where = f"{file}, line {line}"
    text = str(error) if isinstance(error, AumerError) else f"{type(error).__name__}: {error}"
    return UsageError(f"the plugin {what} fails: {where}: {text}")
