"""Which of an admin's words are paths of files."""

from __future__ import annotations

import pytest

from jhub_kvproxy.traefik.paths import absolute_paths

PEM = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"accessLog": {"filePath": "logs/access.log"}}, {"accessLog": {"filePath": "/srv/logs/access.log"}}),
        ({"log": {"filePath": "/var/log/traefik.log"}}, {"log": {"filePath": "/var/log/traefik.log"}}),
        ({"log": {"filePath": ""}}, {"log": {"filePath": ""}}),
        ({"log": {"FILEPATH": "a"}}, {"log": {"FILEPATH": "/srv/a"}}),
        (
            {"tls": {"certificates": [{"certFile": "a.pem", "keyFile": "../b.pem"}, {"certFile": PEM}]}},
            {"tls": {"certificates": [{"certFile": "/srv/a.pem", "keyFile": "/srv/../b.pem"}, {"certFile": PEM}]}},
        ),
        (
            {"tls": {"options": {"mine": {"clientAuth": {"caFiles": ["a.pem", PEM]}}}}},
            {"tls": {"options": {"mine": {"clientAuth": {"caFiles": ["/srv/a.pem", PEM]}}}}},
        ),
        (
            {"http": {"middlewares": {"auth": {"basicAuth": {"usersFile": "users", "users": ["a:b"]}}}}},
            {"http": {"middlewares": {"auth": {"basicAuth": {"usersFile": "/srv/users", "users": ["a:b"]}}}}},
        ),
        (
            {"forwardAuth": {"address": "http://a", "tls": {"ca": "ca.pem", "insecureSkipVerify": True}}},
            {"forwardAuth": {"address": "http://a", "tls": {"ca": "/srv/ca.pem", "insecureSkipVerify": True}}},
        ),
        ({"serversTransport": {"rootCAs": ["a.pem"]}}, {"serversTransport": {"rootCAs": ["/srv/a.pem"]}}),
        (
            {"certificatesResolvers": {"le": {"acme": {"storage": "acme.json", "email": "a@b"}}}},
            {"certificatesResolvers": {"le": {"acme": {"storage": "/srv/acme.json", "email": "a@b"}}}},
        ),
        ({"certFile": "{{ env `CERT` }}"}, {"certFile": "{{ env `CERT` }}"}),
        ({"certFile": "{{`", "keyFile": 3}, {"certFile": "{{`", "keyFile": 3}),
        # A plugin's own words, and words that mean something else elsewhere.
        ({"plugin": {"theirs": {"certFile": "a"}}}, {"plugin": {"theirs": {"certFile": "a"}}}),
        ({"key": "a", "storage": "b", "directory": "c"}, {"key": "a", "storage": "b", "directory": "c"}),
    ],
)
def test_relative_paths_are_relative_to_the_hubs_working_directory(before, after):
    assert absolute_paths(before, "/srv") == after
    assert absolute_paths(after, "/elsewhere") == after
