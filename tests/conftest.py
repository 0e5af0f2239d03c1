"""Every annotated array shape and dtype of our packages is checked while the tests run.

The hook must stand before anything imports the packages, so it stands here, at module level.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

install_import_hook(["edge_pose", "train", "export"], "beartype.beartype")

from brokers import Mosquitto, prepared_mosquitto  # noqa: E402 - they import the packages
from mqtt_wire import Relay, relayed  # noqa: E402


@pytest.fixture(autouse=True, scope="session")
def _state_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what programs leave behind out of the folders of whoever runs the tests."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    os.environ.pop("STATE_DIRECTORY", None)


@pytest.fixture(autouse=True)
def _process_as_it_was() -> Iterator[None]:
    """Take back what the command line does to its process, where a test runs it in this one."""
    logger = logging.getLogger("edge_pose")
    handlers, level, propagates = logger.handlers, logger.level, logger.propagate
    mask = os.umask(0o022)
    yield
    os.umask(mask)
    logger.handlers, logger.propagate = handlers, propagates
    logger.setLevel(level)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """Run a broker for one test."""
    child = prepared_mosquitto(tmp_path)
    child.start()
    yield child
    child.stop()


@pytest.fixture
def relay(mosquitto: Mosquitto) -> Iterator[Relay]:
    """Stand before that broker and write down what is sent to it."""
    with relayed(mosquitto.broker) as open_relay:
        yield open_relay
