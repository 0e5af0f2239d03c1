"""Numbers that stay: birth, doubles, crossing, memory, and state that is freed."""

from dataclasses import replace

import numpy as np
import pytest

from bundles import BODY_M
from edge_pose.likeness import box_of, pose_likeness
from edge_pose.memory import Departure, Memory, leaves
from edge_pose.region import Region
from edge_pose.sighting import Proposal, Track
from edge_pose.skeleton import INDEX, NUM_JOINTS
from edge_pose.track import Tracker
from edge_pose.track_settings import TrackSettings
from edge_pose.types import Detection, RelativePose

MS = 1_000_000
SIZE = (1280, 720)
WHOLE = [np.array([0, 0, *SIZE], np.float32)]


def pose_at(x: float, *, height: float = 300.0, presence: float = 0.95) -> RelativePose:
    flat = BODY_M[:, :2] * np.float32(height / 1.7) + np.array([x, 360.0], np.float32)
    return RelativePose(
        joints_px=flat,
        joints_m=BODY_M,
        scores=np.full(NUM_JOINTS, 0.9, np.float32),
        presence=presence,
        region=Region(centre_px=(float(x), 360.0), side_px=1.3 * height),
    )


def detection_of(pose: RelativePose, score: float = 0.9) -> Detection:
    return Detection(box_px=box_of(pose, 0.3), score=score)


class Stage:
    """Plays frames for a tracker: each pose is what the network sees in any box near it."""

    def __init__(self, settings: TrackSettings | None = None) -> None:
        self.tracker = Tracker(settings or TrackSettings())
        self.at_ns = 0

    def play(
        self,
        *poses: RelativePose,
        step_ms: int = 33,
        score: float = 0.9,
        seen: bool = True,
        changed: bool = True,
    ) -> list[Track]:
        """Show one frame."""
        self.at_ns += step_ms * MS
        found = (
            [detection_of(pose, score) for pose in poses if seen]
            if self.tracker.detection_due(self.at_ns, changed=lambda: changed)
            else None
        )
        views = [] if found is None else WHOLE
        proposals = self.tracker.propose(self.at_ns, found, frame_size_px=SIZE, views=views)
        looks = [self._look(proposal, poses) for proposal in proposals]
        return self.tracker.update(self.at_ns, proposals, looks)

    @staticmethod
    def _look(proposal: Proposal, poses: tuple[RelativePose, ...]) -> RelativePose:
        middle = (proposal.box_px[:2] + proposal.box_px[2:]) / 2
        near = [
            pose
            for pose in poses
            if np.linalg.norm(pose.joints_px.mean(axis=0) - middle)
            < 0.6 * (proposal.box_px[3] - proposal.box_px[1])
        ]
        if not near:
            return pose_at(-900.0, presence=0.02)
        return min(near, key=lambda pose: float(np.linalg.norm(pose.joints_px.mean(0) - middle)))


def numbers(tracks: list[Track]) -> list[int | None]:
    return [track.number for track in tracks]


def test_a_sure_person_is_reported_at_once_and_an_unsure_one_after_three_sightings() -> None:
    assert numbers(Stage().play(pose_at(300))) == [1]
    stage = Stage()
    assert [numbers(stage.play(pose_at(300), score=0.45)) for _ in range(4)] == [[], [], [1], [1]]


def poor_at(x: float) -> RelativePose:
    """Make a pose that leaves doubt, with evidence enough to be somebody."""
    return replace(pose_at(x), scores=np.full(NUM_JOINTS, 0.6, np.float32))


def test_whose_pose_leaves_doubt_is_reported_once_the_detector_saw_them_twice() -> None:
    stage = Stage(TrackSettings(look_closer_s=0.2))
    seen = [numbers(stage.play(poor_at(300), score=0.45)) for _ in range(9)]
    # The detector looks in the first frame, and in the first that is 0.2 s later.
    assert seen == [[]] * 7 + [[1]] * 2


def test_what_the_detector_saw_only_once_is_never_reported() -> None:
    stage = Stage(TrackSettings(look_closer_s=0.2))
    seen = [numbers(stage.play(poor_at(300), score=0.45))]
    seen += [numbers(stage.play(poor_at(300), seen=False)) for _ in range(29)]
    assert seen == [[]] * 30


