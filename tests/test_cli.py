"""The command line: what it prints, which code it ends with, what it does when it is told."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance import start, write_clip
from bundles import make_bundle
from edge_pose import __version__, skeleton
from edge_pose.__main__ import COMMANDS, main
from edge_pose.config.read import keys
from edge_pose.spool import Spool, SpoolSettings


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


class EdgePose:
    """Runs commands inside the test's own process, where shapes and types are checked."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def __call__(self, *words: str | Path) -> Done:
        """Run one command to its end."""
        self._capfd.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = self._capfd.readouterr()
        return Done(code, out, err)


@pytest.fixture
def edge_pose(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> EdgePose:
    """Give the command line."""
    monkeypatch.setenv("COLUMNS", "80")
    return EdgePose(capfd)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "walking.avi")


def test_a_clip_becomes_one_line_of_meta_and_one_line_a_frame(bundle: Path, clip: Path) -> None:
    with start("run", clip, "--bundle", bundle, "--output", "jsonl") as child:
        out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    assert "Traceback" not in err
    first, *lines = [json.loads(line) for line in out.splitlines()]
    assert first["meta"]["joints"] == list(skeleton.JOINTS)
    assert first["meta"]["size"] == [320, 240]
    assert first["meta"]["intrinsics"]["assumed"] is True
    assert [line["seq"] for line in lines] == list(range(12))
    steps = [later["ts"] - earlier["ts"] for earlier, later in pairwise(lines)]
    assert set(steps) == {40}
    (person,) = lines[-1]["persons"]
    assert len(person["kp"]) == len(person["kp_px"]) == skeleton.NUM_JOINTS
    assert person["kp"][skeleton.ROOT][2] == pytest.approx(4.0, rel=0.1)
    across_m = [line["persons"][0]["kp"][skeleton.ROOT][0] for line in lines[-4:]]
    assert across_m == sorted(across_m)


def test_the_lens_can_be_told(edge_pose: EdgePose, bundle: Path, clip: Path) -> None:
    words = ("run", clip, "--bundle", bundle, "--output", "jsonl", "--fx", "300", "--frames", "2")
    done = edge_pose(*words)
    first, *lines = [json.loads(line) for line in done.out.splitlines()]
    assert first["meta"]["intrinsics"]["fx"] == 300.0
    assert first["meta"]["intrinsics"]["assumed"] is False
    assert len(lines) == 2


