"""Genuine MediaPipe Pose 0.10.21 beside ours on the same clips: its speed, its finds.

    python -m benchmarks.rivals --data DIR [--rounds 3]

In: a folder with clips.  Out: a Markdown table.  MediaPipe lives in a virtual environment of its
own under .cache/, made here at first use (its `full` model is in the wheel, `lite` and `heavy` come
from its npm package), and is spoken to by lines of JSON.  Ours and the rival take turns, so that a
busy machine slows both; the ratio is what holds. Clips have no truth; `near heavy` is the share of
COCO joints within 20 % of the torso of where `heavy` sees them when it detects anew in every frame,
over joints that `heavy` holds for visible.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from benchmarks import ours
from benchmarks.clip_poses import ClipPoses, Cost, OnePerson, gather, run_and_time
from edge_pose.errors import EdgePoseError, SourceError
from edge_pose.skeleton import INDEX, NUM_JOINTS
from train.confidence import markdown_table
from train.metrics import correct_share, pixel_errors_px, relative_errors, torso_px

HERE: Final = Path(__file__).parent
CACHE: Final = HERE.parent / ".cache" / "rivals"
WORKER: Final = HERE / "mediapipe_worker.py"
REQUIREMENTS: Final = HERE / "requirements-mediapipe.txt"
NPM_PACKAGE: Final = "@mediapipe/pose@0.5.1675469404"
SHA256: Final = {
    "lite": "f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61",
    "full": "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    "heavy": "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
}
"""Of the landmark networks that were measured."""
MODELS: Final = tuple(SHA256)
LANDMARKS: Final = {
    "nose": 0,
    "left_eye": 2,
    "right_eye": 5,
    "left_ear": 7,
    "right_ear": 8,
    "left_shoulder": 11,
    "right_shoulder": 12,
    "left_elbow": 13,
    "right_elbow": 14,
    "left_wrist": 15,
    "right_wrist": 16,
    "left_hip": 23,
    "right_hip": 24,
    "left_knee": 25,
    "right_knee": 26,
    "left_ankle": 27,
    "right_ankle": 28,
    "left_heel": 29,
    "right_heel": 30,
    "left_toe": 31,
    "right_toe": 32,
}
"""MediaPipe's number of each joint of ours; it offers no spine, neck or head top."""
OURS_FROM_THEIRS: Final = [INDEX[name] for name in LANDMARKS]
THEIRS: Final = list(LANDMARKS.values())
HALF_PX: Final = 0.5
"""MediaPipe counts pixels from their edges, we from their centres."""
VISIBLE: Final = 0.5
NEAR: Final = 0.2
CLIPS: Final = (".mp4", ".mkv", ".gif", ".avi", ".mov")


def prepare(cache: Path = CACHE) -> Path:
    """Make MediaPipe's environment unless it stands already; return its interpreter."""
    home = cache / "mediapipe-0.10.21"
    interpreter = home / "bin" / "python"
    models = home / "models"
    if not (home / "ready").is_file():
        print(f"making {home} (about 1 GB, once)", file=sys.stderr)
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home, with_pip=True)
        _call([str(interpreter), "-m", "pip", "install", "--quiet", "-r", str(REQUIREMENTS)])
        models.mkdir()
        _call(["npm", "pack", "--silent", "--pack-destination", str(models), NPM_PACKAGE])
        with tarfile.open(next(models.glob("*.tgz"))) as package:
            package.extractall(models, filter="data")
        (place,) = home.glob("lib/python*/site-packages/mediapipe/modules/pose_landmark")
        for name in ("lite", "heavy"):
            shutil.copy(models / "package" / f"pose_landmark_{name}.tflite", place)
        for name, wanted in SHA256.items():
            _believe(place / f"pose_landmark_{name}.tflite", wanted)
        (home / "ready").touch()
    return interpreter


def command_for(interpreter: Path, clip: Path, model: str, *, every_frame_anew: bool) -> list[str]:
    """Build the command line of the worker."""
    command = [str(interpreter), str(WORKER), str(clip), "--model", model]
    return [*command, "--static"] if every_frame_anew else command


def read_line(line: dict[str, Any]) -> OnePerson | None:
    """Sort MediaPipe's landmarks into our joints; its world axes already point like ours."""
    if line["landmarks"] is None:
        return None
    landmarks, world = np.array(line["landmarks"]), np.array(line["world"])
    joints_px = np.full((NUM_JOINTS, 2), np.nan)
    joints_m = np.full((NUM_JOINTS, 3), np.nan)
    scores = np.zeros(NUM_JOINTS)
    joints_px[OURS_FROM_THEIRS] = landmarks[THEIRS, :2] - HALF_PX
    joints_m[OURS_FROM_THEIRS] = world[THEIRS, :3]
    scores[OURS_FROM_THEIRS] = landmarks[THEIRS, 3]
    hips = [INDEX["left_hip"], INDEX["right_hip"]]
    joints_px[INDEX["pelvis"]] = joints_px[hips].mean(axis=0)
    joints_m[INDEX["pelvis"]] = joints_m[hips].mean(axis=0)
    scores[INDEX["pelvis"]] = scores[hips].min()
    return OnePerson(joints_px=joints_px, joints_m=joints_m, scores=scores)


