"""The files that Traefik reads, which are written by one at a time."""

from __future__ import annotations

import threading
from pathlib import Path


class LaunchFiles(dict[Path, bytes]):
    """The content of each file. Whoever writes them, or changes what they hold, has `writing` meanwhile.

    So a Traefik that is started again gets no old certificate in the place of one that is renewed just then.
    """

    def __init__(self) -> None:
        super().__init__()
        self.writing = threading.RLock()
