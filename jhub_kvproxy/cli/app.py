"""The application, and what its commands have in common: help, unknown words, ``--json``, exit status."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Generator, Iterator
from typing import Any, NoReturn

from traitlets import Bool
from traitlets.config import Application
from traitlets.utils.importstring import import_item

from .._version import __version__
from .text import aligned, did_you_mean, wrapped

_WRONG_USAGE = 2


class Command(Application):
    """What every command has. A subclass sets :attr:`usage`, :attr:`arguments` and :meth:`run`."""

    name = "jhub-kvproxy"
    version = __version__
    #: What stands after the name of the command.
    usage = ""
    #: How many words it takes that are no options.
    arguments = 0
    #: Whether it takes ``--Class.option=value`` too.
    takes_configuration = False
    flags = {"json": ({"Command": {"as_json": True}}, "print JSON, for other programs")}  # noqa: RUF012
    aliases: dict[Any, Any] = {}  # noqa: RUF012

    as_json = Bool(config=True, help="Print JSON.")
    #: The exit status.
    status = 0

    def parse_command_line(self, argv: list[str] | None = None) -> None:
        words = list(sys.argv[1:] if argv is None else argv)
        if words[:1] == ["help"]:
            words = [*words[1:], "--help"]
        self._refuse_unknown(words)
        super().parse_command_line(words)

    def start(self) -> None:
        self.run()

    def run(self) -> None:
        """Do what the command is for, and set :attr:`status`."""

    def print(self, text: str = "") -> None:
        print(text, flush=True)

    def print_json(self, value: Any) -> None:
        self.print(json.dumps(value, indent=2, ensure_ascii=False, default=str))

    def fail(self, sentence: str, status: int = 1) -> NoReturn:
        print(f"{self.name}: {sentence}", file=sys.stderr)
        sys.exit(status)

    def _refuse_unknown(self, words: list[str]) -> None:
        """Traitlets would only log a warning."""
        options = {"help", "help-all", "version", *self.flags}
        with_value = {name for names in self.aliases for name in (names if isinstance(names, tuple) else (names,))}
        free = []
        iterator = iter(words)
        for word in iterator:
            name, is_assigned, _ = word.lstrip("-").partition("=")
            if not word.startswith("-"):
                free.append(word)
            elif name in with_value:
                if not is_assigned and next(iterator, "-").startswith("-"):
                    self._misused(f"{word} needs a value: {self.usage}")
            elif word in ("-h", "-V") or (name in options and not is_assigned):
                continue
            elif "." not in name:
                known = [one for one in (*options, *with_value) if len(one) > 1]
                self._misused(f"there is no option --{name}{did_you_mean(name, known, '--')}")
            elif not self.takes_configuration:
                self._misused(f"{word} has no effect here; options are {self.usage}")
            elif not is_assigned:
                next(iterator, None)
        self._check_words(free)

    def _check_words(self, words: list[str]) -> None:
        if len(words) > self.arguments:
            self._misused(f"{words[self.arguments]!r} is one word too many: {self.usage}")

    def _misused(self, sentence: str) -> NoReturn:
        self.fail(sentence, _WRONG_USAGE)

    def emit_help(self, classes: bool = False) -> Generator[str, None, None]:
        yield from wrapped(f"usage: {self.name} {self.usage}", hanging=" " * 8)
        yield ""
        yield from self._describe(str(self.description))
        yield from self._describe_options()
        if self.examples:
            yield "examples:"
            yield from (f"  {line.strip()}" for line in str(self.examples).strip().splitlines())

    def _describe(self, text: str) -> Iterator[str]:
        for paragraph in text.strip().split("\n\n"):
            yield from wrapped(" ".join(paragraph.split()))
            yield ""

    def _describe_options(self) -> Iterator[str]:
        rows = [(f"{_spelled(names)} {_value(names)}", help) for names, (_, help) in self.aliases.items()]
        rows += [(_spelled(names), help) for names, (_, help) in self.flags.items()]
        if self.takes_configuration:
            rows.append(("--CLASS.OPTION=VALUE", "an option of the configuration, as jupyterhub takes them"))
        rows.append(("-h, --help", "this text"))
        yield "options:"
        yield from (f"  {line}" for line in aligned(rows))
        yield ""


def _value(names: Any) -> str:
    """What an option takes: ``--api-address`` an ADDRESS."""
    name = names[-1] if isinstance(names, tuple) else names
    return "FILE" if name == "config" else name.rpartition("-")[2].upper()


def _spelled(names: Any) -> str:
    names = names if isinstance(names, tuple) else (names,)
    return ", ".join(f"--{name}" if len(name) > 1 else f"-{name}" for name in names)


def _lazily(name: str) -> Callable[[Application], Command]:
    """Makes the command `name`; its module, which may take a second, is imported then."""

    def make(parent: Application) -> Command:
        command: Command = import_item(f"jhub_kvproxy.cli.{name}")(parent=parent)
        return command

    return make


class KVProxyApp(Command):
    """``jhub-kvproxy``: chooses the command."""

    usage = "COMMAND [options]"
    description = "What jhub-kvproxy can keep its routing table in, and whether that works."
    flags: dict[Any, Any] = {}  # noqa: RUF012
    arguments = 1
    subcommands = {  # noqa: RUF012
        "backends": (_lazily("backends.BackendsApp"), "list the stores that can keep the routing table"),
        "options": (_lazily("options.OptionsApp"), "list the options of KVProxy, or of a backend"),
        "check": (_lazily("check.CheckApp"), "try the store and Traefik with a hub's configuration"),
        "traefik-config": (_lazily("traefik_config.TraefikConfigApp"), "print the configuration of a Traefik of yours"),
    }

    def parse_command_line(self, argv: list[str] | None = None) -> None:
        words = list(sys.argv[1:] if argv is None else argv)
        if words[:1] == ["help"]:
            words = [*words[1:], "--help"]
        if words and not words[0].startswith("-"):
            if words[0] not in self.subcommands:
                self._misused(f"there is no command {words[0]!r}{did_you_mean(words[0], self.subcommands)}")
            return Application.parse_command_line(self, words)
        super().parse_command_line(words)

    def start(self) -> None:
        if self.subapp:
            self.subapp.start()
            self.status = self.subapp.status
        else:
            self.print_help()

    def emit_help(self, classes: bool = False) -> Generator[str, None, None]:
        yield f"usage: {self.name} {self.usage}"
        yield ""
        yield from self._describe(str(self.description))
        yield "commands:"
        yield from (f"  {line}" for line in aligned([(name, help) for name, (_, help) in self.subcommands.items()]))
        yield ""
        yield from wrapped(f"{self.name} COMMAND --help tells more.")


def main(argv: list[str] | None = None) -> int:
    """Run the command that `argv`, or else the process's command line, asks for; its exit status."""
    app = KVProxyApp()
    try:
        app.initialize(argv)
        app.start()
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read us, such as head, has seen enough; Python would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 1
    return app.status