def test_who_fades_after_one_doubtful_detection_is_given_up_when_the_detector_misses_them() -> None:
    stage = Stage(TrackSettings(look_closer_s=0.2))
    for _ in range(4):
        tracks = stage.play(pose_at(300), score=0.45)
    assert numbers(tracks) == [1]
    faded = replace(pose_at(300), scores=np.full(NUM_JOINTS, 0.45, np.float32))
    seen = [bool(stage.play(faded, seen=False)) for _ in range(8)]
    assert seen[0]
    assert not seen[-1]


def test_a_detection_without_a_person_in_it_is_nobody() -> None:
    stage = Stage()
    assert stage.play(pose_at(300, presence=0.3)) == []
    assert stage.tracker.memory_size == 0


def test_two_tracks_that_meet_on_one_person_become_the_one_that_was_there() -> None:
    stage = Stage()
    stage.play(pose_at(300), pose_at(700))
    tracks = []
    for _ in range(12):
        tracks = stage.play(pose_at(300))
    assert numbers([track for track in tracks if track.visible]) == [1]


def test_whoever_was_reported_is_not_given_up_for_a_double_of_theirs() -> None:
    tracker = Tracker(TrackSettings())
    person = pose_at(300)
    seen = tracker.propose(0, [detection_of(person)], frame_size_px=SIZE, views=WHOLE)
    assert numbers(tracker.update(0, seen, [person])) == [1]
    # A second box leads to a pose that is not yet alike enough to be the same person's...
    other = pose_at(340)
    boxes = [detection_of(person), detection_of(other, 0.5)]
    seen = tracker.propose(33 * MS, boxes, frame_size_px=SIZE, views=WHOLE)
    assert numbers(tracker.update(33 * MS, seen, [person, other])) == [1]
    assert tracker.memory_size == 2
    # ... and then both looks show one, nearer to the double.
    seen = tracker.propose(66 * MS, None, frame_size_px=SIZE, views=[])
    assert len(seen) == 2
    tracks = tracker.update(66 * MS, seen, [pose_at(322), pose_at(323)])
    assert [(track.number, track.visible) for track in tracks] == [(1, True)]


def test_two_crops_of_one_person_are_one_sighting() -> None:
    tracker = Tracker(TrackSettings())
    person = pose_at(300)
    detections = [
        detection_of(person),
        replace(detection_of(person), box_px=box_of(pose_at(330), 0.3)),
    ]
    proposals = tracker.propose(0, detections, frame_size_px=SIZE, views=WHOLE)
    assert len(proposals) == 2
    assert numbers(tracker.update(0, proposals, [person, pose_at(303)])) == [1]


def test_people_who_walk_through_each_other_keep_their_numbers_by_pose() -> None:
    stage = Stage()
    tracks: list[Track] = []
    for index in range(61):
        tall, small = pose_at(300 + 10 * index), pose_at(900 - 10 * index, height=210.0)
        hidden = abs(300 + 10 * index - (900 - 10 * index)) < 60
        tracks = stage.play(*([tall] if hidden else [tall, small]))
    heights = {
        track.number: np.ptp(track.pose.joints_px[:, 1]) for track in tracks if track.visible
    }
    assert heights[1] == pytest.approx(300.0)
    assert heights[2] == pytest.approx(210.0)


def test_twins_who_pass_each_other_keep_their_numbers_by_their_way() -> None:
    stage = Stage()
    for index in range(21):
        right, left = pose_at(300 + 30 * index), pose_at(900 - 30 * index)
        hidden = abs(index - 10) < 2
        tracks = stage.play(*([right] if hidden else [right, left]), step_ms=100)
        if index == 0:
            first = {track.number: track.pose.joints_px[0, 0] for track in tracks}
    last = {track.number: track.pose.joints_px[0, 0] for track in tracks if track.visible}
    assert first == {1: pytest.approx(300, abs=1), 2: pytest.approx(900, abs=1)}
    assert last == {1: pytest.approx(900, abs=1), 2: pytest.approx(300, abs=1)}


def test_a_person_at_five_frames_a_second_is_followed_at_walking_pace() -> None:
    stage = Stage()
    for index in range(15):
        tracks = stage.play(pose_at(200 + 50 * index), step_ms=200)
        assert numbers(tracks) == [1]


