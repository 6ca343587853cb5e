"""Many lines as one text. A change renders only the block that it touches. Pure."""

from __future__ import annotations

_BLOCK = 256


class Lines:
    """A line for each key, in blocks. The text of a block is kept until one of its lines changes."""

    def __init__(self, separator: str) -> None:
        self._separator = separator
        self._blocks: list[dict[str, str]] = []
        self._texts: list[bytes | None] = []
        self._places: dict[str, int] = {}

    def put(self, key: str, line: str) -> None:
        """Set the line of `key`."""
        place = self._places.get(key)
        if place is None:
            if not self._blocks or len(self._blocks[-1]) >= _BLOCK:
                self._blocks.append({})
                self._texts.append(None)
            place = self._places[key] = len(self._blocks) - 1
        self._blocks[place][key] = line
        self._texts[place] = None

    def remove(self, key: str) -> None:
        """Remove the line of `key`, if it has one."""
        place = self._places.pop(key, None)
        if place is not None:
            del self._blocks[place][key]
            self._texts[place] = None
            if len(self._places) * 2 < len(self._blocks) * _BLOCK - _BLOCK:
                self._pack()

    def text(self) -> bytes:
        """All lines, in UTF-8."""
        for place, block in enumerate(self._blocks):
            if self._texts[place] is None:
                self._texts[place] = self._separator.join(block.values()).encode()
        return self._separator.encode().join(text for text in self._texts if text)

    def _pack(self) -> None:
        """Put the lines into as few blocks as possible, after many were removed."""
        lines = {key: line for block in self._blocks for key, line in block.items()}
        self._blocks, self._texts, self._places = [], [], {}
        for key, line in lines.items():
            self.put(key, line)
