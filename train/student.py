"""The pose network that ships: a square picture of one person in, 2D and 3D joints out.

In: `image` [batch, 3, 256, 256], RGB, pixel / 255.  Out, as a dict of tensors: `joints_px` [batch,
25, 2] in crop pixels, `joints_m` [batch, 25, 3] relative to the pelvis in the axes of the crop's
ray, `score_logits` [batch, 25], `presence_logits` [batch], `reach_px` [batch, 2, 2]: the middle of
the hips, and the point straight above it as far away as the body reaches.

The trunk starts from the landmark networks of MediaPipe Pose (Apache-2.0): their encoder, their
regression tower and their heat maps, without what draws masks.  The head is ours: 25 joints instead
of 33 landmarks, started from linear combinations of theirs, so that training begins at their
accuracy. The trunk is cut in two, so that a small machine can keep the part at high resolution,
which is slow to train, as it is.  The heat maps belong to that part: they sharpen the answer of a
whole look (`forward`), and training what lies behind the cut does without them.  `train.lifter`,
where it was trained, is a second opinion on `joints_m`: a whole look says the mean of both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from edge_pose import skeleton
from train import weights
from train.ceiling import Ceiling
from train.exact import exactly
from train.frozen_stem import stand_in
from train.lifter import Lifter
from train.sharpen import sharpened
from train.tflite_graph import TfliteGraph, input_of, output_indices

INPUT_SIZE_PX: Final = 256
_VALUES: Final = 6
"""Per joint: x, y in crop widths; x, y, z in metres; logit of the score."""

_REACH: Final = (33, 34)
"""The published landmarks by which MediaPipe finds the square for the next frame."""
_CALMER: Final = 0.1
"""Of the published logits of visibility and presence: they reach 80 on crops cut in other ways,
and one such crop in a batch would outweigh all joints of the others.
"""

_HIPS: Final = (skeleton.INDEX["left_hip"], skeleton.INDEX["right_hip"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Published weights to start from and where to cut them."""

    file: weights.ModelFile
    cut: int
    """The first tensor at stride 32: what follows is trained on a small machine."""
    channels: int
    """Width of the last feature map, 2 x 2."""


STARTS: Final[Mapping[str, Start]] = {
    "lite": Start(file=weights.POSE_LITE, cut=242, channels=192),
    "full": Start(file=weights.POSE_FULL, cut=257, channels=288),
    # Its regression reads its decoder, so only what lies behind both can be cut off.
    "heavy": Start(file=weights.POSE_HEAVY, cut=644, channels=288),
}

LANDMARKS: Final[Mapping[str, Mapping[int, float]]] = {
    "nose": {0: 1.0},
    "left_eye": {2: 1.0},
    "right_eye": {5: 1.0},
    "left_ear": {7: 1.0},
    "right_ear": {8: 1.0},
    "left_shoulder": {11: 1.0},
    "right_shoulder": {12: 1.0},
    "left_elbow": {13: 1.0},
    "right_elbow": {14: 1.0},
    "left_wrist": {15: 1.0},
    "right_wrist": {16: 1.0},
    "left_hip": {23: 1.0},
    "right_hip": {24: 1.0},
    "left_knee": {25: 1.0},
    "right_knee": {26: 1.0},
    "left_ankle": {27: 1.0},
    "right_ankle": {28: 1.0},
    "pelvis": {23: 0.5, 24: 0.5},
    "spine": {23: 0.3, 24: 0.3, 11: 0.2, 12: 0.2},
    "neck": {11: 0.5, 12: 0.5},
    "head_top": {7: 1.1, 8: 1.1, 11: -0.6, 12: -0.6},
    "left_heel": {29: 1.0},
    "right_heel": {30: 1.0},
    "left_toe": {31: 1.0},
    "right_toe": {32: 1.0},
}
"""Where each joint starts among the 33 landmarks of MediaPipe; the weights of a row sum to one."""


_SINGLE: Final = {
    skeleton.INDEX[name]: next(iter(shares))
    for name, shares in LANDMARKS.items()
    if len(shares) == 1
}
_MAPPED: Final = list(_SINGLE)
"""Joints that have a heat map of their own: those that are one of the published landmarks."""
_MAPS: Final = list(_SINGLE.values())
_SHARPENED_FIRST: Final = [
    _MAPPED.index(joint) if joint in _SINGLE else len(_MAPPED) + joint
    for joint in range(skeleton.NUM_JOINTS)
]
"""Where each joint stands among those that were sharpened, followed by all as they were."""


