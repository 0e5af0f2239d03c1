"""Posed bodies: joints are exact, feet stand on the floor, limbs bend as limbs, seeds decide."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from edge_pose.skeleton import INDEX, JOINTS
from train.synth import activities, hands
from train.synth.anatomy import BodyModel, PosedBody
from train.synth.contact import deepest_contact_m, segment_distance_m
from train.synth.kinematics import Posture, bend_limb
from train.synth.on_feet import stand
from train.synth.posing import Poser
from train.synth.rotations import (
    about,
    about_x,
    about_z,
    between,
    fraction,
    rotation_vector,
    twist_about,
    unit,
)


@pytest.fixture(scope="module")
def model() -> BodyModel:
    return BodyModel.load()


def standing(model: BodyModel) -> PosedBody:
    (body,) = model.sample_bodies(1, rng=np.random.default_rng(3), activities=["walk"])
    return body


def test_the_exponential_of_a_rotation_vector_is_the_rotation() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        vector = rng.standard_normal(3)
        vector *= rng.uniform(0.01, 3.0) / np.linalg.norm(vector)
        x, y, z = vector
        skew = torch.tensor([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]], dtype=torch.float64)
        expected = torch.linalg.matrix_exp(skew).numpy()
        matrix = about(vector, float(np.linalg.norm(vector)))
        np.testing.assert_allclose(matrix, expected, atol=1e-12)
        np.testing.assert_allclose(rotation_vector(matrix), vector, atol=1e-6)


def test_three_thirds_of_a_turn_are_the_turn() -> None:
    turn = about(np.array([1.0, -2.0, 0.5]), 2.4)
    third = fraction(turn, 1.0 / 3.0)
    np.testing.assert_allclose(third @ third @ third, turn, atol=1e-9)


@pytest.mark.parametrize("end", [[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
def test_between_reaches_its_end_even_when_it_points_backwards(end: list[float]) -> None:
    start = np.array([1.0, 0.0, 0.0])
    turn = between(start, np.array(end))
    np.testing.assert_allclose(turn @ start, end, atol=1e-9)
    assert np.linalg.det(turn) == pytest.approx(1.0)


def test_twist_is_what_remains_of_a_turn_after_a_swing() -> None:
    axis = unit(np.array([0.3, -0.5, 0.8]))
    swing = between(axis, unit(np.array([1.0, 0.2, 0.1])))
    assert twist_about(swing @ about(axis, 0.7), axis) == pytest.approx(0.7, abs=1e-9)


def test_a_limb_keeps_its_lengths_and_its_end_lands_on_the_target() -> None:
    reference_m = np.array([[0.0, 0.0, 0.0], [0.02, 0.0, -0.3], [0.0, -0.1, -0.55]])
    target_m = np.array([0.2, -0.25, 0.1])
    limb = bend_limb(
        reference_m, start_m=np.zeros(3), target_m=target_m, pole=np.array([0.0, 1.0, -0.2])
    )
    np.testing.assert_allclose(limb.end_m, target_m, atol=1e-9)
    middle_m = limb.upper_turn @ reference_m[1]
    end_m = middle_m + limb.lower_turn @ (reference_m[2] - reference_m[1])
    np.testing.assert_allclose(middle_m, limb.middle_m, atol=1e-9)
    np.testing.assert_allclose(end_m, target_m, atol=1e-9)
    assert limb.middle_m[1] > 0.0  # the elbow points along the pole


def test_a_limb_asked_to_stay_in_the_reference_pose_does_not_turn() -> None:
    """A hinge the wrong way round would land the end just as well, with the elbow inside out."""
    reference_m = np.array([[0.1, 0.0, 0.0], [0.12, 0.0, -0.3], [0.1, -0.1, -0.55]])
    limb = bend_limb(
        reference_m,
        start_m=reference_m[0],
        target_m=reference_m[2],
        pole=reference_m[1] - reference_m[0],
    )
    np.testing.assert_allclose(limb.upper_turn, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(limb.lower_turn, np.eye(3), atol=1e-9)


def test_a_limb_stretches_towards_a_target_beyond_its_reach() -> None:
    reference_m = np.array([[0.0, 0.0, 0.0], [0.02, 0.0, -0.3], [0.0, -0.1, -0.55]])
    limb = bend_limb(
        reference_m,
        start_m=np.zeros(3),
        target_m=np.array([5.0, 0.0, 0.0]),
        pole=np.array([0.0, 1.0, 0.0]),
    )
    total_m = np.linalg.norm(np.diff(reference_m, axis=0), axis=1).sum()
    np.testing.assert_allclose(limb.end_m, [0.998 * total_m, 0.0, 0.0], atol=1e-9)


def test_distance_of_segments_agrees_with_a_fine_grid() -> None:
    rng = np.random.default_rng(1)
    shares = np.linspace(0.0, 1.0, 401)[:, None]
    for _ in range(20):
        a, b, c, d = rng.standard_normal((4, 3))
        first, second = a + shares * (b - a), c + shares * (d - c)
        expected = np.linalg.norm(first[:, None] - second[None], axis=-1).min()
        assert segment_distance_m(a, b, c, d) == pytest.approx(expected, abs=1e-3)


def test_our_kinematics_agree_with_the_body_model(model: BodyModel) -> None:
    rng = np.random.default_rng(5)
    rest = model.rest(2, rng=rng)
    count = len(model.skeleton.labels)
    postures = []
    parameters = torch.eye(4).repeat(2, count, 1, 1)
    for number, measures in enumerate(rest.measures):
        posture = Posture(
            skeleton=model.skeleton,
            reference_m=measures.reference_m,
            root_m=rng.uniform(-1.0, 1.0, 3),
        )
        for bone in range(count):
            posture.turns[bone] = about(rng.standard_normal(3), rng.uniform(-0.5, 0.5))
        posture.update()
        parameters[number, :, :3, :3] = torch.from_numpy(posture.turns)
        parameters[number, 0, :3, 3] = torch.from_numpy(posture.root_m)
        postures.append(posture)
    _, posed_from_rest = model.pose(rest, postures)
    with torch.inference_mode():
        expected, _ = model.anny.get_bone_transforms(parameters, rest.bone_poses)
    np.testing.assert_allclose(posed_from_rest, expected.numpy(), atol=2e-4)


def test_left_is_on_the_persons_left_and_the_nose_is_in_front(model: BodyModel) -> None:
    for body in model.sample_bodies(3, rng=np.random.default_rng(0), activities=["walk"]):
        turn = about_z(-body.facing_rad)
        joints_m = (body.joints_m - body.root_m) @ turn.T
        assert joints_m[INDEX["left_hip"], 0] > 0.03 > -0.03 > joints_m[INDEX["right_hip"], 0]
        assert joints_m[INDEX["left_ear"], 0] > joints_m[INDEX["right_ear"], 0]
        neck_m = joints_m[INDEX["neck"]]
        assert joints_m[INDEX["nose"], 1] < neck_m[1]  # forward is -Y at facing 0
        for side in ("left", "right"):
            toe_m, heel_m = joints_m[INDEX[f"{side}_toe"]], joints_m[INDEX[f"{side}_heel"]]
            assert toe_m[1] < heel_m[1]


def test_the_pelvis_is_the_middle_of_the_hips(model: BodyModel) -> None:
    body = standing(model)
    middle_m = (body.joints_m[INDEX["left_hip"]] + body.joints_m[INDEX["right_hip"]]) / 2
    np.testing.assert_allclose(body.joints_m[INDEX["pelvis"]], middle_m, atol=1e-5)
    np.testing.assert_array_equal(body.root_m, body.joints_m[INDEX["pelvis"]])


def test_surface_joints_lie_near_the_skin_and_inside_the_body_box(model: BodyModel) -> None:
    for body in model.sample_bodies(3, rng=np.random.default_rng(2)):
        low_m, high_m = body.vertices_m.min(axis=0), body.vertices_m.max(axis=0)
        assert (body.joints_m > low_m - 1e-3).all()
        assert (body.joints_m < high_m + 1e-3).all()
        distances_m = np.linalg.norm(body.vertices_m[None] - body.joints_m[:, None], axis=2)
        assert distances_m.min(axis=1).max() < 0.17


def test_bone_transforms_carry_the_rest_mesh_to_the_posed_mesh(model: BodyModel) -> None:
    body = standing(model)
    homogeneous = np.concatenate(
        [body.rest_vertices_m, np.ones((len(body.rest_vertices_m), 1))], axis=1
    )
    head = model.skeleton.index["head"]
    rigid = np.flatnonzero(model.skin_weights[:, head] > 0.999)
    assert len(rigid) > 500
    moved_m = homogeneous[rigid] @ body.bone_transforms[head].T
    np.testing.assert_allclose(moved_m[:, :3], body.vertices_m[rigid], atol=1e-4)


def test_the_lowest_point_is_on_the_floor_unless_on_a_ladder(model: BodyModel) -> None:
    rng = np.random.default_rng(7)
    for name in ("walk", "squat", "kneel", "sit", "lie", "ladder"):
        (body,) = model.sample_bodies(1, rng=rng, activities=[name])
        lowest_m = body.vertices_m[:, 2].min()
        assert lowest_m > 0.1 if name == "ladder" else abs(lowest_m) < 1e-4, name


@pytest.mark.parametrize("name", ["stand", "bench", "bend_down"])
def test_who_stands_stands_on_both_feet(model: BodyModel, name: str) -> None:
    rng = np.random.default_rng(11)
    soles = [
        np.flatnonzero(model.skin_weights[:, model.skeleton.index[f"foot.{side}"]] > 0.5)
        for side in "LR"
    ]
    rest_stances = 0
    for body in model.sample_bodies(3, rng=rng, activities=[name]):
        lowest_m = [float(body.vertices_m[sole, 2].min()) for sole in soles]
        rest_stances += max(lowest_m) < 0.04
    assert rest_stances == 3


def test_measures_agree_with_the_mesh(model: BodyModel) -> None:
    rest = model.rest(8, rng=np.random.default_rng(4))
    for vertices_m, measures in zip(rest.vertices_m, rest.measures, strict=True):
        assert measures.stature_m == pytest.approx(np.ptp(vertices_m[:, 2]), abs=0.03)
        assert 1.4 < measures.stature_m < 2.1
        assert 0.35 < measures.leg_m / measures.stature_m < 0.55


def test_the_same_seed_gives_the_same_people_whatever_torch_did_before(model: BodyModel) -> None:
    torch.manual_seed(1)
    first = model.sample_bodies(2, rng=np.random.default_rng(42))
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    second = model.sample_bodies(2, rng=np.random.default_rng(42))
    assert torch.equal(before, torch.random.get_rng_state())
    third = model.sample_bodies(2, rng=np.random.default_rng(43))
    for one, same, other in zip(first, second, third, strict=True):
        np.testing.assert_array_equal(one.vertices_m, same.vertices_m)
        assert one.activity == same.activity
        assert one.props == same.props
        assert not np.array_equal(one.vertices_m, other.vertices_m)


def test_a_hand_in_the_chest_is_contact_and_a_hand_in_the_air_is_not(model: BodyModel) -> None:
    (measures,) = model.rest(1, rng=np.random.default_rng(0)).measures
    posture = Posture(skeleton=model.skeleton, reference_m=measures.reference_m, root_m=np.zeros(3))
    posture.update()
    assert deepest_contact_m(posture, measures) < 0.0
    for bone in model.skeleton.labels:
        if bone.startswith(("wrist.L", "finger")):
            posture.heads_m[model.skeleton.index[bone]] = posture.head_m("spine02")
    assert deepest_contact_m(posture, measures) > 0.05


@pytest.mark.slow
def test_repertoire_stays_clear_of_itself(model: BodyModel) -> None:
    """Of what is handed out, hardly anything still runs into itself after all tries."""
    rng = np.random.default_rng(6)
    measures = model.rest(10, rng=rng).measures
    clear = total = 0
    for name in activities.ACTIVITIES:
        for body in measures:
            posture, _ = model.draw_pose(body, rng=rng, activity=name)
            clear += deepest_contact_m(posture, body) < 0.03
            total += 1
    assert clear / total > 0.97


def test_a_mirrored_task_puts_the_other_hand_at_the_mirrored_place(model: BodyModel) -> None:
    (measures,) = model.rest(1, rng=np.random.default_rng(0)).measures
    rng = np.random.default_rng(8)
    task = activities.draw("point", measures=measures, rng=rng)
    mirrored = task.mirrored()
    np.testing.assert_allclose(
        mirrored.right_hand.wrist_m, task.left_hand.wrist_m * [-1.0, 1.0, 1.0]
    )
    assert mirrored.twist_rad == -task.twist_rad
    again = mirrored.mirrored()
    np.testing.assert_array_equal(again.left_hand.wrist_m, task.left_hand.wrist_m)


def test_wrists_reach_the_goals_that_are_in_reach(model: BodyModel) -> None:
    (measures,) = model.rest(1, rng=np.random.default_rng(0)).measures
    rng = np.random.default_rng(9)
    stance = stand(measures, rng)
    reached = 0
    for _ in range(10):
        task = activities.draw("stand", measures=measures, rng=rng)
        goal = hands.sign(measures, rng, stance)
        posture = Poser(measures=measures, rng=rng).solve(replace(task, left_hand=goal))
        wanted_m = posture.place("spine01", goal.wrist_m)
        span_m = float(np.linalg.norm(wanted_m - posture.head_m("upperarm01.L")))
        if 0.4 * measures.arm_m < span_m < 0.99 * measures.arm_m:
            reached += 1
            np.testing.assert_allclose(posture.head_m("wrist.L"), wanted_m, atol=0.002)
    assert reached > 3


def test_the_head_looks_at_what_it_is_told_to_look_at(model: BodyModel) -> None:
    (measures,) = model.rest(1, rng=np.random.default_rng(0)).measures
    rng = np.random.default_rng(10)
    task = activities.draw("stand", measures=measures, rng=rng)
    target_m = np.array([0.5, -1.5, 1.2])
    posture = Poser(measures=measures, rng=rng).solve(replace(task, look_m=target_m, twist_rad=0.0))
    gaze = posture.world_turn("head") @ np.array([0.0, -1.0, 0.0])
    wanted = unit(target_m - posture.place("head", measures.head_centre_m))
    assert math.degrees(math.acos(float(gaze @ wanted))) < 12.0


def test_seats_touch_and_benches_do_not_cut_the_body(model: BodyModel) -> None:
    for body in model.sample_bodies(3, rng=np.random.default_rng(12), activities=["desk"]):
        assert body.props.seat is not None
        assert 0.3 < body.props.seat.height_m < 0.75
        height_m = body.props.bench_height_m
        assert height_m is not None
        assert height_m > body.props.seat.height_m
        forward = about_z(body.facing_rad) @ np.array([0.0, -1.0, 0.0])
        band = np.abs(body.vertices_m[:, 2] - height_m + 0.01) < 0.01
        torso = np.isin(
            np.array(model.skeleton.labels)[model.skin_weights.argmax(axis=1)],
            ["spine05", "spine04", "spine03", "spine02"],
        )
        ahead_m = (body.vertices_m[band & torso] - body.root_m) @ forward
        assert ahead_m.max(initial=-1.0) <= body.props.bench_near_m


def test_joint_order_is_the_projects(model: BodyModel) -> None:
    body = standing(model)
    assert body.joints_m.shape == (len(JOINTS), 3)
    heights_m = dict(zip(JOINTS, body.joints_m[:, 2], strict=True))
    assert heights_m["head_top"] > heights_m["nose"] > heights_m["neck"] > heights_m["spine"]
    assert heights_m["spine"] > heights_m["pelvis"] > heights_m["left_knee"]
    assert heights_m["left_knee"] > heights_m["left_ankle"] > heights_m["left_heel"]


def test_turning_about_x_by_a_positive_angle_bends_forward() -> None:
    assert (about_x(0.3) @ np.array([0.0, 0.0, 1.0]))[1] < 0.0
