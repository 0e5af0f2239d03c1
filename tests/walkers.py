"""People made of formulas who walk in circles before a camera, for tests without a model."""

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32

from edge_pose.skeleton import INDEX, NUM_JOINTS, ROOT
from edge_pose.types import Frame, Intrinsics, Pose3D, Stats

WIDTH_PX, HEIGHT_PX = 1280, 720
FOCAL_PX = 900.0
CAMERA_HEIGHT_M = 1.5
STEPS_HZ = 0.9


def intrinsics(*, assumed: bool = True) -> Intrinsics:
    matrix = np.array(
        [[FOCAL_PX, 0, WIDTH_PX / 2], [0, FOCAL_PX, HEIGHT_PX / 2], [0, 0, 1]], np.float64
    )
    return Intrinsics(matrix=matrix, width_px=WIDTH_PX, height_px=HEIGHT_PX, assumed=assumed)


def walkers(
    *, people: int = 3, fps: float = 25.0, frames: int = 250
) -> Iterator[tuple[Frame, list[Pose3D], Stats]]:
    """Yield what a pipeline would send, frame by frame; time is in the stamps, nobody sleeps."""
    image = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    for sequence in range(frames):
        time_s = sequence / fps
        captured_ns = round(time_s * 1e9)
        frame = Frame(
            image=image,
            sequence=sequence,
            captured_ns=captured_ns,
            captured_at_ms=1_790_000_000_000 + round(time_s * 1e3),
        )
        poses = [_pose(number, time_s, captured_ns) for number in range(1, people + 1)]
        yield frame, poses, Stats(fps=fps, infer_ms=21.4, total_ms=33.9, skipped=7, reconnects=0)


def _pose(number: int, time_s: float, captured_ns: int) -> Pose3D:
    """Person `number` walks round a circle of its own, the arms swinging against the legs."""
    turn_s = (14.0, -19.0, 25.0, -31.0)[number % 4]
    angle = 2 * math.pi * (time_s / turn_s + number * 0.37)
    radius_m = 0.9 + 0.25 * number
    centre_x_m, centre_z_m = (0.0, -1.4, 0.2, 1.6)[number % 4], 3.2 + 0.9 * (number % 4)
    heading = angle + math.copysign(math.pi / 2, turn_s)
    ground_m = np.array(
        [centre_x_m + radius_m * math.cos(angle), 0.0, centre_z_m + radius_m * math.sin(angle)]
    )
    body_m = _walking_body(2 * math.pi * STEPS_HZ * time_s + number, height_m=1.6 + 0.08 * number)
    forward = np.array([math.cos(heading), 0.0, math.sin(heading)])
    left = np.array([-math.sin(heading), 0.0, math.cos(heading)])
    up = np.array([0.0, -1.0, 0.0])
    joints_m = ground_m + body_m @ np.stack([forward, left, up])
    joints_m[:, 1] += CAMERA_HEIGHT_M
    joints_px = FOCAL_PX * joints_m[:, :2] / joints_m[:, 2:] + (WIDTH_PX / 2, HEIGHT_PX / 2)
    scores = np.full(NUM_JOINTS, 0.93, np.float32)
    predicted = np.zeros(NUM_JOINTS, np.bool_)
    if number == 2:  # whose right arm is hidden
        hidden = [INDEX["right_elbow"], INDEX["right_wrist"]]
        scores[hidden], predicted[hidden] = 0.22, True
    return Pose3D(
        track=number,
        score=0.97 - 0.05 * number,
        box_px=np.concatenate([joints_px.min(0), joints_px.max(0)]).astype(np.float32),
        joints_m=joints_m.astype(np.float32),
        joints_px=joints_px.astype(np.float32),
        scores=scores,
        predicted=predicted,
        stale=False,
        captured_ns=captured_ns,
    )


def _walking_body(phase: float, *, height_m: float) -> Float32[np.ndarray, "joints 3"]:
    """Joints in forward, left, up from the point of the ground below the pelvis."""
    joints = np.zeros((NUM_JOINTS, 3), np.float32)
    swing = math.sin(phase)

    def put(name: str, forward: float, left: float, up: float) -> None:
        joints[INDEX[name]] = forward, left, up

    put("pelvis", 0, 0, 0.53)
    put("spine", 0.01, 0, 0.67)
    put("neck", 0.02, 0, 0.83)
    put("head_top", 0.03, 0, 1.0)
    put("nose", 0.10, 0, 0.92)
    for side, name, step in ((1, "left", swing), (-1, "right", -swing)):
        put(f"{name}_eye", 0.085, side * 0.02, 0.935)
        put(f"{name}_ear", 0.035, side * 0.045, 0.925)
        put(f"{name}_shoulder", 0.01, side * 0.11, 0.815)
        put(f"{name}_elbow", -0.09 * step, side * 0.135, 0.635)
        put(f"{name}_wrist", -0.20 * step + 0.05, side * 0.125, 0.50 + 0.03 * abs(step))
        put(f"{name}_hip", 0, side * 0.055, 0.53)
        lift = max(0.0, math.cos(phase) * side)
        put(f"{name}_knee", 0.09 * step + 0.05 * lift, side * 0.055, 0.29 + 0.02 * lift)
        put(f"{name}_ankle", 0.18 * step - 0.06 * lift, side * 0.055, 0.045 + 0.05 * lift)
        put(f"{name}_heel", 0.18 * step - 0.06 * lift - 0.03, side * 0.055, 0.02 + 0.06 * lift)
        put(f"{name}_toe", 0.18 * step - 0.06 * lift + 0.11, side * 0.06, 0.01 + 0.03 * lift)
    assert np.allclose(joints[ROOT], [0, 0, 0.53])
    return joints * np.float32(height_m)
