"""Every error of the appliance, named by what the reader of it should do.

A message says what, where, found, wanted and the next step, in one sentence.  Exit codes follow
sysexits where a supervisor must tell the cases apart: 78 means that the operator must act and that
restarting will not help.
"""

from typing import Final

EXIT_OK: Final = 0
EXIT_RESTART: Final = 1
EXIT_OPERATOR: Final = 78


class EdgePoseError(Exception):
    """Base of all errors that carry a sentence for the user."""

    exit_code: int = EXIT_RESTART

    def __str__(self) -> str:
        """Tell it in one line, whatever was in the names that others chose."""
        return "".join(one if one.isprintable() else " " for one in super().__str__())


class ConfigError(EdgePoseError):
    """The operator must edit the configuration or the command line; restarting will not help."""

    exit_code = EXIT_OPERATOR


class BundleError(EdgePoseError):
    """The model bundle cannot be believed; install it again."""

    exit_code = EXIT_OPERATOR


class SourceError(EdgePoseError):
    """The named camera or file does not exist or cannot be read as pictures; correct the name."""

    exit_code = EXIT_OPERATOR


class CameraLost(EdgePoseError):
    """The camera was there and went away; wait and reopen."""


class BrokerError(EdgePoseError):
    """The MQTT broker refused us for a reason that waiting does not mend; correct the settings."""

    exit_code = EXIT_OPERATOR


class PayloadError(EdgePoseError):
    """Bytes from the network are not what their topic promises; pass over them."""
