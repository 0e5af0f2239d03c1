"""`edge-pose run`: watch a camera or a recording and send what is seen.

When the settings are read again, all begins again with them in the same process; settings that turn
out not to work are given up for those before.
"""

import logging
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import TextIO

from edge_pose import log as logs
from edge_pose.appliance import serve
from edge_pose.config import Config
from edge_pose.config.read import Effective
from edge_pose.control import Control
from edge_pose.daemon import reload_asked, stop_asked
from edge_pose.errors import EXIT_OPERATOR, EdgePoseError
from edge_pose.pause import Pause, marker

log = logging.getLogger(__name__)


def main(settings: Effective, _arguments: Namespace) -> int:
    """Run until the end of the recording or until asked to stop."""
    pause = Pause(marker(os.environ))
    with stop_asked() as stop, reload_asked() as asked:
        control = Control(stop, again=settings.again, asked=asked, pause=pause)
        return rounds(settings.config, control, sys.stdout)


def rounds(
    config: Config,
    control: Control,
    out: TextIO,
    serve_once: Callable[..., int] = serve,
) -> int:
    """Serve with settings that were read again, as often as they are."""
    former: Config | None = None
    while True:
        try:
            code = serve_once(config, control=control, out=out)
        except EdgePoseError as error:
            # What a restart mends is the supervisor's; settings that never worked are ours.
            if former is None or error.exit_code != EXIT_OPERATOR:
                raise
            log.error("The new settings do not work: %s; going on with the former ones", error)  # noqa: TRY400 - a sentence for the operator
            config, former = former, None
            control.begin()
            continue
        new = control.begin()
        if new is None:
            return code
        logs.configure(new.device.log)
        config, former = new, config
