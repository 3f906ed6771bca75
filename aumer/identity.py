"""Identities of exchangeable parts and their code, for keys of stored data.

A built-in part is identified by its name; aumer's version stands for its code. A user's part is
identified by the `version` that it declares, or else by its code as it will run: the bytecode,
defaults and closures of its functions and of the code that they call, as far as it can be followed.
What it imports while it runs is followed like what its module imports, and a file that it names is
read, from the working folder or from the folder of the code. Code of an installed package is
identified by the package's version. What cannot be identified has no identity, and its results are
not stored: compiled code, code that is chosen while it runs (``eval``, ``import_module``) or by the
environment, and code that looks for files beside itself under names that it does not spell out.
"""

from __future__ import annotations

import dis
import enum
import functools
import hashlib
import importlib.util
import logging
import os
import re
import sys
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path, PurePath
from typing import Any
from uuid import uuid4

import numpy as np

from aumer import registry
from aumer.errors import UsageError

_log = logging.getLogger("aumer")

#: Members of a class that do not affect what it does.
_NOT_TOLD = frozenset(
    [
        "__abstractmethods__",
        "__annotate__",
        "__annotate_func__",
        "__annotations__",
        "__annotations_cache__",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__dict__",
        "__doc__",
        "__firstlineno__",
        "__match_args__",
        "__module__",
        "__orig_bases__",
        "__parameters__",
        "__qualname__",
        "__static_attributes__",
        "__weakref__",
        "_abc_impl",
    ]
)
#: What a name in code means for which the code does not tell what it does: built-in functions, and
#: attributes of `os` and `importlib`.
_ANYTHING = frozenset(["eval", "exec", "__import__"])
_ELSEWHERE = frozenset(["environ", "environb", "getenv", "getenvb", "import_module"])
_CHOOSING = (importlib.import_module, *(vars(os)[n] for n in _ELSEWHERE if n in vars(os)))
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented))

#: Objects that have a name in a module.
_NAMED = (
    type,
    types.FunctionType,
    types.BuiltinFunctionType,
    np.ufunc,
    functools._lru_cache_wrapper,
)


class _Unidentified(Exception):
    """Raised for an object that cannot be distinguished from another."""


def identity(kind: str, part: Any) -> str | None:
    """A string that identifies a part and its code: parts of equal identity give the same numbers.

    Args:
        kind: a kind of `aumer.registry`.
        part: a name, or the part itself.

    Returns:
        The name of a built-in part or of an unknown one (resolving it raises the error); for other
        parts the name with the declared version or the digest (hex) of the code; `None` if it
        cannot be identified.
    """
    if isinstance(part, str):
        if registry.built_in(kind, part):
            return part
        name = part
        try:
            part = registry.resolve(kind, part)
        except UsageError:
            return name
    else:
        name = registry.called(part)
        if _is_aumers(part):
            return name
    version = declared(part)
    known = digest_of_part(part) if version is None else version
    return None if known is None else f"{name} {known}"


def declared(part: Any) -> str | int | float | None:
    """The version that a part declares in its attribute `version`."""
    found = getattr(part, "version", None)
    return found if isinstance(found, (str, int, float)) else None


def digest_of_part(part: Any) -> str | None:
    """Digest (hex) of a part's code and of its attributes; `None` if it cannot be identified."""
    try:
        return _PartHasher().digest_of(part)
    except (_Unidentified, RecursionError):
        return None


def held(part: Any) -> str | None:
    """Like `digest_of_part`, for an object's attributes alone."""
    return digest_of_part(_state(part) or {})


def identities(parts: Iterable[tuple[str, Any]]) -> dict[str, str] | None:
    """By kind, the identities of those parts (kind, part) that are not built in. Empty for ordinary
    runs, whose digests do not depend on this entry.

    Returns:
        `None`, which is logged, if a part cannot be identified; its results cannot be stored.
    """
    found: dict[str, str] = {}
    for kind, part in parts:
        name = part if isinstance(part, str) else registry.called(part)
        known = identity(kind, part)
        if known is None:
            _log.warning(
                "the code of the %s %r cannot be identified, so nothing that it computes is "
                "cached for the next run. Give it an attribute `version`: a text that "
                "changes whenever its numbers do",
                kind,
                name,
            )
            return None
        if known != name:
            found[kind if kind not in found else f"{kind} {len(found)}"] = known
    return found


