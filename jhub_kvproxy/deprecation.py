"""Old names that go on working for a while: of options, of environment variables, and of what a module exports."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakSet

from traitlets import TraitType
from traitlets.config.loader import DeferredConfigList, DeferredConfigString
from traitlets.log import get_logger

_ANY = object()


class RenamedOption(TraitType[Any, Any]):
    """The old name of an option: what is set by it, the option `new` of the same class gets, and the log says so.

    `dropped_in` is the release without the old name, such as ``mine 2.0``. If the configuration sets both names, the
    new one counts. Observe the new name: who observes the old one is told nothing.
    """

    def __init__(self, new: str, *, dropped_in: str) -> None:
        super().__init__(config=True, help=f"Deprecated: use `{new}`. {dropped_in} drops this name.")
        self.tag(renamed_to=new)
        self._new = new
        self._dropped_in = dropped_in
        self._warned: WeakSet[Any] = WeakSet()

    def get(self, obj: Any, cls: Any = None) -> Any:
        return getattr(obj, self._new)

    def set(self, obj: Any, value: Any) -> None:
        is_ignored = self._is_configured(obj, self.name, value) and self._is_configured(obj, self._new)
        if obj not in self._warned:  # traitlets may set what it is given twice
            self._warned.add(obj)
            name = type(obj).__name__
            ignored = ", which is set too; the old name is ignored" if is_ignored else ""
            text = _sentence(f"c.{name}.{self.name}", f"c.{name}.{self._new}{ignored}", self._dropped_in)
            (getattr(obj, "log", None) or get_logger()).warning(text)
        if not is_ignored:
            setattr(obj, self._new, value)

    def default_value_repr(self) -> str:
        """What a generated configuration file shows."""
        return str(self._option.default_value_repr())

    def _is_configured(self, obj: Any, name: str | None, value: Any = _ANY) -> bool:
        """Whether the configuration of `obj` sets the option `name`, to `value` if that is given."""
        found = [obj.config[section][name] for section in obj.section_names() if f"{section}.{name}" in obj.config]
        # What the command line sets is text until an option reads it.
        read = [each.get_value(self._option) if hasattr(each, "get_value") else each for each in found]
        return bool(found) and (value is _ANY or value in read)

    def from_string(self, s: str) -> Any:
        """A value of the command line, as the new option takes it."""
        return DeferredConfigString(s).get_value(self._option)

    def from_string_list(self, s_list: list[str]) -> Any:
        return DeferredConfigList(s_list).get_value(self._option)

    @property
    def _option(self) -> TraitType[Any, Any]:
        option: TraitType[Any, Any] = getattr(self.this_class, self._new)
        return option


def renamed_variable(old: str, new: str, *, dropped_in: str, log: Any = None) -> str:
    """What the environment variable `new` has, or else `old`, and then `log` is told; empty: neither is set."""
    value = os.environ.get(new, "")
    if value or not os.environ.get(old):
        return value
    (log or get_logger()).warning(_sentence(f"The environment variable {old}", new, dropped_in))
    return os.environ[old]


def renamed_names(module: str, names: Mapping[str, tuple[str, str]]) -> Callable[[str], Any]:
    """A ``__getattr__`` for `module`: for each old name of `names`, its new one and the release that drops the old."""

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        new, dropped_in = names[name]
        text = _sentence(f"{module}.{name}", f"{module}.{new}", dropped_in)
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return getattr(sys.modules[module], new)

    return find


def _sentence(old: str, new: str, dropped_in: str) -> str:
    return f"{old} is now {new}. {dropped_in} drops the old name."
