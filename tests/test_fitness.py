"""What is amiss with a machine is said before it is relied on, with what to do about it."""

import socket
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from brokers import certificates, prepared_mosquitto
from edge_pose import fitness
from edge_pose.config import MetricsConfig
from edge_pose.time_sync import TimeSync
from machines import JETSON, PC, write_machine


def test_a_clock_that_nobody_keeps_is_noted_and_one_that_is_kept_is_not() -> None:
    assert fitness.clock(TimeSync(synchronised=True, error_ms=3.2)).verdict == "ok"
    free = fitness.clock(TimeSync(synchronised=False, error_ms=16000.0))
    assert (free.verdict, free.step) == ("note", "start systemd-timesyncd or chrony")
    assert fitness.clock(None).verdict == "note"


def test_a_weak_supply_and_a_hot_processor_are_noted(tmp_path: Path) -> None:
    jetson = fitness.heat(write_machine(tmp_path / "jetson", JETSON))
    assert jetson.verdict == "note"
    assert "oc3 37 times" in jetson.detail
    assert "oc1" not in jetson.detail
    cool = {name: text for name, text in PC.items() if "throttle" not in name}
    hot = fitness.heat(write_machine(tmp_path / "pc", cool))
    assert (hot.verdict, hot.detail) == ("note", "96 °C at most; soon it will slow down")
    cool["sys/class/thermal/thermal_zone1/temp"] = "61000"
    assert fitness.heat(write_machine(tmp_path / "pc", cool)).verdict == "ok"


def test_little_memory_is_noted(tmp_path: Path) -> None:
    assert fitness.ram(write_machine(tmp_path, PC)).verdict == "ok"
    (tmp_path / "proc/meminfo").write_text("MemTotal: 4000000 kB\nMemAvailable: 300000 kB\n")
    little = fitness.ram(tmp_path)
    assert (little.verdict, little.detail) == ("note", "307 of 4096 MB left")
    assert little.step


def test_a_port_that_is_taken_is_noted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        metrics = MetricsConfig(enabled=True, port=port)
        assert fitness.figures(metrics).verdict == "note"
    assert fitness.figures(metrics).verdict == "ok"
    assert fitness.figures(replace(metrics, enabled=False)).verdict == "note"


def test_a_certificate_is_noted_thirty_days_before_its_end() -> None:
    not_after = "Jun  1 12:00:00 2027 GMT"
    end_s = float(ssl.cert_time_to_seconds(not_after))
    assert fitness.ends(not_after, now_s=end_s - 31 * 86400).verdict == "ok"
    late = fitness.ends(not_after, now_s=end_s - 29 * 86400)
    assert late.verdict == "note"
    assert "29 days from now" in late.detail


def test_the_certificate_of_a_broker_is_read_where_it_is_trusted(tmp_path: Path) -> None:
    certificates(tmp_path)
    mosquitto = prepared_mosquitto(
        tmp_path,
        "allow_anonymous true",
        f"certfile {tmp_path / 'cert.pem'}",
        f"keyfile {tmp_path / 'key.pem'}",
    )
    mosquitto.start()
    try:
        broker = replace(mosquitto.broker, tls=True)
        found = fitness.certificate(replace(broker, ca_file=tmp_path / "cert.pem"))
        assert found.thing == "tls"
        assert "days from now" in found.detail
        with pytest.raises(ssl.SSLCertVerificationError):
            fitness.certificate(broker)
    finally:
        mosquitto.stop()
