"""Which kube-apiserver the tests take."""

from __future__ import annotations

import pytest

import servers.kubernetes
from servers.errors import Missing
from servers.kubernetes import find_api_server


@pytest.fixture
def places(monkeypatch, tmp_path):
    """A function that puts an API server of a version into a place."""
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")
    monkeypatch.setattr(servers.kubernetes, "_BUILT", tmp_path / "built")

    def put(place, version):
        program = tmp_path / place / "kube-apiserver"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\necho Kubernetes v{version}\n")
        program.chmod(0o755)
        return str(program)

    return put


def test_the_newest_and_the_oldest_of_all_places(places):
    places("built/1.31.0", "1.31.0")
    oldest = places("path", "1.20.2")
    newest = places("assets", "1.37.2")
    assert (find_api_server("newest"), find_api_server("oldest")) == (newest, oldest)


def test_of_one_version_that_of_the_first_place(places):
    places("built/1.37.2", "1.37.2")
    first = places("assets", "1.37.2")
    assert find_api_server() == first


@pytest.mark.parametrize(
    ("version", "missing", "words"),
    [
        ("1.20.2", "newest", "no kube-apiserver newer than 1.20 here"),
        ("1.37.2", "oldest", "no kube-apiserver 1.20 here"),
    ],
)
def test_one_that_is_missing_is_named_with_the_way_to_get_it(places, version, missing, words):
    places("path", version)
    with pytest.raises(Missing, match=f"{words} .*KUBEBUILDER_ASSETS"):
        find_api_server(missing)
