"""Every annotated array shape and dtype of our packages is checked while the tests run.

The hook must stand before anything imports the packages, so it stands here, at module level.
"""

import os

import pytest
from jaxtyping import install_import_hook

install_import_hook(["edge_pose", "train", "export"], "beartype.beartype")


@pytest.fixture(autouse=True, scope="session")
def _state_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what programs leave behind out of the folders of whoever runs the tests."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    os.environ.pop("STATE_DIRECTORY", None)
