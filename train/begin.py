"""Where the pose network that ships begins: with published weights, a run's, or a bundle's.

In: a path, or none.  Out: a `PoseNet` in evaluation mode, or weights by name.
"""

from pathlib import Path
from typing import Final

from torch import Tensor

from edge_pose.errors import ConfigError
from train import run_recipe
from train.distributed import device
from train.fit import averaged
from train.shipped import shipped_start, shipped_weights
from train.student import STARTS, PoseNet

PUBLISHED: Final = "full"
"""Of `train.student.STARTS`: what the tier that ships as `fast` was trained from."""
_GRAPH: Final = "pose.onnx"


def weights_of(path: Path) -> dict[str, Tensor]:
    """Return the averaged weights of a run, or what a bundle ships.

    Raises:
        ConfigError: there is neither.
        BundleError: `pose.onnx` that nobody trains on from.

    """
    shipped = _graph(path)
    if shipped.is_file():
        return shipped_weights(shipped)
    if not path.is_dir():
        raise ConfigError(
            f"there is no {path} to begin from; name the folder of a run of the student, or of a "
            "bundle"
        )
    return averaged(path)


def start_of(path: Path | None) -> str:
    """Return what the network of a run or bundle was trained from, a key of `STARTS`.

    None stands for the network as it was published.

    Raises:
        ConfigError: the run says nothing that is known.

    """
    if path is None:
        return PUBLISHED
    shipped = _graph(path)
    if shipped.is_file():
        return shipped_start(shipped) or PUBLISHED
    start = run_recipe.read(path).get("start")
    if start not in STARTS:
        raise ConfigError(
            f"{path} is no run of the student: its {run_recipe.RECIPE} names "
            f"{'no start' if start is None else f'the start {start}'}; name the folder of one, or "
            "make it again if an older version made it"
        )
    return str(start)


def student_from(path: Path | None) -> PoseNet:
    """Make the student with the weights found there; None leaves it as it was published.

    Raises:
        ConfigError: there are none, or not those of the whole network.
        BundleError: `pose.onnx` that nobody trains on from.

    """
    if path is None:
        return PoseNet(PUBLISHED).to(device()).eval()
    parameters = weights_of(path)
    network = PoseNet(start_of(path))
    lacking = network.take(parameters)
    # Of arrays that are still equal, as they are before any training, an exporter writes one.
    if lacking and not _graph(path).is_file():
        part, *_ = lacking[0].split(".")
        raise ConfigError(
            f"{path} lacks the {part} of the network ({len(lacking)} arrays, the first is "
            f"{lacking[0]}), as runs do that an older `train adapt` made on a CPU; delete that "
            "run and start its command again to distil again, or name a whole run or bundle"
        )
    return network.to(device()).eval()


def _graph(path: Path) -> Path:
    return path / _GRAPH if path.is_dir() else path
