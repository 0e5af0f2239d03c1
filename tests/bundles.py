"""A stand-in bundle whose networks do something simple and predictable, and pictures for them.

The detector boxes the bright pixels of each colour channel, so it finds up to three people: one
red, one green, one blue. The pose network takes the channel that is brightest about the centre
and lays one fixed standing body into its box.
`draw_people` paints such people where a pinhole camera would see them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from jaxtyping import Float32, UInt8
from onnx import TensorProto, helper, numpy_helper

from edge_pose import skeleton
from edge_pose.types import Intrinsics
from export.pack import NetworkSource, PackOrder, pack

MEAN: Final = (0.485, 0.456, 0.406)
STD: Final = (0.229, 0.224, 0.225)
DETECTOR_SIDE_PX: Final = 192
BRIGHT: Final = 0.6
RED: Final = (0, 0, 255)
GREEN: Final = (0, 255, 0)
BLUE: Final = (255, 0, 0)

_RIGHT_SIDE: Final = {
    "right_eye": (-0.03, -0.70),
    "right_ear": (-0.08, -0.68),
    "right_shoulder": (-0.19, -0.46),
    "right_elbow": (-0.25, -0.18),
    "right_wrist": (-0.27, 0.06),
    "right_hip": (-0.10, 0.0),
    "right_knee": (-0.11, 0.42),
    "right_ankle": (-0.11, 0.80),
    "right_heel": (-0.11, 0.85),
    "right_toe": (-0.14, 0.88),
}
_MIDDLE: Final = {
    "nose": (0.0, -0.66),
    "pelvis": (0.0, 0.0),
    "spine": (0.0, -0.22),
    "neck": (0.0, -0.50),
    "head_top": (0.0, -0.82),
}


def _standing_body() -> Float32[np.ndarray, "25 3"]:
    places = dict(_MIDDLE)
    for name, (x, y) in _RIGHT_SIDE.items():
        places[name] = (x, y)
        places[name.replace("right_", "left_")] = (-x, y)
    return np.array([(*places[name], 0.0) for name in skeleton.JOINTS], np.float32)


BODY_M: Final = _standing_body()
"""A flat person who faces the camera: pelvis at the origin, 1.70 m from head top to toes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A person to be painted: where the pelvis is, in camera axes, and in which colour (BGR)."""

    root_m: tuple[float, float, float]
    colour: tuple[int, int, int] = RED


def draw_people(
    actors: Sequence[Actor], intrinsics: Intrinsics, *, background: int = 40
) -> UInt8[np.ndarray, "height width 3"]:
    """Paint each actor as the rectangle that the joints of `BODY_M` span; the last is in front."""
    image = np.full((intrinsics.height_px, intrinsics.width_px, 3), background, np.uint8)
    for actor in actors:
        points = (BODY_M + np.array(actor.root_m, np.float32)) @ intrinsics.matrix.T
        pixels = points[:, :2] / points[:, 2:]
        x0, y0 = np.clip(np.round(pixels.min(axis=0)), 0, None).astype(int)
        x1, y1 = np.clip(np.round(pixels.max(axis=0)), -1, None).astype(int)
        image[y0 : y1 + 1, x0 : x1 + 1] = actor.colour
    return image


def make_bundle(folder: Path, *, name: str = "stand-in") -> Path:
    """Write both networks and pack them into `folder`/bundle; return that folder."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(detector_network(), folder / "detector.onnx")
    onnx.save(pose_network(), folder / "pose.onnx")
    order = PackOrder(
        name=name,
        version="0.0.1",
        created="2026-01-01T00:00:00Z",
        networks={
            "detector": NetworkSource(
                path=folder / "detector.onnx", mean=MEAN, std=STD, pad_value=0.0
            ),
            "pose": NetworkSource(path=folder / "pose.onnx", mean=MEAN, std=STD),
        },
        tolerance_px={"fp32": 0.5},
        tolerance_mm={"fp32": 2.0},
        card="# Stand-in\n\nLays a standing body into bright rectangles.\n",
        metrics={},
        provenance=json.loads('{"commit": "none", "stages": [], "data": [], "details": {}}'),
        golden={
            "detector": _golden(DETECTOR_SIDE_PX),
            "pose": _golden(256),
        },
    )
    out = folder / "bundle"
    pack(order, out)
    return out


