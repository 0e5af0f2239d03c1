"""The first stage: masked image modelling on the source and the target together.

In: folders of both domains (rendered, labelled by the teachers, or plain pictures; no label is
learned from) and a recipe of masks.  Out: a run folder with checkpoints, `pretrain.json` (speed,
and the reconstruction error of each domain) and `reconstructions.png`.  `load_pretrained` reads the
weights of the encoder.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Final, Literal

import torch
from torch import Tensor, nn

from edge_pose.errors import ConfigError
from train.arithmetic import training_flops
from train.distributed import device, place
from train.fit import Batch, Schedule, fit
from train.foreground_audit import Audit
from train.foreground_command import read_left_out
from train.foreground_scenes import AuditedScenes, SiftedScenes
from train.masking import MaskRecipe, read_recipe
from train.mim import WEIGHTS, MimNet, Sight, Target
from train.mim_data import PLAIN, VARIED, MimBatches, MimMixture
from train.mim_figure import draw, reconstructions
from train.mim_run import (
    ENCODER,
    NETWORKS,
    STUDENT,
    build,
    load_mim,
    load_pretrained,
    pretrained_network,
    terms_of,
)
from train.mim_scenes import Scenes, open_scenes
from train.pose_loss import total
from train.presets import Effort
from train.stream import load

__all__ = [
    "NETWORKS",
    "PretrainSettings",
    "load_mim",
    "load_pretrained",
    "pretrain",
    "pretrained_network",
    "terms_of",
]

Crops = Literal["varied", "plain"]

REPORT: Final = "pretrain.json"
PICTURE: Final = "reconstructions.png"

_PUBLISHED_SHARE: Final = 0.03
"""Of the learning rate, for weights that were published: they know more than we can show them."""
_DECODER_SHARE: Final = 0.3
"""Of the steps, in which the decoder of such a network learns alone: what a random one asks for
would wash out what was published.
"""
_DECODER: Final = "decoder"
_PROBE_SEED: Final = 1_000_003
"""Added to the seed for the pictures that the report looks at: other crops, other masks."""
_PROBE_BATCHES: Final = 4
_SHOWN: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainSettings:
    """What the first stage is asked to do."""

    source: tuple[Path, ...]
    target: tuple[Path, ...]
    network: str = "tiny"
    recipe: str = "patches(0.6)"
    """Of masks, see `train/masking/grammar.py`."""
    sight: Sight = "filled"
    decoder_depth: int = 0
    pixels: Target = "normalised"
    background_weight: float = 0.25
    """w_bg of the loss; 1 is the loss of masked autoencoders."""
    crops: Crops = "varied"
    paste: float = 0.0
    """Share of samples whose people stand before another background."""
    frames: int = 1
    """Of the clips that samples are; masks over time need more than one."""
    begin: Path | None = None
    """A run or a bundle whose weights the student begins with; None: with published ones."""
    train_stem: bool = False
    """Whether the student's part at high resolution learns too."""
    wrong_masks: float = 0.0
    """Share of the masks of people that are spoiled, to see what wrong masks cost."""
    foreground: Path | None = None
    """Made by `python -m train foreground`: masks that are not to be believed."""
    learning_rate: float = 1e-3
    effort: Effort
    """How long, in which portions, with which seed."""

    def __post_init__(self) -> None:
        """Refuse what the stage cannot do."""
        if self.network not in NETWORKS:
            raise ConfigError(
                f"nobody knows the network {self.network!r}; choose {', '.join(NETWORKS)}."
            )
        if not 0 <= self.background_weight <= 1 or not 0 <= self.paste <= 1:
            raise ConfigError(
                f"the background's weight is {self.background_weight:g} and the share pasted "
                f"{self.paste:g}; both go from 0 to 1."
            )
        if self.frames < 1 or self.decoder_depth < 0:
            raise ConfigError(
                f"a clip has {self.frames} frames and the decoder {self.decoder_depth} blocks; "
                "give at least 1 frame and no fewer than 0 blocks."
            )
        if self.network == STUDENT and self.sight == "visible":
            raise ConfigError(
                "the convolutional student cannot leave patches out; fill them (--sight filled)."
            )
        if self.network != STUDENT and self.begin is not None:
            raise ConfigError(
                f"{self.begin} is to begin from, and the transformer {self.network} begins with "
                f"random weights; leave it out, or choose the network {STUDENT}."
            )

    def words(self) -> dict[str, str]:
        """Return the settings, but for the effort, as `recipe.json` keeps them."""
        names = [field.name for field in fields(self) if field.name != "effort"]
        values = {name: getattr(self, name) for name in names}
        return {
            name: " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            for name, value in values.items()
        }


