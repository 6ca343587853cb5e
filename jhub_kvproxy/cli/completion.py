"""``jhub-kvproxy completion``: a script by which a shell completes the words of this command."""

from __future__ import annotations

import argparse
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from shlex import quote

from ..errors import BackendNotFound
from ..store.registry import installed_backends
from .options import AGENT, PROXY, find_class

DESCRIPTION = """
Print a script by which the shell completes commands, their options, and the options of the configuration.

The script knows what is installed now: print it again after an upgrade, or when a backend is installed.
"""
_EXAMPLES = """examples:
  source <(jhub-kvproxy completion bash)
  jhub-kvproxy completion bash > /etc/bash_completion.d/jhub-kvproxy
  jhub-kvproxy completion zsh > "${fpath[1]}/_jhub-kvproxy"
  jhub-kvproxy completion fish > ~/.config/fish/completions/jhub-kvproxy.fish
"""
_FILES, _DIRECTORIES = "-f", "-d"


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a command, in its spellings."""

    names: tuple[str, ...]
    help: str
    takes_value: bool
    #: What its value may be: a kind of files, as bash's compgen has it, or words. Empty: not known.
    files: str = ""
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    help: str
    options: tuple[Option, ...]
    #: What its argument may be.
    words: tuple[str, ...]
    #: Options of the configuration, such as ``--KVProxy.prefix``.
    configuration: tuple[str, ...]


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("shell", choices=[*_RENDER], metavar="SHELL", help=f"one of {', '.join(_RENDER)}")
    parser.epilog = _EXAMPLES


def run(options: Namespace) -> int:
    from .app import parsers  # it imports this module

    configuration = tuple(_configuration())
    commands = [_command(name, help, parser, configuration) for name, (help, parser) in parsers().items()]
    print(_RENDER[options.shell](commands))
    return 0


def _configuration() -> Iterator[str]:
    for name in (PROXY, AGENT, *installed_backends()):
        with suppress(BackendNotFound):  # it needs what is not installed
            cls = find_class(name)
            yield from (
                f"--{cls.__name__}.{option}" for option in sorted(cls.class_traits(config=True, renamed_to=None))
            )


def _command(name: str, help: str, parser: ArgumentParser, configuration: tuple[str, ...]) -> Command:
    options: list[Option] = []
    words: list[str] = []
    takes_configuration = False
    for action in parser._actions:
        if action.dest == "configuration":
            takes_configuration = True
        elif action.option_strings:
            options.append(_option(action))
        elif action.choices:
            words += map(str, action.choices)
        elif action.dest == "backend":
            words += [PROXY, AGENT, *installed_backends()]
    return Command(name, help, tuple(options), tuple(words), configuration if takes_configuration else ())


def _option(action: argparse.Action) -> Option:
    files = {"FILE": _FILES, "DIRECTORY": _DIRECTORIES}.get(str(action.metavar or action.dest.upper()), "")
    takes_value = action.nargs != 0
    words = tuple(map(str, action.choices or ()))
    help = (action.help or "").replace("%(default)s", str(action.default))
    return Option(tuple(action.option_strings), help, takes_value, files if takes_value else "", words)


def _bash(commands: list[Command]) -> str:
    values, words = [], []
    for command in commands:
        for option in (each for each in command.options if each.takes_value):
            cases = "|".join(f"{command.name}:{name}" for name in option.names)
            values.append(f"        {cases}) {_of_value(option)} return ;;")
        names = [name for option in command.options for name in option.names]
        known = " ".join([*command.words, *names, *command.configuration])
        words.append(f'        {command.name}) COMPREPLY=($(compgen -W {quote(known)} -- "$word")) ;;')
    first = " ".join([*(command.name for command in commands), "--help", "--version"])
    return "\n".join(
        [
            "_jhub_kvproxy() {",
            '    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}"',
            "    COMPREPLY=()",
            '    if [ "$COMP_CWORD" -eq 1 ]; then',
            f'        COMPREPLY=($(compgen -W {quote(first)} -- "$word"))',
            "        return",
            "    fi",
            '    case "${COMP_WORDS[1]}:$before" in',
            *values,
            "    esac",
            '    case "${COMP_WORDS[1]}" in',
            *words,
            "    esac",
            "}",
            "complete -F _jhub_kvproxy jhub-kvproxy",
        ]
    )


def _of_value(option: Option) -> str:
    if option.files:
        names = "compopt -o filenames 2>/dev/null;"
        return f"local IFS=$'\\n'; {names} COMPREPLY=($(compgen {option.files} -- \"$word\"));"
    if option.words:
        return f'COMPREPLY=($(compgen -W {quote(" ".join(option.words))} -- "$word"));'
    return ""


def _zsh(commands: list[Command]) -> str:
    return "\n".join(["#compdef jhub-kvproxy", "autoload -U +X bashcompinit && bashcompinit", _bash(commands)])


def _fish(commands: list[Command]) -> str:
    start = "complete -c jhub-kvproxy"
    lines = [
        f"{start} -f",
        f"{start} -n __fish_use_subcommand -l help -s h",
        f"{start} -n __fish_use_subcommand -l version",
    ]
    for command in commands:
        lines.append(f"{start} -n __fish_use_subcommand -a {command.name} -d {quote(command.help)}")
        here = f"{start} -n '__fish_seen_subcommand_from {command.name}'"
        if command.words:
            lines.append(f"{here} -a {quote(' '.join(command.words))}")
        for option in command.options:
            lines.append(f"{here} {_fish_option(option)}")
        lines += [f"{here} -l {name.removeprefix('--')} -x" for name in command.configuration]
    return "\n".join(lines)


def _fish_option(option: Option) -> str:
    names = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names]
    value = ""
    if option.takes_value:
        value = {_FILES: " -r -F", _DIRECTORIES: " -x -a '(__fish_complete_directories)'"}.get(option.files, " -x")
        value += f" -a {quote(' '.join(option.words))}" if option.words else ""
    return f"{' '.join(names)}{value} -d {quote(option.help)}"


_RENDER = {"bash": _bash, "zsh": _zsh, "fish": _fish}
