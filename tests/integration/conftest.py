"""A real nats-server and S3 server for the session, started from packages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from thalweg.embedded import EmbeddedStack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """nats-server and S3 from packages."""
    with EmbeddedStack(tmp_path_factory.mktemp("stack")) as running:
        yield running
