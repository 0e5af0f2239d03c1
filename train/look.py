"""One way to look into every pose network: its answer, and where each layer attends.

In: a pose network, pictures [batch, 3, 256, 256] in 0..1, numbers of layers.  Out: the answer (see
`train.student`) and attention logits by layer.

Transformers are asked for their attention.  The convolutional student has none: its layers are the
self-similarities of the last map of each size, 8 x 8, 4 x 4 and 2 x 2 places.
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
    """A convolutional pose network with maps of several sizes: `train.student.Regressor`."""

    levels: int

    def maps(self, image: Tensor) -> list[Tensor]:
        """Return the last map of each size, fine to coarse."""
        ...

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
    maps = network.maps(image)
    return network.answer(maps[-1]), {layer: self_similarity(maps[layer]) for layer in layers}


def tokens_and_answer(network: nn.Module, image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Return what a network makes of each place, [batch, n, width] in a square grid; its answer."""
    if isinstance(network, VitPose):
        tokens = network.encode(image).tokens
        return tokens, network.answer(tokens)
    assert isinstance(network, Convolutional), f"{type(network).__name__} cannot be looked into"
    maps = network.maps(image)
    return maps[0].flatten(2).mT, network.answer(maps[-1])


def read_off(network: nn.Module, image: Tensor) -> Tensor:
    """Return what the head reads joints off: tokens [batch, n, width], or a map of 2 x 2 places."""
    if isinstance(network, VitPose):
        return network.encode(image).tokens
    assert isinstance(network, Convolutional), f"{type(network).__name__} cannot be looked into"
    return network.maps(image)[-1]


def encoder_of(network: nn.Module) -> nn.Module:
    """Return what the first stage trains: a transformer without its head, or all of a student."""
    return network.encoder if isinstance(network, VitPose) else network


def all_layers(network: nn.Module) -> tuple[int, ...]:
    """Return the numbers of all layers that can be looked at."""
    if isinstance(network, VitPose):
        return tuple(range(network.encoder.size.depth))
    assert isinstance(network, Convolutional), f"{type(network).__name__} cannot be looked into"
    return tuple(range(network.levels))


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
