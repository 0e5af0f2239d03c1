"""Networks of the first stage: made by name, asked for one batch, and read from a finished run.

In: the words of a recipe, or a run folder.  Out: networks with their decoders, `terms_of` a batch,
and the weights of the encoder alone, which the next stages start from.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from torch import Tensor

from edge_pose.errors import ConfigError
from train import run_recipe
from train.begin import student_from
from train.fit import Batch, averaged
from train.masking import fill
from train.mim import MimNet, Sight, Target, VitMim, reconstruction_terms
from train.mim_student import StudentMim
from train.vit import SIZES, fit_size

STUDENT: Final = "student"
NETWORKS: Final = (*SIZES, STUDENT)
ENCODER: Final = "encoder."
"""What the names of an encoder's weights begin with in a run."""

_READERS: Final = ("head.", "reach.")


def build(words: Mapping[str, str]) -> MimNet:
    """Make the network that a recipe asks for."""
    if words["network"] == STUDENT:
        begin = words["begin"]
        network = student_from(None if begin == "None" else Path(begin))
        return StudentMim(network, train_stem=words["train_stem"] == "True")
    sight: Sight = "visible" if words["sight"] == "visible" else "filled"
    size = SIZES[words["network"]]
    return VitMim(size, sight=sight, decoder_depth=int(words["decoder_depth"]))


def terms_of(
    network: MimNet,
    batch: Batch,
    *,
    opacity: float,
    background_weight: float,
    target: Target,
) -> dict[str, Tensor]:
    """Hide, guess and compare one batch of `train.mim_data`."""
    image = fit_size(batch["input"], network.input_px)
    guess = network(fill(image, batch["hidden"], opacity), batch["hidden"])
    return reconstruction_terms(
        guess,
        image,
        counted=batch["counted"],
        foreground=fit_size(batch["foreground"][:, None], network.input_px)[:, 0],
        has_foreground=batch["has_foreground"],
        patch_px=network.patch_px,
        background_weight=background_weight,
        target=target,
    )


def load_mim(run: Path) -> MimNet:
    """Return the averaged network of a run folder, decoder and all, ready to guess."""
    network = build(_words(run))
    network.load_state_dict(averaged(run), strict=False)
    return network.eval()


def load_pretrained(run: Path) -> dict[str, Tensor]:
    """Return the averaged weights of a run's encoder.

    Of a transformer all of `train.vit.Vit`; of the student those of `train.student.PoseNet` but for
    what reads joints off them, which this stage leaves alone: loaded with `strict=False`.
    """
    encoder = {
        name.removeprefix(ENCODER): value
        for name, value in averaged(run).items()
        if name.startswith(ENCODER)
    }
    return {name: value for name, value in encoder.items() if not name.startswith(_READERS)}


def pretrained_network(run: Path) -> str:
    """Return the name of the network that a run trained, one of `NETWORKS`."""
    return _words(run)["network"]


def _words(run: Path) -> dict[str, str]:
    words = run_recipe.read(run)
    if words.get("network") not in NETWORKS:
        raise ConfigError(
            f"{run} holds no run of the first stage; make one with `python -m train pretrain`."
        )
    return words
