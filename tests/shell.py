"""Commands that must succeed."""

from __future__ import annotations

import subprocess


def run(*command: object, **options: object) -> str:
    """What the command prints; AssertionError with all that it said if it fails."""
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)
    assert result.returncode == 0, f"{command}:\n{result.stdout}{result.stderr}"
    return result.stdout
