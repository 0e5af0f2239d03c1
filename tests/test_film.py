"""Films: whoever moves stays the same body, walks as far as recorded, and is where it is said."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.clip_poses import ClipPoses
from benchmarks.films import judge
from edge_pose.errors import ConfigError, EdgePoseError
from edge_pose.skeleton import INDEX, MIRROR, NUM_JOINTS, ROOT
from test_mocap import person_bvh, wild
from train.__main__ import main
from train.synth.anatomy import BodyModel
from train.synth.film import (
    RATE_HZ,
    SIZE_PX,
    Film,
    FilmTruth,
    film_path,
    finished_films,
    read_film_truth,
    shoot,
    write_film,
)
from train.synth.film_command import Order, shoot_films
from train.synth.frames import Studio
from train.synth.garments import open_wardrobe
from train.synth.mocap import TRACKED, Clip, read_clip
from train.synth.motion import cut_stretch, move
from train.synth.renderer import Renderer
from train.synth.site import OTHER

LEG = 42 + 40
"""Of the recorded person, in centimetres, but for what bends."""


@pytest.fixture(scope="module")
def model() -> BodyModel:
    return BodyModel.load()


def walk(tmp_path: Path, *, frames: int, step: float, turn_rad: float = 0.0) -> Clip:
    """Carry a person of the recordings on by a step, and round, from frame to frame."""
    path = tmp_path / "person.bvh"
    path.write_text(person_bvh(wild(3)))
    still = read_clip(path, own_bones=())
    assert isinstance(still, Clip)
    places = []
    for frame in range(frames):
        cos, sin = np.cos(turn_rad * frame), np.sin(turn_rad * frame)
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        places.append(still.places[0] @ turn.T + [step * frame, 0, 0])
    return Clip(places=np.array(places, np.float32), frame_s=1 / 30)


def test_a_stretch_has_the_rate_that_is_asked_for(tmp_path: Path) -> None:
    clip = walk(tmp_path, frames=41, step=1.0)
    rng = np.random.default_rng(0)
    for _ in range(20):
        places = cut_stretch(rng, clip, moments=11, rate_hz=15)
        assert places is not None
        steps = np.diff(places[:, TRACKED.index("neck"), 0])
        np.testing.assert_allclose(np.abs(steps), 2.0, atol=1e-3)
    assert cut_stretch(rng, clip, moments=22, rate_hz=15) is None
    assert cut_stretch(rng, replace(clip, frame_s=0.1), moments=5, rate_hz=15) is None
    assert cut_stretch(rng, replace(clip, frame_s=None), moments=5, rate_hz=15) is None


def test_whoever_moves_stays_the_same_body_and_walks_as_far_in_legs(
    tmp_path: Path, model: BodyModel
) -> None:
    clip = walk(tmp_path, frames=5, step=LEG / 2)
    bodies = move(model, clip.places, rng=np.random.default_rng(1))
    joints_m = np.stack([body.joints_m for body in bodies])
    for ends in (("left_hip", "left_knee"), ("right_knee", "right_ankle"), ("neck", "head_top")):
        one, other = (joints_m[:, INDEX[name]] for name in ends)
        length_m = np.linalg.norm(one - other, axis=1)
        np.testing.assert_allclose(length_m, length_m[0], atol=1e-4)
    thigh, shin = (
        np.linalg.norm(joints_m[0, INDEX[a]] - joints_m[0, INDEX[b]])
        for a, b in (("left_hip", "left_knee"), ("left_knee", "left_ankle"))
    )
    walked_m = np.linalg.norm(joints_m[-1, ROOT] - joints_m[0, ROOT])
    assert walked_m == pytest.approx(2 * (thigh + shin), rel=0.1)
    assert min(body.vertices_m[:, 2].min() for body in bodies) == pytest.approx(0.0, abs=1e-6)


def test_whoever_turns_round_turns_by_as_much(tmp_path: Path, model: BodyModel) -> None:
    clip = walk(tmp_path, frames=4, step=0.0, turn_rad=0.5)
    facing = [body.facing_rad for body in move(model, clip.places, rng=np.random.default_rng(2))]
    turned = np.diff(np.unwrap(facing))
    np.testing.assert_allclose(turned, 0.5, atol=1e-3)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, model: BodyModel) -> Film:
    clip = walk(tmp_path_factory.mktemp("walk"), frames=3, step=20.0)
    wardrobe = open_wardrobe(model)
    studio = Studio(
        site=OTHER, wardrobe=wardrobe, renderer=Renderer(wardrobe), photos=[], size_px=0
    )
    rng = np.random.default_rng(4)
    return shoot(rng, studio, move(model, clip.places, rng=rng))


def test_the_truth_of_a_film_is_what_its_lens_makes_of_metres(film: Film) -> None:
    truth = film.truth
    seen = truth.joints_m.astype(np.float64)
    x_px = truth.matrix[0, 0] * seen[..., 0] / seen[..., 2] + (SIZE_PX[0] - 1) / 2
    y_px = truth.matrix[1, 1] * seen[..., 1] / seen[..., 2] + (SIZE_PX[1] - 1) / 2
    np.testing.assert_allclose(truth.joints_px, np.stack([x_px, y_px], axis=-1), atol=0.02)
    assert truth.visible.mean() > 0.3
    assert np.ptp(truth.joints_px[0], axis=0).max() > 60


def test_only_whoever_moves_changes_from_picture_to_picture(film: Film) -> None:
    first, last = (picture.astype(int) for picture in (film.pictures[0], film.pictures[-1]))
    changed = np.abs(first - last).max(axis=2)
    x_px, y_px = film.truth.joints_px[-1][ROOT].round().astype(int)
    near = changed[max(y_px - 10, 0) : y_px + 10, max(x_px - 10, 0) : x_px + 10]
    assert np.median(changed) < 8
    assert near.mean() > 2 * np.median(changed)


def test_a_film_is_read_back_without_loss(film: Film, tmp_path: Path) -> None:
    path = tmp_path / "film-00000.mkv"
    write_film(path, film)
    assert finished_films(tmp_path) == [path]
    clip = cv2.VideoCapture(str(path))
    assert clip.get(cv2.CAP_PROP_FPS) == pytest.approx(RATE_HZ)
    for picture in film.pictures:
        _, read = clip.read()
        np.testing.assert_array_equal(read[:, :, ::-1], picture)
    np.testing.assert_array_equal(read_film_truth(path).joints_m, film.truth.joints_m)


def said(truth: FilmTruth, *, order: Sequence[int] = range(NUM_JOINTS)) -> ClipPoses:
    """Say what is true, joints in another order if asked for."""
    return ClipPoses(
        found=np.ones(len(truth.joints_m), bool),
        joints_px=truth.joints_px[:, list(order)].astype(np.float64),
        joints_m=truth.joints_m[:, list(order)].astype(np.float64),
        scores=np.ones(truth.visible.shape),
    )


def test_a_benchmark_of_films_knows_right_from_wrong(film: Film) -> None:
    right = judge(said(film.truth), film.truth)
    assert right.found.all()
    assert right.rooted_mm.max() < 1e-3
    assert right.aligned_mm.max() < 1e-3
    assert right.picture.max() < 1e-6
    assert not right.exchanged.any()
    poses = said(film.truth)
    smaller = judge(replace(poses, joints_m=poses.joints_m / 2), film.truth)
    assert smaller.rooted_mm.min() > 50
    assert smaller.aligned_mm.max() < 1e-3
    exchanged = judge(said(film.truth, order=MIRROR), film.truth)
    assert exchanged.found.all()
    assert exchanged.exchanged.all()
    elsewhere = judge(replace(poses, joints_px=poses.joints_px + 300), film.truth)
    assert not elsewhere.found.any()
    assert np.isnan(elsewhere.rooted_mm).all()


@pytest.mark.slow
def test_a_folder_of_films_goes_on_where_it_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    motion = tmp_path / "motion"
    motion.mkdir()
    frames = [person_bvh(wild(seed)) for seed in range(9)]
    rows = "\n".join(text.splitlines()[-1] for text in frames)
    head = frames[0].split("Frames:")[0]
    (motion / "walk.bvh").write_text(f"{head}Frames: 9\nFrame Time: 0.0333333\n{rows}\n")
    order = Order(
        films=2,
        out=tmp_path / "films",
        site="other",
        seed=0,
        motion=motion,
        seconds=0.2,
        processes=1,
    )
    shoot_films(replace(order, films=1))
    first = film_path(order.out, 0)
    written_ns, truth = first.stat().st_mtime_ns, read_film_truth(first)
    shoot_films(order)
    assert len(finished_films(order.out)) == 2
    assert first.stat().st_mtime_ns == written_ns
    first.with_suffix(".npz").unlink()
    shoot_films(order)
    np.testing.assert_array_equal(read_film_truth(first).joints_px, truth.joints_px)
    with pytest.raises(ConfigError, match="was made with seed 0, now 1"):
        shoot_films(replace(order, seed=1))
    with pytest.raises(EdgePoseError, match="holds no whole body that moves for 5 s"):
        shoot_films(replace(order, out=tmp_path / "long", seconds=5.0))
    words = ["film", "--motion", str(tmp_path / "nowhere"), "--out", str(tmp_path / "none")]
    assert main(words) == ConfigError.exit_code
    assert "holds no motion" in capsys.readouterr().err