def test_a_jump_beyond_likeness_is_caught_by_the_detector() -> None:
    stage = Stage()
    for _ in range(5):
        stage.play(pose_at(300))
    for _ in range(3):
        tracks = stage.play(pose_at(480))
    assert [(track.number, track.visible) for track in tracks] == [(1, True)]


@pytest.mark.parametrize(("away_s", "expected"), [(2, 1), (8, 2)])
def test_a_number_is_remembered_for_a_while(away_s: int, expected: int) -> None:
    stage = Stage(TrackSettings(remember_s=5.0))
    for _ in range(5):
        stage.play(pose_at(300))
    for _ in range(away_s * 10):
        stage.play(step_ms=100)
    assert numbers(stage.play(pose_at(340))) == [expected]


def test_of_two_who_return_each_gets_their_own_number() -> None:
    stage = Stage()
    for _ in range(5):
        stage.play(pose_at(200), pose_at(1000))
    for _ in range(10):
        stage.play(step_ms=100)
    tracks = stage.play(pose_at(980), pose_at(230))
    assert {track.number: track.pose.joints_px[0, 0] for track in tracks} == {
        1: pytest.approx(230, abs=1),
        2: pytest.approx(980, abs=1),
    }


def test_a_poor_pose_that_the_detector_never_confirms_is_dropped() -> None:
    stage = Stage(TrackSettings(look_closer_s=0.06, doubt_after=5))
    stage.play(pose_at(300))
    tracks = []
    for _ in range(12):
        poor = replace(pose_at(300), scores=np.full(NUM_JOINTS, 0.35, np.float32))
        tracks = stage.play(poor, seen=False)
    assert tracks == []


def test_a_good_pose_stays_although_the_detector_is_blind() -> None:
    stage = Stage(TrackSettings(look_closer_s=0.06, doubt_after=5))
    stage.play(pose_at(300))
    for _ in range(30):
        tracks = stage.play(pose_at(300), seen=False)
    assert numbers(tracks) == [1]


def test_whoever_walks_out_of_the_frame_is_not_looked_for_outside() -> None:
    stage = Stage()
    for index in range(40):
        stage.play(pose_at(900 + 20 * index))
        proposals = stage.tracker.propose(stage.at_ns, None, frame_size_px=SIZE, views=WHOLE)
        assert all(proposal.box_px[0] < SIZE[0] for proposal in proposals)


def crowd_at(shift: float) -> list[RelativePose]:
    return [pose_at(shift + 110.0 * place, height=100.0) for place in range(1, 11)]


def test_a_crowd_is_looked_at_in_turns_and_everybody_is_reported_in_every_frame() -> None:
    stage = Stage(TrackSettings(max_people=10, looks_per_frame=4))
    for _ in range(8):
        everybody = numbers(stage.play(*crowd_at(0.0), changed=False))
    looked_at: dict[int | None, list[int]] = {number: [] for number in everybody}
    for frame in range(20):
        tracks = stage.play(*crowd_at(2.0 * frame), changed=False)
        assert numbers(tracks) == everybody
        assert all(track.visible for track in tracks)
        seen_now = [track.number for track in tracks if track.seen_ns == stage.at_ns]
        assert len(seen_now) == 4
        for number in seen_now:
            looked_at[number].append(frame)
    for frames in looked_at.values():
        assert {int(gap) for gap in np.diff(frames)} <= {2, 3}


def test_whoever_left_while_waiting_is_missed_when_their_turn_comes() -> None:
    stage = Stage(TrackSettings(max_people=10, looks_per_frame=4))
    for _ in range(8):
        stage.play(*crowd_at(0.0), changed=False)
    missing = [
        sum(not track.visible for track in stage.play(*crowd_at(0.0)[:-1], changed=False))
        for _ in range(3)
    ]
    assert missing[-1] == 1


@pytest.mark.slow
def test_ten_thousand_births_leave_nothing_behind() -> None:
    """The story of a rival: filters of people long gone were kept for ever."""
    patience = TrackSettings(max_people=20, looks_per_frame=20, stale_s=0.05, remember_s=0.2)
    stage = Stage(patience)
    most = 0
    for index in range(500):
        shift = 10.0 * (index % 3)
        crowd = [pose_at(shift + 60.0 * place, height=60.0) for place in range(1, 21)]
        tracks = stage.play(*crowd, step_ms=300)
        most = max(most, stage.tracker.memory_size)
        stage.play(step_ms=300)
    assert tracks[-1].number == 10_000
    assert most == 20
    stage.play(step_ms=300)
    assert stage.tracker.memory_size == 0


