"""`edge-pose purge`: remove everything that waits for the broker."""

import os
import sys
from argparse import Namespace

from edge_pose.config.read import Effective
from edge_pose.config.service import for_administrator
from edge_pose.errors import EXIT_OK
from edge_pose.spool import history_settings, purge, settings


def main(effective: Effective, arguments: Namespace) -> int:
    """Empty the spool of the camera that the settings name."""
    config = for_administrator(effective, arguments.config, os.environ).config
    for place, what in ((settings, "messages"), (history_settings, "moments of Sparkplug history")):
        path = place(config, os.environ).path
        if path is None:
            sys.stdout.write("Nothing is kept on the disk: spool.enabled is false.\n")
            break
        if rows := purge(path):
            sys.stdout.write(f"Removed {rows} {what} that waited in {path}.\n")
        else:
            sys.stdout.write(f"Nothing waits in {path}.\n")
    return EXIT_OK
