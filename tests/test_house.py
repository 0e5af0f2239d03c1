"""What the house promises about itself: what ships, who knows whom, and that its words are true."""

import ast
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import tomllib

ROOT = Path(__file__).resolve().parents[1]
MAP = (ROOT / "docs" / "map.md").read_text()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, GROUPS = PYPROJECT["project"], PYPROJECT["dependency-groups"]
ELSEWHERE = {ROOT / "benchmarks" / "mediapipe_worker.py", ROOT / "tests" / "rtsp_server.py"}
"""They run on an interpreter of their own: MediaPipe's old one, and Debian's, which has GObject."""
ROOMS = ("edge_pose", "train", "export", "benchmarks")
TEXT = {".py", ".md", ".toml", ".txt", ".json", ".html", ".css", ".js", ".service", ".sh", ""}
MACHINE_PATHS = re.compile(r"(?<![\w.$~}/-])/(?:work|root|home/\w+|mnt/\w+|Users/\w+)/[\w.]")
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")
MODEL_FILE = re.compile(r"^(\w+): Final = ModelFile\(", re.MULTILINE)
ENTRY = re.compile(r"^\* .*(?:\n  .*)*", re.MULTILINE)
PATH_IN_MAP = re.compile(r"`([\w.-]+/[\w./-]*)`")


def tracked() -> list[Path]:
    """Files that a clone has, or will have once they are added."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_importing_the_whole_appliance_brings_neither_torch_nor_onnx() -> None:
    program = """
import importlib, pkgutil, sys
import edge_pose
for module in pkgutil.walk_packages(edge_pose.__path__, "edge_pose."):
    importlib.import_module(module.name)
print(" ".join(sorted({name.split(".")[0] for name in sys.modules})))
"""
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(result.stdout.split())
    assert "numpy" in loaded
    assert not loaded & {"torch", "onnx", "train", "export", "benchmarks", "beartype"}


def third_parties(room: str) -> set[str]:
    """Names of the distributions that the modules of a room import, but for our own rooms."""
    found: set[str] = set()
    for path in tracked():
        if path.suffix == ".py" and path.is_relative_to(ROOT / room) and path not in ELSEWHERE:
            found |= set(top_level_imports(ast.parse(path.read_text())))
    distributions = packages_distributions()
    fixtures = {path.stem for path in (ROOT / "tests").glob("*.py")}
    foreign = found - sys.stdlib_module_names - fixtures - {*ROOMS, "tomli"}
    return {distributions.get(name, [name])[0] for name in foreign}


def top_level_imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def declared(*tables: list[object]) -> set[str]:
    """Names of distributions in lists of requirements, with the groups that they include."""
    found: set[str] = set()
    for requirement in (item for table in tables for item in table):
        if isinstance(requirement, str):
            found.add(re.split(r"[\[<>=; ]", requirement)[0])
    return found


def test_the_appliance_declares_what_it_imports() -> None:
    extras = PROJECT["optional-dependencies"]
    needed, extra = PROJECT["dependencies"], [*extras["opencv"], *extras["signed"]]
    used = third_parties("edge_pose")
    assert "numpy" in used
    assert used == declared(needed, extra) - {"tomli"}


def test_the_other_rooms_declare_what_they_import() -> None:
    appliance = declared(PROJECT["dependencies"], PROJECT["optional-dependencies"]["opencv"])
    assert third_parties("train") <= appliance | declared(GROUPS["train"])
    assert third_parties("export") <= appliance | declared(GROUPS["train"], GROUPS["export"])
    assert third_parties("benchmarks") <= appliance | declared(*GROUPS.values())
    assert third_parties("tests") <= appliance | declared(*GROUPS.values())


@pytest.mark.slow
def test_the_wheel_holds_the_appliance_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size <= 80e6, (
        "fast in three forms, accurate with heavy; indices take 100"
    )
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entry_points,) = (name for name in names if name.endswith("/entry_points.txt"))
        assert "edge-pose = edge_pose.__main__:main" in archive.read(entry_points).decode()
    tops = {name.split("/")[0] for name in names}
    assert len(tops) == 2
    assert tops >= {"edge_pose"}
    assert next(iter(tops - {"edge_pose"})).endswith(".dist-info")
    ours = {path.relative_to(ROOT).as_posix() for path in tracked()}
    package = {name for name in ours if name.startswith("edge_pose/")}
    assert {name for name in names if name.startswith("edge_pose/")} == package


@pytest.mark.parametrize("room", ROOMS)
def test_the_map_names_every_module(room: str) -> None:
    modules = {
        path.relative_to(ROOT).as_posix()
        for path in tracked()
        if path.suffix == ".py" and path.is_relative_to(ROOT / room)
    }
    named = set(PATH_IN_MAP.findall(MAP))
    unnamed = {path for path in modules if Path(path).name != "__init__.py"} - named
    assert not unnamed


def test_every_path_on_the_map_exists() -> None:
    paths = PATH_IN_MAP.findall(MAP)
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_link_between_our_pages_leads_somewhere() -> None:
    pages = [path for path in tracked() if path.suffix == ".md"]
    dead = [
        f"{page.relative_to(ROOT)} -> {target}"
        for page in pages
        for target in LINK.findall(page.read_text())
        if not (page.parent / target).exists()
    ]
    assert pages
    assert dead == []


def test_every_change_is_told_to_its_end() -> None:
    entries = ENTRY.findall((ROOT / "CHANGELOG.md").read_text())
    assert len(entries) > 20
    assert [entry for entry in entries if not entry.endswith((".", ".)"))] == []


def test_every_model_file_that_can_be_fetched_is_used_by_somebody() -> None:
    files = ROOT / "train" / "weights.py"
    names = MODEL_FILE.findall(files.read_text())
    programs = [path.read_text() for path in (ROOT / "train").rglob("*.py") if path != files]
    assert len(names) > 3
    assert [name for name in names if not any(name in program for program in programs)] == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        path.relative_to(ROOT).as_posix()
        for path in tracked()
        if path.suffix == ".py" and not path.read_text().startswith(('"""', "#!", 'r"""'))
    ]
    assert silent == []


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in tracked()
        if path.suffix in TEXT
        for match in MACHINE_PATHS.finditer(path.read_text(errors="replace"))
    ]
    assert found == []


def test_a_path_of_a_machine_would_be_found() -> None:
    assert MACHINE_PATHS.search("open('/wor" + "k/data/x.png')")
    assert MACHINE_PATHS.search('"/ro' + 'ot/.cache"')
    assert not MACHINE_PATHS.search("edge-pose/ro" + "ot/device/status")


def test_no_module_carries_a_foreign_licence_header() -> None:
    """Everything here was written here; what comes from others is data, named in CREDITS.md."""
    foreign = re.compile(r"GNU (?:Affero|General|Lesser)|Licensed under the|All rights reserved")
    found = [
        path.relative_to(ROOT).as_posix()
        for room in ROOMS
        for path in tracked()
        if path.suffix == ".py"
        and path.is_relative_to(ROOT / room)
        and foreign.search(path.read_text())
    ]
    assert found == []