def watch(interpreter: Path, clip: Path, model: str, *, anew: bool) -> tuple[ClipPoses, Cost]:
    """Run MediaPipe over a clip."""
    lines, cost = run_and_time(command_for(interpreter, clip, model, every_frame_anew=anew))
    return gather(lines, read_line), cost


def watch_cached(interpreter: Path, clip: Path, model: str, *, anew: bool) -> ClipPoses:
    """Run MediaPipe over a clip, or read what it said before; for accuracy, not for time."""
    size = clip.stat().st_size
    key = hashlib.sha256(f"{clip.resolve()} {size} {WORKER.read_text()}".encode()).hexdigest()[:16]
    kept = CACHE / "lines" / f"{clip.stem}-{key}-{model}-{'anew' if anew else 'video'}.json"
    if not kept.is_file():
        lines, _ = run_and_time(command_for(interpreter, clip, model, every_frame_anew=anew))
        kept.parent.mkdir(parents=True, exist_ok=True)
        unfinished = kept.with_suffix(".part")
        unfinished.write_text(json.dumps(lines))
        unfinished.replace(kept)
    return gather(json.loads(kept.read_text()), read_line)


def near_share(poses: ClipPoses, heavy: ClipPoses) -> float:
    """Share of the joints visible to `heavy` that lie within 20 % of its torso, misses wrong."""
    frames = min(len(poses.found), len(heavy.found))
    counted = heavy.scores[:frames] > VISIBLE
    counted[:, 17:] = False
    errors_px = pixel_errors_px(poses.joints_px[:frames], heavy.joints_px[:frames], counted)
    errors = relative_errors(errors_px, torso_px(heavy.joints_px[:frames]))
    missed = counted & ~poses.found[:frames, None]
    return correct_share(np.where(missed, np.inf, errors), NEAR)


def clips_below(folder: Path) -> list[Path]:
    """Find every clip below a folder that opens; a path to a clip stands for itself."""
    if folder.is_file():
        return [folder]
    found = sorted(path for path in folder.rglob("*") if path.suffix in CLIPS)
    if not found:
        raise SourceError(f"{folder} holds no clip ({', '.join(CLIPS)}) at any depth; name another")
    return found


def keep_to_cores(count: int) -> None:
    """Bind this process and all it starts to the first `count` cores."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:count]))


def compare(interpreter: Path, clip: Path, models: list[str], rounds: int) -> list[tuple[str, ...]]:
    """Let ours and the rivals take turns on a clip; one table row each."""
    costs: dict[str, list[Cost]] = {"ours": [], **{model: [] for model in models}}
    poses: dict[str, ClipPoses] = {}
    for _ in range(rounds):
        poses["ours"], cost = ours.watch(clip)
        costs["ours"].append(cost)
        for model in models:
            poses[model], cost = watch(interpreter, clip, model, anew=False)
            costs[model].append(cost)
    heavy = watch_cached(interpreter, clip, "heavy", anew=True)
    rows: list[tuple[str, ...]] = []
    for name, taken in costs.items():
        pairs = zip(taken, costs["ours"], strict=True)
        ratio = median(cost.ms_per_frame / mine.ms_per_frame for cost, mine in pairs)
        rows.append(
            (
                clip.name,
                name,
                str(taken[0].frames),
                f"{100 * poses[name].found.mean():.1f}",
                f"{100 * near_share(poses[name], heavy):.1f}",
                f"{min(cost.ms_per_frame for cost in taken):.1f}",
                f"{median(cost.ms_per_frame for cost in taken):.1f}",
                f"{ratio:.2f}",
                f"{median(cost.first_message_s for cost in taken):.2f}",
                f"{max(cost.peak_memory_mib for cost in taken):.0f}",
            )
        )
    return rows


HEAD: Final = (
    "clip",
    "estimator",
    "frames",
    "found %",
    "near heavy %",
    "ms/frame min",
    "ms/frame median",
    "times ours",
    "first message s",
    "peak MiB",
)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rivals", description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, nargs="+", help="folders of clips, or clips"
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["full"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    keep_to_cores(arguments.cores)
    try:
        interpreter = prepare()
        rows: list[tuple[str, ...]] = []
        for folder in arguments.data:
            for clip in clips_below(folder):
                rows += compare(interpreter, clip, arguments.models, arguments.rounds)
    except EdgePoseError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(markdown_table(HEAD, rows))
    return 0


def _call(command: list[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - ours
    if done.returncode != 0:
        raise EdgePoseError(
            f"`{' '.join(command)}` failed with code {done.returncode}: "
            f"{done.stderr.strip()[-300:]}; "
            "without MediaPipe's environment there is no rival to measure"
        )


def _believe(path: Path, wanted: str) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != wanted:
        raise EdgePoseError(
            f"{path} has sha256 {found[:12]}, the measured network has {wanted[:12]}; "
            "the package has changed, measure again and renew the sum"
        )


if __name__ == "__main__":
    sys.exit(main())
