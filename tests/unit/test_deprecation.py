"""Old names of options and of Python names go on working, and say what the new one is and how long that lasts."""

from __future__ import annotations

import logging
import sys
import types
import warnings

import pytest
from traitlets import Float, List, TraitError, Unicode
from traitlets.config import Config, Configurable, LoggingConfigurable
from traitlets.config.loader import KVArgParseConfigLoader

from jhub_kvproxy import RenamedOption
from jhub_kvproxy.cli.options import options_of
from jhub_kvproxy.deprecation import renamed_names
from jhub_kvproxy.testing import Kit, MemoryBackend


class Mine(LoggingConfigurable):
    urls = List(Unicode(), ["a"], config=True)
    addresses = RenamedOption("urls", dropped_in="mine 2.0")
    limit = Float(1.0, config=True)
    timeout = RenamedOption("limit", dropped_in="mine 2.0")


def made(caplog, config=None, **traits):
    log = logging.getLogger(__name__)
    mine = Mine(config=Config({"Mine": config or {}}), log=log, **traits)
    return mine, [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_an_old_name_works_and_one_warning_tells_the_new_one(caplog):
    mine, warned = made(caplog, {"timeout": 2})
    assert (mine.limit, mine.timeout) == (2.0, 2.0)
    assert warned == ["c.Mine.timeout is now c.Mine.limit. mine 2.0 drops the old name."]


def test_an_old_name_that_nobody_uses_says_nothing(caplog):
    mine, warned = made(caplog, {"limit": 3})
    assert (mine.timeout, warned) == (3.0, [])


def test_an_old_name_works_in_python_too(caplog):
    mine, warned = made(caplog, timeout=2)
    assert mine.limit == 2.0
    assert len(warned) == 1


@pytest.mark.parametrize("given", [{"timeout": 2, "limit": 3}, {"limit": 3, "timeout": 2}], ids=str)
def test_the_new_name_wins(caplog, given):
    mine, warned = made(caplog, given)
    assert mine.limit == 3.0
    assert warned == [
        "c.Mine.timeout is now c.Mine.limit, which is set too; the old name is ignored. mine 2.0 drops the old name."
    ]


def test_the_new_name_wins_on_the_command_line(caplog):
    words = ["--Mine.timeout=2.5", "--Mine.limit=3"]
    config = KVArgParseConfigLoader(words, classes=[Mine], log=logging.getLogger(__name__)).load_config()
    assert made(caplog, config.Mine)[0].limit == 3.0


def test_an_old_name_can_be_assigned_to_whatever_is_configured(caplog):
    mine, _ = made(caplog, {"limit": 3})
    mine.timeout = 4
    assert mine.limit == 4.0


def test_an_old_name_needs_no_log_of_its_own():
    class Plain(Configurable):
        limit = Float(1.0, config=True)
        timeout = RenamedOption("limit", dropped_in="mine 2.0")

    assert Plain(timeout=2).limit == 2.0


def test_a_generated_configuration_shows_the_default():
    assert "# c.Mine.timeout = 1.0" in Mine.class_config_section()


def test_what_the_new_name_does_not_take_the_old_one_does_not_either(caplog):
    with pytest.raises(TraitError, match="limit"):
        made(caplog, {"timeout": "long"})


@pytest.mark.parametrize(
    ("words", "urls", "limit"),
    [
        (["--Mine.timeout=2.5"], ["a"], 2.5),
        (["--Mine.addresses=b", "--Mine.addresses=c"], ["b", "c"], 1.0),
        (["--Mine.addresses=b"], ["b"], 1.0),
    ],
    ids=str,
)
def test_an_old_name_works_on_the_command_line(caplog, words, urls, limit):
    config = KVArgParseConfigLoader(words, classes=[Mine], log=logging.getLogger(__name__)).load_config()
    mine, _ = made(caplog, config.Mine)
    assert (mine.urls, mine.limit) == (urls, limit)


def test_a_list_may_be_added_to_by_its_old_name(caplog):
    config = Config()
    config.Mine.addresses.append("b")
    mine, _ = made(caplog, config.Mine)
    assert mine.urls == ["a", "b"]


def test_what_may_be_set_is_listed_by_its_new_name_only():
    assert [option.name for option in options_of(Mine)] == ["Mine.limit", "Mine.urls"]


class MineBackend(MemoryBackend):
    title = RenamedOption("name", dropped_in="mine 2.0")


async def test_the_kit_makes_backends_by_new_names():
    kit = Kit(MineBackend(name="one", prefix="hub"), MineBackend.load, "")
    assert kit.new().name == "one"
    assert kit.new(name="two").name == "two"


@pytest.fixture
def module(monkeypatch):
    module = types.ModuleType("mine")
    module.New = object()
    module.__getattr__ = renamed_names("mine", {"Old": ("New", "mine 2.0")})
    monkeypatch.setitem(sys.modules, "mine", module)
    return module


def test_an_old_python_name_works_and_warns_who_uses_it(module):
    with pytest.warns(
        DeprecationWarning, match=r"mine\.Old is now mine\.New\. mine 2\.0 drops the old name\."
    ) as warned:
        from mine import Old
    assert Old is module.New
    assert warned[0].filename == __file__


def test_other_python_names_are_as_before(module):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert module.New
        with pytest.raises(AttributeError, match="module 'mine' has no attribute 'Neww'"):
            _ = module.Neww
