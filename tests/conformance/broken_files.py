"""Drivers that a process which is stopped keeps waiting, or that do not notice that they were stopped."""

from __future__ import annotations

import time

from jhub_kvproxy import write_atomically
from jhub_kvproxy_backends.toml import TomlBackend


class WaitsForWhoIsStopped(TomlBackend):
    def _may_break_in(self):
        return False


class GoesOnWhereItWasStopped(TomlBackend):
    def _write(self, file, content, workshop):
        time.sleep(0.02)  # it is stopped here
        write_atomically(file, content, temp_dir=self.directory.parent)
