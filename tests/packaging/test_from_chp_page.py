"""The page for those who come from configurable-http-proxy has all its options, and names tests that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from jhub_kvproxy.hub.proxy import KVProxy
from servers.programs import find

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


#: What the page says of each option, and the tests that prove it.
PROOFS = {
    "`--ip`, `--port`": ["test_from_chp.py::test_it_listens_where_the_hub_says"],
    "`--socket`": ["test_traefik_configuration.py::test_addresses_where_traefik_cannot_listen"],
    "`--keep-alive-timeout`": [
        "test_public_port.py::test_a_connection_is_kept_between_requests_for_as_long_as_is_said"
    ],
    "`--redirect-port`": ["test_public_port.py::test_plain_http_is_redirected_to_https"],
    "`--redirect-to`": ["test_public_port.py::test_the_redirect_leads_to_the_port_that_users_see"],
    "`/_chp_healthz`": ["test_health.py::test_it_needs_the_table_and_no_route"],
    "`--ssl-key`, `--ssl-cert`": ["test_traefik_configuration.py::test_tls_with_jupyterhubs_certificate"],
    "`--ssl-ca`": ["test_tls.py::test_only_clients_with_a_certificate_of_the_authority_get_in"],
    "`--ssl-request-cert`": ["test_tls.py::test_only_clients_with_a_certificate_of_the_authority_get_in"],
    "`--ssl-reject-unauthorized`": ["test_tls.py::test_only_clients_with_a_certificate_of_the_authority_get_in"],
    "`--ssl-protocol`": ["test_tls.py::test_versions_and_ciphers_can_be_chosen"],
    "`--ssl-ciphers`": ["test_tls.py::test_versions_and_ciphers_can_be_chosen"],
    "`--ssl-allow-rc4`": ["test_tls.py::test_a_value_that_cannot_be_is_refused"],
    "`--ssl-dhparam`": ["test_tls.py::test_a_value_that_cannot_be_is_refused"],
    "`CONFIGPROXY_SSL_KEY_PASSPHRASE`": ["test_tls.py::test_what_cannot_be_served_is_said_when_the_hub_starts"],
    "`--api-ip`": ["test_rest_api.py::test_nobody_listens_by_default_nor_when_the_proxy_has_stopped"],
    "`--api-port`": ["test_rest_api.py::test_it_answers_as_recorded"],
    "`--api-socket`": ["test_rest_api.py::test_a_taken_port_is_named"],
    "`--api-ssl-key`, `--api-ssl-cert`": ["test_from_chp.py::test_the_rest_api_behind_traefik"],
    "`--api-ssl-ca`, `--api-ssl-request-cert`, `--api-ssl-reject-unauthorized`": [
        "test_from_chp.py::test_the_rest_api_behind_traefik"
    ],
    "`CONFIGPROXY_API_SSL_KEY_PASSPHRASE`": ["test_from_chp.py::test_the_rest_api_behind_traefik"],
    "`CONFIGPROXY_AUTH_TOKEN`": [
        "test_rest_api.py::test_the_token_comes_from_the_environment",
        "test_rest_api.py::test_it_needs_a_token",
    ],
    "`last_activity` of each route": ["test_activity.py::test_a_request_is_a_use_of_its_route_only"],
    "`--client-ssl-key`, `--client-ssl-cert`, `--client-ssl-ca`": [
        "test_internal_ssl.py::test_hub_service_and_jupyterlab_speak_tls_with_traefik"
    ],
    "`--client-ssl-request-cert`, `--client-ssl-reject-unauthorized`": [
        "test_internal_ssl.py::test_no_request_reaches_a_server"
    ],
    "`--insecure`": ["test_from_chp.py::test_certificates_of_servers_may_go_unchecked"],
    "`--default-target`": ["test_requests_reach_routes.py::test_the_longest_routespec_wins"],
    "`--host-routing`": ["test_requests_reach_routes.py::test_a_route_with_a_host_is_for_that_host_only"],
    "`--error-target`": ["test_error_pages.py::test_a_dead_server_gives_the_hubs_page_and_an_app_its_own"],
    "`--error-path`": ["test_error_pages.py::test_without_the_hub_there_is_a_plain_page"],
    "`--timeout`": ["test_timeouts.py::test_a_request_that_does_not_come_in_ends"],
    "none: Node.js allows 60 s for the head of a request, and 300 s for all of it": [
        "test_silent_clients.py::test_who_does_not_finish_a_head_loses_the_connection"
    ],
    "none: HTTP/1.1 only": ["test_http2.py::test_a_host_that_is_none_is_refused_as_over_http1"],
    "none: CHP refuses a request with `Content-Length` and `Transfer-Encoding` (400)": [
        "test_smuggling.py::test_a_length_beside_chunks_counts_for_nothing"
    ],
    "`--proxy-timeout`": ["test_timeouts.py::test_a_server_that_begins_no_answer_is_given_up"],
    "`--no-x-forward`": ["test_headers.py::test_nobody_says_where_a_request_comes_from_but_traefik"],
    "`--no-prepend-path`": ["test_route_options.py::test_prepend_path"],
    "`--no-include-prefix`": ["test_route_options.py::test_strip_prefix_in_every_encoding"],
    "`--change-origin`": ["test_route_options.py::test_change_origin"],
    "`--custom-header`": ["test_public_port.py::test_headers_of_both_directions"],
    "`--auto-rewrite`, `--protocol-rewrite`": [
        "test_from_chp.py::test_a_location_reaches_the_browser_as_the_server_wrote_it"
    ],
    "`--storage-backend`": ["test_every_store.py::test_what_goes_in_comes_out"],
    "`--metrics-ip`, `--metrics-port`": [
        "test_traefik_metrics.py::test_traefik_has_metrics_where_and_of_what_it_is_told"
    ],
    "`--metrics-socket`": ["test_metrics.py::test_where_it_cannot_have_them_is_said"],
    "`--log-level`": ["test_from_chp.py::test_traefik_logs_as_told"],
    "`--pid-file`": ["test_from_chp.py::test_traefiks_process_id_is_in_its_state_file"],
    "`--version`, `--help`": ["test_cli.py::test_options_of_the_proxy"],
    "`PATCH /hub/api/proxy`": ["test_rest_api.py::test_telling_the_hub_of_another_proxy_does_no_harm"],
}


@pytest.mark.parametrize("option", OPTIONS)
def test_each_option_has_a_row_with_an_answer_and_a_test(option):
    rows = [row for row in ROWS if f"`{option}`" in row[0]]
    assert len(rows) == 1
    subject, here = rows[0]
    assert here.strip()
    assert PROOFS[subject]


def test_each_proof_is_of_something_that_the_page_says():
    said = {row[0] for row in ROWS}
    assert {subject for subject in PROOFS if subject not in said and subject not in PAGE} == set()


@pytest.mark.parametrize("test", sorted({test for tests in PROOFS.values() for test in tests}))
def test_each_proof_exists(test):
    file, name = test.split("::")
    [path] = (ROOT / "tests").glob(f"*/{file}")
    assert re.search(rf"^(async )?def {name}\(", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("option", sorted(set(re.findall(r"`KVProxy\.(\w+)", PAGE))))
def test_each_option_of_ours_exists(option):
    assert option in KVProxy.class_trait_names(config=True)


def test_the_list_is_that_of_an_installed_one():
    command = find("configurable-http-proxy")
    said = subprocess.run([command, "--help"], capture_output=True, text=True, check=True).stdout
    options = set(re.findall(r"^\s+(?:-\w, )?(--[\w-]+)", said, re.MULTILINE))
    assert options == {option for option in OPTIONS if option.startswith("--")}
