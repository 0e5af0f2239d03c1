"""One command from a labelled source to a network for a line, and what it leaves behind."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_pose.bundle import open_bundle
from edge_pose.errors import ConfigError, SourceError
from edge_pose.region import region_of_body
from edge_pose.skeleton import INDEX, NUM_JOINTS
from mim_folders import labelled_folder, rendered_folder
from train.__main__ import main
from train.ablation import GROUPS, VARIANTS, Variant, read_variants
from train.adaptation_methods import read_method
from train.begin import student_from
from train.domain_errors import ALIGNED, FLAT, POSITION, errors_in
from train.domains import held_out_domain, source_domain, target_domain
from train.masking import read_recipe
from train.pose_augment import cut_crop
from train.pose_data import is_held_out
from train.report_files import read_results
from train.student import Regressor
from train.supply import _without_labels
from train.workflow import DISTILLED, PROBED
from train.workflow_stages import Assignment, second_stage, supply_for, third_stage

X = torch.tensor([1.0, 0.0, 0.0])
LEFT_WRIST = INDEX["left_wrist"]


def group(*, held_out: bool) -> str:
    """Find the name of a group that is held out, or one that is not."""
    names = (f"line/{number}" for number in range(100))
    return next(name for name in names if is_held_out(name) == held_out)


class Knows(torch.nn.Module):
    """Answers with the truth of everybody in a folder whose people all stand alike."""

    def __init__(self, folder: Path, *, off_px: float, off_m: float) -> None:
        """Read the truth once and move it along x."""
        super().__init__()
        person = held_out_domain(folder).people.person(0)
        crop = cut_crop(person, region_of_body(person.reach_px))
        self.joints_px = torch.nn.Parameter(torch.from_numpy(crop.joints_px) + off_px * X[:2])
        moved = torch.from_numpy(crop.joints_m).clone()
        moved[LEFT_WRIST] += off_m * X
        self.joints_m = torch.nn.Parameter(moved)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Say the same of every picture."""
        each = len(image)
        return {
            "joints_px": self.joints_px.expand(each, -1, -1),
            "joints_m": self.joints_m.expand(each, -1, -1),
        }


def test_errors_are_those_worked_out_by_hand(tmp_path: Path) -> None:
    folder = rendered_folder(tmp_path / "other", 5)
    network = Knows(folder, off_px=2.56, off_m=0.25)
    found = errors_in(network, held_out_domain(folder), most=100)
    assert found[POSITION].shape == (5, NUM_JOINTS)
    np.testing.assert_allclose(found[FLAT], 1.0, rtol=1e-3)
    np.testing.assert_allclose(found[POSITION][:, LEFT_WRIST], 250.0, rtol=1e-3)
    others = np.delete(found[POSITION], LEFT_WRIST, axis=1)
    np.testing.assert_allclose(others, 0.0, atol=1e-2)
    exact = errors_in(Knows(folder, off_px=0.0, off_m=0.0), held_out_domain(folder), most=100)
    np.testing.assert_allclose(exact[ALIGNED], 0.0, atol=1e-2)


def test_people_measured_are_spread_over_the_folder_and_no_more_than_asked(tmp_path: Path) -> None:
    folder = rendered_folder(tmp_path / "other", 9)
    network = Knows(folder, off_px=0.0, off_m=0.0)
    assert len(errors_in(network, held_out_domain(folder), most=4)[FLAT]) == 4


def test_a_domain_without_3d_truth_has_errors_in_the_picture_alone(tmp_path: Path) -> None:
    folder = labelled_folder(tmp_path / "line", 3, group=group(held_out=True))
    network = Knows(rendered_folder(tmp_path / "other", 1), off_px=0.0, off_m=0.0)
    assert set(errors_in(network, held_out_domain(folder), most=9)) == {FLAT}


