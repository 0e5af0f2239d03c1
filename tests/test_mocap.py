"""Motion capture: files are read as written, and our bodies take the recorded directions."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from edge_pose.errors import ConfigError
from train.synth import arm_reach, expmap
from train.synth.anatomy import BodyModel
from train.synth.arm_reach import ArmReach, arm_task, read_arm_reach
from train.synth.bvh import joint_places, read_bvh
from train.synth.expmap import NUMBERS, expmap_places
from train.synth.kinematics import Posture
from train.synth.mocap import MIRRORED, TRACKED, Clip, MotionLibrary, StillPose, read_clip
from train.synth.posing import Poser
from train.synth.retarget import retarget

ARM = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Arm
  {
    OFFSET 2 0 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 1 0 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.01
0 0 0 0 0 0 0 0 0
5 6 7 90 0 0 0 0 90
"""

BONES = {
    "Hips": (None, (0, 95, 0)),
    "LeftUpLeg": ("Hips", (9, -4, 0)),
    "LeftLeg": ("LeftUpLeg", (0, -42, 1)),
    "LeftFoot": ("LeftLeg", (0, -40, -2)),
    "LeftToeBase": ("LeftFoot", (0, -6, 14)),
    "RightUpLeg": ("Hips", (-9, -4, 0)),
    "RightLeg": ("RightUpLeg", (0, -42, 1)),
    "RightFoot": ("RightLeg", (0, -40, -2)),
    "RightToeBase": ("RightFoot", (0, -6, 14)),
    "Spine": ("Hips", (0, 20, 0)),
    "Neck": ("Spine", (0, 30, 0)),
    "Head": ("Neck", (0, 12, 1)),
    "LeftArm": ("Spine", (17, 24, 0)),
    "LeftForeArm": ("LeftArm", (28, 0, 0)),
    "LeftHand": ("LeftForeArm", (25, 0, 2)),
    "LeftHandMiddle1": ("LeftHand", (9, 0, 0)),
    "RightArm": ("Spine", (-17, 24, 0)),
    "RightForeArm": ("RightArm", (-28, 0, 0)),
    "RightHand": ("RightForeArm", (-25, 0, 2)),
    "RightHandMiddle1": ("RightHand", (-9, 0, 0)),
}


def person_bvh(turns_deg: dict[str, tuple[float, float, float]]) -> str:
    """Write one frame of a person; turns are about Z, X, Y of the bone."""
    lines = ["HIERARCHY"]
    values: list[float] = []

    def write(name: str) -> None:
        parent, offset = BONES[name]
        lines.append(f"{'ROOT' if parent is None else 'JOINT'} {name} {{ OFFSET")
        lines.append(" ".join(map(str, offset)))
        lines.append("CHANNELS 3 Zrotation Xrotation Yrotation")
        values.extend(turns_deg.get(name, (0.0, 0.0, 0.0)))
        for child, (of, _) in BONES.items():
            if of == name:
                write(child)
        lines.append("}")

    write("Hips")
    frame = " ".join(map(str, values))
    return "\n".join(lines) + f"\nMOTION\nFrames: 1\nFrame Time: 0.01\n{frame}\n"


def places_by_hand(
    turns_deg: dict[str, tuple[float, float, float]],
) -> dict[str, Float64[np.ndarray, "3"]]:
    """Sum the turned offsets up the chain of each joint, in our axes."""

    def world(name: str) -> tuple[Float64[np.ndarray, "3 3"], Float64[np.ndarray, "3"]]:
        parent, offset = BONES[name]
        turn = Rotation.from_euler("ZXY", turns_deg.get(name, (0, 0, 0)), degrees=True).as_matrix()
        if parent is None:
            return turn, np.array(offset, np.float64)
        outer, place = world(parent)
        return outer @ turn, place + outer @ np.array(offset, np.float64)

    return {name: np.array([p[0], -p[2], p[1]]) for name, p in ((n, world(n)[1]) for n in BONES)}


