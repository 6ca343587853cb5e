"""What an admin adds to Traefik's configuration, where TOML cannot hold it."""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import pytest

from jhub_kvproxy import TraefikError
from jhub_kvproxy.traefik.admin_config import DYNAMIC, STATIC, check_sections, check_toml
from jhub_kvproxy.traefik.static import check_one_spelling

OPTION = "KVProxy.extra_static_config"


@pytest.mark.parametrize(
    "value",
    [
        "x",
        "",
        1,
        1.5,
        True,
        date(2026, 1, 1),
        datetime(2026, 1, 1, tzinfo=UTC),
        time(1),
        Decimal("1.5"),
        [],
        (),
        {},
        [1, "x", [{"a": 1}]],
        OrderedDict(a=1),
        {"": {"a b.c": "\0\n"}},
    ],
)
def test_what_toml_holds(value):
    check_toml(OPTION, {"a": {"b": value}})


class Mine:
    def __repr__(self):
        return "SECRET"


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (
            {"entryPoints": {"x": {"address": None}}},
            "entryPoints.x.address is None, which TOML cannot hold; leave it out",
        ),
        ({"a": [{"b": 1}, {"b": None}]}, "a[1].b is None, which TOML cannot hold; leave it out"),
        ({"a": {"x", "y"}}, "a is of the type set, which TOML cannot hold"),
        ({"a": ({"b": Mine()},)}, "a[0].b is of the type Mine, which TOML cannot hold"),
        ({"a": Path("/etc/x")}, "a is of the type PosixPath, which TOML cannot hold; write str(...) around it"),
        ({"a": b"x"}, "a is of the type bytes, which TOML cannot hold"),
        ({"a": {"b": time(1, tzinfo=UTC)}}, "a.b is of the type time, which TOML cannot hold"),
        ({"a": "\udcff"}, "a has characters that are no Unicode"),
        ({"a": {1: "x"}}, "a has the key 1, which is no text"),
        ({"a": {None: "x"}}, "a has the key None, which is no text"),
        ({"a": {"\udcff": 1}}, "a has a key with characters that are no Unicode"),
        ({"x y": {"b.c": None}}, '"x y"."b.c" is None, which TOML cannot hold; leave it out'),
    ],
)
def test_what_it_does_not_hold_is_named(config, sentence):
    with pytest.raises(TraefikError) as caught:
        check_toml(OPTION, config)
    assert str(caught.value) == f"{OPTION}: {sentence}."


def test_what_has_itself_in_it():
    config = {"a": {}}
    config["a"]["b"] = config
    with pytest.raises(TraefikError, match=f"{OPTION} is nested too deeply"):
        check_toml(OPTION, config)


def test_a_key_at_the_top_that_is_no_text():
    with pytest.raises(TraefikError, match=rf"^{OPTION} has the key 1, which is no text\.$"):
        check_toml(OPTION, {1: "x"})


def test_sections_that_traefik_has():
    check_sections({section: {} for section in STATIC}, {section: {} for section in DYNAMIC})


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ("entryPoint", "Traefik has no section entryPoint; did you mean entryPoints?"),
        ("entrypoints", "Traefik has no section entrypoints; did you mean entryPoints?"),
        ("serverTransport", "Traefik has no section serverTransport; did you mean serversTransport?"),
        ("xyz", "Traefik has no section xyz."),
        ("http", "http belongs in KVProxy.extra_dynamic_config."),
        ("TLS", "TLS belongs in KVProxy.extra_dynamic_config."),
    ],
)
def test_a_section_that_traefik_does_not_have(section, sentence):
    with pytest.raises(TraefikError) as caught:
        check_sections({"log": {}, section: {}}, {})
    assert str(caught.value) == f"{OPTION}: {sentence}"


def test_a_static_section_belongs_in_the_static_configuration():
    with pytest.raises(
        TraefikError, match=r"^KVProxy\.extra_dynamic_config: log belongs in KVProxy\.extra_static_config\.$"
    ):
        check_sections({}, {"log": {}})


def test_a_name_in_two_spellings():
    config = {"entryPoints": {"public": {"address": ":1", "http": {"tls": {}, "Tls": {}}}}}
    with pytest.raises(TraefikError) as caught:
        check_one_spelling(config)
    assert str(caught.value) == f"{OPTION}: entryPoints.public.http.Tls must be spelled tls."