def test_when_time_runs_backwards_the_source_started_again() -> None:
    stage = Stage()
    for _ in range(5):
        stage.play(pose_at(300))
    stage.at_ns = 0
    assert numbers(stage.play(pose_at(320))) == [2]


def test_likeness_is_one_for_the_same_pose_and_falls_with_distance() -> None:
    same, near, far = (pose_at(x).joints_px[None] for x in (300, 310, 500))
    scores = np.ones((1, NUM_JOINTS), np.float32)
    tolerance = np.array([0.1])
    values = [
        float(pose_likeness(same, other, scores, scores, tolerance=tolerance)[0, 0])
        for other in (same, near, far)
    ]
    # Half a body is 150 px, a tenth of it 15 px: exp(-0.5 (10 / 15)^2) = 0.8007.
    assert values == [
        pytest.approx(1.0),
        pytest.approx(0.8007, abs=1e-3),
        pytest.approx(0, abs=1e-6),
    ]


def test_the_box_is_that_of_the_confident_joints_and_a_tenth_more() -> None:
    pose = pose_at(300, height=170.0)
    scores = pose.scores.copy()
    scores[[9, 10]] = 0.1
    box = box_of(replace(pose, scores=scores), 0.3)
    # The wrists are out, so the elbows at 25 cm (here px) are the widest.
    np.testing.assert_allclose(box, [270, 261, 330, 465], atol=0.1)


def dressed(pose: RelativePose, colour: int) -> RelativePose:
    """Give somebody clothes that nobody of another colour wears."""
    appearance = np.zeros(8, np.float32)
    appearance[colour] = 1.0
    return replace(pose, appearance=appearance)


@pytest.mark.parametrize(("colour", "number"), [(0, 1), (1, 2)])
def test_a_stranger_who_enters_where_somebody_left_gets_a_number_of_their_own(
    colour: int, number: int
) -> None:
    stage = Stage()
    for _ in range(5):
        stage.play(dressed(pose_at(300), 0))
    for _ in range(40):
        stage.play()
    tracks: list[Track] = []
    for _ in range(5):
        tracks = stage.play(dressed(pose_at(320), colour))
    assert numbers(tracks) == [number]


def walk_out(stage: Stage, pose: RelativePose, *, step_px: float = 20.0) -> None:
    """Let somebody walk to the right until the frame shows nothing of them."""
    for index in range(1, 100):
        gone = box_of(pose, 0.3)[0] + index * step_px > SIZE[0]
        if gone:
            break
        stage.play(moved(pose, index * step_px))
    for _ in range(20):
        stage.play()


def moved(pose: RelativePose, by_px: float) -> RelativePose:
    """Put somebody further to the right."""
    step = np.array([by_px, 0.0])
    return replace(
        pose,
        joints_px=(pose.joints_px + step).astype(np.float32),
        region=pose.region.shifted(step),
    )


def reported(stage: Stage, *poses: RelativePose) -> list[list[int | None]]:
    """Show one person in several frames; return the numbers of each frame."""
    return [numbers(stage.play(pose)) for pose in poses]


def test_a_stranger_who_enters_side_on_waits_for_a_number_until_the_clothes_show() -> None:
    stage = Stage()
    reported(stage, *[dressed(pose_at(300), 0)] * 5)
    for _ in range(40):
        stage.play()
    side_on, turned = pose_at(320), dressed(pose_at(320), 1)
    assert reported(stage, *[side_on] * 3, *[turned] * 3, *[side_on] * 3) == [[]] * 3 + [[2]] * 6


def test_who_comes_back_side_on_gets_the_number_when_the_clothes_show() -> None:
    stage = Stage()
    reported(stage, *[dressed(pose_at(300), 0)] * 5)
    for _ in range(40):
        stage.play()
    assert reported(stage, pose_at(320), dressed(pose_at(320), 0)) == [[], [1]]


def test_whose_clothes_never_show_is_taken_for_the_one_who_left_after_a_third_of_a_second() -> None:
    stage = Stage(TrackSettings(hold_s=0.3))
    reported(stage, *[dressed(pose_at(300), 0)] * 5)
    for _ in range(40):
        stage.play()
    # Frames are 33 ms apart: the tenth after the first is 0.33 s later.
    assert reported(stage, *[pose_at(320)] * 12) == [[]] * 10 + [[1]] * 2