def wild(seed: int) -> dict[str, tuple[float, float, float]]:
    rng = np.random.default_rng(seed)
    turns = {name: tuple(rng.normal(0.0, 12.0, 3)) for name in BONES if "Spine" not in name}
    turns["Hips"] = (5.0, 10.0, 120.0)
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        turns[f"{side}Arm"] = (rng.uniform(-60, 30), rng.uniform(-40, 40), sign * -30.0)
        turns[f"{side}ForeArm"] = (0.0, 0.0, sign * rng.uniform(-100, -30))
        turns[f"{side}Leg"] = (0.0, rng.uniform(20, 80), 0.0)
    return turns


@pytest.fixture(scope="module")
def model() -> BodyModel:
    return BodyModel.load()


def test_places_are_what_one_works_out_by_hand() -> None:
    bvh = read_bvh(ARM, source="arm.bvh")
    assert bvh.names == ("Hips", "Arm", "Arm_end")
    assert bvh.frame_s == pytest.approx(0.01)
    places = joint_places(bvh, [0, 1, 2])
    np.testing.assert_allclose(places[0], [[0, 0, 0], [2, 0, 0], [3, 0, 0]])
    # The root turns +X to +Y; the arm then turns its own +X to -Z.
    np.testing.assert_allclose(places[1], [[5, 6, 7], [5, 8, 7], [5, 8, 6]], atol=1e-12)


def test_a_clip_is_read_in_our_axes(tmp_path: Path, model: BodyModel) -> None:
    turns = wild(1)
    path = tmp_path / "person.bvh"
    path.write_text(person_bvh(turns))
    clip = read_clip(path, own_bones=model.skeleton.labels)
    assert isinstance(clip, Clip)
    expected = places_by_hand(turns)
    found = dict(zip(TRACKED, clip.places[0], strict=True))
    np.testing.assert_allclose(found["knee.R"], expected["RightLeg"], atol=1e-3)
    np.testing.assert_allclose(found["knuckle.L"], expected["LeftHandMiddle1"], atol=1e-3)
    np.testing.assert_allclose(found["head"], expected["Head"], atol=1e-3)


def test_a_gzipped_clip_is_the_same_clip(tmp_path: Path, model: BodyModel) -> None:
    text = person_bvh(wild(2))
    (tmp_path / "a.bvh").write_text(text)
    (tmp_path / "b.bvh.gz").write_bytes(gzip.compress(text.encode()))
    labels = model.skeleton.labels
    plain = read_clip(tmp_path / "a.bvh", own_bones=labels)
    packed = read_clip(tmp_path / "b.bvh.gz", own_bones=labels)
    assert isinstance(plain, Clip)
    assert isinstance(packed, Clip)
    np.testing.assert_array_equal(plain.places, packed.places)


def _degrees_between(
    posture: Posture, bones: tuple[str, str], wanted: Float64[np.ndarray, "3"]
) -> float:
    found = posture.head_m(bones[1]) - posture.head_m(bones[0])
    cosine = found @ wanted / np.linalg.norm(found) / np.linalg.norm(wanted)
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


@pytest.mark.parametrize("seed", range(4))
def test_limbs_take_the_recorded_directions(model: BodyModel, seed: int) -> None:
    (measures,) = model.rest(1, rng=np.random.default_rng(seed)).measures
    places = places_by_hand(wild(seed))
    named = dict(zip(TRACKED, np.zeros((len(TRACKED), 3)), strict=True))
    central = {"Neck": "neck", "Head": "head"}
    joints = {
        "UpLeg": "hip",
        "Leg": "knee",
        "Foot": "ankle",
        "ToeBase": "toe",
        "Arm": "shoulder",
        "ForeArm": "elbow",
        "Hand": "wrist",
        "HandMiddle1": "knuckle",
    }
    for name, place in places.items():
        for side in ("Left", "Right"):
            if name.startswith(side):
                named[f"{joints[name.removeprefix(side)]}.{side[0]}"] = place
        if name in central:
            named[central[name]] = place
    posture = retarget(named, measures=measures, rng=np.random.default_rng(0))
    for long, side in (("Left", "L"), ("Right", "R")):
        for bones, ends in (
            ((f"upperleg01.{side}", f"lowerleg01.{side}"), ("UpLeg", "Leg")),
            ((f"lowerleg01.{side}", f"foot.{side}"), ("Leg", "Foot")),
            ((f"upperarm01.{side}", f"lowerarm01.{side}"), ("Arm", "ForeArm")),
            ((f"lowerarm01.{side}", f"wrist.{side}"), ("ForeArm", "Hand")),
            ((f"wrist.{side}", f"finger3-1.{side}"), ("Hand", "HandMiddle1")),
        ):
            wanted = places[long + ends[1]] - places[long + ends[0]]
            # Twist bones lie a little off the line from joint to joint: half a degree.
            assert _degrees_between(posture, bones, wanted) < 1.0, bones


