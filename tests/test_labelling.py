"""What is left to label is what this source has and the folder has not, to the source's end.

Of an empty place nobody is asked; what is invented there is known to be invented.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_pose.errors import SourceError
from train.__main__ import main
from train.detector_data import RealScenes
from train.label_cache import read_labels
from train.labelling import label_source
from train.own_footage import own_pictures, own_video

ROOT = Path(__file__).resolve().parents[1]


def pictures(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        assert cv2.imwrite(str(folder / name), np.full((48, 64, 3), 90, np.uint8))


def clip(path: Path, frames: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for number in range(frames):
        writer.write(np.full((48, 64, 3), 10 * number, np.uint8))
    writer.release()


def keys(labels: Path) -> list[str]:
    return [image.key for image in read_labels(labels)]


def test_pictures_that_took_the_place_of_labelled_ones_are_labelled(tmp_path: Path) -> None:
    footage, labels = tmp_path / "footage", tmp_path / "labels"
    pictures(footage, "1.png", "2.png", "3.png", "4.png")
    label_source(own_pictures(footage, name="line", licence="mine"), labels)
    for gone in ("1.png", "2.png"):
        (footage / gone).unlink()
    pictures(footage, "5.png", "6.png")
    label_source(own_pictures(footage, name="line", licence="mine"), labels)
    assert keys(labels) == [f"line/{number}.png" for number in range(1, 7)]


def test_a_second_source_is_labelled_into_the_same_folder(tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    pictures(tmp_path / "a", "1.png", "2.png", "3.png")
    pictures(tmp_path / "b", "1.png", "2.png")
    for name in ("a", "b"):
        label_source(own_pictures(tmp_path / name, name=name, licence="mine"), labels)
    assert keys(labels) == ["a/1.png", "a/2.png", "a/3.png", "b/1.png", "b/2.png"]


def test_with_a_limit_only_this_sources_pictures_count(tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    pictures(tmp_path / "a", "1.png", "2.png")
    pictures(tmp_path / "b", "1.png", "2.png", "3.png")
    label_source(own_pictures(tmp_path / "a", name="a", licence="mine"), labels, limit=2)
    for limit in (1, 2):
        source = own_pictures(tmp_path / "b", name="b", licence="mine")
        label_source(source, labels, limit=limit)
    assert keys(labels) == ["a/1.png", "a/2.png", "b/1.png", "b/2.png"]


def test_other_frames_of_a_labelled_clip_are_labelled_too(tmp_path: Path) -> None:
    clip(tmp_path / "wave.avi", 6)
    for every in (4, 3):
        source = own_video(tmp_path / "wave.avi", name="own", licence="mine", every=every)
        label_source(source, tmp_path / "labels")
    assert keys(tmp_path / "labels") == [f"own/wave#{number:06d}" for number in (0, 4, 3)]


def test_a_video_whose_length_stands_nowhere_is_labelled_to_its_end(tmp_path: Path) -> None:
    """It is JPEGs one behind another."""
    frames = [np.full((48, 64, 3), 10 * number, np.uint8) for number in range(5)]
    path = tmp_path / "wave.mjpeg"
    path.write_bytes(b"".join(cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames))
    source = own_video(path, name="own", licence="mine", every=2)
    assert len(source) == 0
    label_source(source, tmp_path / "labels")
    assert keys(tmp_path / "labels") == [f"own/wave#{number:06d}" for number in (0, 2, 4)]


def test_a_video_of_which_no_frame_can_be_read_is_an_error(tmp_path: Path) -> None:
    """Its header promises five frames, and the file ends before the first."""
    path = tmp_path / "cut.avi"
    clip(path, 5)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"movi") + 4])
    with pytest.raises(SourceError, match=r"no frame of .*cut\.avi can be read; convert"):
        label_source(own_video(path, name="own", licence="mine"), tmp_path / "labels")


def test_of_an_empty_place_no_teacher_is_asked(tmp_path: Path) -> None:
    """A picture in which the teachers see somebody is labelled, as told, with nobody."""
    footage, labels = tmp_path / "night", tmp_path / "labels"
    footage.mkdir()
    clip_of_a_worker = cv2.VideoCapture(str(ROOT / "demo/worker.mp4"))
    assert cv2.imwrite(str(footage / "1.png"), clip_of_a_worker.read()[1])
    source = own_pictures(footage, name="night", licence="mine")
    label_source(source, tmp_path / "asked")
    assert any(len(picture.detected_px) for picture in read_labels(tmp_path / "asked"))
    label_source(source, labels, nobody=True, cache=tmp_path / "no teachers here")
    (picture,) = read_labels(labels)
    assert (len(picture.people), len(picture.detected_px)) == (0, 0)
    scene = RealScenes([labels], held_out=False).scene(0)
    assert (len(scene.people_px), len(scene.unsure_px)) == (0, 0)
    assert scene.image.shape[1] == 640
    assert not (tmp_path / "no teachers here").exists()


def test_labels_of_teachers_and_of_an_empty_place_do_not_mix(tmp_path: Path) -> None:
    """Nobody could tell afterwards which pictures were looked at."""
    pictures(tmp_path / "night", "1.png")
    source = own_pictures(tmp_path / "night", name="night", licence="mine")
    label_source(source, tmp_path / "labels")
    with pytest.raises(SourceError, match="labels of other teachers"):
        label_source(source, tmp_path / "labels", nobody=True)


def test_a_known_set_is_not_an_empty_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "labels"
    assert main(["label", "workers", str(tmp_path), "--nobody", "--out", str(out)]) == 78
    assert "workers is a known set with people in it" in capsys.readouterr().err
    assert not out.exists()