def test_nobody_waits_where_nobody_left() -> None:
    stage = Stage()
    reported(stage, *[dressed(pose_at(300), 0)] * 5)
    tracks = stage.play(dressed(pose_at(300), 0), pose_at(900))
    for _ in range(5):
        tracks = stage.play(dressed(pose_at(300), 0), pose_at(900))
    assert numbers(tracks) == [1, 2]
    stage = Stage()
    assert reported(stage, pose_at(300)) == [[1]]


@pytest.mark.parametrize(("enters_at", "number"), [(1220.0, 1), (800.0, 2)])
def test_whoever_walked_out_comes_back_over_the_same_rim_or_is_a_stranger(
    enters_at: float, number: int
) -> None:
    stage = Stage()
    walk_out(stage, pose_at(900))
    for _ in range(90):  # three seconds, in which a hidden person could be anywhere
        stage.play()
    assert reported(stage, pose_at(enters_at)) == [[number]]


def test_whoever_went_behind_something_may_come_out_elsewhere_later() -> None:
    stage = Stage()
    reported(stage, *[pose_at(900)] * 5)
    for _ in range(110):
        stage.play()
    assert reported(stage, pose_at(500)) == [[1]]


def test_whoever_stands_at_the_rim_has_not_walked_out() -> None:
    box = np.array([1200, 100, 1300, 400], np.float32)
    # 300 px tall: 75 px a second are a quarter of a body length.
    for velocity, gone in ((74.0, False), (76.0, True), (-76.0, False)):
        assert leaves(box, np.array([velocity, 0.0]), SIZE) is gone
    inside = box - np.array([300, 0, 300, 0], np.float32)
    assert not leaves(inside, np.array([500.0, 0.0]), SIZE)  # 250 px in half a second: 1250
    assert leaves(inside, np.array([600.0, 0.0]), SIZE)


def test_whoever_left_later_than_somebody_entered_is_not_that_one() -> None:
    memory = Memory(remember_s=5.0, reach=0.75)
    box = np.array([100, 100, 200, 400], np.float32)
    memory.keep(
        Departure(
            number=7,
            box_px=box,
            velocity_px_s=np.zeros(2),
            appearance=None,
            left_ns=1000 * MS,
            over_rim=False,
        )
    )
    assert memory.recall(box, None, 999 * MS) is None
    assert memory.recall(box, None, 1000 * MS) == 7


def test_what_the_network_has_refused_is_left_alone_for_half_a_second_where_nobody_is() -> None:
    stage = Stage()
    coat = detection_of(pose_at(400.0), score=0.6)

    def looks_at(at_ms: int) -> int:
        proposals = stage.tracker.propose(at_ms * MS, [coat], frame_size_px=SIZE, views=WHOLE)
        nobody = [pose_at(-900.0, presence=0.02) for _ in proposals]
        assert stage.tracker.update(at_ms * MS, proposals, nobody) == []
        return len(proposals)

    assert [looks_at(at_ms) for at_ms in (0, 200, 490, 510, 700)] == [1, 0, 0, 1, 0]


def test_a_body_beyond_doubt_is_looked_at_again_soon_though_nobody_was_seen_in_it() -> None:
    stage = Stage()
    man = detection_of(pose_at(400.0), score=0.87)
    looks = []
    for at_ms in (0, 50, 150):
        proposals = stage.tracker.propose(at_ms * MS, [man], frame_size_px=SIZE, views=WHOLE)
        stage.tracker.update(
            at_ms * MS, proposals, [pose_at(-900.0, presence=0.02)] * len(proposals)
        )
        looks.append(len(proposals))
    assert looks == [1, 0, 1]


def test_what_is_expected_of_somebody_in_sight_is_what_is_proposed_then() -> None:
    stage = Stage()
    for step in range(4):
        stage.play(pose_at(400.0 + 10 * step))
    at_ns = stage.at_ns + 33 * MS
    expected = stage.tracker.expect(at_ns, frame_size_px=SIZE)
    proposals = stage.tracker.propose(at_ns, None, frame_size_px=SIZE, views=())
    assert expected == [proposal.region for proposal in proposals]
    assert len(expected) == 1


