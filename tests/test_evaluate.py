"""`train evaluate`: figures that leave as tables, as JSON and as diagrams."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from edge_pose.bundle import open_bundle
from mim_folders import rendered_folder
from train.__main__ import main


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
