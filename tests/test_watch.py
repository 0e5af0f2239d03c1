"""Events say what happened once, also when somebody stands at the border or is not seen."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from edge_pose.event import (
    CameraChange,
    Degraded,
    Event,
    People,
    ZoneEnter,
    ZoneLeave,
)
from edge_pose.level import up_in_camera
from edge_pose.message import as_mapping
from edge_pose.types import Frame, Pose3D, Stats
from edge_pose.watch import Watch
from edge_pose.zone import Zone, read_zones
from walkers import walkers

FPS = 25
DOOR = {"door": {"picture": [[0.4, 0.0], [0.6, 0.0], [0.6, 1.0], [0.4, 1.0]]}}
AISLE = {"aisle": {"floor_m": [[-1, 2], [1, 2], [1, 4], [-1, 4]]}}
STATS = Stats(fps=25.0, infer_ms=1.0, total_ms=None, skipped=0, reconnects=0)
POSE = next(walkers(people=1))[1][0]


def person(u: float, *, track: int = 1, x_m: float = 0.0, z_m: float = 3.0) -> Pose3D:
    """Somebody all of whose joints are at one place: `u` in parts of the picture's width."""
    return replace(
        POSE,
        track=track,
        joints_px=np.full_like(POSE.joints_px, [u * 640 - 0.5, 240]),
        joints_m=np.full_like(POSE.joints_m, [x_m, 0.5, z_m]),
    )


class Scene:
    """A camera that plays people, and everything that is told of them."""

    def __init__(self, zones_: Iterable[Zone] = (), *, pitch_deg: float = 0.0) -> None:
        self.told: list[Event] = []
        self.frames = 0
        self.watch = Watch(
            [self.told.append], cam="cam0", zones=tuple(zones_), up=up_in_camera(pitch_deg, 0.0)
        )

    def play(self, poses: list[Pose3D], *, seconds: float) -> list[Event]:
        """Show the same people for a while, and give what was told meanwhile."""
        before = len(self.told)
        for _ in range(round(seconds * FPS)):
            at_ms = self.frames * 1000 // FPS
            frame = Frame(
                image=np.zeros((480, 640, 3), np.uint8),
                sequence=self.frames,
                captured_ns=at_ms * 1_000_000,
                captured_at_ms=1_790_000_000_000 + at_ms,
            )
            self.watch.send(frame, poses, STATS)
            self.frames += 1
        return self.told[before:]

    def moves(self) -> list[ZoneEnter | ZoneLeave]:
        """Give what was told of zones."""
        return [event for event in self.told if isinstance(event, ZoneEnter | ZoneLeave)]


def door() -> Scene:
    return Scene(read_zones(DOOR))


def short(moves: Iterable[ZoneEnter | ZoneLeave]) -> list[tuple[str, int, int, str | None]]:
    return [(m.type, m.id, m.inside, getattr(m, "reason", None)) for m in moves]


def test_who_walks_through_a_zone_comes_and_goes_once() -> None:
    scene = door()
    for step in range(100):
        scene.play([person(0.01 * step)], seconds=0.08)
    assert short(scene.moves()) == [("zone_enter", 1, 1, None), ("zone_leave", 1, 0, "out")]
    _, left = scene.moves()
    assert isinstance(left, ZoneLeave)
    assert left.zone == "door"
    assert left.dwell_s == pytest.approx(0.22 / 0.01 * 0.08, abs=0.2)


def test_who_stands_at_the_border_does_not_flicker() -> None:
    scene, random = door(), np.random.default_rng(0)
    for step in range(500):
        sway = 0.012 * math.sin(2 * math.pi * step / (4 * FPS)) + float(random.normal(0, 0.002))
        scene.play([person(0.4 + sway)], seconds=1 / FPS)
    assert short(scene.moves()) == [("zone_enter", 1, 1, None)]


def test_one_frame_inside_is_no_visit_and_one_frame_outside_no_leave() -> None:
    scene = door()
    scene.play([person(0.1)], seconds=0.5)
    scene.play([person(0.5)], seconds=1 / FPS)
    scene.play([person(0.1)], seconds=0.5)
    assert scene.moves() == []
    scene.play([person(0.5)], seconds=0.5)
    scene.play([person(0.1)], seconds=5 / FPS)
    scene.play([person(0.5)], seconds=1)
    assert short(scene.moves()) == [("zone_enter", 1, 1, None)]


def test_who_disappears_inside_has_left_because_lost() -> None:
    scene = door()
    scene.play([person(0.5)], seconds=2)
    scene.play([], seconds=0.5)
    assert len(scene.moves()) == 1, "half a second out of sight is not gone"
    scene.play([], seconds=1)
    assert short(scene.moves())[1:] == [("zone_leave", 1, 0, "lost")]
    scene.play([person(0.5)], seconds=1)
    assert short(scene.moves())[2:] == [("zone_enter", 1, 1, None)]


def test_a_pose_that_is_carried_over_is_not_somebody_seen() -> None:
    scene = door()
    scene.play([person(0.5)], seconds=2)
    scene.play([replace(person(0.5), stale=True)], seconds=2)
    assert short(scene.moves())[1:] == [("zone_leave", 1, 0, "lost")]