def test_nobody_is_expected_once_time_runs_backwards() -> None:
    stage = Stage()
    for _ in range(4):
        stage.play(pose_at(400.0))
    assert stage.tracker.expect(stage.at_ns - 1, frame_size_px=SIZE) == []


def test_somebody_lost_is_looked_for_again_soon_but_not_in_every_frame() -> None:
    stage = Stage()
    for _ in range(4):
        stage.play(pose_at(400.0))
    hidden = detection_of(pose_at(400.0))

    def looks_after(at_ms: int) -> int:
        at_ns = stage.at_ns + at_ms * MS
        proposals = stage.tracker.propose(at_ns, [hidden], frame_size_px=SIZE, views=WHOLE)
        nobody = [pose_at(-900.0, presence=0.02) for _ in proposals]
        stage.tracker.update(at_ns, proposals, nobody)
        return len(proposals)

    assert [looks_after(at_ms) for at_ms in (33, 66, 99, 132, 165, 198)] == [1, 1, 0, 0, 0, 1]


def poor(pose: RelativePose, score: float) -> RelativePose:
    """Make all joints as unsure as a score says, but for three."""
    scores = np.full(NUM_JOINTS, score, np.float32)
    scores[:3] = 0.4
    return replace(pose, scores=scores)


def test_a_chair_that_the_networks_half_believe_in_is_never_reported_and_soon_left_alone() -> None:
    stage = Stage()
    chair = poor(pose_at(300), 0.1)
    assert [numbers(stage.play(chair, score=0.55)) for _ in range(20)] == [[]] * 20
    assert stage.tracker.memory_size == 0


def test_whoever_shows_few_joints_well_is_reported_and_of_a_chair_none_are_seen_well() -> None:
    """The mean of all joints is the same, and so is what the detector thinks of it."""
    scores = np.full(NUM_JOINTS, 0.05, np.float32)
    shown_well = ("nose", "left_shoulder", "right_shoulder", "left_hip", "right_hip")
    scores[[INDEX[name] for name in shown_well]] = 0.9
    trunk = replace(pose_at(300), scores=scores)
    chair = poor(pose_at(300), float(scores.mean()))
    shown = {}
    for name, pose in (("trunk", trunk), ("chair", chair)):
        stage = Stage()
        shown[name] = [numbers(stage.play(pose, score=0.55)) for _ in range(8)]
    assert shown == {"trunk": [[]] * 7 + [[1]], "chair": [[]] * 8}


def test_who_was_beyond_doubt_may_hide_all_joints_but_no_newcomer_may() -> None:
    hidden = replace(pose_at(300, presence=0.6), scores=np.full(NUM_JOINTS, 0.1, np.float32))
    for seen_before, expected in ((1, [1]), (0, [])):
        stage = Stage()
        for _ in range(seen_before):
            stage.play(pose_at(300), score=0.85)
        for _ in range(30):
            tracks = stage.play(hidden, score=0.85)
        assert numbers([track for track in tracks if track.visible]) == expected


def test_a_hand_held_out_is_nobody_beside_whom_it_belongs_to() -> None:
    stage = Stage()
    hand = poor(pose_at(310, height=60.0), 0.4)
    stage.play(pose_at(300))
    assert all(numbers(stage.play(pose_at(300), hand, score=0.6)) == [1] for _ in range(20))


def lower_part_of(box_px: np.ndarray) -> Detection:
    x0, y0, x1, y1 = box_px
    return Detection(box_px=np.array([x0, y0 + 0.7 * (y1 - y0), x1, y1], np.float32), score=0.8)


def looks_at(stage: Stage, *found: Detection) -> list[Proposal]:
    stage.at_ns += 33 * MS
    return stage.tracker.propose(stage.at_ns, list(found), frame_size_px=SIZE, views=WHOLE)


@pytest.mark.parametrize(("score", "goes_on"), [(0.9, True), (0.5, False)])
def test_who_is_well_seen_is_not_given_up_for_a_box_of_their_hand(
    score: float, *, goes_on: bool
) -> None:
    """A board hides the face, and the detector sees a hand: the body was seen a moment ago."""
    stage = Stage()
    pose = poor(pose_at(600), score)
    for _ in range(5):
        (track,) = stage.play(pose)
    (proposal,) = looks_at(stage, lower_part_of(track.box_px))
    assert proposal.track is track
    assert proposal.detection is not None
    assert proposal.region is not None
    assert proposal.drifted is not goes_on
    assert goes_on is bool((proposal.box_px == track.box_at(stage.at_ns)).all())


