"""`edge-pose view`: the live page of what others publish on a broker."""

import os
from argparse import Namespace
from contextlib import ExitStack

from edge_pose.config.read import Effective
from edge_pose.config.rules import broker as broker_of
from edge_pose.config.service import for_administrator
from edge_pose.daemon import stop_asked
from edge_pose.errors import EXIT_OK, ConfigError
from edge_pose.outputs import open_view


def main(settings: Effective, arguments: Namespace) -> int:
    """Serve the page until asked to stop."""
    config = for_administrator(settings, arguments.config, os.environ).config
    broker = broker_of(config)
    if broker is None:
        raise ConfigError(
            "There is no broker to view; name one with --broker HOST, or watch a camera of this "
            "machine with `edge-pose run --view`"
        )
    with stop_asked() as stop, ExitStack() as stack:
        open_view(config, broker, stack)
        stop.wait()
    return EXIT_OK
