"""Old names that go on working for a while: of options, and of what a module exports."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakSet

from traitlets import TraitType
from traitlets.config.loader import DeferredConfigList, DeferredConfigString


class RenamedOption(TraitType[Any, Any]):
    """The old name of an option: what is set by it, the option `new` of the same class gets, and the log says so.

    `dropped_in` is the release without the old name, such as ``mine 2.0``. If both names are set, the new one counts.
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
        is_set_too = any(f"{section}.{self._new}" in obj.config for section in obj.section_names())
        if obj not in self._warned:  # traitlets may set what it is given twice
            self._warned.add(obj)
            name = type(obj).__name__
            ignored = ", which is set too; the old name is ignored" if is_set_too else ""
            obj.log.warning(_sentence(f"c.{name}.{self.name}", f"c.{name}.{self._new}{ignored}", self._dropped_in))
        if not is_set_too:
            setattr(obj, self._new, value)

    def from_string(self, s: str) -> Any:
        """A value of the command line, as the new option takes it."""
        return DeferredConfigString(s).get_value(self._option)

    def from_string_list(self, s_list: list[str]) -> Any:
        return DeferredConfigList(s_list).get_value(self._option)

    @property
    def _option(self) -> TraitType[Any, Any]:
        option: TraitType[Any, Any] = getattr(self.this_class, self._new)
        return option


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
