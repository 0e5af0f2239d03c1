"""`edge-pose model`: install a signed bundle, go back to the one before, or list what is there."""

import os
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edge_pose.config import Config
from edge_pose.config.read import Effective
from edge_pose.config.service import for_administrator
from edge_pose.errors import EXIT_OK, EXIT_OPERATOR, ConfigError, EdgePoseError
from edge_pose.store import Store, store_of


def main(settings: Effective, arguments: Namespace) -> int:
    """Do what was asked; a line for each thing that is now so."""
    config = for_administrator(settings, arguments.config, os.environ).config
    store = store_of(config.model, os.environ)
    if store is None:
        raise ConfigError(
            "No key is trusted, so no model can be installed; name a folder of public keys with "
            "model.trusted_keys or --trusted-keys"
        )
    if (arguments.action == "install") != (arguments.delivery is not None):
        raise ConfigError("`edge-pose model install` takes the folder or archive of one bundle")
    if arguments.action == "list":
        return listed(store)
    if arguments.action == "rollback":
        found = store.roll_back(ready_for(config))
    else:
        found = store.install(
            arguments.delivery, ready_for(config), allow_downgrade=arguments.allow_downgrade
        )
    sys.stdout.write(f"current   {found}\n")
    sys.stderr.write("A running edge-pose takes it up when it is reloaded or started again.\n")
    return EXIT_OK


def ready_for(config: Config) -> Callable[[Path], None]:
    """Judge a model as `edge-pose run` will: golden pictures on this machine's own runtime."""

    def ready(folder: Path) -> None:
        from edge_pose.model import open_model

        with open_model(replace(config, model=replace(config.model, bundle=folder))):
            pass

    return ready


def listed(store: Store) -> int:
    """Print what each link means; fail when the current one is not believed."""
    code = EXIT_OK
    current, previous = store.path_of("current"), store.path_of("previous")
    if current is None:
        sys.stdout.write(f"none      {store.folder}; the model in the package is used\n")
    for link, path in (("current", current), ("previous", previous)):
        if path is None or (link == "previous" and path == current):
            continue
        try:
            said = str(store.read(path))
        except EdgePoseError as error:
            said = f"not believed: {error}"
            code = EXIT_OPERATOR if link == "current" else code
        sys.stdout.write(f"{link:8}  {said}\n")
    return code
