"""What the labels of a rendered picture say, its pixels show."""

from dataclasses import replace

import numpy as np
import pytest

from edge_pose.errors import ConfigError
from edge_pose.skeleton import INDEX, NUM_JOINTS
from train.synth.anatomy import BodyModel, PosedBody
from train.synth.appearance import LONG_HAIR_SWELL, Appearance, Garment, draw_appearance
from train.synth.camera import Camera, centred_matrix, look_at, project, to_camera, window
from train.synth.frames import FramePlan, Studio, compose_frame, plan_frames
from train.synth.garments import PART, Layer, open_wardrobe
from train.synth.lighting import Light
from train.synth.opengl import SOFTWARE_NAMES, clip_from_world, open_context
from train.synth.person import Person, stage_person
from train.synth.photograph import photograph
from train.synth.renderer import Renderer
from train.synth.rendering import Rendering, Scene
from train.synth.site import DOCK, FACTORY, OTHER, Site, find_site
from train.synth.things import Thing, placed
from train.synth.visibility import label_people, seen, tight_box


@pytest.fixture(scope="module")
def model() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def studio(model: BodyModel) -> Studio:
    wardrobe = open_wardrobe(model)
    return Studio(
        site=FACTORY, wardrobe=wardrobe, renderer=Renderer(wardrobe), photos=[], size_px=256
    )


@pytest.fixture(scope="module")
def bodies(model: BodyModel) -> list[PosedBody]:
    return model.sample_bodies(6, rng=np.random.default_rng(5), activities=["stand"])


def bare() -> Appearance:
    """Skin, hands and feet, nothing that stands off the body."""
    look = draw_appearance(np.random.default_rng(0), FACTORY)
    white = np.ones(3)
    layers = (Layer.SKIN, Layer.HANDS)
    garments = [Garment(layer=layer, colour=white, second_colour=white) for layer in layers]
    return replace(look, garments=tuple(garments), hat=None)


def staged(studio: Studio, body: PosedBody, appearance: Appearance | None = None) -> Person:
    person = stage_person(
        body,
        number=1,
        at_m=np.zeros(2),
        wardrobe=studio.wardrobe,
        site=studio.site,
        rng=np.random.default_rng(1),
    )
    return replace(person, appearance=appearance) if appearance else person


def camera_at(azimuth: float, person: Person, *, size_px: int = 256) -> Camera:
    position_m = 3.0 * np.array([np.cos(azimuth), np.sin(azimuth), 0]) + [0, 0, 1.4]
    return Camera(
        matrix=centred_matrix(size_px, size_px, field_of_view_rad=0.75),
        camera_from_world=look_at(position_m, person.middle_m, roll_rad=0.05),
        width_px=size_px,
        height_px=size_px,
    )


def scene_of(person: Person, *things: Thing, size_px: int = 256) -> Scene:
    return Scene(
        people=[person.drawn],
        things=things,
        light=Light(
            direction=np.array([0.6, 0.0, 0.8]),
            colour=np.ones(3),
            sky=np.full(3, 0.5),
            ground=np.full(3, 0.3),
            lamp_positions_m=np.full((3, 3), 3.0),
            lamp_colours=np.zeros((3, 3)),
            exposure=1.0,
            shadow_softness=1.0,
        ),
        centre_m=person.middle_m,
        radius_m=2.2,
        backdrop=np.zeros((size_px, size_px, 3), np.uint8),
    )


def test_a_silhouette_ends_where_its_outermost_vertices_project(
    studio: Studio, bodies: list[PosedBody]
) -> None:
    """Pixel centres lie inside the outline by half a pixel on average; feet are not drawn bare."""
    is_foot = np.isin(
        studio.wardrobe.vertex_data[:, -1].astype(int), [PART["left_foot"], PART["right_foot"]]
    )
    gaps_px = []
    for number, body in enumerate(bodies):
        person = staged(studio, body, bare())
        camera = camera_at(1.1 * number, person)
        mask = studio.renderer.render(scene_of(person), camera).person == 1
        points_px = project(camera, to_camera(camera, person.vertices_m[~is_foot]))
        box_px = tight_box(mask)
        gaps_px.append(
            [
                box_px[0] + 0.5 - points_px[:, 0].min(),
                points_px[:, 0].max() - (box_px[2] - 0.5),
                box_px[1] + 0.5 - points_px[:, 1].min(),
            ]
        )
    assert np.abs(gaps_px).max() < 1.8
    np.testing.assert_allclose(np.mean(gaps_px, axis=0), 0.5, atol=0.5)


