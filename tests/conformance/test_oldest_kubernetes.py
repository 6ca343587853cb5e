"""The same on the oldest API server; a file of its own, so that the two run beside each other."""

import pytest

from tests.conformance.test_kubernetes import KubernetesSuite


@pytest.mark.slow
class TestOldestKubernetes(KubernetesSuite):
    @pytest.fixture
    def server(self, oldest_kubernetes):
        return oldest_kubernetes
