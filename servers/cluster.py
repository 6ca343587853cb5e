"""What all clusters can."""

from __future__ import annotations

import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from .process import Process

#: Seconds. Sentinels that have failed to find a master, because all were dead, try again after two failover-timeouts.
_PATIENCE = 180.0


class Cluster(ABC):
    """Processes that are one store together; the ``with`` block starts it, and ends it."""

    #: Of the driver that uses it.
    traits: dict[str, Any]

    def __init__(self, members: Sequence[Process], helpers: Sequence[Process] = ()) -> None:
        self.members: Sequence[Process] = members
        #: Those that must run for it, but are no part of it.
        self.helpers = helpers

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start all of it that does not run, and wait until it can be written to."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start all of it that does not run, without waiting."""
        for process in [*self.members, *self.helpers]:
            if not process.is_running:
                process.launch()

    def wait(self) -> None:
        """Wait until it can be written to."""
        for member in self.members:
            member.wait_until(self.is_ready, _PATIENCE)

    def kill(self) -> None:
        """End all of it as a crash would. Harmless without a start, or twice."""
        for process in [*self.helpers, *self.members]:
            process.kill()

    def stop_and(self, work: Callable[[], None]) -> None:
        """End the members cleanly, do `work` on their files, and start them again."""
        for member in self.members:
            member.stop()
        work()
        self.start()

    def wipe(self) -> None:
        """Lose all that the members, which do not run, keep on disk."""
        for directory in self._data:
            shutil.rmtree(directory, ignore_errors=True)

    def back_up(self) -> None:
        """Copy what the members, which do not run, keep on disk."""
        for directory in self._data:
            shutil.rmtree(f"{directory}.copy", ignore_errors=True)
            _copy(directory, Path(f"{directory}.copy"))

    def restore(self) -> None:
        """Put back what :meth:`back_up` copied."""
        self.wipe()
        for directory in self._data:
            _copy(Path(f"{directory}.copy"), directory)

    @property
    def _data(self) -> list[Path]:
        return [member.data for member in self.members if member.data]

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it can be written to; may raise what networks and answers raise."""

    @abstractmethod
    def empty(self) -> None:
        """Remove everything in it."""

    @abstractmethod
    def leader(self) -> Process:
        """The member that the others would miss the most. Raises Unavailable when there is none."""


def _copy(source: Path, target: Path) -> None:
    """Copy a directory, with the owners of its files: a server may insist on its own."""
    subprocess.run(["cp", "--archive", "--no-target-directory", str(source), str(target)], check=True)