def test_every_variant_is_made_of_methods_and_masks_that_exist() -> None:
    for variant in VARIANTS.values():
        read_method(variant.method)
        if variant.first is not None:
            read_recipe(variant.first.recipe)
    rows = {"source_only", "mae", "foreground", "attention", "saccades", "oracle"}
    assert rows <= set(GROUPS["ablation"])
    assert not any(name.startswith(("labels_", "wrong_")) for name in GROUPS["ablation"])
    assert GROUPS["few_labels"] == ("source_only", "labels_10", "labels_50", "labels_200")


@pytest.mark.parametrize(
    ("names", "said"),
    [(["atention"], "did you mean 'attention'"), (["mae", "mae"], "named twice")],
)
def test_a_wrong_variant_is_said_in_a_sentence(names: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_variants(names)


def test_the_target_shows_its_pictures_and_nothing_that_is_true_of_them() -> None:
    batch = {
        name: torch.zeros(1)
        for name in ("input", "joints_m", "target_input", "target_joints_m", "target_foreground")
    }
    assert set(_without_labels(batch)) == {"input", "joints_m", "target_input", "target_foreground"}


def test_of_a_labelled_target_one_part_is_learned_from_and_another_measured(tmp_path: Path) -> None:
    learned = labelled_folder(tmp_path / "a", 3, group=group(held_out=False))
    measured = labelled_folder(tmp_path / "b", 2, group=group(held_out=True))
    assert len(target_domain(learned, tmp_path / "labels").people) == 3
    assert len(held_out_domain(measured).people) == 2
    with pytest.raises(SourceError, match="nobody to learn from"):
        held_out_domain(learned)


def test_a_source_without_3d_truth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="train synth"):
        source_domain([labelled_folder(tmp_path / "line", 2)])


def test_what_would_fail_hours_later_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(rendered_folder(tmp_path / "a", 2))
    common = ["adapt", "--source", folder, "--target", folder, "--out", str(tmp_path / "out")]
    assert main(common) == 78
    assert "nothing is held out" in capsys.readouterr().err
    assert main([*common, "--test", folder, "--variants", "labels_10"]) == 78
    assert "--labels" in capsys.readouterr().err
    assert main([*common, "--test", folder, "--variants", "mae", "pseudo_labels"]) == 78
    assert "name source_only first" in capsys.readouterr().err
    assert main([*common, "--test", folder, "--variants", "oracle", "--teacher", "oracle"]) == 78
    assert "choose a run of another method" in capsys.readouterr().err


def test_other_data_in_the_same_folder_are_another_adaptation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = {name: rendered_folder(tmp_path / name, 4) for name in "abcd"}
    labels = labelled_folder(tmp_path / "labels", 2)
    coco = tmp_path / "people.json"
    coco.write_text('{"images": [], "annotations": []}')
    out = tmp_path / "line"

    def adapt(**changes: str) -> list[str]:
        named = {"source": "a", "target": "b", "labels": f"{coco} {labels}", **changes}
        options = [
            word
            for name, paths in named.items()
            for word in (f"--{name}", *(str(folders.get(path, path)) for path in paths.split()))
        ]
        start = ["adapt", *options, "--test", str(folders["c"]), "--out", str(out)]
        more = ["--variants", "source_only", "--network", "nano", "--preset", "tiny"]
        return [*start, *more, "--share-of-steps", "0.01", "--no-student", "--errors-only"]

    def refused(words: list[str]) -> str:
        capsys.readouterr()
        assert main(words) == 78
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert said.startswith(f"train adapt: the run in {out} began with ")
        return said

    assert main(adapt()) == 0
    assert main(adapt()) == 0
    assert f"source = {folders['a']}, now it is {folders['d']};" in refused(adapt(source="d"))
    assert f"target = {folders['b']}, now it is {folders['d']};" in refused(adapt(target="d"))
    assert "labels = " in refused(adapt(labels=f"{coco} {folders['d']}"))
    coco.write_text('{"images": [ ], "annotations": [ ]}')
    assert "files of labels = 2 with " in refused(adapt())
    coco.write_text('{"images": [], "annotations": []}')
    assert main(adapt()) == 0
    shutil.copy(folders["b"] / "chunk-00000.npz", folders["b"] / "chunk-00001.npz")
    said = refused(adapt())
    assert "files of target = 1 with " in said
    assert "now it is 2 with " in said