def recorded(parts: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """Like `identities`, but parts that cannot be identified get a name that no other run has."""
    found = identities(parts)
    return {"run": uuid4().hex} if found is None else found


def _is_aumers(part: Any) -> bool:
    """Whether it is a class or function of aumer's; an object may hold arguments of the user's."""
    return isinstance(part, (type, types.FunctionType)) and part.__module__.split(".")[0] == "aumer"


class _PartHasher:
    """Feeds a hash with everything that determines what a part does."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()
        self._seen: dict[int, int] = {}
        self._held: list[Any] = []  # keeps objects alive, so that no id is reused
        self._folders: tuple[Path, ...] = (Path(),)  # that a file's name may be relative to
        self._files = 0

    def digest_of(self, part: Any) -> str:
        self._add_words("python", sys.version_info[:2])  # bytecode depends on the version
        self.add(part)
        return self._sha.hexdigest()

    def _add_words(self, *words: Any) -> None:
        self._sha.update(repr(words).encode("utf-8", "surrogatepass"))

    def add(self, value: Any) -> None:
        if isinstance(value, _PLAIN) and type(value) in _PLAIN:
            self._add_words(type(value).__name__, value)
            self._file(value)
            return
        if id(value) in self._seen:
            self._add_words("again", self._seen[id(value)])
            return
        self._seen[id(value)] = len(self._seen)
        self._held.append(value)
        self._one(value)

    def _all(self, what: str, values: Iterable[Any]) -> None:
        listed = list(values)
        self._add_words(what, len(listed))
        for value in listed:
            self.add(value)

    def _one(self, value: Any) -> None:
        if isinstance(value, types.ModuleType):
            self._module(value)
        elif isinstance(value, types.CodeType):
            self._code(value)
        elif isinstance(value, _NAMED):
            self._named(value)
        elif isinstance(value, types.MethodType):
            self._all("method", (value.__func__, value.__self__))
        elif isinstance(value, (staticmethod, classmethod)):
            self._all(type(value).__name__, (value.__func__,))
        elif isinstance(value, property):
            self._all("property", (value.fget, value.fset, value.fdel))
        elif isinstance(value, functools.partial):
            self._all("partial", (value.func, value.args, value.keywords))
        elif isinstance(value, np.ndarray) and value.dtype != object:
            self._add_words("array", value.dtype.str, value.shape)
            self._sha.update(value.tobytes())
        elif isinstance(value, (np.generic, np.dtype, range, slice, PurePath)):
            self._add_words(type(value).__qualname__, str(value))
            self._file(value)
        elif isinstance(value, re.Pattern):
            self._add_words("pattern", value.pattern, value.flags)
        elif isinstance(value, enum.Enum):
            self._add_words("enum", type(value).__qualname__, value.name)
        elif isinstance(value, logging.Logger):
            self._add_words("logger")
        elif isinstance(value, (list, tuple)):
            self._all(type(value).__qualname__, value)
        elif isinstance(value, (set, frozenset)):
            self._add_words("set", *sorted(repr(one) for one in value))
        elif isinstance(value, Mapping):
            self._all(type(value).__qualname__, (x for item in value.items() for x in item))
        else:
            self._object(value)

    def _file(self, value: Any) -> None:
        """Hash the content of a path: weights may change under the same name."""
        if not isinstance(value, (str, PurePath)):
            return
        text = str(value)
        if len(text) > 1024 or not PurePath(text).suffix or "\0" in text or "\n" in text:
            return
        try:
            for path in dict.fromkeys(folder / text for folder in self._folders):
                if path.is_file():
                    self._sha.update(hashlib.sha256(path.read_bytes()).digest())
                    self._files += 1
        except OSError as error:
            raise _Unidentified(
                f"it reads {text}, which cannot be read: {error.strerror}"
            ) from error

    def _named(self, value: Any) -> None:
        """Hash a class or function: by the version of its package, else by its content."""
        module = "numpy" if isinstance(value, np.ufunc) else value.__module__ or ""
        if not module and isinstance(value, types.BuiltinFunctionType):
            owner = value.__self__  # such as {}.get
            self._all("built-in", (value.__name__, owner))
            return
        known = _package(module)
        if known is not None:
            self._add_words(
                "of", known, value if isinstance(value, np.ufunc) else value.__qualname__
            )
            # A closure of aumer's depends on the arguments that it was made with.
            if isinstance(value, types.FunctionType) and known.startswith("aumer "):
                self._cells(value)
        elif isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, functools._lru_cache_wrapper):
            self.add(value.__wrapped__)
        else:
            raise _Unidentified(f"{value!r} is compiled")

    def _function(self, value: types.FunctionType) -> None:
        known = value.__globals__
        names = _Names.of(value.__code__)
        _require_followed(names, known, value.__qualname__)
        read = [known[name] for name in sorted(names.globals) if name in known]
        homes = [one for one in read if isinstance(one, Path) and one.is_dir()]
        before, files = self._folders, self._files
        self._folders = (Path(), Path(value.__code__.co_filename).parent, *homes)
        self._code(value.__code__)
        self._folders = before
        if (homes or "__file__" in names.globals) and self._files == files:
            raise _Unidentified(f"{value.__qualname__} looks for files that it does not name")
        self._all("defaults", (value.__defaults__, value.__kwdefaults__))
        self._cells(value)
        self._all("attributes", vars(value).items())
        for name in sorted(names.globals):
            self._add_words("global", name)
            if name in known:
                self.add(known[name])
        self._imports(names, str(known.get("__package__") or ""))

    def _imports(self, names: _Names, package: str) -> None:
        """Hash the modules that code imports while it runs."""
        for level, name, parts in sorted(names.imports):
            if not level and (known := _package(name)) is not None:
                self._add_words("module", known, name)  # which may be large, and is not loaded here
                continue
            try:
                module = importlib.import_module("." * level + name, package or None)
            except ImportError:
                self._add_words("absent", level, name)
                continue
            except Exception as error:
                raise _Unidentified(f"{name}, which it imports, fails: {error}") from error
            self.add(module)
            for part in parts:
                if isinstance(value := vars(module).get(part), types.ModuleType):
                    self.add(value)

    def _cells(self, value: types.FunctionType) -> None:
        for cell in value.__closure__ or ():
            try:
                inside = cell.cell_contents
            except ValueError:  # not yet assigned
                self._add_words("empty")
                continue
            self.add(inside)

    def _code(self, code: types.CodeType) -> None:
        self._add_words(
            code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_flags
        )
        self._all("constants", code.co_consts)

    def _class(self, value: type) -> None:
        self._all("bases", value.__bases__)
        for name, member in sorted(vars(value).items()):
            if name in _NOT_TOLD:
                continue
            self._add_words("member", name)
            if not isinstance(member, (types.MemberDescriptorType, types.GetSetDescriptorType)):
                self.add(member)

    def _object(self, value: Any) -> None:
        kind = type(value)
        if kind.__module__.split(".")[0] == "torch" and hasattr(value, "detach"):
            self.add(value.detach().cpu().numpy())
            return
        if kind.__module__ == "torch":  # torch.device, torch.dtype
            self._add_words(kind.__qualname__, str(value))
            return
        state = _state(value)
        if state is None:
            raise _Unidentified(f"it holds {value!r}"[:100])
        self._add_words("object")
        self.add(kind)
        self._all("state", (x for item in sorted(state.items()) for x in item))

    def _module(self, value: types.ModuleType) -> None:
        known = _package(value.__name__)
        if known is not None:
            self._add_words("module", known, value.__name__)
            return
        # Which functions are called through a module's name cannot be followed: hash the whole
        # module.
        try:
            source = Path(str(value.__file__)).read_bytes()
            names = _Names.of(compile(source, str(value.__file__), "exec"))
        except (AttributeError, OSError, SyntaxError, ValueError):
            raise _Unidentified(f"the module {value.__name__} has no source") from None
        _require_followed(names, vars(value), value.__name__)
        self._sha.update(source)
        self._all("uses", _modules_of(value))
        self._imports(names, str(vars(value).get("__package__") or ""))


def _state(value: Any) -> dict[str, Any] | None:
    """The attributes of an object; `None` for an object without any."""
    slots = [s for c in type(value).__mro__ for s in getattr(c, "__slots__", ())]
    state = {s: getattr(value, s) for s in slots if hasattr(value, s) and s != "__dict__"}
    own = getattr(value, "__dict__", None)
    state |= own or {}
    state.pop("__weakref__", None)
    return None if own is None and not state else state


@dataclass(frozen=True)
class _Names:
    """The names in a code object, including nested code.

    Attributes:
        globals: those that it reads of its module, or that are built in.
        attributes: of anything.
        imports: (level, module, names of it), as ``from ..module import names`` has them.
    """

    globals: frozenset[str]
    attributes: frozenset[str]
    imports: frozenset[tuple[int, str, tuple[str, ...]]]

    @classmethod
    def of(cls, code: types.CodeType) -> _Names:
        read, attributes, imports = set(), set(), set()
        steps = list(dis.get_instructions(code))
        for k, step in enumerate(steps):
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                read.add(step.argval)
            elif step.opname in ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM"):
                attributes.add(step.argval)
            elif step.opname == "IMPORT_NAME":
                level, parts = steps[k - 2].argval, steps[k - 1].argval
                imports.add((level, step.argval, tuple(parts or ())))
        inside = [cls.of(one) for one in code.co_consts if isinstance(one, types.CodeType)]
        return cls(
            frozenset(read).union(*(one.globals for one in inside)),
            frozenset(attributes).union(*(one.attributes for one in inside)),
            frozenset(imports).union(*(one.imports for one in inside)),
        )


def _require_followed(names: _Names, known: Mapping[str, Any], what: str) -> None:
    """Raise if code does what its names do not tell."""
    anything = {name for name in names.globals & _ANYTHING if name not in known}
    called = {name for name in names.globals if any(known.get(name) is x for x in _CHOOSING)}
    if wrong := sorted(anything | called | (names.attributes & _ELSEWHERE)):
        raise _Unidentified(f"{what} uses {wrong[0]}, so that its code does not tell what it does")


def _modules_of(module: types.ModuleType) -> list[types.ModuleType]:
    """The modules that a module imports from, except installed packages."""
    used = {}
    for value in vars(module).values():
        name = value.__name__ if isinstance(value, types.ModuleType) else None
        if isinstance(value, (type, types.FunctionType)):
            name = value.__module__
        if name and name != module.__name__ and name in sys.modules and _package(name) is None:
            used[name] = sys.modules[name]
    return [used[name] for name in sorted(used)]


@functools.lru_cache(maxsize=1024)
def _package(module: str) -> str | None:
    """The installed package of a module, with its version; `None` if there is none."""
    top = module.partition(".")[0]
    if top == "__main__":  # interactive or script code is the user's, whatever its file
        return None
    if top in sys.stdlib_module_names or top == "builtins":
        return f"python {sys.version_info[0]}.{sys.version_info[1]}"
    if top == "aumer":
        return f"aumer {_version('aumer')}"
    found = sys.modules.get(top)
    file = getattr(found, "__file__", None)
    if found is None and (spec := importlib.util.find_spec(top)) is not None:
        file = spec.origin
    if file is None or not {"site-packages", "dist-packages"} & set(Path(file).parts):
        return None
    names = _distributions().get(top, ())
    versions = ", ".join(f"{name} {_version(name)}" for name in sorted(set(names)))
    return versions or f"{top} {getattr(found, '__version__', '')}"


@functools.lru_cache(maxsize=1)
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