def test_depth_carried_back_into_space_lies_on_the_body(
    studio: Studio, bodies: list[PosedBody]
) -> None:
    person = staged(studio, bodies[0], bare())
    camera = camera_at(0.3, person)
    rendering = studio.renderer.render(scene_of(person), camera)
    rows, columns = np.nonzero(rendering.person == 1)
    pixels = np.stack([columns, rows, np.ones(len(rows))])
    rays = np.linalg.inv(camera.matrix) @ pixels
    points_m = (rays * rendering.depth_m[rows, columns]).T
    vertices_m = to_camera(camera, person.vertices_m)
    sample = points_m[:: max(1, len(points_m) // 300)]
    distance_m = np.linalg.norm(sample[:, None] - vertices_m[None], axis=2).min(axis=1)
    assert np.median(distance_m) < 0.012
    assert np.quantile(distance_m, 0.99) < 0.04


def test_the_nose_is_seen_from_the_front_and_not_from_behind(
    studio: Studio, bodies: list[PosedBody]
) -> None:
    for body in bodies[:3]:
        person = staged(studio, body)
        facing = float(np.arctan2(person.forward[1], person.forward[0]))
        visible = {}
        for name, azimuth in (("front", facing), ("back", facing + np.pi)):
            camera = camera_at(azimuth, person)
            rendering = studio.renderer.render(scene_of(person), camera)
            (label,) = label_people([person], camera, rendering, studio.renderer)
            visible[name] = bool(label.visible[INDEX["nose"]])
            assert label.inside.all()
            assert label.visible_fraction > 0.85
        assert visible == {"front": True, "back": False}


def test_long_hair_falls_down_the_back_and_not_over_the_face(
    studio: Studio, bodies: list[PosedBody]
) -> None:
    def green(azimuth: float, falls_m: float) -> int:
        hair = Garment(
            layer=Layer.HAIR,
            offset_m=0.05,
            swell=LONG_HAIR_SWELL,
            colour=np.ones(3),
            second_colour=np.ones(3),
        )
        look = replace(
            bare(),
            hair=np.array([0.0, 0.6, 0.0]),
            hair_falls_m=falls_m,
            face_wear=(0.0, 0.0, 0.0),
            garments=(*bare().garments, hair),
        )
        person = staged(studio, bodies[0], look)
        facing = float(np.arctan2(person.forward[1], person.forward[0]))
        camera = camera_at(facing + azimuth, person)
        image = studio.renderer.render(scene_of(person), camera).image.astype(int)
        return int((image[..., 1] > 2 * np.maximum(image[..., 0], image[..., 2]) + 20).sum())

    short, long = green(np.pi, 0.0), green(np.pi, 0.4)
    assert short > 50
    assert long > 2.5 * short
    assert green(0.0, 0.4) < 0.5 * long


def test_left_is_on_the_right_of_the_picture_of_someone_facing_us(
    studio: Studio, bodies: list[PosedBody]
) -> None:
    person = staged(studio, bodies[0])
    facing = float(np.arctan2(person.forward[1], person.forward[0]))
    camera = camera_at(facing, person)
    joints_px = project(camera, to_camera(camera, person.joints_m))
    assert joints_px[INDEX["left_shoulder"], 0] > joints_px[INDEX["right_shoulder"], 0]
    assert joints_px[INDEX["nose"], 1] < joints_px[INDEX["left_ankle"], 1]


def test_a_wall_before_the_legs_hides_them_and_only_them(
    studio: Studio, bodies: list[PosedBody]
) -> None:
    person = staged(studio, bodies[1])
    camera = camera_at(0.0, person)
    wall = Thing(
        world_from_shape=placed(np.eye(3), np.array([1.0, 0.0, 0.3]), np.array([0.1, 4.0, 0.6])),
        colour=np.ones(3),
    )
    open_view = studio.renderer.render(scene_of(person), camera)
    blocked = studio.renderer.render(scene_of(person, wall), camera)
    (free,) = label_people([person], camera, open_view, studio.renderer)
    (hidden,) = label_people([person], camera, blocked, studio.renderer)
    legs = [INDEX[f"{side}_{joint}"] for side in ("left", "right") for joint in ("ankle", "heel")]
    assert free.visible[legs].any()
    assert not hidden.visible[legs].any()
    assert hidden.visible[INDEX["head_top"]]
    assert hidden.visible_fraction < free.visible_fraction - 0.1
    assert hidden.box_px[3] < free.box_px[3] - 10
    np.testing.assert_allclose(hidden.full_box_px, free.full_box_px, atol=2)


def test_someone_out_of_sight_has_no_label(studio: Studio, bodies: list[PosedBody]) -> None:
    person = staged(studio, bodies[1])
    camera = camera_at(0.0, person)
    wall = Thing(
        world_from_shape=placed(np.eye(3), np.array([1.0, 0.0, 1.5]), np.array([0.1, 6.0, 5.0])),
        colour=np.ones(3),
    )
    rendering = studio.renderer.render(scene_of(person, wall), camera)
    assert label_people([person], camera, rendering, studio.renderer) == []


def test_the_soft_mask_agrees_with_the_hard_one_away_from_edges(
    studio: Studio, bodies: list[PosedBody]
) -> None:
    person = staged(studio, bodies[2])
    rendering = studio.renderer.render(scene_of(person), camera_at(2.0, person))
    hard = rendering.person > 0
    assert hard[rendering.soft == 255].all()
    assert not hard[rendering.soft == 0].any()
    assert 0.9 < rendering.soft.sum() / 255 / hard.sum() < 1.1
    assert ((rendering.soft > 0) & (rendering.soft < 255)).any()


def test_a_joint_is_visible_by_person_part_and_depth() -> None:
    """One joint, one pixel: each of the three conditions alone hides it."""
    joints_px = np.full((NUM_JOINTS, 2), 4, np.float32)
    depths_m = np.full(NUM_JOINTS, 3.0)
    knee = INDEX["left_knee"]

    def is_visible(*, person: int, part: str, depth_m: float) -> bool:
        rendering = Rendering(
            image=np.zeros((9, 9, 3), np.uint8),
            soft=np.zeros((9, 9), np.uint8),
            person=np.full((9, 9), person, np.uint8),
            part=np.full((9, 9), PART[part], np.uint8),
            depth_m=np.full((9, 9), depth_m, np.float32),
        )
        return bool(seen(joints_px, depths_m, rendering, 1)[knee])

    assert is_visible(person=1, part="left_shin", depth_m=2.95)
    assert not is_visible(person=2, part="left_shin", depth_m=2.95)
    assert not is_visible(person=1, part="right_shin", depth_m=2.95)
    assert not is_visible(person=1, part="left_shin", depth_m=2.8)


def test_a_frame_is_the_same_twice(studio: Studio, bodies: list[PosedBody]) -> None:
    plan = FramePlan(view="close", people=2, seed=11)
    first, second = (compose_frame(studio, plan, bodies[:2]) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.person, second.person)
    np.testing.assert_array_equal(first.camera.matrix, second.camera.matrix)


def test_labels_project_onto_their_own_pixels(studio: Studio, bodies: list[PosedBody]) -> None:
    close = FramePlan(view="close", people=1, seed=3)
    hall = FramePlan(view="hall", people=4, seed=3)
    for plan in (close, hall):
        frame = compose_frame(studio, plan, bodies[: plan.people])
        assert frame.people
        height, width = frame.person.shape
        assert (frame.depth_m[frame.person > 0] > 0).all()
        assert (frame.depth_m[frame.person == 0] == 0).all()
        for label in frame.people:
            projected = project(frame.camera, label.joints_m.astype(np.float64))
            np.testing.assert_allclose(label.joints_px, projected, atol=0.05)
            assert not (label.visible & ~label.inside).any()
            assert label.box_px[0] >= -0.5
            assert label.box_px[2] <= width - 0.5
            assert label.box_px[3] <= height - 0.5


def test_nobody_is_a_picture_too(studio: Studio) -> None:
    close = FramePlan(view="close", people=0, seed=1)
    hall = FramePlan(view="hall", people=0, seed=1)
    for plan in (close, hall):
        frame = compose_frame(studio, plan, [])
        assert frame.people == []
        assert not frame.person.any()
        assert not frame.soft.any()


def test_plans_show_halls_and_empty_places() -> None:
    plans = plan_frames(np.random.default_rng(0), 3000)
    halls = [plan for plan in plans if plan.view == "hall"]
    assert len(halls) / len(plans) == pytest.approx(1 / 6, abs=0.03)
    assert {plan.people for plan in halls} == set(range(7))
    assert any(plan.people == 0 for plan in plans if plan.view == "close")


def test_a_window_moves_pixels_and_rays_alike() -> None:
    wide = Camera(
        matrix=centred_matrix(1280, 960, field_of_view_rad=1.2),
        camera_from_world=look_at(np.array([0, -3.0, 2]), np.zeros(3), roll_rad=0.1),
        width_px=1280,
        height_px=960,
    )
    cut = window(wide, centre_px=np.array([400.0, 300]), side_px=200.0, size_px=100)
    point_m = to_camera(wide, np.array([[0.1, 0.2, 0.3]]))
    expected = (project(wide, point_m)[0] - (np.array([400, 300]) - 100)) / 2 - 0.5
    np.testing.assert_allclose(project(cut, point_m)[0], expected)


def test_opengl_sees_what_the_pinhole_sees() -> None:
    camera = Camera(
        matrix=np.array([[300, 0, 111], [0, 290, 140], [0, 0, 1.0]]),
        camera_from_world=look_at(np.array([1.0, -4, 2]), np.array([0, 0, 1.0]), roll_rad=0.2),
        width_px=256,
        height_px=192,
    )
    points_m = np.random.default_rng(0).uniform(-1, 1, (20, 3))
    homogeneous = np.hstack([points_m, np.ones((20, 1))])
    clip = homogeneous @ clip_from_world(camera, near_m=0.1, far_m=50.0).T
    device = clip[:, :2] / clip[:, 3:]
    pixels = np.stack([(device[:, 0] + 1) * 128 - 0.5, (1 - device[:, 1]) * 96 - 0.5], axis=1)
    np.testing.assert_allclose(pixels, project(camera, to_camera(camera, points_m)), atol=1e-6)


def test_a_renderer_that_was_not_asked_for_is_refused() -> None:
    context = open_context("any")
    name = context.info["GL_RENDERER"].lower()
    context.release()
    is_software = any(word in name for word in SOFTWARE_NAMES)
    with pytest.raises(ConfigError, match="--renderer"):
        open_context("gpu" if is_software else "software")


@pytest.mark.parametrize("site", [OTHER, DOCK])
def test_a_held_out_site_shares_no_colour_and_no_codec(site: Site) -> None:
    for kind in ("palette", "hi_vis", "hats"):
        assert not set(getattr(FACTORY, kind)) & set(getattr(site, kind))
    assert FACTORY.codec != site.codec


def test_cameras_of_the_dock_look_down_more_steeply_than_any_of_the_factory() -> None:
    assert DOCK.hall_pitch_deg[0] >= FACTORY.hall_pitch_deg[1]
    assert DOCK.camera_height_m[0] > np.mean(FACTORY.camera_height_m)


@pytest.mark.parametrize("site", [FACTORY, OTHER, DOCK])
def test_a_photograph_is_noisy_and_repeatable(site: Site) -> None:
    flat = np.full((64, 48, 3), 128, np.uint8)
    depth_m = np.full((64, 48), 3.0, np.float32)
    first = photograph(np.random.default_rng(4), site, flat, depth_m)
    second = photograph(np.random.default_rng(4), site, flat, depth_m)
    np.testing.assert_array_equal(first, second)
    assert first.std(axis=(0, 1)).max() > 0.2


def test_an_unknown_site_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="factory, other"):
        find_site("moon")
