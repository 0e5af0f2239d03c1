"""Settings of an installed camera, as an administrator means them: with its service's folders.

In: settings, and the file that they came from.  Out: the same, with secrets, what waits and
installed models where `systemd/edge-pose@.service` has them.  Within the service systemd tells
where that is, and nothing changes here.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from edge_pose.config.read import CONFIG_VARIABLE, Effective

ROOT: Final = Path("/")
_SETTINGS: Final = Path("etc/edge-pose")
_SECRETS: Final = _SETTINGS / "secrets"
_STATE: Final = Path("var/lib/edge-pose")
_GIVEN: Final = ("STATE_DIRECTORY", "CREDENTIALS_DIRECTORY")


def for_administrator(
    settings: Effective, told: Path | None, environ: Mapping[str, str], root: Path = ROOT
) -> Effective:
    """Name the folders of the service outright, where settings leave them open.

    Not for `edge-pose run`: files of root's in the service's folders would be in its way.

    Args:
        settings: as they were read.
        told: the file that the command line named.
        environ: may name the file too, and the folders where systemd started us.
        root: of the machine.

    """
    path = told or environ.get(CONFIG_VARIABLE)
    if not path or any(name in environ for name in _GIVEN):
        return settings
    path = Path(path).absolute()
    if path.parent != root / _SETTINGS:
        return settings
    secrets, state, config = root / _SECRETS, root / _STATE / path.stem, settings.config
    return replace(
        settings,
        config=replace(
            config,
            camera=replace(
                config.camera, password_file=_sought(config.camera.password_file, secrets)
            ),
            mqtt=replace(
                config.mqtt,
                password_file=_sought(config.mqtt.password_file, secrets),
                key_file=_sought(config.mqtt.key_file, secrets),
            ),
            model=replace(config.model, store=config.model.store or state / "models"),
            spool=replace(config.spool, folder=config.spool.folder or state),
        ),
    )


def _sought(path: Path | None, secrets: Path) -> Path | None:
    """Seek a bare file name among the secrets, as the service does."""
    return secrets / path if path is not None and len(path.parts) == 1 else path
