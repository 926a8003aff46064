"""What every kind of test may ask for: a real server, and a store on it that starts empty."""

import mimetypes
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import settings

from bridge.embedded import Embedded
from bridge.store import Store

# A busy machine is no failure: how long one example takes says nothing about behaviour.
settings.register_profile("bridge", parent=settings(), deadline=None)
settings.load_profile("bridge")


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run one private server for the whole session and return its URL."""
    server = Embedded(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server.url
    server.stop()


@pytest.fixture
def bare_machine() -> Iterator[None]:
    """Forget what this machine has in /etc/mime.types: a small container has no such file."""
    known = list(mimetypes.knownfiles)
    mimetypes.knownfiles.clear()
    mimetypes.init()
    yield
    mimetypes.knownfiles.extend(known)
    mimetypes.init()


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[Store]:
    """Return an open store on an empty database."""
    opened = Store(redis_url)
    await opened.redis.flushall()
    await opened.open()
    yield opened
    await opened.close()