def test_what_teachers_say_of_one_place_is_not_taken_for_anothers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labelling breaks off at a picture that cannot be read; more pictures may follow it."""
    source, out = rendered_folder(tmp_path / "a", 2), tmp_path / "line"
    for name in ("7", "8"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"no picture")

    def said(target: str) -> str:
        capsys.readouterr()
        words = ["adapt", "--source", str(source), "--target", str(tmp_path / target)]
        assert main([*words, "--out", str(out), "--test", str(source)]) > 0
        return capsys.readouterr().err

    assert "began with" not in said("7")
    assert f"began with target = {tmp_path / '7'}, now it is {tmp_path / '8'};" in said("8")
    (tmp_path / "7" / "2.png").write_bytes(b"no picture either")
    assert "began with" not in said("7")


def assignment(folder: Path, network: str) -> Assignment:
    """Adapt to a few bars in one step, from what ships."""
    for name in ("a", "b"):
        rendered_folder(folder / name, 4)
    return Assignment(
        source_folders=(folder / "a",),
        target_folder=folder / "b",
        source=source_domain([folder / "a"]),
        target=target_domain(folder / "b", folder / "labels"),
        preset_name="tiny",
        network=network,
        begin=open_bundle().folder,
        learning_rate=5e-4,
        out=folder / "out",
        share_of_steps=0.01,
    )


def regressed(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return what a student says of a picture without its heat maps, which no run trains."""
    assert isinstance(network, Regressor)
    image = torch.rand(1, 3, 256, 256, generator=torch.manual_seed(5))
    with torch.no_grad():
        return network.predict(network.stem(image)[0])


def assert_read_back(folder: Path, network: torch.nn.Module) -> None:
    """Compare a run with the network that it left in memory."""
    said, now = regressed(student_from(folder)), regressed(network)
    for name, value in now.items():
        torch.testing.assert_close(said[name], value, rtol=1e-3, atol=1e-3, msg=name)


@pytest.mark.slow
def test_a_distilled_student_is_read_back_as_it_was_behind_a_stem_that_was_trained(
    tmp_path: Path,
) -> None:
    task = assignment(tmp_path, "nano")
    assert task.begin is not None
    ships, published = student_from(task.begin).stem, student_from(None).stem
    image = torch.rand(1, 3, 256, 256)
    assert not torch.allclose(ships(image)[0], published(image)[0], rtol=0.1, atol=0.1)
    plain = Variant(first=None, method="source_only")
    teacher = second_stage(task, "source_only", plain, supply_for(task, 0), opinion=None)
    student = third_stage(task, "source_only", 0, teacher, task.begin)
    assert_read_back(task.out / "student", student)


@pytest.mark.slow
def test_an_adapted_student_is_a_run_of_the_whole_network(tmp_path: Path) -> None:
    task = assignment(tmp_path, "student")
    plain = Variant(first=None, method="source_only")
    network = second_stage(task, "source_only", plain, supply_for(task, 0), opinion=None)
    assert_read_back(task.second_folder("source_only", 0), network)


def render(folder: Path) -> None:
    """Render a source, a target and a test of the target's kind: a, b and c."""
    for name, site, seed in (("a", "factory", "1"), ("b", "other", "2"), ("c", "other", "3")):
        recipe = f"synth --people 24 --site {site} --seed {seed} --processes 1 --size 128"
        assert main([*recipe.split(), "--out", str(folder / name)]) == 0