class Regressor(nn.Module):
    """Encoder, regression tower and head: what learns, without what only sharpens."""

    levels: int = 3
    """How many maps `maps` returns."""

    def __init__(
        self, stem: nn.Module, tower: TfliteGraph, head: nn.Conv2d, reach: nn.Conv2d
    ) -> None:
        """Put parts together; of what the stem answers the first is read, a map at stride 32."""
        super().__init__()
        self.stem = stem
        self.tower = tower
        self.head = head
        self.reach = reach

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Predict from pictures [batch, 3, 256, 256], by regression alone."""
        return self.predict(self.stem(image)[0])

    def maps(self, image: Tensor) -> list[Tensor]:
        """Return the tower's last map of each size, fine to coarse: 8, 4 and 2 places wide."""
        return self.tower.levels(self.stem(image)[0])

    def predict(self, stem_features: Tensor) -> dict[str, Tensor]:
        """Predict from what the stem made of the pictures, by regression alone."""
        return self.answer(self.tower(stem_features)[0])

    def answer(self, features: Tensor) -> dict[str, Tensor]:
        """Predict from the last feature map, [batch, channels, 2, 2]."""
        with exactly(features) as exact:
            raw = self.head(exact).flatten(1)
            reach = self.reach(exact).flatten(1)
        return decoded(raw, reach)


class PoseNet(Regressor):
    """The whole network that ships, from published weights, with heat maps that sharpen.

    `lifter` has its own opinion of the joints in metres once it was trained; before that there is
    none.  What both say together is better on real people than what either says: they err apart.
    """

    def __init__(self, start: str, cache: Path = weights.DEFAULT_CACHE) -> None:
        """Start from the published weights named `start`, a key of `STARTS`."""
        spec = STARTS[start]
        file_bytes = weights.fetch(spec.file, cache).read_bytes()
        landmarks, presence, _, heat, world = output_indices(file_bytes)
        features = input_of(file_bytes, landmarks, steps_back=2)
        super().__init__(
            TfliteGraph(file_bytes, [spec.cut, heat]),
            TfliteGraph(file_bytes, [features], source=spec.cut),
            nn.Conv2d(spec.channels, skeleton.NUM_JOINTS * _VALUES + 1, 2),
            nn.Conv2d(spec.channels, 2 * 2, 2),
        )
        self.start = start
        self.lifter: Lifter | None = None
        self.tower.clip_last(Ceiling())
        self._start_head(
            *(
                _only_convolution(TfliteGraph(file_bytes, [output], source=features))
                for output in (landmarks, presence, world)
            )
        )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Predict from pictures [batch, 3, 256, 256]."""
        return self.lifted(self.seen(image))

    def seen(self, image: Tensor) -> dict[str, Tensor]:
        """Predict from pictures [batch, 3, 256, 256] without a second opinion on the metres."""
        features, heat = self.stem(image)
        return sharper(self.predict(features), heat)

    def lifted(self, answer: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Let the lifter, where there is one, say what it thinks of the metres of an answer."""
        if self.lifter is None:
            return dict(answer)
        known = (answer[name] for name in ("joints_px", "score_logits", "joints_m"))
        return {**answer, "joints_m": both_opinions(answer["joints_m"], self.lifter(*known))}

    def take(self, parameters: Mapping[str, Tensor]) -> list[str]:
        """Take over parameters by name, and with them a lifter where there is one among them.

        Return the names of those that are not among them and stay as they are.
        """
        if any(name.startswith("lifter.") for name in parameters):
            self.lifter = Lifter(INPUT_SIZE_PX)
        self.load_state_dict(parameters, strict=False)
        return [name for name, _ in self.named_parameters() if name not in parameters]

    @torch.no_grad()
    def _start_head(self, landmarks: nn.Conv2d, presence: nn.Conv2d, world: nn.Conv2d) -> None:
        assert self.head.bias is not None
        assert landmarks.bias is not None
        assert presence.bias is not None
        assert world.bias is not None
        for joint, name in enumerate(skeleton.JOINTS):
            rows = slice(joint * _VALUES, (joint + 1) * _VALUES)
            weight = torch.zeros_like(self.head.weight[rows])
            bias = torch.zeros(_VALUES)
            for landmark, share in LANDMARKS[name].items():
                image_rows = slice(landmark * 5, landmark * 5 + 2)
                world_rows = slice(landmark * 3, landmark * 3 + 3)
                seen_row = landmark * 5 + 3
                weight[:2] += share * landmarks.weight[image_rows] / INPUT_SIZE_PX
                bias[:2] += share * landmarks.bias[image_rows] / INPUT_SIZE_PX
                weight[2:5] += share * world.weight[world_rows]
                bias[2:5] += share * world.bias[world_rows]
                weight[5] += _CALMER * share * landmarks.weight[seen_row]
                bias[5] += _CALMER * share * landmarks.bias[seen_row]
            self.head.weight[rows] = weight
            self.head.bias[rows] = bias
        assert self.reach.bias is not None
        points = [landmark * 5 + axis for landmark in _REACH for axis in range(2)]
        self.reach.weight.copy_(landmarks.weight[points] / INPUT_SIZE_PX)
        self.reach.bias.copy_(landmarks.bias[points] / INPUT_SIZE_PX)
        self.head.weight[-1] = _CALMER * presence.weight[0]
        self.head.bias[-1] = _CALMER * presence.bias[0]


