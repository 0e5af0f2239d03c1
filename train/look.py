"""One way to look into every pose network: its answer, and where each layer attends.

In: a pose network, pictures [batch, 3, 256, 256] in 0..1, numbers of layers.  Out: the answer (see
`train.student`) and attention logits by layer.

Transformers are asked for their attention.  The convolutional student has none: layer 0 is the
self-similarity of its map at stride 32 (8 x 8 places), layer 1 that of its last map (2 x 2).
"""

from collections.abc import Sequence
from typing import Final, Protocol, runtime_checkable

from torch import Tensor, nn

from edge_pose.errors import ConfigError
from train.attention import self_similarity
from train.vit_pose import VitPose

_LAST: Final = 3
_ENCODERS: Final = ("encoder.", "stem.", "tower.")
"""What the names of parameters begin with that learn pictures; the others read joints off them."""


@runtime_checkable
class Convolutional(Protocol):
    """A pose network of two convolutional parts and a head: `train.student.PoseNet`."""

    stem: nn.Module
    tower: nn.Module

    def answer(self, features: Tensor) -> dict[str, Tensor]:
        """Predict from the last feature map."""
        ...


def look(
    network: nn.Module, image: Tensor, layers: Sequence[int]
) -> tuple[dict[str, Tensor], dict[int, Tensor]]:
    """Return the answer and the attention logits [batch, heads, n, n] of the layers."""
    if isinstance(network, VitPose):
        return network.with_attention(image, layers)
    assert isinstance(network, Convolutional), f"{type(network).__name__} cannot be looked into"
    maps, answer = feature_maps(network, image)
    return answer, {layer: self_similarity(maps[layer]) for layer in layers}


def feature_maps(
    network: Convolutional, image: Tensor
) -> tuple[tuple[Tensor, Tensor], dict[str, Tensor]]:
    """Return the maps at stride 32 and at the end of a convolutional network, and its answer."""
    stem_map = network.stem(image)[0]
    last_map = network.tower(stem_map)[0]
    return (stem_map, last_map), network.answer(last_map)


def encoder_of(network: nn.Module) -> nn.Module:
    """Return what the first stage trains: a transformer without its head, or all of a student."""
    return network.encoder if isinstance(network, VitPose) else network


def all_layers(network: nn.Module) -> tuple[int, ...]:
    """Return the numbers of all layers that can be looked at."""
    if isinstance(network, VitPose):
        return tuple(range(network.encoder.size.depth))
    return (0, 1)


def last_layers(network: nn.Module) -> tuple[int, ...]:
    """Return the numbers of the last three layers, or of all where there are fewer."""
    return all_layers(network)[-_LAST:]


def chosen_layers(network: nn.Module, layers: Sequence[int] | None) -> tuple[int, ...]:
    """Resolve numbers that may count from the end; None stands for the last layers.

    Raises:
        ConfigError: the network has no such layer.

    """
    every = all_layers(network)
    if layers is None:
        return last_layers(network)
    for layer in layers:
        if not -len(every) <= layer < len(every):
            raise ConfigError(
                f"there is no layer {layer} in a network of {len(every)}; choose from "
                f"{-len(every)} to {every[-1]}, negative numbers count from the end"
            )
    return tuple(sorted({every[layer] for layer in layers}))


def encoder_parameters(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters of the part that learns pictures, by name."""
    return {name: value for name, value in network.named_parameters() if name.startswith(_ENCODERS)}
