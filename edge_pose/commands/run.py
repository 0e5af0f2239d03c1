"""`edge-pose run`: watch a camera or a recording and send what is seen."""

import sys
from argparse import Namespace

from edge_pose.appliance import serve
from edge_pose.config.read import Effective
from edge_pose.daemon import stop_asked


def main(settings: Effective, _arguments: Namespace) -> int:
    """Run until the end of the recording or until asked to stop."""
    with stop_asked() as stop:
        return serve(settings.config, stop=stop, out=sys.stdout)
