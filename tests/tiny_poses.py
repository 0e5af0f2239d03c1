"""Small pose networks and batches of people that exist only as numbers."""

from collections.abc import Iterator, Mapping
from itertools import count

import torch
from torch import Tensor, nn

from edge_pose import skeleton
from train.two_domains import two_domains
from train.vit import VitSize
from train.vit_pose import VitPose

TINY = VitSize(name="test", width=24, depth=2, heads=2, patch_px=16, input_px=64)


def transformer(seed: int = 0) -> VitPose:
    torch.manual_seed(seed)
    return VitPose(TINY)


class Convolutions(nn.Module):
    """A network cut as `train.student.PoseNet` is, with maps of 8 x 8 and 2 x 2 places."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Listed(nn.Sequential(nn.AvgPool2d(8), nn.Conv2d(3, 8, 4, 4), nn.ReLU()))
        self.tower = _Listed(nn.Sequential(nn.Conv2d(8, 16, 4, 4), nn.Tanh()))
        self.head = nn.Linear(64, skeleton.NUM_JOINTS * 6 + 5)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Predict from pictures."""
        return self.answer(self.tower(self.stem(image)[0])[0])

    levels = 2

    def maps(self, image: Tensor) -> list[Tensor]:
        """Return both maps."""
        fine = self.stem(image)[0]
        return [fine, self.tower(fine)[0]]

    def answer(self, features: Tensor) -> dict[str, Tensor]:
        """Predict from the last feature map."""
        raw = self.head(features.flatten(1))
        joints = raw[:, :-5].unflatten(1, (skeleton.NUM_JOINTS, 6))
        return {
            "joints_px": joints[..., :2] * 64 + 127.5,
            "joints_m": joints[..., 2:5],
            "score_logits": joints[..., 5],
            "presence_logits": raw[:, -5],
            "reach_px": raw[:, -4:].unflatten(1, (2, 2)) * 64 + 127.5,
        }


class _Listed(nn.Module):
    """Answers with a list of one map, as graphs do."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, image: Tensor) -> list[Tensor]:
        return [self.layers(image)]


def batch(seed: int, size: int = 4, *, has_3d: bool = True) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {
        "input": torch.rand(size, 3, 256, 256, generator=random),
        "joints_px": torch.rand(size, skeleton.NUM_JOINTS, 2, generator=random) * 255,
        "weight_2d": torch.rand(size, skeleton.NUM_JOINTS, generator=random),
        "joints_m": torch.randn(size, skeleton.NUM_JOINTS, 3, generator=random) * 0.3,
        "reach_px": torch.rand(size, 2, 2, generator=random) * 255,
        "has_3d": torch.full((size,), has_3d),
        "visible": torch.ones(size, skeleton.NUM_JOINTS, dtype=torch.bool),
        "presence": torch.ones(size),
    }


def both(seed: int, *, target_3d: bool = False) -> dict[str, Tensor]:
    return two_domains(batch(seed), batch(1000 + seed, has_3d=target_3d))


def stream(first: int) -> Iterator[Mapping[str, Tensor]]:
    """Yield batches of two domains that depend on nothing but the step."""
    for step in count(first):
        found = both(step % 5)
        yield found | {"target_masked": found["target_input"].clamp_max(0.5)}
