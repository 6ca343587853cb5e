"""What options of configurable-http-proxy become: lines that KVProxy takes, and reasons for the rest."""

from __future__ import annotations

import pytest
from jupyterhub.proxy import ConfigurableHTTPProxy
from traitlets.config import Config

from jhub_kvproxy.cli.configured import configured_proxy
from jhub_kvproxy.cli.moves import Move
from jhub_kvproxy.cli.moves_from_chp import _WITHOUT_VALUE, FLAGS, TRAITS, read_flags, read_traits
from jhub_kvproxy.hub.proxy import KVProxy
from tests.packaging.test_from_chp_page import OPTIONS

#: Words of the command line, and the lines that they become.
LINES = {
    "--ip=10.0.0.1": ['c.JupyterHub.ip = "10.0.0.1"'],
    "--port=8001": ["c.JupyterHub.port = 8001"],
    "--keep-alive-timeout=5000": ["c.KVProxy.keep_alive_timeout = 5.0"],
    "--redirect-port=80": ["c.KVProxy.redirect_http = 80"],
    "--redirect-to=443": ["c.KVProxy.redirect_http_to = 443"],
    "--ssl-key=/k": ['c.JupyterHub.ssl_key = "/k"'],
    "--ssl-cert=/c": ['c.JupyterHub.ssl_cert = "/c"'],
    "--ssl-ca=/a": [],
    "--ssl-ca=/a --ssl-request-cert": ['c.KVProxy.client_ca = "/a"'],
    "--ssl-protocol=TLSv1_2": ['c.KVProxy.tls_min_version = "1.2"'],
    "--ssl-protocol=TLSv1": ['c.KVProxy.tls_min_version = "1.0"'],
    "--ssl-protocol=TLS": [],
    "--insecure": ["c.KVProxy.extra_static_config = {'serversTransport': {'insecureSkipVerify': True}}"],
    "--error-target=http://h:1/e": ['c.KVProxy.error_target = "http://h:1/e"'],
    "--timeout=60000": ["c.KVProxy.timeout = 60.0"],
    "--proxy-timeout 600000": ["c.KVProxy.proxy_timeout = 600.0"],
    "--no-prepend-path": ["c.KVProxy.prepend_path = False"],
    "--no-include-prefix": ["c.KVProxy.strip_prefix = True"],
    "--change-origin": ["c.KVProxy.change_origin = True"],
    "--custom-header=X-A:b --custom-header=X-C:d:e": ["c.KVProxy.request_headers = {'X-A': 'b', 'X-C': 'd:e'}"],
    "--custom-header=Authorization:x": ["c.KVProxy.request_headers = {'Authorization': '***'}"],
    "--custom-header=X-Api-Key:x": ["c.KVProxy.request_headers = {'X-Api-Key': '***'}"],
    "--metrics-port=8082": ["c.KVProxy.traefik_metrics = 8082"],
    "--metrics-ip=10.0.0.1 --metrics-port=9": ['c.KVProxy.traefik_metrics = "10.0.0.1:9"'],
    "--metrics-port=9 --metrics-ip=10.0.0.1": ['c.KVProxy.traefik_metrics = "10.0.0.1:9"'],
    "--log-level=warn": ['c.KVProxy.traefik_log_level = "WARN"'],
}


def moved(read, what) -> Move:
    move = Move()
    read(move, what)
    return move


def taken(move: Move) -> KVProxy:
    """A KVProxy with the options of the move, which it checks."""
    config = Config()
    for name, value in move.options.items():
        section, option = name.split(".")
        config[section][option] = value
        if section == "KVProxy":
            assert option in KVProxy.class_trait_names(config=True)
    return configured_proxy(config)


def test_each_option_of_its_command_line_is_known():
    assert sorted(FLAGS) == sorted(option for option in OPTIONS if option.startswith("--"))


def test_each_option_of_jupyterhubs_class_is_known():
    assert set(TRAITS) == set(ConfigurableHTTPProxy.class_trait_names(config=True)) | {"command_umask"}


@pytest.mark.parametrize("words", LINES)
def test_lines(words):
    move = moved(read_flags, words.split())
    assert move.lines() == LINES[words]
    assert taken(move)


@pytest.mark.parametrize("flag", [flag for flag in FLAGS if flag not in " ".join(LINES)])
def test_an_option_without_a_line_has_a_reason(flag):
    move = moved(read_flags, [flag] if flag in _WITHOUT_VALUE else [flag, "1"])
    assert (move.lines(), [option for option, _ in move.left], move.found) == ([], [flag], [flag])


@pytest.mark.parametrize("flag", ["--nonsense", "--nonsense=1", "-x"])
def test_an_unknown_option_is_named(flag):
    [(name, why)] = moved(read_flags, [flag, "--change-origin"]).left
    assert (name, why) == (flag.partition("=")[0], "jhub-kvproxy does not know this option.")


def test_a_word_that_is_no_option_may_be_a_secret():
    move = moved(read_flags, ["--custom-header=Authorization:", "Basic", "x"])
    assert move.lines() == ["c.KVProxy.request_headers = {'Authorization': '***'}"]
    assert {name for name, _ in move.left} == {"a word that is no option"}


@pytest.mark.parametrize("flag", ["--port=x", "--timeout", "--metrics-port=", "--redirect-to=80 443"])
def test_a_value_that_cannot_be_read_is_for_people(flag):
    move = moved(read_flags, [flag])
    assert move.left == [(flag.partition("=")[0], "Its value cannot be read: write the line by hand.")]
    assert move.lines() == []


@pytest.mark.parametrize("command", [None, 3, "chp '--timeout 1000"])
def test_a_command_that_cannot_be_read_is_for_people(command):
    [*_, (name, why)] = moved(read_traits, {"command": command}).left
    assert (name, why) == ("c.ConfigurableHTTPProxy.command", "Its value cannot be read: write the line by hand.")


@pytest.mark.parametrize("command", [["chp", "--timeout=1000"], "chp --timeout 1000"])
def test_the_command_is_read(command):
    move = moved(read_traits, {"command": command, "extra_routes": {"/docs/": "http://127.0.0.1:9000"}, "debug": True})
    assert move.lines() == [
        "c.KVProxy.timeout = 1.0",
        "c.KVProxy.extra_routes = {'/docs/': 'http://127.0.0.1:9000'}",
        'c.KVProxy.traefik_log_level = "DEBUG"',
    ]
    assert taken(move)


@pytest.mark.parametrize("option", sorted(set(TRAITS) - {"extra_routes", "debug", "log_level"}))
def test_what_jupyterhubs_class_alone_needs(option):
    move = moved(read_traits, {option: False if option == "should_start" else ["chp"]})
    assert move.lines() == []
    assert [name for name, _ in move.left] == [f"c.ConfigurableHTTPProxy.{option}"] == move.found
