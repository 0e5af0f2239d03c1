"""`train evaluate`: figures that leave as tables, as JSON and as diagrams."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from edge_pose.bundle import open_bundle
from edge_pose.errors import EXIT_OPERATOR
from mim_folders import labelled_folder, rendered_folder, rendered_frame
from train.__main__ import main
from train.synth.dataset import chunk_path, pack_chunk, write_chunk


def test_what_ships_is_measured_and_its_honesty_drawn_for_light_and_dark_pages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people = rendered_folder(tmp_path / "people", 4)
    figures, charts = tmp_path / "figures.json", tmp_path / "charts"
    words = ["--network", str(open_bundle().path_of("pose")), "--rendered", str(people)]
    main(["evaluate", *words, "--figures", str(figures), "--charts", str(charts)])
    (found,) = json.loads(figures.read_text()).values()
    assert found["people"] >= 4
    assert 0 <= found["expected calibration error"] <= 1
    assert f"rendered people: {found['people']} people" in capsys.readouterr().out
    drawn = {path.name: ET.parse(path).getroot() for path in charts.iterdir()}  # noqa: S314 - ours
    assert set(drawn) == {f"reliability-rendered-people{end}.svg" for end in ("", "-dark")}
    assert all(root.tag.endswith("svg") for root in drawn.values())


def test_so_many_of_all_are_measured_as_reach_from_the_first_to_the_last(tmp_path: Path) -> None:
    everybody = rendered_folder(tmp_path / "people", 3)
    ends = tmp_path / "ends" / "people"
    ends.mkdir(parents=True)
    write_chunk(chunk_path(ends, 0), pack_chunk([rendered_frame(0), rendered_frame(2)]))
    network = str(open_bundle().path_of("pose"))
    found = []
    for folder in (everybody, ends):
        figures = tmp_path / "figures.json"
        words = ["--network", network, "--rendered", str(folder), "--figures", str(figures)]
        assert main(["evaluate", *words, "--most", "2"]) == 0
        found.append(json.loads(figures.read_text()))
    assert found[0] == found[1]


def test_a_network_that_is_not_there_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learned = labelled_folder(tmp_path / "line", 2, group="line/clip#run-0001")
    missing = tmp_path / "student" / "pose.onnx"
    assert main(["evaluate", "--network", str(missing), "--real", str(learned)]) == EXIT_OPERATOR
    said = capsys.readouterr().err
    assert f"there is no network {missing}; `python -m export graph` makes one" in said


def test_where_nobody_is_held_out_a_sentence_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learned = labelled_folder(tmp_path / "line", 2, group="line/clip#run-0002")
    words = ["--network", str(open_bundle().path_of("pose")), "--real", str(learned)]
    assert main(["evaluate", *words]) == EXIT_OPERATOR
    said = capsys.readouterr().err
    assert f"nobody in {learned} is of a group held out from training" in said
    assert "--unseen" in said
    words[2:3] = ["--unseen"]
    assert main(["evaluate", *words]) == 0
