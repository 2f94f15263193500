"""Tells whether a tool is the same in another process: by its name, its schema, its code, and what it was made with.

Python has no value of a function, so one is put together here: the bytecode and constants of the package that the
function comes from, and the values in its closure or object, e.g. its plugin's settings. A tool that holds anything
without a value, such as a connection or a lock, is the same as no other. Code of other packages does not count.
"""

import enum
import re
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from hashlib import sha256
from pathlib import PurePath
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    CodeType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from weakref import WeakKeyDictionary

from pydantic import BaseModel, SecretStr

from iskra_sdk import Tool

_MOST_PARTS = 50_000
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))
_CONSTANT = (*_PLAIN, enum.Enum, PurePath, re.Pattern, tuple, frozenset, list, dict, set)

_OF_C = (BuiltinFunctionType, ClassMethodDescriptorType, MethodDescriptorType, WrapperDescriptorType)
"""Members that every class written in C has some of."""


class _NoValueError(Exception):
    """Something cannot be compared across processes."""


class ToolIdentities:
    """Identities of tools; each is worked out once, and forgotten with its tool."""

    def __init__(self) -> None:
        # The model of its arguments is a tool's own, and, unlike the tool, can be held weakly.
        self._known: WeakKeyDictionary[type[BaseModel], tuple[int, str | None]] = WeakKeyDictionary()
        self._numbers: WeakKeyDictionary[type[BaseModel], dict[int, int]] = WeakKeyDictionary()
        self._last = 0

    def here(self, tool: Tool) -> int:
        """Return a number that no other tool of this process has or had; an address may be given out again."""
        numbers = self._numbers.setdefault(tool.model, {})
        function = id(getattr(tool.function, "__func__", tool.function))
        if function not in numbers:
            self._last += 1
            numbers[function] = self._last
        return numbers[function]

    def of(self, tool: Tool) -> str | None:
        """Return a digest that is the same in every process with the same tool; ``None`` if it has no equal."""
        function = id(getattr(tool.function, "__func__", tool.function))
        known = self._known.get(tool.model)
        if known is None or known[0] != function:
            known = self._known[tool.model] = (function, _digest(tool))
        return known[1]


def _digest(tool: Tool) -> str | None:
    value = _Value()
    keys = tool.reads if callable(tool.reads) else list(tool.reads)
    try:
        form = (value.form([tool.name, tool.description, tool.parameters, tool.function, keys]), value.code())
    except Exception:  # no value, or objects of a plugin that do not like to be looked at
        return None
    return sha256(repr((sys.version, form)).encode(errors="replace")).hexdigest()


class _Value:
    """Turns objects into nested tuples of texts that are equal where the objects are."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._alive: list[object] = []  # so that no id is used twice
        self._parts = 0
        self._packages: set[str] = set()

    def form(self, value: object) -> object:
        """Return the form of a value.

        Raises:
            _NoValueError: It has none.
        """
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise _NoValueError
        match value:
            case enum.Enum():
                return ("enum", type(value).__qualname__, value.name)
            case _ if isinstance(value, _PLAIN):
                return f"{type(value).__name__} {value!r}"
            case type():
                self._meet(value.__module__)
                return ("class", value.__module__, value.__qualname__)
            case ModuleType():
                return ("module", value.__name__)
            case re.Pattern():
                return ("pattern", repr(value.pattern), value.flags)
            case SecretStr():
                return ("secret", value.get_secret_value())
            case PurePath():
                return ("path", str(value))
            # Equal constants may be one object or several, depending on where the code was loaded from.
            case tuple():
                return ("tuple", *map(self.form, value))
            case frozenset() | set():
                return ("set", *sorted(repr(self.form(item)) for item in value))
            case CodeType():
                constants = self.form(value.co_consts)
                return ("code", value.co_code.hex(), value.co_names, value.co_varnames, value.co_freevars, constants)
            case MethodType():
                return ("method", self.form(value.__func__), self.form(value.__self__))
            case _ if id(value) in self._seen:
                return f"again {self._seen[id(value)]}"
        self._seen[id(value)] = len(self._seen)
        self._alive.append(value)
        return self._compound(value)

    def code(self) -> tuple[object, ...]:
        """Return the form of all code in the packages of the functions and classes that were met."""
        found: list[object] = []
        for name, module in sorted(sys.modules.items(), key=lambda item: item[0]):
            if any(name == each or name.startswith(f"{each}.") for each in self._packages):
                found.append((name, *self._members(dict(vars(module)), of=name)))
        return tuple(found)

    def _compound(self, value: object) -> object:
        match value:
            case list():
                return ("list", *map(self.form, value))
            case Mapping():
                return ("mapping", *((self.form(key), self.form(item)) for key, item in value.items()))
            case FunctionType():
                self._meet(value.__module__)
                try:
                    cells = [cell.cell_contents for cell in value.__closure__ or ()]
                except ValueError as exc:  # a cell that is not filled yet
                    raise _NoValueError from exc
                held = self.form([value.__defaults__, value.__kwdefaults__, cells])
                return ("function", value.__module__, value.__qualname__, self.form(value.__code__), held)
            case partial():
                return ("partial", self.form([value.func, value.args, value.keywords]))
            case _:
                return ("object", self.form(type(value)), self.form(_state(value)))

    def _meet(self, module: str) -> None:
        """Have the code of a module's package count, unless it belongs to Python."""
        loaded = sys.modules.get(module)
        if loaded is not None and module.partition(".")[0] not in sys.stdlib_module_names:
            self._packages.add(getattr(loaded, "__package__", "") or module)

    def _members(self, held: Mapping[str, object], *, of: str) -> Iterator[object]:
        """Yield the forms of the functions, classes and constants that a module or a class defines."""
        for name, raw in sorted(held.items()):
            member = raw.fget if isinstance(raw, property) else getattr(raw, "__func__", raw)
            if isinstance(member, FunctionType) and member.__module__ == of:
                yield (name, self.form(member.__code__), self.form([member.__defaults__, member.__kwdefaults__]))
            elif isinstance(member, type) and member.__module__ == of and member.__qualname__.endswith(name):
                yield (name, *self._members(dict(vars(member)), of=of))
            elif isinstance(member, _CONSTANT) and not name.startswith("__"):
                try:
                    yield (name, self.form(member))
                except _NoValueError:
                    continue  # e.g. a table of things that are no constants


def _state(value: object) -> dict[str, object]:
    """Return the attributes of an instance of classes written in Python; others may hide what they hold."""
    if type(value) is object:
        raise _NoValueError  # only itself is like it
    state: dict[str, object] = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__[:-1]:
        members = vars(kind)
        is_python = "__module__" in members and not any(isinstance(member, _OF_C) for member in members.values())
        if not is_python or kind.__module__.partition(".")[0] in sys.stdlib_module_names - {"abc", "typing"}:
            raise _NoValueError
        slots = members.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if slot not in ("__dict__", "__weakref__") and hasattr(value, slot):
                state[slot] = getattr(value, slot)
    return state