def on_frozen_stem(network: PoseNet, cache: Path = weights.DEFAULT_CACHE) -> Regressor:
    """Return the part of a network that learns on a small machine, sharing its weights.

    Its stem is fixed, and without an accelerator run by ONNX Runtime.
    """
    network.stem.requires_grad_(requires_grad=False)
    stem = stand_in(network.stem, INPUT_SIZE_PX, cache)
    # Half as long again a step takes with channels first.
    network.tower.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Regressor(stem, network.tower, network.head, network.reach)


def decoded(raw: Tensor, reach: Tensor) -> dict[str, Tensor]:
    """Name what the last layers say: the head's [batch, 151] and the reach's [batch, 4]."""
    joints = raw[:, :-1].reshape(-1, skeleton.NUM_JOINTS, _VALUES)
    joints_m = joints[..., 2:5]
    root_m = _hips(joints_m)
    joints_px = joints[..., :2] * INPUT_SIZE_PX - 0.5
    return {
        "joints_px": _with_pelvis(joints_px, _hips(joints_px)),
        "joints_m": _with_pelvis(joints_m - root_m, torch.zeros_like(root_m)),
        "score_logits": joints[..., 5],
        "presence_logits": raw[:, -1],
        "reach_px": reach.reshape(-1, 2, 2) * INPUT_SIZE_PX - 0.5,
    }


def sharper(answer: Mapping[str, Tensor], heat: Tensor) -> dict[str, Tensor]:
    """Sharpen places by the published heat maps, logits [batch, 39, cells, cells]."""
    regressed_px = answer["joints_px"]
    seen = sharpened(_rows(regressed_px, _MAPPED), _rows(heat, _MAPS).float(), INPUT_SIZE_PX)
    joints_px = _rows(torch.cat([seen, regressed_px], 1), _SHARPENED_FIRST)
    return {**answer, "joints_px": _with_pelvis(joints_px, _hips(joints_px))}


def both_opinions(trunk_m: Tensor, lifted_m: Tensor) -> Tensor:
    """Say what trunk and lifter think of the joints in metres: their mean."""
    return (trunk_m + lifted_m) / 2


def _only_convolution(graph: TfliteGraph) -> nn.Conv2d:
    """Return the one convolution of a published head."""
    (convolution,) = (module for module in graph.modules() if isinstance(module, nn.Conv2d))
    return convolution


def _rows(values: Tensor, rows: Sequence[int]) -> Tensor:
    """Choose rows of the second axis: one node of a graph, where indexing takes four."""
    return values.index_select(1, torch.tensor(rows, device=values.device))


def _hips(joints: Tensor) -> Tensor:
    """Return the middle of the hips, [batch, 1, axes]."""
    left, right = (joints[:, hip : hip + 1] for hip in _HIPS)
    return (left + right) / 2


def _with_pelvis(joints: Tensor, pelvis: Tensor) -> Tensor:
    """Put the pelvis, which is derived from the hips, in its place."""
    return torch.cat([joints[:, : skeleton.ROOT], pelvis, joints[:, skeleton.ROOT + 1 :]], dim=1)
