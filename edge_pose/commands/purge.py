"""`edge-pose purge`: remove the events and summaries that wait for the broker."""

import os
import sys
from argparse import Namespace

from edge_pose.config.read import Effective
from edge_pose.errors import EXIT_OK
from edge_pose.spool import purge, settings


def main(effective: Effective, _arguments: Namespace) -> int:
    """Empty the spool of the camera that the settings name."""
    path = settings(effective.config, os.environ).path
    if path is None:
        sys.stdout.write("Nothing is kept on the disk: spool.enabled is false.\n")
    else:
        rows = purge(path)
        sys.stdout.write(f"Removed {rows} messages that waited in {path}.\n")
    return EXIT_OK