def detector_network(side_px: int = DETECTOR_SIDE_PX) -> onnx.ModelProto:
    """One anchor a colour channel: the tight box of its bright pixels."""
    nodes = [
        *_bright_boxes(),
        # boxes [1, 3, 4]; 64 bright pixels are a person.
        helper.make_node("Identity", ["box"], ["boxes_px"]),
        helper.make_node("Greater", ["count", "enough"], ["found"]),
        helper.make_node("Where", ["found", "sure", "unsure"], ["scores"]),
    ]
    constants: dict[str, np.ndarray | np.float32] = {
        "enough": np.float32(64.0),
        "sure": np.float32(0.9),
        "unsure": np.float32(0.01),
        **_box_constants(side_px),
    }
    return _model(
        nodes,
        constants,
        inputs={"image": (1, 3, side_px, side_px)},
        outputs={"boxes_px": (1, 3, 4), "scores": (1, 3)},
    )


def _reach_weights() -> Float32[np.ndarray, "4 4"]:
    """Return how hips and reach (x and y) follow from x0, y0, x1, y1 of a box.

    The reach is 0.87 m above the hips of a body 1.7 m tall.
    """
    down = [0.82 / 1.7, (0.82 - 0.87) / 1.7]
    rows = [row for share in down for row in ([0.5, 0.0, 0.5, 0.0], [0.0, 1.0 - share, 0.0, share])]
    return np.array(rows, np.float32).T


def pose_network(side_px: int = 256) -> onnx.ModelProto:
    """`BODY_M` stretched into the box of the channel that is brightest about the crop's centre."""
    low, high = BODY_M[:, :2].min(axis=0), BODY_M[:, :2].max(axis=0)
    nodes = [
        *_bright_boxes(),
        helper.make_node("Mul", ["ones", "central"], ["central_ones"]),
        helper.make_node("ReduceSum", ["central_ones", "axes23"], ["central_count"], keepdims=0),
        helper.make_node("ArgMax", ["central_count"], ["channel"], axis=1, keepdims=1),
        helper.make_node("Unsqueeze", ["channel", "axis2"], ["channel_row"]),
        helper.make_node("Expand", ["channel_row", "box_columns"], ["channel_columns"]),
        helper.make_node("GatherElements", ["box", "channel_columns"], ["own_box"], axis=1),
        helper.make_node("Slice", ["own_box", "zero1", "two1", "axis2"], ["corner"]),
        helper.make_node("Slice", ["own_box", "two1", "four1", "axis2"], ["far_corner"]),
        helper.make_node("Sub", ["far_corner", "corner"], ["extent"]),
        helper.make_node("Mul", ["extent", "unit_body"], ["offset"]),
        helper.make_node("Add", ["offset", "corner"], ["joints_px"]),
        helper.make_node("ReduceMax", ["count", "axis1"], ["most"], keepdims=0),
        helper.make_node("Greater", ["most", "enough"], ["found"]),
        helper.make_node("Where", ["found", "sure", "unsure"], ["presence"]),
        helper.make_node("Unsqueeze", ["presence", "axis1"], ["presence_column"]),
        helper.make_node("Mul", ["presence_column", "joint_scores"], ["scores"]),
        helper.make_node("Unsqueeze", ["presence_column", "axis2"], ["presence_cube"]),
        helper.make_node("Mul", ["presence_cube", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "body_m"], ["joints_m"]),
        helper.make_node("MatMul", ["own_box", "reach_weights"], ["reach_row"]),
        helper.make_node("Reshape", ["reach_row", "reach_shape"], ["reach_px"]),
    ]
    away = (np.arange(side_px, dtype=np.float32) - (side_px - 1) / 2.0) / (side_px / 8.0)
    bell = np.exp(-0.5 * np.square(away))
    constants: dict[str, np.ndarray | np.float32] = {
        "central": (bell[:, None] * bell)[None, None],
        "enough": np.float32(64.0),
        "sure": np.float32(0.95),
        "unsure": np.float32(0.02),
        "zero": np.float32(0.0),
        "zero1": np.array([0]),
        "two1": np.array([2]),
        "four1": np.array([4]),
        "box_columns": np.array([1, 1, 4]),
        "unit_body": ((BODY_M[:, :2] - low) / (high - low))[None],
        "joint_scores": np.full((1, skeleton.NUM_JOINTS), 0.9, np.float32),
        "body_m": BODY_M[None],
        "reach_weights": _reach_weights(),
        "reach_shape": np.array([-1, 2, 2]),
        **_box_constants(side_px),
    }
    joints = skeleton.NUM_JOINTS
    return _model(
        nodes,
        constants,
        inputs={"image": ("batch", 3, side_px, side_px)},
        outputs={
            "joints_px": ("batch", joints, 2),
            "joints_m": ("batch", joints, 3),
            "scores": ("batch", joints),
            "presence": ("batch",),
            "reach_px": ("batch", 2, 2),
        },
    )


