"""From a task to bones: in go goals and measures, out comes a posture by inverse kinematics.

Order: pelvis and spine, legs (the pelvis sinks until both reach), head, arms, fingers.  Where a
goal leaves freedom (elbow swivel, pronation, small tilts) the generator of random numbers decides,
within ranges of motion as textbooks of anatomy give them, rounded.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64

from train.synth.kinematics import Limb, Posture, aim_limb, bend_limb
from train.synth.measures import Measures
from train.synth.rotations import (
    Matrix,
    Vector,
    about,
    about_x,
    about_y,
    about_z,
    across,
    cross,
    length,
    twist_about,
    unit,
)
from train.synth.task import FootGoal, Frame, HandGoal, Task

SPINE: Final = {"spine05": 0.15, "spine04": 0.2, "spine03": 0.25, "spine02": 0.2, "spine01": 0.2}
NECK: Final = {"neck01": 0.2, "neck02": 0.2, "neck03": 0.2, "head": 0.4}
CARRIERS: Final = {"pelvis": "root", "chest": "spine01", "head": "head"}
SIGN: Final = {"L": 1.0, "R": -1.0}
CURL_RAD: Final = (1.25, 1.6, 1.0)
THUMB_CURL_RAD: Final = (0.25, 0.5, 0.7)
MOST_PRONATION_RAD: Final = 1.5
MOST_HUMERAL_TWIST_RAD: Final = 1.4
KNEE_HEIGHT_M: Final = 0.055
"""Centre of a knee that rests on the floor."""
TUCKED_RAD: Final = 1.7
"""A heel lifted further than this means that the instep lies on the floor."""
NUM_SWIVELS: Final = 5


@dataclass(slots=True, kw_only=True)
class Poser:
    """Solves one task for one body."""

    measures: Measures
    rng: np.random.Generator

    def solve(self, task: Task) -> Posture:
        """Turn all bones; the result faces -Y and stands on the floor to about a centimetre."""
        posture = Posture(
            skeleton=self.measures.skeleton,
            reference_m=self.measures.reference_m,
            root_m=np.zeros(3),
        )
        self._trunk(posture, task)
        self._sink_until_feet_reach(posture, task)
        for side, foot in (("L", task.left_foot), ("R", task.right_foot)):
            self._leg(posture, foot, side)
        self._head(posture, task)
        for side, hand in (("L", task.left_hand), ("R", task.right_hand)):
            self._arm(posture, hand, side)
            self._fingers(posture, hand, side)
        posture.update()
        return posture

    def _chain(self, *bones: str) -> list[int]:
        return [self.measures.skeleton.index[bone] for bone in bones]

    def _trunk(self, posture: Posture, task: Task) -> None:
        roll = task.pelvis_roll_rad + self.rng.normal(0.0, 0.03)
        posture.turn(
            "root",
            about_z(task.pelvis_yaw_rad) @ about_y(roll) @ about_x(task.pelvis_pitch_rad),
        )
        for bone, share in SPINE.items():
            posture.turn(
                bone,
                about_z(task.twist_rad * share)
                @ about_y(task.lean_rad * share)
                @ about_x(task.bend_rad * share),
            )

    def _sink_until_feet_reach(self, posture: Posture, task: Task) -> None:
        """Place the hip centre, lower where a leg would have to be longer than it is."""
        reference_m = self.measures.reference_m
        index = self.measures.skeleton.index
        hips_m = (reference_m[index["upperleg01.L"]] + reference_m[index["upperleg01.R"]]) / 2.0
        root_turn = posture.turns[0]
        below_hips_m = root_turn @ (hips_m - reference_m[0])
        posture.root_m = task.pelvis_m - below_hips_m
        lower = self._chain("root", "pelvis.L", "upperleg01.L", "pelvis.R", "upperleg01.R")
        posture.update(lower)
        for side, foot in (("L", task.left_foot), ("R", task.right_foot)):
            if foot.frame == "pelvis" or foot.knee_on_floor:
                continue
            hip_m = posture.head_m(f"upperleg01.{side}")
            ankle_m = self._ankle_m(foot)
            level_m = length((hip_m - ankle_m) * np.array([1.0, 1.0, 0.0]))
            reach_m = 0.995 * self.measures.leg_m
            highest_m = float(ankle_m[2]) + math.sqrt(max(reach_m**2 - level_m**2, 0.0))
            sink_m = max(0.0, float(hip_m[2]) - highest_m)
            posture.root_m = posture.root_m - np.array([0.0, 0.0, sink_m])
            posture.update(lower)
        posture.update(self._chain("root", *SPINE, "pelvis.L", "upperleg01.L"))
        posture.update(self._chain("pelvis.R", "upperleg01.R"))

    def _ankle_m(self, foot: FootGoal) -> Vector:
        """Ankle bone in the floor frame: rolling onto the toes lifts it."""
        rise_m = self.measures.ankle_height_m + math.sin(min(foot.heel_lift_rad, 1.4)) * 0.13
        return foot.ankle_m + np.array([0.0, 0.0, rise_m])

    def _leg(self, posture: Posture, foot: FootGoal, side: str) -> None:
        names = (f"upperleg01.{side}", f"lowerleg01.{side}", f"foot.{side}")
        reference_m = self.measures.reference_m[self._chain(*names)]
        hip_m = posture.head_m(names[0])
        toe_out = about_z(SIGN[side] * foot.toe_out_rad)
        root_turn = posture.world_turn("root")
        facing = about_z(math.atan2(root_turn[1, 0], root_turn[0, 0]))
        if foot.knee_on_floor:
            limb = self._kneel(
                reference_m,
                hip_m=hip_m,
                forward=facing @ toe_out @ np.array([0.0, -1.0, 0.0]),
                rise_m=0.08 if foot.heel_lift_rad < TUCKED_RAD else 0.0,
            )
            foot_turn = facing @ toe_out @ about_x(foot.heel_lift_rad)
        elif foot.frame == "pelvis":
            target_m = hip_m + root_turn @ foot.ankle_m * self.measures.leg_m
            pole = root_turn @ (
                foot.knee if foot.knee is not None else toe_out @ np.array([0.0, -1.0, 0.1])
            )
            limb = bend_limb(reference_m, start_m=hip_m, target_m=target_m, pole=pole)
            foot_turn = limb.lower_turn @ about_x(foot.heel_lift_rad)
        else:
            target_m = self._ankle_m(foot)
            pole = (
                foot.knee
                if foot.knee is not None
                else toe_out @ np.array([SIGN[side] * 0.12, -1.0, 0.1])
            )
            limb = bend_limb(reference_m, start_m=hip_m, target_m=target_m, pole=pole)
            foot_turn = toe_out @ about_z(-SIGN[side] * 0.14) @ about_x(foot.heel_lift_rad)
            if foot.follows_shin:
                foot_turn = limb.lower_turn @ about_x(foot.heel_lift_rad)
        pelvis_turn = posture.world_turn(f"pelvis.{side}")
        posture.turn(names[0], pelvis_turn.T @ limb.upper_turn)
        posture.turn(names[1], limb.upper_turn.T @ limb.lower_turn)
        posture.turn(names[2], limb.lower_turn.T @ foot_turn)
        stands = foot.frame == "floor" and not foot.follows_shin
        if stands and 0.0 < foot.heel_lift_rad < TUCKED_RAD:
            for toe in range(1, 6):
                posture.turn(f"toe{toe}-1.{side}", about_x(-foot.heel_lift_rad * 0.85))

    def _kneel(
        self,
        reference_m: Float64[np.ndarray, "3 3"],
        *,
        hip_m: Vector,
        forward: Vector,
        rise_m: float,
    ) -> Limb:
        thigh_m, shin_m = self.measures.thigh_m, self.measures.shin_m
        drop_m = min(float(hip_m[2]) - KNEE_HEIGHT_M, 0.999 * thigh_m)
        knee_m = hip_m + forward * math.sqrt(thigh_m**2 - drop_m**2)
        knee_m[2] = hip_m[2] - drop_m
        ankle_m = knee_m - forward * shin_m + np.array([0.0, 0.0, rise_m])
        return aim_limb(reference_m, start_m=hip_m, middle_m=knee_m, end_m=ankle_m)

    def _head(self, posture: Posture, task: Task) -> None:
        chest = posture.world_turn("spine01")
        if task.look_m is not None:
            posture.update(self._chain(*NECK))
            eyes_m = posture.place("neck01", self.measures.head_centre_m)
            gaze = chest.T @ unit(task.look_m - eyes_m)
            yaw = math.atan2(gaze[0], -gaze[1])
            pitch = math.asin(min(1.0, max(-1.0, -gaze[2])))
        else:
            upright = chest.T @ about_x(task.head_pitch_rad) @ np.array([0.0, -1.0, 0.0])
            yaw = task.head_yaw_rad
            pitch = 0.7 * math.asin(min(1.0, max(-1.0, -upright[2])))
        yaw = min(1.2, max(-1.2, yaw))
        pitch = min(0.9, max(-0.8, pitch))
        roll = self.rng.normal(0.0, 0.08)
        for bone, share in NECK.items():
            posture.turn(
                bone, about_z(yaw * share) @ about_x(pitch * share) @ about_y(roll * share)
            )
        posture.update(self._chain(*NECK))

    def _frame(self, posture: Posture, frame: Frame) -> Matrix:
        return np.eye(3) if frame == "floor" else posture.world_turn(CARRIERS[frame])

    def _girdle(self, posture: Posture, target_m: Vector, side: str) -> None:
        """Raise and push the shoulder girdle towards the target."""
        sign = SIGN[side]
        bones = self._chain(f"clavicle.{side}", f"shoulder01.{side}", f"upperarm01.{side}")
        posture.update(bones)
        chest = posture.world_turn("spine01")
        reach_m = chest.T @ (target_m - posture.head_m(f"upperarm01.{side}"))
        raise_rad = math.radians(24.0) * min(1.0, max(0.0, float(reach_m[2]) / 0.5))
        push_rad = math.radians(18.0) * min(1.0, max(-0.4, -float(reach_m[1]) / 0.6))
        posture.turn(
            f"clavicle.{side}", about_y(-sign * raise_rad * 0.6) @ about_z(-sign * push_rad)
        )
        posture.turn(f"shoulder01.{side}", about_y(-sign * raise_rad * 0.4))
        posture.update(bones)

    def _arm(self, posture: Posture, hand: HandGoal, side: str) -> None:
        sign = SIGN[side]
        turn = self._frame(posture, hand.frame)
        target_m = (
            hand.wrist_m
            if hand.frame == "floor"
            else posture.place(CARRIERS[hand.frame], hand.wrist_m)
        )
        self._girdle(posture, target_m, side)
        names = (f"upperarm01.{side}", f"lowerarm01.{side}", f"wrist.{side}")
        reference_m = self.measures.reference_m[self._chain(*names)]
        shoulder_m = posture.head_m(names[0])
        girdle = posture.world_turn(f"shoulder01.{side}")
        chest = posture.world_turn("spine01")
        upper_axis = unit(reference_m[1] - reference_m[0])
        lower_axis = unit(reference_m[2] - reference_m[1])
        palm = None if hand.palm is None else turn @ hand.palm
        if hand.elbow is None:
            outward = 0.45 + 0.5 * self.rng.random()
            pole = chest @ np.array([sign * outward, 0.3 + 0.2 * self.rng.standard_normal(), -0.8])
        else:
            pole = turn @ hand.elbow
        along = unit(target_m - shoulder_m)
        best_cost, best_pronation = math.inf, 0.0
        best: Limb | None = None
        for swivel in self.rng.normal(0.0, 0.3, NUM_SWIVELS):
            limb = bend_limb(
                reference_m,
                start_m=shoulder_m,
                target_m=target_m,
                pole=about(along, sign * swivel) @ pole,
            )
            pronation = self._pronation(limb, lower_axis, palm=palm, side=side)
            humeral = twist_about(girdle.T @ limb.upper_turn, upper_axis)
            cost = (
                max(0.0, abs(humeral) - MOST_HUMERAL_TWIST_RAD)
                + max(0.0, abs(pronation) - MOST_PRONATION_RAD)
                + 0.3 * abs(swivel)
            )
            if cost < best_cost:
                best_cost, best, best_pronation = cost, limb, pronation
        assert best is not None
        self._set_arm(posture, best, pronation=best_pronation, side=side)
        fingers = None if hand.fingers is None else turn @ hand.fingers
        self._wrist(posture, side, pronation=best_pronation, fingers=fingers)

    def _palm_normal(self, side: str) -> Vector:
        """Out of the palm, in the reference pose."""
        wrist_m, index_m, little_m = self.measures.reference_m[
            self._chain(f"wrist.{side}", f"finger2-1.{side}", f"finger5-1.{side}")
        ]
        return unit(cross(index_m - wrist_m, little_m - wrist_m)) * -SIGN[side]

    def _pronation(
        self, limb: Limb, lower_axis: Vector, *, palm: Vector | None, side: str
    ) -> float:
        """Turn of the forearm about itself that brings the palm round to the wanted direction."""
        if palm is None:
            return float(self.rng.normal(0.0, 0.45))
        axis = limb.lower_turn @ lower_axis
        now = across(limb.lower_turn @ self._palm_normal(side), axis)
        wanted = across(palm, axis)
        if length(wanted) < 0.2:
            return float(self.rng.normal(0.0, 0.45))
        now, wanted = unit(now), unit(wanted)
        angle = math.atan2(float(cross(now, wanted) @ axis), float(now @ wanted))
        return angle + float(self.rng.normal(0.0, 0.15))

    def _set_arm(self, posture: Posture, limb: Limb, *, pronation: float, side: str) -> None:
        """Share the humeral twist over two bones; the lower forearm takes its part of pronation."""
        upper, upper2, lower, lower2, wrist = (
            f"{bone}.{side}"
            for bone in ("upperarm01", "upperarm02", "lowerarm01", "lowerarm02", "wrist")
        )
        reference = posture.reference_head_m
        upper_axis = unit(reference(lower) - reference(upper))
        lower_axis = unit(reference(wrist) - reference(lower))
        girdle = posture.world_turn(f"shoulder01.{side}")
        turn = girdle.T @ limb.upper_turn
        half = twist_about(turn, upper_axis) / 2.0
        posture.turn(upper, turn @ about(upper_axis, -half))
        posture.turn(upper2, about(upper_axis, half))
        posture.turn(lower, limb.upper_turn.T @ limb.lower_turn)
        limited = min(MOST_PRONATION_RAD, max(-MOST_PRONATION_RAD, pronation))
        posture.turn(lower2, about(lower_axis, limited * 0.65))
        posture.update(self._chain(upper, upper2, lower, lower2))

    def _wrist(
        self, posture: Posture, side: str, *, pronation: float, fingers: Vector | None
    ) -> None:
        """Finish the pronation, then bend the wrist towards the wanted finger direction."""
        wrist = f"wrist.{side}"
        reference = posture.reference_head_m
        lower_axis = unit(reference(wrist) - reference(f"lowerarm01.{side}"))
        hand_axis = unit(reference(f"finger3-1.{side}") - reference(wrist))
        normal = unit(across(self._palm_normal(side), hand_axis))
        sideways = cross(hand_axis, normal)
        limited = min(MOST_PRONATION_RAD, max(-MOST_PRONATION_RAD, pronation))
        twist = about(lower_axis, limited * 0.35)
        if fingers is None:
            flexion, deviation = self.rng.normal(0.0, 0.3), self.rng.normal(0.0, 0.12)
        else:
            local = (posture.world_turn(f"lowerarm02.{side}") @ twist).T @ unit(fingers)
            flexion = math.atan2(float(local @ normal), float(local @ hand_axis))
            deviation = math.asin(min(1.0, max(-1.0, float(local @ sideways))))
        flexion = min(1.1, max(-1.1, flexion))
        deviation = min(0.45, max(-0.45, deviation))
        bend = about(sideways, flexion)
        # `sideways` x `normal` points along the hand, so this turns the fingers towards `sideways`.
        posture.turn(wrist, twist @ bend @ about(normal, -deviation))
        posture.update(self._chain(wrist))

    def _fingers(self, posture: Posture, hand: HandGoal, side: str) -> None:
        normal = self._palm_normal(side)
        reference = posture.reference_head_m
        over_palm = unit(reference(f"finger5-1.{side}") - reference(f"finger2-1.{side}"))
        for finger in range(1, 6):
            curl = min(1.0, max(-0.1, hand.curls[finger - 1] + self.rng.normal(0.0, 0.08)))
            spread = SIGN[side] * hand.spread_rad * (finger - 3) * 0.5 if finger > 1 else 0.0
            for joint in (1, 2, 3):
                bone = f"finger{finger}-{joint}.{side}"
                first, second = (bone, f"finger{finger}-{joint + 1}.{side}")
                if joint == 3:
                    first, second = (f"finger{finger}-2.{side}", bone)
                direction = unit(reference(second) - reference(first))
                if finger == 1:
                    axis = cross(direction, unit(normal + 0.9 * over_palm))
                    amount = curl * THUMB_CURL_RAD[joint - 1]
                else:
                    axis = cross(direction, normal)
                    amount = curl * CURL_RAD[joint - 1]
                turn = about(axis, amount)
                if joint == 1 and finger > 1:
                    turn = about(normal, spread + self.rng.normal(0.0, 0.04)) @ turn
                posture.turn(bone, turn)
