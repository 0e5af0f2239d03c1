"""One training crop: picture, 2D and 3D are disturbed together."""

import numpy as np
import pytest
from jaxtyping import Float32, Float64

from edge_pose import skeleton
from edge_pose.region import region_of_body
from train.pose_augment import Augmentation, Person, cut_crop, make_crop, ray_from_camera
from train.reach import reach_of

CAMERA = np.array([[9000.0, 0, 320], [0, 9000.0, 240], [0, 0, 1]])
"""A long lens: what stands 40 m away is seen almost orthographically."""


def far_person(seed: int = 0) -> Person:
    rng = np.random.default_rng(seed)
    joints_m = rng.uniform(-0.4, 0.4, (skeleton.NUM_JOINTS, 3)) + np.array([0.2, -0.1, 40])
    projected = joints_m @ CAMERA.T
    joints_px = projected[:, :2] / projected[:, 2:]
    return Person(
        image=rng.integers(0, 255, (480, 640, 3)).astype(np.uint8),
        box_px=np.concatenate([joints_px.min(0), joints_px.max(0)]).astype(np.float32),
        reach_px=reach_of(joints_px.astype(np.float32), joints_m.astype(np.float32)),
        joints_px=joints_px.astype(np.float32),
        weight_2d=rng.uniform(0.5, 1, skeleton.NUM_JOINTS).astype(np.float32),
        joints_m=joints_m.astype(np.float32),
        visible=rng.random(skeleton.NUM_JOINTS) < 0.5,
        camera_matrix=CAMERA,
    )


def centred(points: np.ndarray) -> Float64[np.ndarray, "joints 2"]:
    return (points - points.mean(0)).astype(np.float64)


def misfit_px(joints_m: Float32[np.ndarray, "j 3"], joints_px: Float32[np.ndarray, "j 2"]) -> float:
    """Return what is left between 3D seen from the front and 2D after the best single scale."""
    flat, pixels = centred(joints_m[:, :2]), centred(joints_px)
    scale = float((flat * pixels).sum() / (flat**2).sum())
    assert scale > 0
    return float(np.abs(scale * flat - pixels).max())


@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(),
        Augmentation(turn_rad=0.8, scale=0.2, shift=0.1),
        Augmentation(mirror=True, turn_rad=0.5),
    ],
)
def test_3d_seen_from_the_front_lies_on_2d(augmentation: Augmentation) -> None:
    rng = np.random.default_rng(1)
    for _ in range(12):
        crop = make_crop(far_person(), augmentation, rng)
        assert misfit_px(crop.joints_m, crop.joints_px) < 2.5
        assert crop.has_3d
        assert not crop.joints_m[skeleton.ROOT].any()


def test_a_first_look_holds_what_is_seen_of_the_person_in_its_middle() -> None:
    crop = make_crop(far_person(), Augmentation(first_look=1.0), np.random.default_rng(0))
    middle = (crop.joints_px.min(0) + crop.joints_px.max(0)) / 2
    assert np.allclose(middle, 127.5, atol=0.01)
    assert np.isclose(np.ptp(crop.joints_px, axis=0).max(), 256 / 1.25, atol=0.01)


def test_a_crop_of_the_body_has_the_pelvis_in_its_middle_and_the_neck_straight_above() -> None:
    person = far_person()
    crop = cut_crop(person, region_of_body(person.reach_px))
    pelvis_px, neck_px = (crop.joints_px[skeleton.INDEX[name]] for name in ("pelvis", "neck"))
    assert np.allclose(pelvis_px, 127.5, atol=0.01)
    assert np.isclose(neck_px[0], 127.5, atol=0.01)
    assert neck_px[1] < 127.5
    # The reach spans two fifths of the square, straight up from its middle.
    assert np.allclose(crop.reach_px, [[127.5, 127.5], [127.5, 127.5 - 256 / 2.5]], atol=0.01)