def test_sampled_motion_faces_ahead_stands_on_the_floor_and_depends_on_the_seed(
    tmp_path: Path, model: BodyModel
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.bvh").write_text(person_bvh(wild(number)))
    motions = MotionLibrary.open(tmp_path)
    (measures,) = model.rest(1, rng=np.random.default_rng(0)).measures
    posture, task = motions.sample(measures, rng=np.random.default_rng(5))
    assert task is None
    left = posture.world_turn("root") @ np.array([1.0, 0.0, 0.0])
    assert left[0] > 0.9
    assert abs(left[1]) < 1e-6
    first, second = (
        model.sample_bodies(
            1,
            rng=np.random.default_rng(9),
            motions=MotionLibrary.open(tmp_path),
            activities=["mocap"],
        )[0]
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.vertices_m, second.vertices_m)
    assert first.activity == "mocap"
    assert abs(first.vertices_m[:, 2].min()) < 1e-4


def test_mirroring_twice_changes_nothing_and_once_swaps_sides() -> None:
    assert [MIRRORED[index] for index in MIRRORED] == list(range(len(TRACKED)))
    assert MIRRORED[TRACKED.index("knee.L")] == TRACKED.index("knee.R")
    assert MIRRORED[TRACKED.index("neck")] == TRACKED.index("neck")


def test_a_pose_on_our_own_bones_is_copied_turn_by_turn(tmp_path: Path, model: BodyModel) -> None:
    path = tmp_path / "still.bvh"
    path.write_text(
        "HIERARCHY ROOT root { OFFSET 0 0 0 CHANNELS 3 Zrotation Xrotation Yrotation "
        "JOINT spine05 { OFFSET 0 1 0 CHANNELS 3 Zrotation Xrotation Yrotation "
        "JOINT upperarm01.L { OFFSET 1 0 0 CHANNELS 3 Zrotation Xrotation Yrotation } } } "
        "MOTION\nFrames: 1\nFrame Time: 0.04\n0 0 0 0 0 0 0 0 90\n"
    )
    pose = read_clip(path, own_bones=model.skeleton.labels)
    assert isinstance(pose, StillPose)
    # A quarter turn about the up axis of the file is one about ours: forward swings to the left.
    turned = pose.turns["upperarm01.L"] @ np.array([0.0, -1.0, 0.0])
    np.testing.assert_allclose(turned, [1.0, 0.0, 0.0], atol=1e-9)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no BVH file"),
        ("RIFF....", "is no BVH file"),
        (ARM.replace("Frames: 2", "Frames: 3"), "breaks off"),
        (ARM.replace("End Site", "Jiont"), "'Jiont'"),
        (ARM, "has no joint for neck"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(
    tmp_path: Path, model: BodyModel, text: str, words: str
) -> None:
    path = tmp_path / "bad.bvh"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        read_clip(path, own_bones=model.skeleton.labels)
    assert str(path) in str(caught.value)


def test_a_folder_without_motion_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"found no \*\.bvh.*and no rows of numbers"):
        MotionLibrary.open(tmp_path)


def expmap_row(**vectors: tuple[float, float, float]) -> Float64[np.ndarray, "117"]:
    """Write one frame of CMU's skeleton; names are those of `NUMBERS` with _ for the point."""
    row = np.zeros(expmap.COLUMNS)
    for name, vector in vectors.items():
        number = 0 if name == "root" else NUMBERS[name.replace("_", ".")]
        row[3 + 3 * number : 6 + 3 * number] = vector
    return row


def test_at_rest_an_exponential_map_stands_with_its_arms_out() -> None:
    names = ("knee.L", "ankle.L", "toe.L", "elbow.R", "wrist.R", "head")
    places = dict(zip(names, expmap_places(expmap_row()[None], names)[0], strict=True))
    # Sums of the offsets by hand: hip + thigh, + shin, + foot.
    np.testing.assert_allclose(places["knee.L"], [4.25394, -8.93858, 0.62477], atol=1e-9)
    np.testing.assert_allclose(places["ankle.L"], [6.7463, -15.78628, 0.62477], atol=1e-9)
    np.testing.assert_allclose(places["toe.L"], [6.94334, -16.32764, 2.77058], atol=1e-9)
    # Spine 2.0545 + 2.06436 up, collar bone 0.75994 up and 3.49802 out, then straight out.
    np.testing.assert_allclose(places["elbow.R"], [-8.49469, 4.8788, -0.52649], atol=1e-9)
    np.testing.assert_allclose(places["wrist.R"], [-11.859, 4.8788, -0.52649], atol=1e-9)
    np.testing.assert_allclose(places["head"], [0.07124, 7.24638, -0.15071], atol=1e-9)


def test_a_knee_bent_by_a_quarter_turn_points_the_shin_backwards() -> None:
    """A negative angle about the left axis bends it, because the file turns row vectors."""
    names = ("knee.L", "ankle.L", "toe.L")
    row = expmap_row(knee_L=(-np.pi / 2, 0.0, 0.0))
    knee, ankle, toe = expmap_places(row[None], names)[0]
    np.testing.assert_allclose(ankle - knee, [2.49236, 0.0, -6.8477], atol=1e-9)
    np.testing.assert_allclose(toe - ankle, [0.19704, -2.14581, -0.54136], atol=1e-9)


def test_a_turn_of_the_root_carries_everything_and_its_way_is_left_out() -> None:
    names = ("elbow.L",)
    (still,) = expmap_places(expmap_row()[None], names)[0]
    row = expmap_row(root=(0.0, np.pi / 2, 0.0))
    row[:3] = 5.0, 6.0, 7.0
    (turned,) = expmap_places(row[None], names)[0]
    # A quarter turn about up by row vectors: left goes to ahead.
    np.testing.assert_allclose(turned, [-still[2], still[1], still[0]], atol=1e-9)


TABLE = {
    # x right, y down, z away of a camera that faces the person: their left is at x > 0.
    "left": ([0.3, 0.2, 0.7], [0.3, 0.1, 1.0], [0.2, -0.2, 1.0]),
    "right": ([-0.1, 0.2, 0.6], [-0.25, 0.1, 1.0], [-0.2, -0.2, 1.0]),
}


def arm_row() -> Float64[np.ndarray, "18"]:
    """Write wrists, elbows, shoulders, left first."""
    return np.array([[TABLE["left"][k], TABLE["right"][k]] for k in range(3)]).ravel()


def test_arms_are_measured_from_their_shoulders_in_our_axes() -> None:
    reach = read_arm_reach(arm_row()[None])
    assert reach is not None
    # Left: upper arm (0.1, 0, -0.3) is 0.3162 long, forearm (0, -0.3, -0.1) is 0.3162; right: upper
    # (-0.05, 0, -0.3) 0.3041, forearm (0.15, -0.4, -0.1) 0.4387; the median of two is their mean.
    arm_m = (0.6325 + 0.7429) / 2
    np.testing.assert_allclose(reach.wrists[0, 0] * arm_m, [0.1, -0.3, -0.4], atol=1e-4)
    np.testing.assert_allclose(reach.elbows[0, 1] * arm_m, [-0.05, 0.0, -0.3], atol=1e-4)
    assert reach.table * arm_m == pytest.approx(-0.4, abs=1e-4)


def test_an_arm_that_was_never_seen_is_unknown_and_two_are_nothing() -> None:
    row = arm_row()
    row.reshape(3, 2, 3)[:2, 1] = np.nan
    reach = read_arm_reach(np.stack([row, row]))
    assert reach is not None
    assert np.isnan(reach.wrists[:, 1]).all()
    assert np.isfinite(reach.wrists[:, 0]).all()
    row.reshape(3, 2, 3)[:2, 0] = np.nan
    assert read_arm_reach(row[None]) is None


@pytest.mark.parametrize("seed", range(6))
def test_a_body_at_the_table_holds_its_arms_as_recorded(model: BodyModel, seed: int) -> None:
    rng = np.random.default_rng(seed)
    (measures,) = model.rest(1, rng=rng).measures
    reach = read_arm_reach(arm_row()[None])
    assert reach is not None
    task = arm_task(reach, measures=measures, rng=rng)
    posture = Poser(measures=measures, rng=rng).solve(task)
    wrists, shoulders = (
        np.stack([posture.head_m(f"{bone}.{side}") for side in "LR"])
        for bone in ("wrist", "upperarm01")
    )
    found = (wrists - shoulders) / measures.arm_m
    wanted = reach.wrists[0]
    if task.left_hand.wrist_m[0] + task.right_hand.wrist_m[0] < 0.0:
        wanted = wanted[::-1] * [-1.0, 1.0, 1.0]
    # The girdle gives way, and the pelvis rolls a little at random: within a tenth of an arm.
    np.testing.assert_allclose(found, wanted, atol=0.1)
    assert task.props.bench_height_m is not None
    lowest_m = float(wrists[:, 2].min())
    assert task.props.bench_height_m == pytest.approx(lowest_m - 0.05, abs=0.1)


def test_a_folder_may_mix_recordings_and_notes_beside_them_are_no_motion(
    tmp_path: Path, model: BodyModel
) -> None:
    (tmp_path / "a.bvh").write_text(person_bvh(wild(1)))
    np.save(tmp_path / "b.npy", np.stack([expmap_row()] * 2).astype(np.float32))
    (tmp_path / "c.txt").write_text(",".join(map(str, expmap_row())) + "\n")
    (tmp_path / "d.txt").write_text(" ".join(map(str, arm_row())) + "\n")
    (tmp_path / "SOURCE.txt").write_text("licence: free\n")
    motions = MotionLibrary.open(tmp_path)
    assert [path.name for path in motions.paths] == ["a.bvh", "b.npy", "c.txt", "d.txt"]
    kinds = [type(read_clip(path, own_bones=model.skeleton.labels)) for path in motions.paths]
    assert kinds == [Clip, Clip, Clip, ArmReach]
    packed, written = (
        read_clip(motions.paths[number], own_bones=model.skeleton.labels) for number in (1, 2)
    )
    assert isinstance(packed, Clip)
    assert isinstance(written, Clip)
    np.testing.assert_array_equal(packed.places[0], written.places[0])
    knee, ankle = (packed.places[0, TRACKED.index(name)] for name in ("knee.L", "ankle.L"))
    np.testing.assert_allclose(ankle - knee, [2.49236, 0.0, -6.8477], atol=1e-5)
    bodies = model.sample_bodies(
        8, rng=np.random.default_rng(3), motions=motions, activities=["mocap"]
    )
    assert any(body.props.bench_height_m is not None for body in bodies)
    assert any(body.props.bench_height_m is None for body in bodies)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 2 3\n4 5 6\n", "found 2 x 3 numbers, wanted rows of 117 .* or of 18"),
        ("1 2 3\n4 5\n", "cannot be read as rows of numbers"),
        ("1 2 3\n4 5 x\n", "cannot be read as rows of numbers"),
        (" ".join(["nan"] * arm_reach.COLUMNS), "one of them seen at least once"),
    ],
)
def test_a_table_that_is_no_motion_is_named_with_what_is_wrong(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "bad.txt"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        read_clip(path, own_bones=[])
    assert str(path) in str(caught.value)
