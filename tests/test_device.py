"""A machine is read from its own files, without anybody's help, and silence is no number."""

from pathlib import Path

import pytest

from edge_pose import device
from machines import JETSON, PC, write_machine


def test_a_jetson_tells_its_warmth_its_load_and_that_its_supply_is_weak(tmp_path: Path) -> None:
    root = write_machine(tmp_path, JETSON)
    assert device.board(root) == "NVIDIA Jetson Orin Nano Developer Kit"
    assert device.temperatures_c(root) == {"cpu-thermal": 48.5, "gpu-thermal": 51.25}
    assert device.hottest_c(root) == 51.25
    assert device.gpu_load(root) == pytest.approx(0.437)
    assert device.throttle_events(root) == {"oc1": 0, "oc3": 37}
    assert (device.power_mode(root), device.governor(root)) == ("1 7W", "schedutil")


def test_a_pc_tells_its_heat_and_how_often_it_slowed_down(tmp_path: Path) -> None:
    root = write_machine(tmp_path, PC)
    assert device.board(root) == "Intel(R) N100"
    assert device.temperatures_c(root) == {"acpitz": 29.8, "x86_pkg_temp": 96.0}
    assert device.throttle_events(root) == {"package": 12}, "a count of the package, not a sum"
    assert (device.gpu_load(root), device.power_mode(root)) == (None, None)


@pytest.mark.parametrize(
    "path",
    [
        "sys/devices/gpu.0/load",
        "sys/devices/platform/gpu.0/load",
        "sys/devices/platform/17000000.ga10b/load",
        "sys/devices/17000000.gv11b/load",
    ],
)
def test_the_load_of_the_gpu_is_found_in_every_jetpack(tmp_path: Path, path: str) -> None:
    assert device.gpu_load(write_machine(tmp_path, {path: "1000\n"})) == 1.0


def test_memory_is_what_can_still_be_had(tmp_path: Path) -> None:
    memory = device.memory(write_machine(tmp_path, PC))
    assert memory is not None
    assert memory.total_bytes == 7802312 * 1024
    assert memory.available_bytes == 2950116 * 1024


def test_what_nobody_tells_is_none(tmp_path: Path) -> None:
    told = (device.board, device.hottest_c, device.gpu_load, device.memory, device.power_mode)
    assert [look(tmp_path) for look in told] == [None] * len(told)
    assert (device.governor(tmp_path), device.resident_bytes(tmp_path)) == (None, None)
    assert (device.temperatures_c(tmp_path), device.throttle_events(tmp_path)) == ({}, {})


def test_nonsense_is_not_believed(tmp_path: Path) -> None:
    files = {
        "proc/meminfo": "MemTotal: many kB\n",
        "sys/class/thermal/thermal_zone0/temp": "warm\n",
        "var/lib/nvpmodel/status": "pmode:high",
        "sys/devices/gpu.0/load": "",
    }
    root = write_machine(tmp_path, files)
    assert (device.memory(root), device.hottest_c(root)) == (None, None)
    assert (device.power_mode(root), device.gpu_load(root)) == (None, None)


def test_the_disk_of_a_folder_that_is_not_there_yet_is_its_parent_s(tmp_path: Path) -> None:
    assert device.disk_free_bytes(tmp_path / "a" / "b") is not None


def test_this_machine_answers() -> None:
    memory = device.memory()
    assert memory is not None
    assert 0 < memory.available_bytes < memory.total_bytes
    assert (device.resident_bytes() or 0) > 1e6