def on_rendered(folder: Path, *words: str) -> list[str]:
    """Return the words of a short adaptation to what was rendered there."""
    folders = ["--source", str(folder / "a"), "--target", str(folder / "b")]
    tests = ["--test", str(folder / "c"), "--preset", "tiny", "--most", "12"]
    return ["adapt", *folders, *tests, "--share-of-steps", "0.1", *words]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_masks_are_compared_by_a_probe_and_the_student_itself_is_adapted(tmp_path: Path) -> None:
    render(tmp_path)
    out = tmp_path / "masks"
    words = ["--variants", "focusmim", "--first-stage-only", "--out", str(out)]
    assert main(on_rendered(tmp_path, *words)) == 0
    rows = read_results([out / "results.json"]).rows
    assert {row.method for row in rows} == set(GROUPS["focusmim"])
    assert {row.metric for row in rows} == {PROBED}
    assert not (out / "second").exists()
    # Each recipe has a first stage of its own.
    assert len(list((out / "first").iterdir())) == len(GROUPS["focusmim"]) - 1
    out = tmp_path / "line"
    words = ["--variants", "source_only", "full", "full_alone", "--network", "student"]
    assert main(on_rendered(tmp_path, *words, "--out", str(out))) == 0
    results = read_results([out / "results.json"])
    errors = {row.method: row.value for row in results.rows if row.metric == "MPJPE mm"}
    assert set(errors) == {"source_only", "full", "full_alone", "student_shipped", DISTILLED}
    # All begin with what ships, so four steps leave them near it.
    assert all(abs(value / errors["student_shipped"] - 1) < 0.5 for value in errors.values())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all_stages_run_leave_a_report_and_go_on_where_they_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    render(tmp_path)
    out = tmp_path / "line"
    words = ["adapt", "--preset", "tiny", "--most", "20", "--out", str(out)]
    words += ["--source", str(tmp_path / "a"), "--target", str(tmp_path / "b")]
    words += [
        "--test",
        str(tmp_path / "c"),
        str(tmp_path / "b"),
        "--variants",
        "source_only",
        "saccades",
        "oracle",
    ]
    capsys.readouterr()
    assert main(words) == 0
    table = capsys.readouterr().out
    results = read_results([out / "results.json"])
    methods = {row.method for row in results.rows}
    assert methods == {"source_only", "saccades", "oracle", "student_shipped", "student_distilled"}
    assert all(f"| {method} |" in table for method in methods)
    # The third folder is new to every stage; of the target itself everything was seen.
    assert {(row.domain, row.seen_target_test) for row in results.rows} == {
        ("c", False),
        ("b", True),
    }
    probed = {network.network: network.values for network in results.representation}
    assert all(0 < values["linear probe, MPJPE mm"] < 2000 for values in probed.values())
    assert "saccades, seed 0" in probed
    assert "forgot" in (out / "report.html").read_text()
    readings = (out / "second" / "saccades-seed0" / "forgetting.jsonl").read_text().splitlines()
    assert [json.loads(line)["stage"] for line in readings] == ["start", "saccades"]
    network = student_from(out / "student")
    with torch.no_grad():
        answer = network(torch.rand(1, 3, 256, 256))
    assert torch.isfinite(answer["joints_m"]).all()
    errors_mm = errors_in(network, held_out_domain(tmp_path / "c"), most=20)[POSITION]
    (measured,) = (
        row
        for row in results.rows
        if (row.method, row.domain, row.metric) == (DISTILLED, "c", POSITION)
    )
    assert float(errors_mm.mean()) == pytest.approx(measured.value, rel=1e-3)
    checkpoint = out / "second" / "saccades-seed0" / "last.safetensors"
    before = checkpoint.stat().st_mtime_ns
    assert main(words) == 0
    assert checkpoint.stat().st_mtime_ns == before
    assert capsys.readouterr().out.splitlines()[:4] == table.splitlines()[:4]
