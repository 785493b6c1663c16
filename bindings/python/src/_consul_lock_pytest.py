"""The plugin of consul_lock for pytest, which pytest finds by the entry point `pytest11`.

This is no module of the package: pytest imports it in each run, and a run that uses no fixture must not load the
library.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from consul_lock.testing import Consul


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker."""
    config.addinivalue_line(
        "markers", "consul_lock_server(speed=None, real=False): how the fixture consul_lock_server starts its Consul"
    )


@pytest.fixture
def consul_lock_server(request: pytest.FixtureRequest) -> Iterator[Consul]:
    """A Consul for this test alone, which locks without a client use, too. See consul_lock.testing.Consul."""
    from consul_lock.testing import Consul

    marker = request.node.get_closest_marker("consul_lock_server")
    options = {} if marker is None else marker.kwargs
    with Consul(default=True, **options) as consul:
        yield consul