def test_several_people_are_counted_in_the_zone() -> None:
    scene = door()
    scene.play([person(0.5), person(0.45, track=2)], seconds=1)
    scene.play([person(0.9), person(0.45, track=2)], seconds=1)
    assert short(scene.moves()) == [
        ("zone_enter", 1, 1, None),
        ("zone_enter", 2, 2, None),
        ("zone_leave", 1, 1, "out"),
    ]


def test_a_camera_that_goes_leaves_nobody_inside() -> None:
    scene = door()
    scene.watch.status("online")
    scene.play([person(0.5)], seconds=2)
    scene.watch.status("offline")
    scene.watch.status("online")
    states = [(e.state, e.was) for e in scene.told if isinstance(e, CameraChange)]
    assert states == [("online", None), ("offline", "online"), ("online", "offline")]
    assert short(scene.moves())[1:] == [("zone_leave", 1, 0, "camera")]


def test_at_the_end_everybody_is_let_go_once() -> None:
    scene = door()
    scene.play([person(0.5)], seconds=2)
    scene.watch.close()
    scene.watch.close()
    assert short(scene.moves())[1:] == [("zone_leave", 1, 0, "stopped")]


def test_a_recording_that_begins_again_lets_everybody_go() -> None:
    scene = door()
    scene.play([person(0.5)], seconds=2)
    scene.frames = 0
    scene.play([person(0.5, track=2)], seconds=1)
    assert short(scene.moves())[1:] == [("zone_leave", 1, 0, "lost"), ("zone_enter", 2, 1, None)]


def test_somebody_whose_place_is_not_known_is_nowhere() -> None:
    scene = door()
    unknown = person(0.5)
    scene.play([replace(unknown, joints_px=unknown.joints_px * np.float32(np.nan))], seconds=2)
    assert scene.moves() == []


@pytest.mark.parametrize(
    ("pitch_deg", "z_m", "inside"),
    [(0.0, 3.0, True), (0.0, 5.0, False), (45.0, 4.0, True), (45.0, 3.0, False)],
)
def test_a_zone_on_the_floor_counts_metres(pitch_deg: float, z_m: float, *, inside: bool) -> None:
    scene = Scene(read_zones(AISLE), pitch_deg=pitch_deg)
    scene.play([person(0.0, x_m=0.3, z_m=z_m)], seconds=1)
    assert bool(scene.moves()) == inside


def test_the_tilt_of_the_camera_moves_the_floor() -> None:
    """5 m along the axis of a camera that looks 60 degrees down is 2.5 m ahead, and a little."""
    steep = Scene(read_zones(AISLE), pitch_deg=60.0)
    steep.play([person(0.0, z_m=5.0)], seconds=1)
    assert short(steep.moves()) == [("zone_enter", 1, 1, None)]


def people(scene: Scene) -> list[tuple[int | None, int]]:
    return [(e.before, e.persons) for e in scene.told if isinstance(e, People)]


def test_a_number_of_people_is_told_when_it_has_settled() -> None:
    scene = Scene()
    scene.play([], seconds=2)
    scene.play([person(0.1)], seconds=0.6)
    scene.play([], seconds=0.6)
    assert people(scene) == [(None, 0)]
    scene.play([person(0.1), person(0.9, track=2)], seconds=2)
    scene.play([person(0.1)], seconds=2)
    assert people(scene) == [(None, 0), (0, 2), (2, 1)]


def test_a_number_that_does_not_settle_is_not_told() -> None:
    scene = Scene()
    scene.play([], seconds=2)
    for _ in range(6):
        scene.play([person(0.1)], seconds=0.4)
        scene.play([person(0.1), person(0.9, track=2)], seconds=0.4)
    assert people(scene) == [(None, 0)]


def test_after_a_loss_of_the_camera_the_number_of_people_is_told_anew() -> None:
    scene = Scene()
    scene.play([person(0.1)], seconds=2)
    scene.watch.status("stale")
    scene.watch.status("online")
    scene.play([person(0.1)], seconds=2)
    assert people(scene) == [(None, 1), (None, 1)]


def test_slower_networks_than_they_should_be_are_told_at_the_start() -> None:
    told: list[Event] = []
    Watch([told.append], cam="cam0", up=up_in_camera(0.0, 0.0), degraded="no engine")
    (event,) = told
    assert isinstance(event, Degraded)
    assert event.why == "no engine"


def test_events_are_flat_and_carry_the_time_of_their_frame() -> None:
    scene = door()
    scene.play([person(0.5)], seconds=2)
    scene.watch.close()
    for event in scene.told:
        plain: Mapping[str, object] = as_mapping(event)
        assert all(isinstance(value, int | float | str) for value in plain.values())
        assert 0 <= event.ts - 1_790_000_000_000 < 2000
        assert "seq" not in plain


def test_who_is_in_a_zone_when_a_pause_begins_has_left_it_for_all_that_is_known() -> None:
    told: list[Event] = []
    watch = Watch([told.append], cam="cam0", zones=read_zones(DOOR), up=up_in_camera(0.0, 0.0))
    watch.status("online")
    watch.status("paused")
    assert told[-1] == CameraChange(ts=told[-1].ts, cam="cam0", state="paused", was="online")
