"""The page for those who come from configurable-http-proxy has all its options, and names tests that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from jhub_kvproxy.hub.proxy import KVProxy

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "from-chp.md").read_text()
ROWS = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]

#: Those of its version 5.3 (bin/configurable-http-proxy).
_OPTIONS = """
    --api-ip --api-port --api-socket --api-ssl-ca --api-ssl-cert --api-ssl-key --api-ssl-reject-unauthorized
    --api-ssl-request-cert --auto-rewrite --change-origin --client-ssl-ca --client-ssl-cert --client-ssl-key
    --client-ssl-reject-unauthorized --client-ssl-request-cert --custom-header --default-target --error-path
    --error-target --help --host-routing --insecure --ip --keep-alive-timeout --log-level --metrics-ip --metrics-port
    --metrics-socket --no-include-prefix --no-prepend-path --no-x-forward --pid-file --port --protocol-rewrite
    --proxy-timeout --redirect-port --redirect-to --socket --ssl-allow-rc4 --ssl-ca --ssl-cert --ssl-ciphers
    --ssl-dhparam --ssl-key --ssl-protocol --ssl-reject-unauthorized --ssl-request-cert --storage-backend --timeout
    --version CONFIGPROXY_API_SSL_KEY_PASSPHRASE CONFIGPROXY_AUTH_TOKEN CONFIGPROXY_SSL_KEY_PASSPHRASE
"""
OPTIONS = _OPTIONS.split()


@pytest.mark.parametrize("option", OPTIONS)
def test_each_option_has_a_row_with_an_answer_and_a_test(option):
    rows = [row for row in ROWS if f"`{option}`" in row[0]]
    assert len(rows) == 1
    _, here, test = rows[0]
    assert here.strip()
    assert "`tests/" in test


@pytest.mark.parametrize("test", sorted(set(re.findall(r"`(tests/\S+)`", PAGE))))
def test_each_test_that_it_names_exists(test):
    file, name = test.split("::")
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


@pytest.mark.parametrize("option", sorted(set(re.findall(r"`KVProxy\.(\w+)", PAGE))))
def test_each_option_of_ours_exists(option):
    assert option in KVProxy.class_trait_names(config=True)


def test_the_list_is_that_of_an_installed_one():
    command = shutil.which("configurable-http-proxy", path=str(ROOT / ".servers" / "node_modules" / ".bin"))
    if not command or not shutil.which("node"):
        pytest.skip("configurable-http-proxy is not installed")
    said = subprocess.run([command, "--help"], capture_output=True, text=True, check=True).stdout
    options = set(re.findall(r"^\s+(?:-\w, )?(--[\w-]+)", said, re.MULTILINE))
    assert options == {option for option in OPTIONS if option.startswith("--")}
