"""Metres: the pelvis by least squares, guarded where pictures say little; one size a person."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from bundles import BODY_M
from edge_pose import camera
from edge_pose.metric import BodySize, root_translation
from edge_pose.skeleton import INDEX, NUM_JOINTS, ROOT
from scenes import Person, World

INTRINSICS = camera.assume(640, 480)
LEG = ("knee", "ankle", "heel", "toe")
SURE = np.full(NUM_JOINTS, 0.9, np.float32)


def relative_and_pixels(person: Person) -> tuple[np.ndarray, np.ndarray]:
    world = World(INTRINSICS)
    joints = person.joints_m
    return (
        (joints - joints[ROOT]).astype(np.float32),
        world.joints_px(person).astype(np.float32),
    )


@pytest.mark.parametrize("depth", [1.5, 3.0, 8.0, 20.0])
@pytest.mark.parametrize("yaw", [0.0, 60.0, 180.0])
def test_an_exact_pose_is_placed_exactly(depth: float, yaw: float) -> None:
    relative, pixels = relative_and_pixels(Person(root_m=(0.2 * depth, -0.1, depth), yaw_deg=yaw))
    root = root_translation(relative, pixels, SURE, INTRINSICS, expected_depth_m=None)
    np.testing.assert_allclose(root, [0.2 * depth, -0.1, depth], rtol=0.01, atol=0.005)


def test_noisy_pixels_place_like_the_best_reprojection() -> None:
    person = Person(root_m=(0.4, 0.0, 3.0), yaw_deg=30.0)
    relative, pixels = relative_and_pixels(person)
    random = np.random.default_rng(3)
    pixels = pixels + random.normal(0, 3.0, pixels.shape).astype(np.float32)

    def misses(root: np.ndarray) -> np.ndarray:
        return (camera.project(relative + root, INTRINSICS) - pixels).ravel()

    best = least_squares(misses, [0.0, 0.0, 2.0]).x
    root = root_translation(relative, pixels, SURE, INTRINSICS, expected_depth_m=None)
    np.testing.assert_allclose(root, best, atol=0.05)


def test_joints_without_confidence_do_not_pull() -> None:
    relative, pixels = relative_and_pixels(Person(root_m=(0.0, 0.1, 3.0)))
    scores = SURE.copy()
    for name in ("left_wrist", "right_ankle", "right_toe"):
        pixels[INDEX[name]] += 150.0
        scores[INDEX[name]] = 0.01
    root = root_translation(relative, pixels, scores, INTRINSICS, expected_depth_m=None)
    np.testing.assert_allclose(root, [0.0, 0.1, 3.0], atol=0.05)


def test_legs_that_a_table_hides_do_not_push_the_person_away() -> None:
    """Half sure of legs, the network draws them shorter than it says they are in metres."""
    relative, pixels = relative_and_pixels(Person(root_m=(0.0, 0.1, 2.0)))
    hidden = [INDEX[f"{side}_{name}"] for side in ("left", "right") for name in LEG]
    pixels[hidden, 1] -= 0.3 * (pixels[hidden, 1] - pixels[ROOT, 1])
    scores = np.full(NUM_JOINTS, 0.95, np.float32)
    scores[hidden] = 0.5
    root = root_translation(relative, pixels, scores, INTRINSICS, expected_depth_m=None)
    assert root[2] == pytest.approx(2.0, rel=0.05)


def test_a_face_alone_does_not_throw_the_person_about() -> None:
    """Only the head is seen, with pixel noise: the depth known from before holds."""
    relative, exact = relative_and_pixels(Person(root_m=(0.0, 0.1, 4.0)))
    scores = np.full(NUM_JOINTS, 0.01, np.float32)
    scores[:5] = 0.9
    random = np.random.default_rng(1)
    free, held = [], []
    for _ in range(50):
        pixels = exact + random.normal(0, 2.0, exact.shape).astype(np.float32)
        pixels[5:] += random.normal(0, 30.0, (NUM_JOINTS - 5, 2)).astype(np.float32)
        free.append(root_translation(relative, pixels, scores, INTRINSICS, expected_depth_m=None))
        held.append(root_translation(relative, pixels, scores, INTRINSICS, expected_depth_m=4.0))
    assert np.abs(np.array(held)[:, 2] - 4.0).max() < 1.0
    assert np.std(np.array(held)[:, 2]) < np.std(np.array(free)[:, 2])


def test_a_whole_body_overrules_a_wrong_expectation() -> None:
    relative, pixels = relative_and_pixels(Person(root_m=(0.0, 0.1, 4.0)))
    root = root_translation(relative, pixels, SURE, INTRINSICS, expected_depth_m=2.0)
    assert root[2] == pytest.approx(4.0, rel=0.03)


@pytest.mark.parametrize("seed", range(20))
def test_no_joint_ever_lies_behind_the_camera(seed: int) -> None:
    random = np.random.default_rng(seed)
    relative = random.normal(0, 1.0, (NUM_JOINTS, 3)).astype(np.float32)
    pixels = random.uniform(-500, 1100, (NUM_JOINTS, 2)).astype(np.float32)
    scores = random.uniform(0, 1, NUM_JOINTS).astype(np.float32)
    for expected in (None, 0.1, 3.0):
        root = root_translation(relative, pixels, scores, INTRINSICS, expected_depth_m=expected)
        assert np.isfinite(root).all()
        assert (relative[:, 2] + root[2] > 0.1).all()


def test_all_joints_in_one_pixel_still_give_a_place() -> None:
    pixels = np.full((NUM_JOINTS, 2), 300.0, np.float32)
    scores = np.zeros(NUM_JOINTS, np.float32)
    root = root_translation(BODY_M, pixels, scores, INTRINSICS, expected_depth_m=None)
    assert np.isfinite(root).all()
    assert root[2] > 0


def test_lens_distortion_is_taken_out() -> None:
    lens = camera.assume(640, 480)
    bent = type(lens)(
        matrix=lens.matrix,
        width_px=640,
        height_px=480,
        assumed=False,
        distortion=np.array([-0.25, 0.08, 0.0, 0.0, 0.0]),
    )
    place = np.array([0.9, 0.1, 2.6])
    pixels = camera.project(BODY_M.astype(np.float64) + place, bent).astype(np.float32)
    root = root_translation(BODY_M, pixels, SURE, bent, expected_depth_m=None)
    np.testing.assert_allclose(root, place, atol=0.02)


def test_a_flickering_scale_settles_on_the_persons_own_size() -> None:
    random = np.random.default_rng(0)
    size, heights = BodySize(), []
    for _ in range(120):
        settled = size.settle(BODY_M * np.float32(random.normal(1.1, 0.08)), SURE)
        heights.append(float(np.ptp(settled[:, 1])))
    assert np.std(heights[60:]) < 0.02
    assert np.mean(heights[60:]) == pytest.approx(1.1 * 1.7, rel=0.03)


def test_two_people_keep_two_sizes() -> None:
    tall, small = BodySize(), BodySize()
    for _ in range(30):
        a = tall.settle(BODY_M * np.float32(1.15), SURE)
        b = small.settle(BODY_M * np.float32(0.85), SURE)
    assert np.ptp(a[:, 1]) / np.ptp(b[:, 1]) == pytest.approx(1.15 / 0.85, rel=1e-3)


def test_one_broken_limb_does_not_change_the_size() -> None:
    size = BodySize()
    for _ in range(30):
        size.settle(BODY_M, SURE)
    broken = BODY_M.copy()
    broken[INDEX["left_wrist"]] += (2.0, 0.0, 0.0)
    np.testing.assert_allclose(size.settle(broken, SURE)[:9], BODY_M[:9], atol=1e-4)


def test_unseen_bones_teach_nothing() -> None:
    size = BodySize()
    unseen = np.full(NUM_JOINTS, 0.1, np.float32)
    np.testing.assert_array_equal(
        size.settle(BODY_M * np.float32(3.0), unseen), BODY_M * np.float32(3.0)
    )
    np.testing.assert_allclose(size.settle(BODY_M, SURE), BODY_M)