def test_a_folder_of_mixed_sizes_tells_the_new_size_in_a_line_before_its_first_frame(
    edge_pose: EdgePose, bundle: Path, tmp_path: Path
) -> None:
    for number, size in enumerate((160, 160, 320)):
        picture = np.full((size, size, 3), 90, np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    done = edge_pose("run", tmp_path, "--bundle", bundle, "--output", "jsonl")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [next(iter(line)) for line in lines] == ["meta", "seq", "seq", "meta", "seq"]
    sizes = [(line.get("meta") or line)["size"] for line in lines]
    assert sizes == [[160, 160]] * 3 + [[320, 320]] * 2
    assert [list(lines[at]) for at in (0, 3)] == [["meta"], ["meta"]]
    assert all("meta" not in lines[at] for at in (1, 2, 4))


def test_events_are_lines_of_their_own_where_they_are_asked_for(
    edge_pose: EdgePose, bundle: Path, clip: Path, tmp_path: Path
) -> None:
    settings = tmp_path / "edge-pose.toml"
    settings.write_text(
        "[output]\nevents = true\n[events.zones.everywhere]\n"
        'picture = [[0, 0], [1, 0], [1, 1], [0, 1]]\npart = "hips"\n'
    )
    done = edge_pose("run", clip, "--bundle", bundle, "--output", "jsonl", "--config", settings)
    lines = [json.loads(line) for line in done.out.splitlines()]
    events = [line["event"] for line in lines if "event" in line]
    assert [event["type"] for event in events] == ["camera", "zone_enter", "zone_leave"]
    assert [next(iter(line)) for line in lines if "event" not in line] == ["meta"] + ["seq"] * 12
    assert events[1]["ts"] in [line.get("ts") for line in lines]
    assert events[2]["reason"] == "stopped"


def test_what_waits_for_a_broker_can_be_removed(
    edge_pose: EdgePose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = tmp_path / "edge-pose" / "edge-7-cam0.spool"
    with closing(Spool(SpoolSettings(path=path))) as spool:
        spool.add("event/people", "{}", precious=True)
    history = path.with_suffix(".history")
    with closing(Spool(SpoolSettings(path=history))) as spool:
        spool.add("history", "{}", precious=False)
        spool.add("history", "{}", precious=False)
    done = edge_pose("purge", "--device", "edge-7")
    assert done.code == 0
    assert done.out == (
        f"Removed 1 messages that waited in {path}.\n"
        f"Removed 2 moments of Sparkplug history that waited in {history}.\n"
    )
    assert list(path.parent.iterdir()) == []
    monkeypatch.setenv("EDGE_POSE_SPOOL_ENABLED", "false")
    assert "Nothing is kept on the disk" in edge_pose("purge").out


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["run", "walkin.mp4"], 78, "There is no file or folder walkin.mp4"),
        (["run", "--camera", "87"], 78, "There is no camera 87 (/dev/video87 does not exist)"),
        (["run", "--camra", "0"], 2, "nobody knows --camra; did you mean --camera?"),
        (["run", "a.mp4", "--camera", "0"], 2, "SOURCE and --camera are the same thing"),
        (["run", "--output", "xml"], 2, "invalid choice: 'xml'"),
        (["run", "--frames", "many"], 2, "invalid int value: 'many'"),
        (["run", "--frames", "0"], 78, "--frames: output.frames is 0; wanted at least 1"),
        (["run", "--fx", "500", "--hfov", "60"], 78, "--fx and --hfov both describe the lens"),
        (["run", "--tier", "fast", "--bundle", "x"], 78, "--tier and --bundle both name a model"),
        (["run", "--broker", "host:x"], 78, "broker address 'host:x'"),
        (["run", "--config", "none.toml"], 78, "There is no configuration file none.toml"),
        (["view"], 78, "There is no broker to view; name one with --broker HOST"),
        (["replay", "none.jsonl"], 78, "The recording none.jsonl cannot be read"),
        (["walk"], 2, "invalid choice: 'walk'"),
        ([], 2, "required: COMMAND"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence_with_its_code(
    edge_pose: EdgePose, words: list[str], code: int, sentence: str
) -> None:
    done = edge_pose(*words)
    assert done.code == code, done.err
    assert sentence in " ".join(done.err.split())
    assert "Traceback" not in done.err
    assert done.out == ""


def test_a_secret_that_was_forgotten_is_for_the_operator_also_when_told_to_wait(
    edge_pose: EdgePose, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Systemd hands over an empty file for it, see SetCredential in the unit."""
    (tmp_path / "camera-password").write_text("\n")
    monkeypatch.setenv("EDGE_POSE_CAMERA_PASSWORD_FILE", str(tmp_path / "camera-password"))
    words = ("run", "rtsp://eve@127.0.0.1:9/1", "--wait", "--bundle", bundle)
    done = edge_pose(*words, "--output", "none")
    assert done.code == 78
    assert "camera.password_file names" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_standard_output_is_one_sentence_for_the_operator(
    bundle: Path, clip: Path, unbuffered: str
) -> None:
    commands = (["config"], ["run", clip, "--bundle", bundle, "--output", "jsonl"])
    with Path("/dev/full").open("wb") as full:
        for words in commands:
            done = subprocess.run(
                [sys.executable, "-m", "edge_pose", *words],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
                env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            )
            assert done.returncode == 78, done.stderr
            assert "No space left on device" in done.stderr.splitlines()[-1]
            assert "Traceback" not in done.stderr
            assert "Exception ignored" not in done.stderr


def test_the_defaults_that_the_help_tells_are_the_defaults() -> None:
    told = 0
    for _, options in COMMANDS.values():
        for option in options:
            default = keys()[option.setting].default
            said = re.search(r"\(default: ([\w.]+)[);]", option.meaning)
            if said is not None and default is not None:
                assert said[1] == str(default), option.flag
                told += 1
    assert told > 0


def test_a_bundle_that_is_none_is_refused_by_its_path(
    edge_pose: EdgePose, clip: Path, tmp_path: Path
) -> None:
    done = edge_pose("run", clip, "--bundle", tmp_path, "--output", "jsonl")
    assert done.code == 78
    assert str(tmp_path / "manifest.json") in done.err
    assert "Traceback" not in done.err


def test_a_recording_does_not_wait_for_ever_for_its_broker(
    edge_pose: EdgePose, bundle: Path, clip: Path
) -> None:
    done = edge_pose("run", clip, "--bundle", bundle, "--broker", "127.0.0.1:9")
    assert done.code == 78
    assert "mqtt://127.0.0.1:9" in done.err
    assert "Traceback" not in done.err


def test_a_reader_that_has_read_enough_ends_us_quietly(bundle: Path, clip: Path) -> None:
    with start("run", clip, "--bundle", bundle, "--output", "jsonl", "--realtime") as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline().startswith('{"meta"')
        child.stdout.close()
        told = child.stderr.read()
        assert child.wait(60) == 0
    assert "Traceback" not in told
    assert "BrokenPipe" not in told


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_ends_with_0(bundle: Path, tmp_path: Path, number: signal.Signals) -> None:
    long = write_clip(tmp_path / "long.avi", frames=60, fps=1.0)
    with start("run", long, "--bundle", bundle, "--output", "jsonl", "--realtime") as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.send_signal(number)
        _, told = child.communicate(timeout=60)
    assert child.returncode == 0
    assert "Traceback" not in told


def test_a_supervisor_hears_readiness_progress_and_the_end(bundle: Path, tmp_path: Path) -> None:
    """A camera that is not there is no hang: the watchdog is petted while we wait for it."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address)
        listening.settimeout(60)
        supervised = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}
        words = ("run", "87", "--wait", "--bundle", bundle, "--output", "jsonl")
        with start(*words, environ=supervised) as child:
            told: list[str] = []
            while told.count("WATCHDOG=1") < 3:
                told += listening.recv(4096).decode().splitlines()
            child.terminate()
            while "STOPPING=1" not in told:
                told += listening.recv(4096).decode().splitlines()
            assert child.wait(60) == 0
    assert told.index("READY=1") < told.index("STATUS=camera offline") < told.index("WATCHDOG=1")


def test_check_names_every_part_and_passes_where_all_is_well(bundle: Path, clip: Path) -> None:
    """In a process of its own, because it judges the memory of the process that it is in."""
    with start("check", clip, "--bundle", bundle) as child:
        out, err = child.communicate(timeout=60)
    assert child.returncode == 0, out + err
    verdicts = {line.split()[1]: line.split()[0] for line in out.splitlines()}
    of_the_machine = {name: verdicts.pop(name) for name in ("clock", "heat", "ram", "disk")}
    assert "FAIL" not in of_the_machine.values()
    assert verdicts == {
        "python": "ok", "opencv": "ok", "runtime": "ok", "model": "ok", "camera": "ok",
        "broker": "note", "figures": "note", "memory": "ok",
    }  # fmt: skip
    assert "320 x 240" in out


def test_a_program_reads_the_findings_of_check(
    edge_pose: EdgePose, bundle: Path, clip: Path
) -> None:
    done = edge_pose("check", clip, "--bundle", bundle, "--broker", "127.0.0.1:9", "--json")
    assert done.code == 78
    found = {line["thing"]: line for line in map(json.loads, done.out.splitlines())}
    assert found["broker"]["verdict"] == "FAIL"
    assert set(found["broker"]) == {"thing", "verdict", "detail", "step"}


def test_check_fails_by_what_is_missing_and_looks_at_the_rest(
    edge_pose: EdgePose, clip: Path, tmp_path: Path
) -> None:
    done = edge_pose("check", clip, "--bundle", tmp_path, "--broker", "127.0.0.1:9")
    assert done.code == 78
    verdicts = {line.split()[1]: line.split()[0] for line in done.out.splitlines()}
    assert (verdicts["model"], verdicts["camera"], verdicts["broker"]) == ("FAIL", "ok", "FAIL")
    assert "Traceback" not in done.out + done.err


def test_config_shows_what_holds_and_who_said_so(
    edge_pose: EdgePose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "line.toml"
    path.write_text('[camera]\nname = "gate"\n', encoding="utf-8")
    monkeypatch.setenv("EDGE_POSE_MQTT_ROOT", "plant/line-3")
    done = edge_pose("config", "--config", path, "--threads", "2")
    assert done.code == 0, done.err
    pairs = (line.split(" = ") for line in done.out.splitlines())
    said = {name.strip(): rest.split() for name, rest in pairs}
    assert said["camera.name"] == ['"gate"', "#", str(path), "[camera]", "name"]
    assert said["model.threads"] == ["2", "#", "--threads"]
    assert said["mqtt.root"] == ['"plant/line-3"', "#", "EDGE_POSE_MQTT_ROOT"]
    assert said["view.port"] == ["8765", "#", "default"]


def test_config_writes_a_file_that_is_accepted_and_never_overwritten(
    edge_pose: EdgePose, tmp_path: Path
) -> None:
    path = tmp_path / "first.toml"
    assert edge_pose("config", "--write", path).code == 0
    assert edge_pose("config", "--config", path).code == 0
    again = edge_pose("config", "--write", path)
    assert again.code == 78
    assert "exists" in again.err


def test_the_version_is_printed(edge_pose: EdgePose) -> None:
    assert edge_pose("--version").out == f"edge-pose {__version__}\n"


@pytest.mark.parametrize("words", ["--help", "config"])
def test_commands_that_only_print_load_nothing_heavy(words: str) -> None:
    code = (
        "import sys\nfrom edge_pose.__main__ import main\n"
        f"try:\n    main(['{words}'])\nexcept SystemExit:\n    pass\n"
        "print(*{'cv2', 'numpy', 'onnxruntime', 'paho'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""
    assert done.stdout
