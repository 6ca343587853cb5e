"""The command line: its commands, the messages about unknown words, and the exit status."""

from __future__ import annotations

import errno
import os
import re
import sys
from argparse import SUPPRESS, ArgumentParser, HelpFormatter, RawDescriptionHelpFormatter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from inspect import cleandoc
from io import TextIOWrapper
from keyword import iskeyword
from typing import Any, NoReturn

from .._version import __version__
from ..did_you_mean import did_you_mean
from ..errors import KVProxyError
from .text import aligned, paragraphs, visible

_NAME = "jhub-kvproxy"
#: Each command has a module of its name, with DESCRIPTION, ``add_arguments(parser)`` and ``run(options)``.
_COMMANDS = {
    "status": "show the hub, the store and each Traefik at a glance",
    "routes": "list the routes in the store, or those that one Traefik serves",
    "trace": "follow a request: which route it gets, and who answers",
    "diff": "compare the store with each Traefik, and with JupyterHub",
    "backends": "list the stores that can keep the routing table",
    "options": "list the options of KVProxy, or of a backend",
    "check": "test the store and Traefik with a hub's configuration",
    "traefik-config": "print the configuration of a Traefik that you start",
    "export": "print the table in the store, as JSON lines",
    "import": "make a file of export the table in the store",
    "stop": "end the Traefiks that a hub has left on this machine",
    "purge": "remove what jhub-kvproxy has left in a store",
    "migrate": "show what the configuration of another proxy becomes",
    "agent": "run the agent beside a Traefik",
    "page": "serve a live page, as a service of JupyterHub",
    "completion": "print a script by which a shell completes these words",
}
#: Those that print no JSON: two run until they are ended, one prints a script.
_WITHOUT_JSON = ("agent", "page", "completion")
#: An option of the configuration, such as ``--KVProxy.prefix``.
_CONFIGURATION = re.compile(r"--([A-Z]\w*\.)+[a-z_]\w*")
_WRONG_USAGE = 2
#: What writing to a pipe or a disk fails with.
_NO_OUTPUT = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def _formatter(prog: str) -> HelpFormatter:
    return RawDescriptionHelpFormatter(prog, max_help_position=30)


class _Parser(ArgumentParser):
    """Reports a mistake in one sentence, and names the command that shows the help."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_formatter, **settings)
        self.commands: dict[str, _Parser] = {}

    def error(self, message: str) -> NoReturn:
        self.exit(_WRONG_USAGE, f"{_NAME}: {message}\nSee {self.prog} --help.\n")

    def check_unknown(self, words: list[str], *, takes_configuration: bool) -> None:
        """Refuse `words`, which argparse left over, unless they set options of the configuration."""
        iterator = iter(words)
        for word in iterator:
            name, is_assigned, _ = word.partition("=")
            if not word.startswith("-"):
                self.error(f"unexpected argument {word!r}.")
            if not _CONFIGURATION.fullmatch(name):
                known = re.findall("--([a-z-]+)", self.format_help())
                self.error(f"there is no option {name}{did_you_mean(name.lstrip('-'), known, '--')}")
            if not takes_configuration:
                self.error(f"{word} has no effect here.")
            if not is_assigned and next(iterator, "-").startswith("-"):
                self.error(f"{word} needs a value.")


def _parser(chosen: str) -> _Parser:
    """A parser that knows all commands, and the arguments of `chosen`: importing a command may take a second."""
    listed = "\n".join(f"  {line}" for line in aligned([*_COMMANDS.items()]))
    parser = _Parser(
        prog=_NAME,
        usage=f"{_NAME} COMMAND [options]",
        description="Show and test where jhub-kvproxy keeps its routing table, and run its agents.\n\n"
        f"commands:\n{listed}\n\nSee {_NAME} COMMAND --help.",
    )
    parser.add_argument("--version", "-V", action="version", version=__version__)
    parser.set_defaults(parser=parser)
    commands = parser.add_subparsers(prog=_NAME, help=SUPPRESS)
    for name in _COMMANDS:
        command = parser.commands[name] = commands.add_parser(name)
        if name == chosen:
            module = import_module(f".{_module_of(name)}", __package__)
            module.add_arguments(command)
            if name not in _WITHOUT_JSON:
                command.add_argument("--json", action="store_true", help="print JSON, for other programs")
            command.description = "\n".join(paragraphs(cleandoc(module.DESCRIPTION)))
            command.set_defaults(run=module.run, parser=command)
    return parser


def _module_of(command: str) -> str:
    return f"{command}_" if iskeyword(command) else command.replace("-", "_")


def parsers() -> dict[str, tuple[str, ArgumentParser]]:
    """What each command does, and its parser, by its name."""
    return {name: (help, _parser(name).commands[name]) for name, help in _COMMANDS.items()}


def _run(words: list[str]) -> int:
    parser = _parser(words[0])
    if words[0] not in _COMMANDS and not words[0].startswith("-"):
        parser.error(f"there is no command {words[0]!r}{did_you_mean(words[0], _COMMANDS)}")
    options, unknown = parser.parse_known_args(words)
    if "run" not in options:
        # There is no command. --help and --version have ended the program already.
        unknown = words
    options.parser.check_unknown(unknown, takes_configuration="configuration" in options)
    options.configuration = unknown
    status: int = options.run(options)
    return status


def main(argv: list[str] | None = None) -> int:
    """Run the command in `argv`, by default the process's arguments; return the exit status."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    try:
        with _standard_output():
            return _run(words or ["--help"])
    except KVProxyError as error:
        print("\n".join(map(visible, f"{_NAME}: {error}".split("\n"))), file=sys.stderr)
    except BrokenPipeError:  # the reader, such as head, has closed the pipe
        return 0
    except KeyboardInterrupt:
        pass
    return 1


@contextmanager
def _standard_output() -> Iterator[None]:
    """A standard output that takes all characters. Raises BrokenPipeError, or KVProxyError if it takes no more."""
    if sys.stdout is None:  # the shell has closed it, by >&-
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.errno not in _NO_OUTPUT or error.filename is not None:
            raise
        # Without this, Python complains when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        raise KVProxyError(f"The output cannot be written: {error.strerror}.") from error
