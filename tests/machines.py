"""The files in which two machines tell about themselves: a Jetson Orin Nano, and a PC."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

MEMINFO: Final = """MemTotal:        7802312 kB
MemFree:          301204 kB
MemAvailable:    2950116 kB
SwapTotal:       3901152 kB
"""
JETSON: Final = {
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "proc/meminfo": MEMINFO,
    "var/lib/nvpmodel/status": "pmode:0001",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=7W >\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "48500\n",
    "sys/class/thermal/thermal_zone1/type": "gpu-thermal\n",
    "sys/class/thermal/thermal_zone1/temp": "51250\n",
    # A zone that is switched off: where the driver does not fail, it says nonsense.
    "sys/class/thermal/thermal_zone2/type": "cv0-thermal\n",
    "sys/class/thermal/thermal_zone2/temp": "-256000\n",
    "sys/devices/platform/bus@0/17000000.gpu/load": "437\n",
    "sys/class/hwmon/hwmon2/name": "soctherm_oc\n",
    "sys/class/hwmon/hwmon2/oc1_event_cnt": "0\n",
    "sys/class/hwmon/hwmon2/oc1_throt_en": "1\n",
    "sys/class/hwmon/hwmon2/oc3_event_cnt": "37\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "schedutil\n",
}
PC: Final = {
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: Intel(R) N100\n\nprocessor\t: 1\n",
    "proc/meminfo": MEMINFO,
    "sys/class/thermal/thermal_zone0/type": "acpitz\n",
    "sys/class/thermal/thermal_zone0/temp": "27800\n",
    "sys/class/thermal/thermal_zone1/type": "x86_pkg_temp\n",
    "sys/class/thermal/thermal_zone1/temp": "96000\n",
    "sys/class/thermal/thermal_zone2/type": "acpitz\n",
    "sys/class/thermal/thermal_zone2/temp": "29800\n",
    "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "12\n",
    "sys/devices/system/cpu/cpu1/thermal_throttle/package_throttle_count": "12\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
}


def write_machine(root: Path, files: Mapping[str, str]) -> Path:
    """Lay a machine's files out below a folder."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root
