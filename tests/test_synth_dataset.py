"""What was written comes back, whole or not at all, and by the same recipe only."""

import json
import os
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from edge_pose.errors import EXIT_OPERATOR, ConfigError, SourceError
from edge_pose.skeleton import NUM_JOINTS
from train.__main__ import main
from train.synth.camera import Camera, look_at
from train.synth.command import FRAMES_PER_CHUNK, Order, chunk_plans, load_photos
from train.synth.dataset import chunk_path, open_dataset, pack_chunk, read_chunk, write_chunk
from train.synth.frames import LabelledFrame
from train.synth.framing import close_camera, hall_camera, hall_view, places_in_view
from train.synth.site import FACTORY, Mounting, find_site
from train.synth.visibility import PersonLabel

RECIPE: dict[str, object] = {"schema": 1, "site": "factory", "seed": 3}


def label(number: int) -> PersonLabel:
    rng = np.random.default_rng(number)
    return PersonLabel(
        number=number,
        joints_m=rng.random((NUM_JOINTS, 3), np.float32),
        joints_px=rng.random((NUM_JOINTS, 2), np.float32),
        visible=rng.random(NUM_JOINTS) < 0.5,
        inside=rng.random(NUM_JOINTS) < 0.5,
        box_px=np.array([1, 2, 3, 4], np.float32),
        full_box_px=np.array([0, 1, 4, 5], np.float32),
        visible_fraction=0.25 * number,
        activity="bench",
    )


def frame(seed: int, people: int, *, width: int = 20, height: int = 10) -> LabelledFrame:
    person = np.zeros((height, width), np.uint8)
    person[2:5, 3:7] = people
    return LabelledFrame(
        image=np.full((height, width, 3), [200, 100, 20], np.uint8),
        person=person,
        soft=np.full((height, width), 77, np.uint8),
        depth_m=np.where(person > 0, np.float32(2.3456), np.float32(0)),
        camera=Camera(
            matrix=np.eye(3) * seed,
            camera_from_world=np.eye(4),
            width_px=width,
            height_px=height,
        ),
        people=[label(number) for number in range(1, people + 1)],
        seed=seed,
    )


def order(**changes: object) -> Order:
    values: dict[str, object] = {
        "people": 1,
        "out": Path("nowhere"),
        "site": "factory",
        "mounting": Mounting(),
        "seed": 0,
        "processes": 1,
        "motion": None,
        "backgrounds": None,
        "size_px": 96,
        "renderer": "any",
    }
    return Order(**(values | changes))  # type: ignore[arg-type]


def test_pictures_and_people_come_back(tmp_path: Path) -> None:
    frames = [frame(7, 2), frame(8, 0, width=33), frame(2**62, 1)]
    path = chunk_path(tmp_path, 12)
    write_chunk(path, pack_chunk(frames))
    chunk = read_chunk(path)
    assert path.name == "chunk-00012.npz"
    assert len(chunk) == 3
    assert chunk.frame_seed.tolist() == [7, 8, 2**62]
    assert chunk.size.tolist() == [[20, 10], [33, 10], [20, 10]]
    assert chunk.frame.tolist() == [0, 0, 2]
    assert chunk.number.tolist() == [1, 2, 1]
    assert chunk.visible_fraction.tolist() == [0.25, 0.5, 0.25]
    assert chunk.activity.tolist() == ["bench"] * 3
    np.testing.assert_array_equal(chunk.joints_m[1], label(2).joints_m)
    np.testing.assert_array_equal(chunk.visible[1], label(2).visible)
    np.testing.assert_array_equal(chunk.camera_matrix[0], 7 * np.eye(3))
    for index, original in enumerate(frames):
        np.testing.assert_array_equal(chunk.ids(index), original.person)
        np.testing.assert_array_equal(chunk.soft(index), original.soft)
        np.testing.assert_allclose(chunk.depth_mm(index) / 1000, original.depth_m, atol=0.0005)
        np.testing.assert_allclose(chunk.image(index), original.image, atol=6)


def test_a_chunk_of_empty_pictures_keeps_its_shapes(tmp_path: Path) -> None:
    write_chunk(chunk_path(tmp_path, 0), pack_chunk([frame(1, 0)]))
    chunk = read_chunk(chunk_path(tmp_path, 0))
    assert chunk.joints_m.shape == (0, NUM_JOINTS, 3)
    assert chunk.box_px.shape == (0, 4)


def test_chunks_hold_no_pickles(tmp_path: Path) -> None:
    write_chunk(chunk_path(tmp_path, 0), pack_chunk([frame(1, 1)]))
    with np.load(chunk_path(tmp_path, 0), allow_pickle=False) as arrays:
        assert set(arrays) == {field.name for field in fields(read_chunk(chunk_path(tmp_path, 0)))}
        assert all(arrays[name].dtype != object for name in arrays)


