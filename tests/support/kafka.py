"""A real Kafka broker for tests: fixture `kafka`, one for the session, and `own_broker`, one the test may kill."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.kafka.jars import PartMissing
from deploy.kafka.kafka import Broker


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give `host:port` of a broker: that of UNWAITH_TEST_KAFKA, else one started for the session.

    Topics are shared by all tests of the session: name yours with something unique.
    """
    if given := os.environ.get("UNWAITH_TEST_KAFKA"):
        yield given
        return
    broker = _started(tmp_path_factory.mktemp("kafka"))
    yield broker.bootstrap
    broker.stop()


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """Give a started broker that nobody else uses, so that the test may kill, suspend and restart it."""
    broker = _started(tmp_path / "kafka")
    yield broker
    broker.resume()
    broker.stop()


def _started(data: Path) -> Broker:
    try:
        return Broker(data).start()
    except PartMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must run the tests on Kafka. {missing}", pytrace=False)
        pytest.skip(f"NOT TESTED ON KAFKA: {missing}")
