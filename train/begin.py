"""Where the pose network that ships begins: with published weights, a run's, or a bundle's.

In: a path, or none.  Out: a `PoseNet` in evaluation mode, or weights by name.
"""

from pathlib import Path
from typing import Final

from torch import Tensor

from edge_pose.errors import ConfigError
from train.distributed import device
from train.fit import averaged
from train.shipped import shipped_weights
from train.student import PoseNet

PUBLISHED: Final = "full"
"""Of `train.student.STARTS`: what ships was trained from it."""
_GRAPH: Final = "pose.onnx"


def weights_of(path: Path) -> dict[str, Tensor]:
    """Return the averaged weights of a run, or what a bundle ships.

    Raises:
        ConfigError: there is neither.
        BundleError: `pose.onnx` that nobody trains on from.

    """
    shipped = path / _GRAPH if path.is_dir() else path
    if shipped.is_file():
        return shipped_weights(shipped)
    if not path.is_dir():
        raise ConfigError(
            f"there is no {path} to begin from; name the folder of a run of the student, or of a "
            "bundle"
        )
    return averaged(path)


def student_from(path: Path | None) -> PoseNet:
    """Make the student with the weights found there; None leaves it as it was published."""
    network = PoseNet(PUBLISHED)
    if path is not None:
        network.load_state_dict(weights_of(path), strict=False)
    return network.to(device()).eval()
