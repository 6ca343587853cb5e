"""A trait for the words of a command."""

from __future__ import annotations

from typing import Any

from traitlets import List, Unicode


class Command(List[str]):
    """A list of one word or more. A string is a command of one word."""

    def __init__(self, default_value: list[str], **kwargs: Any) -> None:
        super().__init__(Unicode(), default_value, minlen=1, **kwargs)

    def validate(self, obj: Any, value: Any) -> Any:
        return super().validate(obj, [value] if isinstance(value, str) else value)