def test_a_write_that_fails_leaves_no_chunk(tmp_path: Path) -> None:
    (tmp_path / "chunk-00000.part").mkdir()
    with pytest.raises(IsADirectoryError):
        write_chunk(chunk_path(tmp_path, 0), pack_chunk([frame(1, 1)]))
    assert not chunk_path(tmp_path, 0).exists()


def test_a_data_set_continues_by_its_own_recipe_only(tmp_path: Path) -> None:
    open_dataset(tmp_path, RECIPE)
    open_dataset(tmp_path, RECIPE)
    assert json.loads((tmp_path / "dataset.json").read_text()) == RECIPE
    with pytest.raises(ConfigError, match=r"seed 3, now 4 is asked for"):
        open_dataset(tmp_path, RECIPE | {"seed": 4})


def test_chunks_of_unknown_origin_are_not_continued(tmp_path: Path) -> None:
    chunk_path(tmp_path, 0).touch()
    with pytest.raises(ConfigError, match="choose an empty folder"):
        open_dataset(tmp_path, RECIPE)


def test_plans_depend_on_seed_site_and_chunk_and_on_nothing_else() -> None:
    plans = chunk_plans(order(), 3)
    assert len(plans) == FRAMES_PER_CHUNK
    assert plans == chunk_plans(order(processes=7, people=10_000, size_px=256), 3)
    assert plans != chunk_plans(order(), 4)
    assert plans != chunk_plans(order(seed=1), 3)
    assert plans != chunk_plans(order(site="other"), 3)


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no photo"):
        load_photos(tmp_path)
    (tmp_path / "torn.jpg").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"torn\.jpg cannot be read"):
        load_photos(tmp_path)


def test_a_missing_folder_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["synth", "--people", "1", "--out", str(tmp_path), "--motion", str(tmp_path / "gone")]
    assert main(words) == EXIT_OPERATOR
    message = capsys.readouterr().err
    assert "gone is no folder" in message
    assert message.count("\n") == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_number_of_processes_and_a_stop_change_nothing(tmp_path: Path) -> None:
    """Two chunks by one process, and by two processes of which a chunk was lost."""
    people = 2 + sum(plan.people for plan in chunk_plans(order(), 0))
    alone, together = tmp_path / "alone", tmp_path / "together"

    def render(out: Path, processes: int) -> None:
        words = ["synth", "--people", str(people), "--out", str(out), "--size", "64"]
        subprocess.run(
            [sys.executable, "-m", "train", *words, "--processes", str(processes)],
            check=True,
            env=os.environ,
        )

    render(alone, 1)
    render(together, 2)
    chunk_path(together, 0).rename(together / "chunk-00000.part")
    render(together, 2)
    assert not list(together.glob("*.part"))
    names = sorted(path.name for path in alone.glob("*.npz"))
    assert names == sorted(path.name for path in together.glob("*.npz"))
    assert names
    for name in names:
        one, other = read_chunk(alone / name), read_chunk(together / name)
        for field in fields(one):
            np.testing.assert_array_equal(
                getattr(one, field.name), getattr(other, field.name), err_msg=field.name
            )


def test_a_view_too_narrow_for_five_people_apart_is_filled_all_the_same() -> None:
    narrow = replace(find_site("factory"), field_of_view_deg=(7.0, 7.0))
    for seed in range(5):
        rng = np.random.default_rng(seed)
        camera = hall_camera(rng, narrow, width_px=640, height_px=480)
        places_m = places_in_view(rng, camera, 5)
        assert places_m is not None
        assert places_m.shape == (5, 2)


def test_a_camera_that_sees_no_floor_is_hung_again_until_one_does() -> None:
    mounting = Mounting(height_m=(1.2, 5.0), pitch_deg=(40.0, 75.0), field_of_view_deg=(50.0, 60.0))
    site = mounting.of(FACTORY)
    alone = {}
    for seed in range(12):
        rng = np.random.default_rng(seed)
        blind = hall_camera(rng, site, width_px=640, height_px=480)
        alone[seed] = places_in_view(rng, blind, 3) is not None
        _, places_m = hall_view(np.random.default_rng(seed), site, 3, width_px=640, height_px=480)
        assert places_m.shape == (3, 2)
    assert not all(alone.values())
    assert any(alone.values())