def test_mirrored_labels_mirrored_again_are_the_labels() -> None:
    person = far_person()
    plain = make_crop(person, Augmentation(), np.random.default_rng(0))
    seen_mirrored = 0
    order = np.array(skeleton.MIRROR)
    for seed in range(8):
        crop = make_crop(person, Augmentation(mirror=True), np.random.default_rng(seed))
        if np.allclose(crop.joints_px, plain.joints_px, atol=1e-3):
            continue
        seen_mirrored += 1
        back_px = crop.joints_px[order] * [-1, 1] + [255, 0]
        # The ray of the mirrored crop is the same ray, so 3D comes back with its x turned over.
        back_m = crop.joints_m[order] * [-1, 1, 1]
        assert np.allclose(back_px, plain.joints_px, atol=1e-3)
        assert np.allclose(crop.reach_px * [-1, 1] + [255, 0], plain.reach_px, atol=1e-3)
        assert np.allclose(back_m, plain.joints_m, atol=1e-5)
        assert np.array_equal(crop.weight_2d[order], plain.weight_2d)
        assert np.array_equal(crop.visible[order], plain.visible)
        assert np.abs(crop.image[:, :, ::-1].astype(int) - plain.image).max() <= 2
    assert seen_mirrored > 0


def test_turning_the_picture_keeps_lengths_and_depths() -> None:
    plain = make_crop(far_person(), Augmentation(), np.random.default_rng(0))
    rng = np.random.default_rng(0)
    crops = [make_crop(far_person(), Augmentation(turn_rad=1.0), rng) for _ in range(8)]
    turned = next(c for c in crops if not np.allclose(c.joints_px, plain.joints_px, atol=1))
    assert np.allclose(turned.joints_m[:, 2], plain.joints_m[:, 2], atol=1e-5)
    plain_m, turned_m = (np.linalg.norm(crop.joints_m, axis=1) for crop in (plain, turned))
    assert np.allclose(plain_m, turned_m, atol=1e-5)


@pytest.mark.parametrize("point_px", [(320.0, 240.0), (10.0, 20.0), (639.0, 479.0)])
def test_the_ray_through_a_pixel_becomes_the_axis(point_px: tuple[float, float]) -> None:
    matrix = np.array([[500.0, 0, 320], [0, 520.0, 240], [0, 0, 1]])
    turn = ray_from_camera(np.array(point_px), matrix)
    ray = np.array([(point_px[0] - 320) / 500, (point_px[1] - 240) / 520, 1])
    assert np.allclose(turn @ (ray / np.linalg.norm(ray)), [0, 0, 1])
    assert np.allclose(turn @ turn.T, np.eye(3))
    assert np.isclose(np.linalg.det(turn), 1)
    # The smallest such rotation leaves alone what is perpendicular to both ends.
    axis = np.cross(ray, [0, 0, 1])
    assert np.allclose(turn @ axis, axis)


def test_what_a_rectangle_hides_is_no_longer_visible() -> None:
    person = far_person()
    hidden = 0
    for seed in range(10):
        crop = make_crop(person, Augmentation(cover=1.0), np.random.default_rng(seed))
        assert person.visible is not None
        assert not (crop.visible & ~person.visible).any()
        hidden += int((person.visible & ~crop.visible).sum())
    assert hidden > 0


def test_a_picture_that_ends_inside_a_person_keeps_3d_and_2d_together() -> None:
    rng = np.random.default_rng(4)
    cut = 0
    for _ in range(12):
        person = far_person()
        crop = make_crop(person, Augmentation(truncate=1.0), rng)
        assert misfit_px(crop.joints_m, crop.joints_px) < 2.5
        assert person.visible is not None
        assert not (crop.visible & ~person.visible).any()
        gone = crop.weight_2d < person.weight_2d
        assert not crop.visible[gone].any()
        cut += int(gone.sum())
        # The square stays where the whole body is.
        assert np.allclose(crop.reach_px[0], 127.5, atol=0.01)
    assert cut > 12
