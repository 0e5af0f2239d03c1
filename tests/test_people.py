"""Frames in, people out: what an operator relies on, with true poses read from coded pictures."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace

import numpy as np
import pytest

from bundles import BLUE, GREEN, RED, Actor, draw_people, make_bundle
from edge_pose import camera
from edge_pose.bundle import Bundle, open_bundle
from edge_pose.engines import Engines
from edge_pose.engines.onnx import OnnxEngine
from edge_pose.people import STAGES, EstimatorSettings, PoseEstimator
from edge_pose.skeleton import INDEX, JOINTS, ROOT
from edge_pose.track_settings import TrackSettings
from edge_pose.types import Frame, Pose3D
from scenes import Person, World, engines_of

UNFILTERED = EstimatorSettings(smoothing=None)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return open_bundle(make_bundle(tmp_path_factory.mktemp("stand-in")))


@pytest.fixture
def world() -> World:
    return World(camera.assume(640, 480))


def estimator_of(
    world: World, bundle: Bundle, settings: EstimatorSettings | None = UNFILTERED
) -> PoseEstimator:
    return PoseEstimator(
        bundle,
        engines=engines_of(world),
        intrinsics_for=lambda width, height: camera.scale_to(world.intrinsics, width, height),
        settings=settings,
    )


def numbers(poses: list[Pose3D]) -> list[int]:
    return [pose.track for pose in poses]


def root(pose: Pose3D) -> np.ndarray:
    return np.asarray(pose.joints_m[ROOT])


def test_two_people_at_different_depths_stand_where_they_stand(
    world: World, bundle: Bundle
) -> None:
    world.people = [Person(root_m=(-0.8, 0.1, 2.6)), Person(root_m=(1.2, 0.0, 5.5), size=1.05)]
    estimator = estimator_of(world, bundle)
    for sequence in range(5):
        poses = estimator.process(world.frame(sequence))
    assert len(poses) == 2
    for pose, person in zip(
        sorted(poses, key=lambda pose: float(root(pose)[2])), world.people, strict=True
    ):
        # The coded picture gives pixels to about 0.2, which is half a percent of a small person.
        np.testing.assert_allclose(pose.joints_m, person.joints_m, atol=0.015 * person.root_m[2])
        np.testing.assert_allclose(pose.joints_px, world.joints_px(person), atol=2.0)
        assert not pose.predicted.any()
        assert pose.score == pytest.approx(0.9 * 0.95, abs=1e-3)


def test_a_person_who_turns_round_keeps_number_and_sides(world: World, bundle: Bundle) -> None:
    estimator = estimator_of(world, bundle)
    left, right = INDEX["left_wrist"], INDEX["right_wrist"]
    for sequence in range(31):
        world.people = [Person(root_m=(0.3, 0.1, 3.0), yaw_deg=6.0 * sequence)]
        (pose,) = estimator.process(world.frame(sequence))
        assert pose.track == 1
        if sequence == 0:
            assert pose.joints_m[left, 0] > pose.joints_m[right, 0]
    assert pose.joints_m[left, 0] < pose.joints_m[right, 0]


def test_people_who_cross_keep_their_numbers(world: World, bundle: Bundle) -> None:
    estimator = estimator_of(world, bundle)
    seen: dict[int, list[float]] = {1: [], 2: []}
    for sequence in range(46):
        way = -1.5 + sequence / 15.0
        world.people = [
            Person(root_m=(way, 0.1, 3.0)),
            Person(root_m=(-way, 0.1, 4.2), squat=0.25),
        ]
        for pose in estimator.process(world.frame(sequence, fps=15.0)):
            if not pose.stale:
                seen[pose.track].append(float(root(pose)[2]))
    near, far = sorted(seen.values(), key=lambda depths: depths[0])
    np.testing.assert_allclose(near, 3.0, atol=0.1)
    np.testing.assert_allclose(far, 4.2, atol=0.1)
    assert len(near) == 46
    assert len(far) > 30


def test_someone_who_leaves_is_stale_then_gone_and_gets_their_number_back(
    world: World, bundle: Bundle
) -> None:
    settings = replace(UNFILTERED, tracking=TrackSettings(stale_s=0.5, remember_s=5.0))
    estimator = estimator_of(world, bundle, settings)
    stays, goes = Person(root_m=(-0.8, 0.1, 3.0)), Person(root_m=(0.9, 0.1, 3.5))
    reports = []
    for sequence in range(40):
        world.people = [stays] if 7 <= sequence < 30 else [stays, goes]
        reports.append(estimator.process(world.frame(sequence, fps=10.0)))
    goer = next(pose.track for pose in reports[0] if root(pose)[0] > 0)
    carried = next(pose for pose in reports[9] if pose.track == goer)
    assert carried.stale
    assert carried.predicted.all()
    assert carried.captured_ns == world.frame(9, fps=10.0).captured_ns
    assert goer not in numbers(reports[15])
    assert numbers(reports[39]) == numbers(reports[0])
    assert not any(pose.stale for pose in reports[39])
    back = next(pose for pose in reports[39] if pose.track == goer)
    np.testing.assert_allclose(root(back), goes.root_m, atol=0.05)


def test_somebody_else_far_away_gets_a_new_number(world: World, bundle: Bundle) -> None:
    estimator = estimator_of(world, bundle)
    for sequence in range(60):
        if sequence < 20:
            world.people = [Person(root_m=(-1.6, 0.1, 4.5))]
        elif sequence < 40:
            world.people = []
        else:
            world.people = [Person(root_m=(1.6, 0.1, 4.5))]
        poses = estimator.process(world.frame(sequence))
    assert numbers(poses) == [2]


def test_a_number_is_no_identity_after_ten_seconds_away_and_starts_again_with_the_process(
    world: World, bundle: Bundle
) -> None:
    """Same place, same clothes: only the time away makes this person a new number."""
    estimator = estimator_of(world, bundle)
    seen = []
    for sequence in range(140):
        here = sequence < 20 or sequence >= 120
        world.people = [Person(root_m=(0.0, 0.1, 3.0))] if here else []
        seen.append(numbers(estimator.process(world.frame(sequence, fps=10.0))))
    assert (seen[19], seen[139]) == ([1], [2])
    assert estimator.people_held == 1
    later = estimator_of(world, bundle)
    assert numbers(later.process(world.frame(140, fps=10.0))) == [1]


def test_nobody_in_the_frame_is_nobody(world: World, bundle: Bundle) -> None:
    estimator = estimator_of(world, bundle)
    assert [estimator.process(world.frame(sequence)) for sequence in range(3)] == [[], [], []]
    # The first frame is swept: as a whole, and in two squares; then one view ten times a second.
    assert (world.searches, world.looks) == (3, 0)
    for sequence in range(3, 31):
        estimator.process(world.frame(sequence))
    assert (world.searches, world.looks) == (3 + 10, 0)


def test_only_who_is_new_is_looked_at_several_times(world: World, bundle: Bundle) -> None:
    estimator = estimator_of(world, bundle)
    world.people = [Person(root_m=(0.0, 0.1, 3.0))]
    looks = []
    for sequence in range(4):
        before = world.looks
        estimator.process(world.frame(sequence))
        looks.append(world.looks - before)
    assert looks == [3, 1, 1, 1]


def test_who_is_seen_where_they_were_expected_is_not_looked_for_in_a_box_of_their_feet(
    world: World, bundle: Bundle
) -> None:
    """Half of the joints are unsure, so nobody is beyond doubt, and the detector boxes the feet."""
    world.people = [Person(root_m=(0.0, 0.1, 3.0), unsure=tuple(JOINTS[:10]))]
    estimator = estimator_of(world, bundle)
    for sequence in range(4):
        estimator.process(world.frame(sequence))
    world.boxed_below_px = 150
    searches, looks = world.searches, world.looks
    for sequence in range(4, 10):
        (pose,) = estimator.process(world.frame(sequence))
        assert not pose.stale
    assert world.searches == searches + 1
    assert world.looks == looks + 6


def test_a_coat_is_looked_at_thoroughly_once_and_then_only_briefly(
    world: World, bundle: Bundle
) -> None:
    estimator = estimator_of(world, bundle)
    coat = Person(root_m=(0.0, 0.1, 3.0), coat=True)
    world.people = [coat]
    looks = []
    for sequence in range(30):
        before = world.looks
        assert estimator.process(world.frame(sequence)) == []
        looks.append(world.looks - before)
    # As if it were all of somebody, and as if it were the upper half: thrice each, then once each.
    assert looks[0] == 6
    assert set(looks[1:]) == {0, 2}
    # Somebody where it hung is found as if it had never been there.
    world.people = [replace(coat, coat=False)]
    found = [len(estimator.process(world.frame(sequence))) for sequence in range(30, 36)]
    assert found[-1] == 1


def test_a_square_holds_the_whole_body_of_somebody_behind_a_table(
    world: World, bundle: Bundle
) -> None:
    estimator = estimator_of(world, bundle)
    whole = Person(root_m=(0.0, 0.0, 3.0))
    world.people = [whole]
    world.table_px = 250
    for sequence in range(3):
        (pose,) = estimator.process(world.frame(sequence))
    # A look about the box of what is seen would miss the feet; this one has them inside.
    np.testing.assert_allclose(pose.joints_px, world.joints_px(whole), atol=2.0)
    assert world.reach_px == pytest.approx(2.2 * world.intrinsics.matrix[0, 0] / 3.0, rel=0.1)


def test_whom_a_table_hides_is_found_where_the_square_about_what_is_seen_shows_too_little(
    world: World, bundle: Bundle
) -> None:
    """The detector is sure of them, and half a body without a face looks like nobody."""
    world.people = [Person(root_m=(0.0, 0.0, 3.0))]
    world.table_px, world.least_side_px = 250, 300.0
    estimator = estimator_of(world, bundle)
    for sequence in range(3):
        (pose,) = estimator.process(world.frame(sequence))
    np.testing.assert_allclose(pose.joints_px, world.joints_px(world.people[0]), atol=2.0)


def test_whoever_stands_in_a_crowd_is_seen_though_later_looks_slip_to_a_neighbour(
    world: World, bundle: Bundle
) -> None:
    """The first look at each of two shows them, the second and third show the same one."""
    world.people = [Person(root_m=(-0.5, 0.1, 3.0)), Person(root_m=(0.5, 0.1, 3.0))]
    world.slips_after = 2
    poses = estimator_of(world, bundle).process(world.frame(0))
    assert numbers(poses) == [1, 2]
    for pose, person in zip(
        sorted(poses, key=lambda pose: float(root(pose)[0])), world.people, strict=True
    ):
        np.testing.assert_allclose(pose.joints_px, world.joints_px(person), atol=3.0)


def test_the_detector_rests_while_everybody_is_in_sight(world: World, bundle: Bundle) -> None:
    settings = replace(UNFILTERED, tracking=TrackSettings(look_round_s=1.0))
    estimator = estimator_of(world, bundle, settings)
    for sequence in range(121):
        # Whoever walks does not wake it either: it is known who moves there.
        world.people = [Person(root_m=(-0.5 + 0.01 * sequence, 0.1, 3.0))]
        estimator.process(world.frame(sequence))
    # Three views of the first frame, then one a second.
    assert world.searches == 3 + 4


def test_a_newcomer_is_found_on_schedule_and_a_loss_is_looked_into_at_once(
    world: World, bundle: Bundle
) -> None:
    settings = replace(UNFILTERED, tracking=TrackSettings(look_closer_s=0.15, look_round_s=9.0))
    estimator = estimator_of(world, bundle, settings)
    here, newcomer = Person(root_m=(-0.7, 0.1, 3.0)), Person(root_m=(0.8, 0.1, 3.0))
    counts = []
    for sequence in range(20):
        world.people = [here] if sequence < 5 else [here, newcomer]
        counts.append(len(estimator.process(world.frame(sequence))))
    # Frame 5 is the left square's turn, frame 10 the whole frame's.
    assert counts[9:12] == [1, 2, 2]
    searches = world.searches
    world.people = [here]
    for sequence in range(21, 31):
        estimator.process(world.frame(sequence))
    # Ten times a second, until the loss is given up after half a second.
    assert world.searches >= searches + 3


@pytest.mark.parametrize("size", [(3840, 2160), (320, 240)])
def test_large_and_small_frames_give_the_same_metres(size: tuple[int, int], bundle: Bundle) -> None:
    world = World(camera.assume(*size))
    person = Person(root_m=(0.4, 0.1, 3.0))
    world.people = [person]
    estimator = estimator_of(world, bundle)
    for sequence in range(3):
        (pose,) = estimator.process(world.frame(sequence))
    np.testing.assert_allclose(pose.joints_m, person.joints_m, atol=0.04)


def test_a_size_that_changes_in_the_middle_keeps_people_and_metres(
    world: World, bundle: Bundle
) -> None:
    estimator = estimator_of(world, bundle)
    person = Person(root_m=(0.4, 0.1, 3.0))
    world.people = [person]
    for sequence in range(5):
        estimator.process(world.frame(sequence))
    world.intrinsics = camera.scale_to(world.intrinsics, 1280, 960)
    for sequence in range(5, 10):
        (pose,) = estimator.process(world.frame(sequence))
        assert (pose.track, pose.stale) == (1, False)
        np.testing.assert_allclose(pose.joints_m, person.joints_m, atol=0.04)
        np.testing.assert_allclose(pose.joints_px, world.joints_px(person), atol=3.0)
    assert estimator.intrinsics is not None
    assert estimator.intrinsics.width_px == 1280


def test_whoever_is_not_seen_in_a_new_size_stands_where_they_stood(
    world: World, bundle: Bundle
) -> None:
    """One is gone, two take turns: what is carried over is in pixels of the new size."""
    settings = replace(UNFILTERED, tracking=TrackSettings(looks_per_frame=1))
    estimator = estimator_of(world, bundle, settings)
    people = [Person(root_m=(x, 0.1, 4.0)) for x in (-1.2, 0.0, 1.2)]
    world.people = people
    for sequence in range(12):
        poses = estimator.process(world.frame(sequence))
    assert numbers(poses) == [1, 2, 3]
    left = {pose.track: pose for pose in poses}
    world.intrinsics = camera.scale_to(world.intrinsics, 1280, 960)
    world.people = []
    for sequence in range(12, 15):
        poses = estimator.process(world.frame(sequence))
        assert numbers(poses) == [1, 2, 3]
        for pose in poses:
            np.testing.assert_allclose(pose.joints_px, 2 * left[pose.track].joints_px, atol=0.1)
            np.testing.assert_allclose(pose.joints_m, left[pose.track].joints_m, atol=1e-3)


def test_a_size_of_another_shape_is_taken_too(world: World, bundle: Bundle) -> None:
    estimator = estimator_of(world, bundle)
    world.people = [Person(root_m=(0.4, 0.1, 3.0))]
    estimator.process(world.frame(0))
    world.intrinsics = camera.assume(360, 640)
    for sequence in range(1, 6):
        poses = estimator.process(world.frame(sequence))
    assert numbers([pose for pose in poses if not pose.stale]) == [1]


def test_smoothing_takes_noise_away_and_leaves_walking_alone(bundle: Bundle) -> None:
    errors = {}
    for name, settings in (("raw", UNFILTERED), ("smooth", EstimatorSettings())):
        world = World(camera.assume(640, 480), noise_px=1.5, noise_m=0.02)
        estimator = estimator_of(world, bundle, settings)
        apart = []
        for sequence in range(60):
            person = Person(root_m=(-1.0 + 0.03 * sequence, 0.1, 3.5))
            world.people = [person]
            (pose,) = estimator.process(world.frame(sequence))
            apart.append(np.linalg.norm(pose.joints_m - person.joints_m, axis=1).mean())
        errors[name] = float(np.mean(apart[20:]))
    assert errors["smooth"] < 0.7 * errors["raw"]


def test_unsure_joints_are_marked_as_predicted(world: World, bundle: Bundle) -> None:
    world.people = [Person(root_m=(0.4, 0.1, 3.0), unsure=("left_wrist", "right_toe"))]
    (pose,) = estimator_of(world, bundle).process(world.frame(0))
    assert {JOINTS[index] for index in np.flatnonzero(pose.predicted)} == {
        "left_wrist",
        "right_toe",
    }


def test_whoever_waits_for_a_turn_moves_on_as_they_moved(world: World, bundle: Bundle) -> None:
    """Two walk, one is looked at in each frame; in between the other is where the past leads."""
    settings = replace(UNFILTERED, tracking=TrackSettings(looks_per_frame=1))
    estimator = estimator_of(world, bundle, settings)
    ahead, held = [], []
    for sequence in range(40):
        walkers = [
            Person(root_m=(-1.5 + 0.03 * sequence, 0.1, 3.5)),
            Person(root_m=(0.3 + 0.03 * sequence, 0.1, 4.0)),
        ]
        world.people = walkers
        poses = estimator.process(world.frame(sequence))
        if sequence < 10:
            continue
        assert numbers(poses) == [1, 2]
        assert not any(pose.stale for pose in poses)
        (waiting,) = (pose for pose in poses if pose.predicted.all())
        (looked_at,) = (pose for pose in poses if not pose.predicted.any())
        assert waiting.captured_ns == looked_at.captured_ns
        truth = min(walkers, key=lambda one: abs(float(one.root_m[2] - root(waiting)[2])))
        off_m = root(waiting)[0] - truth.root_m[0]
        ahead.append(off_m)
        held.append(-0.03)
    # Half of the velocity is kept: half of a step is missing, not all of it.
    assert np.mean(ahead) == pytest.approx(np.mean(held) / 2, abs=0.006)


def test_no_more_people_than_allowed(world: World, bundle: Bundle) -> None:
    settings = replace(UNFILTERED, tracking=TrackSettings(max_people=2))
    world.people = [Person(root_m=(x, 0.1, 4.0)) for x in (-1.4, 0.0, 1.4)]
    estimator = estimator_of(world, bundle, settings)
    for sequence in range(12):
        assert len(estimator.process(world.frame(sequence))) == 2


def test_stage_times_are_told(world: World, bundle: Bundle) -> None:
    ticks = iter(range(0, 10**9, 10**6))
    estimator = PoseEstimator(
        bundle,
        engines=engines_of(world),
        intrinsics_for=camera.assume,
        clock=lambda: next(ticks),
    )
    world.people = [Person(root_m=(0.0, 0.1, 3.0))]
    estimator.process(world.frame(0))
    assert tuple(estimator.times_ms) == STAGES
    assert estimator.times_ms["detect"] >= 1.0
    assert estimator.times_ms["decode"] > 0.0
    assert estimator.times_ms["total"] > estimator.times_ms["pose"] > 0.0
    estimator.process(world.frame(1))
    assert estimator.times_ms["detect"] == 0.0


def test_whoever_is_forgotten_comes_back_under_a_number_that_nobody_had(
    world: World, bundle: Bundle
) -> None:
    """Whether followed still, or remembered because they left a moment ago."""
    person = Person(root_m=(0.0, 0.1, 3.0))
    estimator = estimator_of(world, bundle)
    for forgotten_at in (1, 20):
        world.people = [person]
        (before,) = numbers(estimator.process(world.frame(100 * forgotten_at, fps=10.0)))
        world.people = []
        for sequence in range(1, forgotten_at):
            estimator.process(world.frame(100 * forgotten_at + sequence, fps=10.0))
        assert estimator.people_held == 1
        estimator.forget()
        assert estimator.people_held == 0
        world.people = [person]
        after = numbers(estimator.process(world.frame(101 * forgotten_at, fps=10.0)))
        assert after == [before + 1]


def test_a_person_who_is_gone_leaves_no_state(world: World, bundle: Bundle) -> None:
    settings = EstimatorSettings(tracking=TrackSettings(stale_s=0.1, remember_s=0.2))
    estimator = estimator_of(world, bundle, settings)
    held = []
    for sequence in range(60):
        here = (sequence // 5) % 2 == 0
        world.people = [Person(root_m=(-1.5 + 3 * (sequence % 7) / 7, 0.1, 4.0))] if here else []
        estimator.process(world.frame(sequence, fps=10.0))
        held.append(estimator.people_held)
    assert 1 <= max(held) <= 2
    world.people = []
    for sequence in range(60, 65):
        estimator.process(world.frame(sequence, fps=10.0))
    assert estimator.people_held == 0


@pytest.fixture(scope="module")
def real(bundle: Bundle) -> Iterator[Engines]:
    with ExitStack() as stack:
        detector, pose = (
            stack.enter_context(closing(OnnxEngine(bundle.path_of(label), threads=1)))
            for label in ("detector", "pose")
        )
        yield Engines(detector=detector, pose=pose)


def test_with_onnx_runtime_three_painted_people_stand_in_metres(
    bundle: Bundle, real: Engines
) -> None:
    intrinsics = camera.from_angle(hfov_deg=70.0, width_px=1280, height_px=720)
    estimator = PoseEstimator(
        bundle,
        engines=real,
        intrinsics_for=camera.lens(hfov_deg=70.0),
    )
    places = [(-1.8, 0.1, 4.0), (0.0, 0.0, 3.0), (1.9, 0.2, 5.0)]
    actors = [
        Actor(root_m=place, colour=colour)
        for place, colour in zip(places, (RED, GREEN, BLUE), strict=True)
    ]
    image = draw_people(actors, intrinsics)
    for sequence in range(3):
        poses = estimator.process(
            Frame(
                image=image,
                sequence=sequence,
                captured_ns=sequence * 33_000_000,
                captured_at_ms=0,
            )
        )
    found = sorted(poses, key=lambda pose: float(root(pose)[0]))
    np.testing.assert_allclose([root(pose) for pose in found], places, atol=0.08)