def test_cameras_that_can_see_nobody_who_stands_are_refused_at_once() -> None:
    site = Mounting(height_m=(0.5, 0.6), pitch_deg=(80.0, 85.0)).of(FACTORY)
    with pytest.raises(ConfigError, match="belong together"):
        hall_view(np.random.default_rng(0), site, 1, width_px=640, height_px=480)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_workers_leave_when_the_command_is_killed(tmp_path: Path) -> None:
    words = ["synth", "--people", "500", "--processes", "1", "--out", str(tmp_path / "out")]
    command = [sys.executable, "-m", "train", *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        workers: list[str] = []
        # The first child is the tracker of shared things, the second the worker.
        while process.poll() is None and len(workers) < 2:
            workers = children.read_text().split()
            time.sleep(0.2)
        time.sleep(5.0)
        process.kill()
    assert len(workers) == 2
    give_up_s = time.monotonic() + 60.0
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < give_up_s, "a worker outlived the command that started it"
        time.sleep(0.2)


def test_one_fixed_camera_is_the_same_in_every_picture_and_shows_halls_only() -> None:
    plans = chunk_plans(order(view="hall"), 0)
    assert {plan.view for plan in plans} == {"hall"}
    assert {plan.view for plan in chunk_plans(order(view="close"), 0)} == {"close"}
    fixed = Mounting(
        height_m=(4.8, 4.8),
        pitch_deg=(47.0, 47.0),
        field_of_view_deg=(95.0, 95.0),
        roll_deg=(5.0, 5.0),
    ).of(FACTORY)
    poses = [
        hall_camera(np.random.default_rng(seed), fixed, width_px=64, height_px=48).camera_from_world
        for seed in range(3)
    ]
    np.testing.assert_array_equal(poses[0], poses[1])
    np.testing.assert_array_equal(poses[0], poses[2])
    # What is level runs down to the right, by the roll, in such a picture.
    np.testing.assert_allclose(poses[0][:2, 0], [np.cos(np.radians(5)), np.sin(np.radians(5))])


def test_without_a_roll_cameras_are_turned_as_they_always_were() -> None:
    camera = hall_camera(np.random.default_rng(3), FACTORY, width_px=64, height_px=48)
    rng = np.random.default_rng(3)
    pitch_rad = np.radians(rng.uniform(*FACTORY.hall_pitch_deg))
    position_m = np.array([0, 0, rng.uniform(*FACTORY.hall_height_m)])
    rng.uniform(*FACTORY.field_of_view_deg)
    forward = np.array([0, np.cos(pitch_rad), -np.sin(pitch_rad)])
    expected = look_at(
        position_m, position_m + forward, roll_rad=np.radians(rng.uniform(-1, 1) * 8.0)
    )
    np.testing.assert_array_equal(camera.camera_from_world, expected)


def test_cameras_hang_as_a_line_mounts_them_and_all_else_stays_the_sites() -> None:
    mounting = Mounting(height_m=(3.0, 3.5), pitch_deg=(40.0, 50.0))
    site = mounting.of(FACTORY)
    assert site.camera_height_m == site.hall_height_m == (3.0, 3.5)
    assert site.hall_pitch_deg == (40.0, 50.0)
    assert site.field_of_view_deg == FACTORY.field_of_view_deg
    assert site.palette == FACTORY.palette
    assert Mounting().of(FACTORY) == FACTORY
    camera = hall_camera(np.random.default_rng(0), site, width_px=640, height_px=480)
    centre_m = -camera.camera_from_world[:3, :3].T @ camera.camera_from_world[:3, 3]
    assert 3.0 <= centre_m[2] <= 3.5
    down = np.degrees(np.arcsin(-camera.camera_from_world[2, 2]))
    assert 40 <= down <= 50


@pytest.mark.parametrize("distance_m", [None, (0.6, 0.9), (2.0, 2.0)])
def test_close_cameras_stand_as_far_away_as_they_are_mounted(
    distance_m: tuple[float, float] | None,
) -> None:
    """A bench's camera is nearer to hands than any of a hall; without one the site's hold."""
    site = Mounting(distance_m=distance_m, height_m=(1.0, 1.2)).of(FACTORY)
    least_m, most_m = distance_m or (1.1, 7.0)
    body_m = np.array([[2.0, 1.0, 0.0], [2.4, 1.3, 1.7]], np.float32)
    middle_m = body_m.mean(axis=0).astype(float)
    for seed in range(20):
        camera = close_camera(
            np.random.default_rng(seed),
            site,
            focus_m=body_m,
            size_px=256,
            keep_clear_m=middle_m[None],
        )
        centre_m = -camera.camera_from_world[:3, :3].T @ camera.camera_from_world[:3, 3]
        across_m = np.linalg.norm((centre_m - middle_m)[:2])
        assert least_m - 1e-6 <= across_m <= most_m + 1e-6
    with pytest.raises(ConfigError, match=r"distance_m is 0\.1"):
        Mounting(distance_m=(0.1, 1.0))


@pytest.mark.parametrize("height_m", [(3.0, 2.0), (0.0, 1.0), (1.0, 90.0)])
def test_a_mounting_that_cannot_be_is_refused(height_m: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="least first"):
        Mounting(height_m=height_m)