def test_nobody_shrinks_to_their_hand_within_a_moment() -> None:
    """The detector boxes a hand, and the network sees a small body in it."""
    stage = Stage()
    for _ in range(5):
        (before,) = stage.play(poor(pose_at(600), 0.5))
    hand = poor(pose_at(600, height=80.0), 0.35)
    whole = before.box_px.copy()
    (after,) = stage.play(hand, step_ms=250)
    assert not after.visible
    np.testing.assert_array_equal(after.box_px, whole)


def test_who_walks_towards_the_camera_grows_and_is_the_same() -> None:
    stage = Stage()
    for frame in range(30):
        (track,) = stage.play(pose_at(600, height=150.0 * 1.05**frame), step_ms=100)
    assert track.number == 1
    assert track.box_px[3] - track.box_px[1] > 500


def test_a_box_beside_somebody_well_seen_is_somebody_elses() -> None:
    stage = Stage()
    for _ in range(5):
        (track,) = stage.play(pose_at(600))
    beside = Detection(
        box_px=track.box_px
        + np.float32(0.75) * np.array([track.box_px[2] - track.box_px[0], 0] * 2, np.float32),
        score=0.8,
    )
    own, other = looks_at(stage, beside)
    assert (own.track, own.detection) == (track, None)
    assert (other.track, other.detection) == (None, beside)


def test_a_body_that_goes_on_below_the_picture_is_where_the_detector_sees_its_upper_part() -> None:
    stage = Stage()
    below = pose_at(600)
    sunk = replace(
        poor(below, 0.5),
        joints_px=below.joints_px + np.array([0, 420], np.float32),
        region=below.region.shifted(np.array([0.0, 420.0])),
    )
    for _ in range(5):
        (track,) = stage.play(sunk)
    in_sight = np.clip(track.box_px, 0, np.array([*SIZE, *SIZE], np.float32) - 1)
    assert np.prod(in_sight[2:] - in_sight[:2]) < 0.4 * np.prod(track.box_px[2:] - track.box_px[:2])
    (proposal,) = looks_at(stage, Detection(box_px=in_sight, score=0.8))
    assert proposal.region is not None


def test_a_hand_that_got_a_number_is_let_go_beside_whom_it_belongs_to() -> None:
    """It got one while nobody else was seen."""
    stage = Stage()
    hand = poor(pose_at(640, height=60), 0.35)
    hand.scores[-5:] = 0.6
    for _ in range(5):
        assert numbers(stage.play(hand, score=0.6)) == [1]
    tracks = []
    for _ in range(8):
        tracks = stage.play(hand, pose_at(600, height=600), score=0.6)
    assert [track.quality > 0.8 for track in tracks] == [True]


def test_whose_pose_falls_apart_is_missed_and_found_again_with_the_same_number() -> None:
    stage = Stage()
    for _ in range(5):
        stage.play(pose_at(300))
    wall = poor(pose_at(302), 0.05)
    (track,) = stage.play(wall, seen=False)
    assert (track.number, track.visible) == (1, False)
    for _ in range(5):
        tracks = stage.play(pose_at(310))
    assert [(track.number, track.visible) for track in tracks] == [(1, True)]


def test_where_all_is_well_the_detector_looks_round_once_a_second_or_when_something_changes() -> (
    None
):
    tracker = Stage()
    tracker.play(pose_at(300), step_ms=0)

    def due(at_ms: int, *, changed: bool) -> bool:
        return tracker.tracker.detection_due(at_ms * MS, changed=lambda: changed)

    assert [due(at_ms, changed=False) for at_ms in (190, 210, 990, 1010)] == [False] * 3 + [True]
    assert [due(at_ms, changed=True) for at_ms in (190, 210)] == [False, True]


def test_a_poor_pose_is_looked_after_more_often() -> None:
    stage = Stage()
    stage.play(poor(pose_at(300), 0.5), step_ms=0)
    assert stage.tracker.detection_due(210 * MS, changed=lambda: False)
    assert not stage.tracker.detection_due(190 * MS, changed=lambda: False)
