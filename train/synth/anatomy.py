"""The body model: in go random numbers and activities, out come posed adults with exact joints.

Bodies are anny's (naver), compacted to 64 shape directions so that a process starts in seconds.
World frame: +Z up, a person at facing 0 looks along -Y, the person's left is +X, the floor is
z = 0, metres.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import anny
import numpy as np
import torch
from anny.models.model_data import ModelData
from anny.shape_distribution import SimpleShapeDistribution
from jaxtyping import Float32, Float64, Int64

from edge_pose.skeleton import JOINTS
from train.synth import activities as repertoire
from train.synth.contact import deepest_contact_m, deepest_in_floor_m
from train.synth.kinematics import Posture, Skeleton
from train.synth.measures import Landmarks, Measures, measure
from train.synth.mocap import MotionLibrary
from train.synth.posing import Poser
from train.synth.rotations import about_z
from train.synth.task import Props, Seat, Task

ASSET: Final = Path(__file__).parent / "assets" / "anny_r64.safetensors"
ADULT_YEARS: Final = (18.0, 65.0)
MOTION_SHARE: Final = 0.35
"""How many bodies take their pose from motion capture, where there is a library."""
MAX_TRIES: Final = 12
FORGIVEN_M: Final = 0.012
"""Flesh gives way: overlaps up to this depth are touches."""
HAND_OFF_BENCH_M: Final = 0.1
"""A hand further below the planned bench top than this is not at the bench but under it."""
SURFACE_NAMES: Final = {"left_toe": "left_big_toe", "right_toe": "right_big_toe"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PosedBody:
    """One person: mesh, joints and what they are doing."""

    vertices_m: Float32[np.ndarray, "vertices 3"]
    joints_m: Float32[np.ndarray, "joints 3"]
    """The joints of edge_pose.skeleton, world."""
    rest_vertices_m: Float32[np.ndarray, "vertices 3"]
    """The same body at rest (A-pose), for texture coordinates and garments."""
    bone_transforms: Float32[np.ndarray, "bones 4 4"]
    """posed_from_rest of each bone."""
    hands_m: Float32[np.ndarray, "2 3"]
    """Middle knuckles, left and right: where a held object touches the palm."""
    activity: str
    props: Props
    facing_rad: float
    root_m: Float32[np.ndarray, "3"]
    """Pelvis, world."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestBodies:
    """A batch of bodies of different shape, not yet posed."""

    vertices_m: Float32[np.ndarray, "bodies vertices 3"]
    reference_from_rest: Float64[np.ndarray, "bodies bones 4 4"]
    """The body model's own transforms to the reference pose, in which turns are counted."""
    bone_poses: torch.Tensor
    measures: tuple[Measures, ...]