def pretrain(settings: PretrainSettings, out: Path) -> dict[str, float]:
    """Train, or go on training; return what `pretrain.json` holds.

    Raises:
        ConfigError: settings that contradict each other, or the run that `out` holds.
        SourceError: a folder without anything to learn from.

    """
    recipe, effort = read_recipe(settings.recipe), settings.effort
    torch.manual_seed(effort.seed)
    network = build(settings.words()).to(device())
    source, target = (_scenes(folders, settings) for folders in (settings.source, settings.target))
    images, begun = 0, time.monotonic()

    stream = partial(
        MimBatches,
        source,
        target,
        mixture=_mixture(settings, recipe, network.input_px),
        batch_size=effort.batch_size,
    )

    def batches(first: int) -> Iterable[Batch]:
        return load(stream(seed=effort.seed, first=first), workers=effort.workers)

    def losses(module: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        nonlocal images
        assert isinstance(module, MimNet)
        images += len(batch["input"])
        return terms_of(
            module,
            batch,
            opacity=recipe.opacity,
            background_weight=settings.background_weight,
            target=settings.pixels,
        )

    def share_of_rate(name: str) -> float:
        is_published = settings.network == STUDENT and name.startswith(ENCODER)
        return _PUBLISHED_SHARE if is_published else 1.0

    def trained(steps: int, folder: Path) -> dict[str, Tensor]:
        return fit(
            network,
            batches,
            losses,
            partial(total, weights=WEIGHTS),
            Schedule(steps=steps, learning_rate=settings.learning_rate),
            folder,
            share_of_rate=share_of_rate,
            options=effort.options(settings.words()),
        )

    alone = round(_DECODER_SHARE * effort.steps) if settings.network == STUDENT else 0
    if alone:
        with _encoder_fixed(network):
            network.load_state_dict(trained(alone, out / _DECODER), strict=False)
    average = trained(effort.steps - alone, out)
    if not images and (out / REPORT).exists():
        return json.loads((out / REPORT).read_text())
    per_s = images * place().processes / (time.monotonic() - begun)
    network.load_state_dict(average, strict=False)
    probes = [stream(seed=effort.seed + _PROBE_SEED).batch(k) for k in range(_PROBE_BATCHES)]
    return _report(network.eval(), probes, settings, out, per_s)


@contextmanager
def _encoder_fixed(network: MimNet) -> Iterator[None]:
    """Let only the decoder learn."""
    learning = [value for value in network.encoder.parameters() if value.requires_grad]
    for value in learning:
        value.requires_grad = False
    yield
    for value in learning:
        value.requires_grad = True


def _scenes(folders: tuple[Path, ...], settings: PretrainSettings) -> Scenes:
    """Open folders, without the masks that are not believed and with some spoiled, if asked."""
    scenes: Scenes = open_scenes(folders)
    if settings.foreground is not None:
        scenes = SiftedScenes(scenes, read_left_out(settings.foreground))
    if settings.wrong_masks:
        audit = Audit(share=settings.wrong_masks, seed=settings.effort.seed)
        scenes = AuditedScenes(scenes, audit)
    return scenes


def _mixture(settings: PretrainSettings, recipe: MaskRecipe, size_px: int) -> MimMixture:
    return MimMixture(
        recipe=recipe,
        size_px=size_px,
        augmentation=VARIED if settings.crops == "varied" else PLAIN,
        paste=settings.paste,
        frames=settings.frames,
    )


def _report(
    network: MimNet,
    probes: Sequence[Batch],
    settings: PretrainSettings,
    out: Path,
    images_per_s: float,
) -> dict[str, float]:
    """Measure the reconstruction of each domain, all pixels weighing the same, and draw some."""
    opacity = read_recipe(settings.recipe).opacity
    batches = [{name: value.to(device()) for name, value in probe.items()} for probe in probes]

    def error(batch: Batch) -> Tensor:
        return terms_of(
            network, batch, opacity=opacity, background_weight=1.0, target=settings.pixels
        )["reconstruction"]

    def mean_error(*, of_target: bool) -> float:
        halves = [
            {name: value[batch["is_target"] == of_target] for name, value in batch.items()}
            for batch in batches
        ]
        with torch.no_grad():
            return float(torch.stack([error(half) for half in halves]).mean())

    shown = {name: value[:_SHOWN] for name, value in batches[0].items()}
    flops = training_flops(lambda: error(shown)) / len(shown["input"])
    figures = {
        "source_error": mean_error(of_target=False),
        "target_error": mean_error(of_target=True),
        "images_per_s": images_per_s,
        "gflop_per_image": flops / 1e9,
        "tflop_per_s": images_per_s * flops / 1e12,
    }
    if place().leads:
        rows = reconstructions(network, shown, opacity=opacity, target=settings.pixels)
        draw(rows, out / PICTURE)
        (out / REPORT).write_text(json.dumps(figures, indent=1))
    return figures