def _bright_boxes() -> list[onnx.NodeProto]:
    """`image` to `box` [batch, 3, 4] and `count` [batch, 3] of bright pixels for each channel."""
    make = helper.make_node
    return [
        make("Mul", ["image", "std"], ["scaled"]),
        make("Add", ["scaled", "mean"], ["level"]),
        make("Greater", ["level", "bright"], ["mask"]),
        make("Cast", ["mask"], ["ones"], to=TensorProto.FLOAT),
        make("ReduceSum", ["ones", "axes23"], ["count"], keepdims=0),
        make("Where", ["mask", "columns", "far"], ["columns_or_far"]),
        make("Where", ["mask", "rows", "far"], ["rows_or_far"]),
        make("Where", ["mask", "columns", "before"], ["columns_or_before"]),
        make("Where", ["mask", "rows", "before"], ["rows_or_before"]),
        make("ReduceMin", ["columns_or_far", "axes23"], ["x0"], keepdims=0),
        make("ReduceMin", ["rows_or_far", "axes23"], ["y0"], keepdims=0),
        make("ReduceMax", ["columns_or_before", "axes23"], ["x1"], keepdims=0),
        make("ReduceMax", ["rows_or_before", "axes23"], ["y1"], keepdims=0),
        *(
            make("Unsqueeze", [name, "axis2"], [f"{name}_column"])
            for name in ("x0", "y0", "x1", "y1")
        ),
        make("Concat", [f"{name}_column" for name in ("x0", "y0", "x1", "y1")], ["box"], axis=2),
    ]


def _box_constants(side_px: int) -> dict[str, np.ndarray]:
    ramp = np.arange(side_px, dtype=np.float32)
    return {
        "std": np.array(STD, np.float32).reshape(1, 3, 1, 1),
        "mean": np.array(MEAN, np.float32).reshape(1, 3, 1, 1),
        "bright": np.array(BRIGHT, np.float32),
        "axes23": np.array([2, 3]),
        "axis1": np.array([1]),
        "axis2": np.array([2]),
        "columns": ramp.reshape(1, 1, 1, side_px),
        "rows": ramp.reshape(1, 1, side_px, 1),
        "far": np.array(side_px, np.float32),
        "before": np.array(-1, np.float32),
    }


def _model(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, np.ndarray | np.float32],
    *,
    inputs: dict[str, tuple[int | str, ...]],
    outputs: dict[str, tuple[int | str, ...]],
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "stand-in",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(s)) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(s)) for n, s in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def _golden(side_px: int) -> UInt8[np.ndarray, "pictures side side 3"]:
    pictures = np.full((2, side_px, side_px, 3), 30, np.uint8)
    pictures[0, side_px // 8 : -side_px // 8, side_px // 3 : -side_px // 3] = RED
    pictures[1, side_px // 4 : -side_px // 4, side_px // 2 : -side_px // 5] = GREEN
    return pictures