class BodyModel:
    """Knows the topology, makes shapes, and poses them."""

    def __init__(self, model: anny.Anny) -> None:
        """Take a loaded anny model; use `load`."""
        self.anny = model
        self.skeleton = Skeleton.of(model.bone_labels, model.bone_parents)
        self.template_m: Float32[np.ndarray, "vertices 3"] = model.template_vertices.numpy()
        self.bone_heads_m: Float32[np.ndarray, "bones 3"] = model.template_bone_heads.numpy()
        self.faces: Int64[np.ndarray, "faces 3"] = model.faces.numpy()
        self.uv: Float32[np.ndarray, "corners 2"] = model.texture_coordinates.numpy()
        self.uv_faces: Int64[np.ndarray, "faces 3"] = model.face_texture_coordinate_indices.numpy()
        weights = torch.zeros(len(self.template_m), len(self.skeleton.labels))
        weights.scatter_add_(1, model.vertex_bone_indices, model.vertex_bone_weights)
        self.skin_weights: Float32[np.ndarray, "vertices bones"] = weights.numpy()
        low, high = (torch.tensor(years) for years in ADULT_YEARS)
        self._shapes = SimpleShapeDistribution(
            model, morphological_age_distribution=torch.distributions.Uniform(low, high)
        )
        self._landmarks = Landmarks.choose(
            self.skeleton,
            template_m=self.template_m,
            weights=self.skin_weights,
            heads_m=self.bone_heads_m,
        )
        dominant = np.array(self.skeleton.labels)[self.skin_weights.argmax(axis=1)]
        self._buttocks = np.flatnonzero(np.isin(dominant, ("root", "pelvis.L", "pelvis.R")))
        arms = ("clavicle", "shoulder", "upperarm", "lowerarm", "wrist", "finger", "metacarpal")
        self._trunk_and_legs = np.flatnonzero([not name.startswith(arms) for name in dominant])
        self._hands = np.flatnonzero(
            [name.startswith(("wrist", "finger", "metacarpal")) for name in dominant]
        )
        self._joints_from_vertices, self._joints_from_heads = self._joint_rows()

    @classmethod
    def load(cls) -> "BodyModel":
        """Read the compact model that ships with the project."""
        model = anny.Anny.from_model_data(
            ModelData.load_safetensors(ASSET),
            skinning_method="lbs",
            bone_orientation="cached",
            root_identity_orientation=False,
            pose_parameterization="local-ref",
        )
        return cls(model.to(dtype=torch.float32))

    def _joint_rows(
        self,
    ) -> tuple[Float32[np.ndarray, "joints vertices"], Float32[np.ndarray, "joints bones"]]:
        """All joints are linear in vertices and bone heads; these are the coefficients."""
        regressor = anny.KeypointsRegressor.coco(self.anny)
        rows = dict(zip(regressor.labels, regressor.regression_weights.numpy(), strict=True))
        vertices = np.zeros((len(JOINTS), len(self.template_m)), np.float32)
        heads = np.zeros((len(JOINTS), len(self.skeleton.labels)), np.float32)
        skull = np.flatnonzero(self.skin_weights[:, self.skeleton.index["head"]] > 0.5)
        highest = skull[np.argsort(-self.template_m[skull, 2])[:4]]
        for number, joint in enumerate(JOINTS):
            if joint == "pelvis":
                vertices[number] = (rows["left_hip"] + rows["right_hip"]) / 2.0
            elif joint == "head_top":
                vertices[number, highest] = 0.25
            elif joint in ("spine", "neck"):
                bone = {"spine": "spine03", "neck": "neck01"}[joint]
                heads[number, self.skeleton.index[bone]] = 1.0
            else:
                vertices[number] = rows[SURFACE_NAMES.get(joint, joint)]
        return vertices, heads

    @torch.inference_mode()
    def rest(self, count: int, *, rng: np.random.Generator) -> RestBodies:
        """Draw the shapes of adults and measure them."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**62)))
            _, phenotypes = self._shapes.sample(count)
        inputs = self.anny.get_tensor_inputs(None, phenotypes, None, None)
        coefficients = self.anny._get_phenotype_blendshape_coefficients(*inputs[1:])  # noqa: SLF001
        rest = self.anny.get_rest_model(coefficients)
        bones = len(self.skeleton.labels)
        transforms, poses = self.anny.get_bone_transforms(
            torch.eye(4).repeat(count, bones, 1, 1), rest["rest_bone_poses"]
        )
        vertices_m = rest["rest_vertices"].numpy()
        reference_from_rest = transforms.numpy().astype(np.float64)
        heads_m = poses[:, :, :3, 3].numpy().astype(np.float64)
        chosen = self._landmarks.vertices
        measured_m = [
            _skin(self.skin_weights[chosen], vertices_m[number, chosen], transforms[number].numpy())
            for number in range(count)
        ]
        return RestBodies(
            vertices_m=vertices_m,
            reference_from_rest=reference_from_rest,
            bone_poses=rest["rest_bone_poses"],
            measures=tuple(
                measure(
                    self.skeleton,
                    landmarks=self._landmarks,
                    measured_m=measured_m[number],
                    reference_m=heads_m[number],
                )
                for number in range(count)
            ),
        )

    @torch.inference_mode()
    def pose(
        self, rest: RestBodies, postures: Sequence[Posture]
    ) -> tuple[Float32[np.ndarray, "bodies vertices 3"], Float32[np.ndarray, "bodies bones 4 4"]]:
        """Skin bodies to their postures: world vertices, and posed_from_rest of each bone.

        One body may take many postures.
        """
        count, bones = len(postures), len(self.skeleton.labels)
        posed_from_reference = np.tile(np.eye(4), (count, bones, 1, 1))
        for number, posture in enumerate(postures):
            turns = posture.world_turns
            carried_m = np.einsum("bij,bj->bi", turns, posture.reference_m)
            posed_from_reference[number, :, :3, :3] = turns
            posed_from_reference[number, :, :3, 3] = posture.heads_m - carried_m
        posed_from_rest = (posed_from_reference @ rest.reference_from_rest).astype(np.float32)
        vertices = self.anny.get_skinned_vertices(
            torch.from_numpy(rest.vertices_m).expand(count, -1, -1),
            torch.from_numpy(posed_from_rest),
        )
        return vertices.numpy(), posed_from_rest

    def joints(
        self,
        vertices_m: Float32[np.ndarray, "vertices 3"],
        heads_m: Float32[np.ndarray, "bones 3"],
    ) -> Float32[np.ndarray, "joints 3"]:
        """Read the project's joints off a posed body."""
        return self._joints_from_vertices @ vertices_m + self._joints_from_heads @ heads_m

    def sample_bodies(
        self,
        count: int,
        *,
        rng: np.random.Generator,
        motions: MotionLibrary | None = None,
        activities: Sequence[str] | None = None,
    ) -> list[PosedBody]:
        """Draw bodies, each doing one of the activities (all by default), facing anywhere.

        With a motion library, a share of the bodies takes a pose from it instead; naming "mocap"
        among the activities does the same by choice.
        """
        rest = self.rest(count, rng=rng)
        drawn = [
            self._draw(measures, rng=rng, motions=motions, activities=activities)
            for measures in rest.measures
        ]
        vertices_m, posed_from_rest = self.pose(rest, [pose.posture for pose in drawn])
        return [
            self._finish(
                pose,
                vertices_m=vertices_m[number],
                posed_from_rest=posed_from_rest[number],
                rest_vertices_m=rest.vertices_m[number],
            )
            for number, pose in enumerate(drawn)
        ]

    def _draw(
        self,
        measures: Measures,
        *,
        rng: np.random.Generator,
        motions: MotionLibrary | None,
        activities: Sequence[str] | None,
    ) -> "_Drawn":
        """Choose an activity and a direction, then a pose."""
        facing_rad = float(rng.uniform(-np.pi, np.pi))
        if activities is not None:
            name = activities[int(rng.integers(len(activities)))]
        elif motions is not None and rng.random() < MOTION_SHARE:
            name = "mocap"
        else:
            name = repertoire.pick(rng)
        posture, task = self.draw_pose(measures, rng=rng, activity=name, motions=motions)
        turn = about_z(facing_rad)
        posture.turns[0] = turn @ posture.turns[0]
        posture.root_m = turn @ posture.root_m
        posture.update()
        return _Drawn(posture=posture, task=task, activity=name, facing_rad=facing_rad)

    def draw_pose(
        self,
        measures: Measures,
        *,
        rng: np.random.Generator,
        activity: str,
        motions: MotionLibrary | None = None,
    ) -> tuple[Posture, Task | None]:
        """Solve one pose facing -Y, trying again while it runs into itself; the best of all."""
        best: tuple[float, Posture, Task | None] | None = None
        for _ in range(MAX_TRIES):
            if activity == "mocap":
                assert motions is not None, "mocap needs a motion library"
                posture, task = motions.sample(measures, rng=rng)
            else:
                task = repertoire.draw(activity, measures=measures, rng=rng)
                posture = Poser(measures=measures, rng=rng).solve(task)
            depth_m = deepest_contact_m(posture, measures)
            if task is not None and task.flat:
                depth_m = max(depth_m, deepest_in_floor_m(posture, measures))
            if best is None or depth_m < best[0]:
                best = (depth_m, posture, task)
            if depth_m < FORGIVEN_M:
                break
        assert best is not None
        return best[1], best[2]

    def _finish(
        self,
        drawn: "_Drawn",
        *,
        vertices_m: Float32[np.ndarray, "vertices 3"],
        posed_from_rest: Float32[np.ndarray, "bones 4 4"],
        rest_vertices_m: Float32[np.ndarray, "vertices 3"],
    ) -> PosedBody:
        """Put the body on the floor and fit its props."""
        grounded = drawn.task is None or drawn.task.grounded
        body = self.body(
            drawn.posture,
            vertices_m=vertices_m,
            posed_from_rest=posed_from_rest,
            rest_vertices_m=rest_vertices_m,
            rise_m=-vertices_m[:, 2].min() if grounded else np.float32(0),
            activity=drawn.activity,
            facing_rad=drawn.facing_rad,
        )
        props = self._fit(drawn, vertices_m=body.vertices_m, root_m=body.root_m)
        return replace(body, props=props)

    def body(
        self,
        posture: Posture,
        *,
        vertices_m: Float32[np.ndarray, "vertices 3"],
        posed_from_rest: Float32[np.ndarray, "bones 4 4"],
        rest_vertices_m: Float32[np.ndarray, "vertices 3"],
        rise_m: np.float32,
        activity: str,
        facing_rad: float,
    ) -> PosedBody:
        """Lift a posed body by so much, and read joints and hands off it; it has no props."""
        shift_m = np.array([0, 0, rise_m], np.float32)
        vertices_m = vertices_m + shift_m
        heads_m = posture.heads_m.astype(np.float32) + shift_m
        bone_transforms = posed_from_rest.copy()
        bone_transforms[:, :3, 3] += shift_m
        joints_m = self.joints(vertices_m, heads_m)
        knuckles = [self.skeleton.index[f"finger3-1.{side}"] for side in "LR"]
        return PosedBody(
            vertices_m=vertices_m,
            joints_m=joints_m,
            rest_vertices_m=rest_vertices_m,
            bone_transforms=bone_transforms,
            hands_m=heads_m[knuckles],
            activity=activity,
            props=Props(),
            facing_rad=facing_rad,
            root_m=joints_m[JOINTS.index("pelvis")],
        )

    def _fit(
        self,
        drawn: "_Drawn",
        *,
        vertices_m: Float32[np.ndarray, "vertices 3"],
        root_m: Float32[np.ndarray, "3"],
    ) -> Props:
        """Move props so that they touch the body and do not cut it."""
        props = Props() if drawn.task is None else drawn.task.props
        if props.seat is not None:
            lowest = vertices_m[self._buttocks]
            lowest = lowest[np.argsort(lowest[:, 2])[:40]]
            centre_m = (lowest - root_m).mean(axis=0)
            seat = Seat(
                height_m=float(lowest[:, 2].mean()),
                centre_m=(float(centre_m[0]), float(centre_m[1])),
            )
            props = replace(props, seat=seat)
        if props.bench_height_m is not None:
            planned_m = props.bench_height_m
            if not props.is_machine:
                palms_m = vertices_m[self._hands, 2]
                on_top_m = palms_m[palms_m > planned_m - HAND_OFF_BENCH_M]
                planned_m = min(planned_m, float(on_top_m.min(initial=planned_m)) - 0.004)
            body_m = vertices_m[self._trunk_and_legs]
            low_m = 0.0 if props.is_machine else planned_m - 0.03
            body_m = body_m[(body_m[:, 2] > low_m) & (body_m[:, 2] < planned_m + 0.01)]
            forward = about_z(drawn.facing_rad) @ np.array([0.0, -1.0, 0.0])
            near_m = max(((body_m - root_m) @ forward).max(initial=0.0), 0.0) + 0.02
            props = replace(props, bench_height_m=planned_m, bench_near_m=float(near_m))
        return props


def _skin(
    weights: Float32[np.ndarray, "vertices bones"],
    vertices_m: Float32[np.ndarray, "vertices 3"],
    transforms: Float32[np.ndarray, "bones 4 4"],
) -> Float64[np.ndarray, "vertices 3"]:
    """Linear blend skinning of a few vertices."""
    blended = (weights @ transforms[:, :3].reshape(len(transforms), 12)).reshape(-1, 3, 4)
    moved_m = (blended[:, :, :3] @ vertices_m[:, :, None])[:, :, 0] + blended[:, :, 3]
    return moved_m.astype(np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """A pose that was chosen but not yet skinned."""

    posture: Posture
    task: Task | None
    """None for a whole body from motion capture."""
    activity: str
    facing_rad: float
