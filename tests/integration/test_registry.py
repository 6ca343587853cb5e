"""A backend that is written to another version of the contract is refused, and who must upgrade what is told."""

from __future__ import annotations

import importlib
import sys

import pytest
from traitlets import TraitError

from jhub_kvproxy import CONTRACT, BackendNotFound, __version__
from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.store.registry import find_backend
from jhub_kvproxy.testing import MemoryBackend, slow
from tests.command import install

OURS = f"jhub-kvproxy {__version__}"
CODE = """
    from jhub_kvproxy.testing import MemoryBackend

    class MineBackend(MemoryBackend):
        contract = {}
"""
OLDER = f"MineBackend (mine 1.2) has version 0 of the contract for backends, and {OURS} needs version {CONTRACT}."
NEWER = f"MineBackend (mine 1.2) has version {CONTRACT + 1} of the contract for backends, and {OURS} has {CONTRACT}."
SILENT = f"MineBackend (mine 1.2) states no version of the contract for backends, and {OURS} needs version {CONTRACT}."


def upgrade(package):
    return f" Upgrade {package}: pip install --upgrade {package}"


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Installs a backend of a stranger that states a version."""

    def make(stated):
        install(tmp_path, "mine", CODE.format(stated), {"mine": "mine:MineBackend"})
        importlib.invalidate_caches()

    monkeypatch.syspath_prepend(tmp_path)
    yield make
    sys.modules.pop("mine", None)


@pytest.mark.parametrize("name", ["mine", "mine.MineBackend"])
@pytest.mark.parametrize(
    ("stated", "sentence"),
    [
        ("0", OLDER + upgrade("mine")),
        (f"{CONTRACT + 1}", NEWER + upgrade("jhub-kvproxy")),
        ("None", SILENT + upgrade("mine")),
        ("'1'", SILENT + upgrade("mine")),
    ],
    ids=["older", "newer", "silent", "text"],
)
def test_another_version_of_the_contract_is_refused(mine, name, stated, sentence):
    mine(stated)
    with pytest.raises(BackendNotFound) as refused:
        find_backend(name)
    assert str(refused.value) == sentence
    with pytest.raises(TraitError) as refused:
        KVProxy(backend_class=name)
    assert str(refused.value) == sentence


@pytest.mark.parametrize("name", ["mine", "mine.MineBackend"])
def test_ours_is_taken(mine, name):
    mine(CONTRACT)
    assert find_backend(name).contract == CONTRACT


@pytest.mark.parametrize("name", ["mine", "mine.MineBackend"])
def test_the_version_before_is_taken_with_a_warning(mine, name, caplog):
    mine(CONTRACT - 1)
    proxy = KVProxy(backend_class=name)
    assert proxy.backend.contract == CONTRACT - 1
    assert caplog.messages == [
        f"MineBackend (mine 1.2) has version {CONTRACT - 1} of the contract for backends. "
        "jhub-kvproxy 0.3.0 drops that version. Upgrade mine: pip install --upgrade mine"
    ]
    caplog.clear()
    KVProxy(backend_class=MemoryBackend)
    assert not caplog.messages


class Future(MemoryBackend):
    contract = CONTRACT + 1


def test_a_class_is_looked_at_too():
    with pytest.raises(TraitError, match=rf"^Future \({__name__}\) has version {CONTRACT + 1} "):
        KVProxy(backend_class=Future)
    with pytest.raises(TraitError, match="SlowFuture"):
        KVProxy(backend_class=slow(Future, 1))
