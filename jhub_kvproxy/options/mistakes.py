"""Finds options that do not exist in a configuration."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from traitlets.config import Config, Configurable

from ..did_you_mean import did_you_mean, nearest

_SURELY_MEANT = 0.85


def silent_log() -> logging.Logger:
    """A log without output, for a proxy that no hub runs."""
    log = logging.Logger("jhub-kvproxy")
    log.addHandler(logging.NullHandler())
    return log


def mistakes(
    config: Config, read: Iterable[type[Configurable]], others: Iterable[str], *, is_complete: bool = False
) -> Iterator[str]:
    """A sentence for each option that does not exist, and for each section that looks like a misspelled class.

    `read` are the classes whose sections are checked, `others` the names of further classes that exist. If the
    configuration `is_complete`, there are no others.
    """
    read = list(read)
    sections = {name: cls for cls in read for name in cls.section_names()}
    classes = {cls.__name__: cls for cls in read}
    for section, settings in config.items():
        if section in sections:
            known = {
                name for cls in read if section in cls.section_names() for name in cls.class_trait_names(config=True)
            }
            for option in settings:
                if option not in known:
                    yield f"c.{section}.{option}: {section} has no such option{did_you_mean(option, known)}"
        elif section in others:
            continue
        elif is_complete:
            yield f"c.{section}: there is no such class here{did_you_mean(section, [*sections, *others])}"
        elif meant := nearest(section, classes, _SURELY_MEANT):
            yield f"c.{section}: there is no such class; did you mean c.{meant}?"
