"""Sparkplug payloads: there and back, read by the decoder of others, never confused by rubbish."""

import json
import math
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_pose.errors import PayloadError
from edge_pose.sparkplug.host import HostState, read_host_state
from edge_pose.sparkplug.metrics import camera_values
from edge_pose.sparkplug.node import Publish
from edge_pose.sparkplug.payload import DataType, Metric, Payload, decode, encode
from sparkplug import JOINTS, edge_node
from sparkplug import METRICS as DECLARED
from walkers import walkers

SINGLE = st.floats(width=32, allow_nan=False)
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
TYPED = st.one_of(
    st.tuples(st.just(DataType.INT32), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just(DataType.INT64), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just(DataType.FLOAT), SINGLE),
    st.tuples(st.just(DataType.BOOLEAN), st.booleans()),
    st.tuples(st.just(DataType.STRING), TEXT),
    st.tuples(st.sampled_from(DataType), st.none()),
)
UINT64 = st.none() | st.integers(0, 2**64 - 1)
METRICS = st.fixed_dictionaries(
    {
        "typed": TYPED,
        "name": st.none() | TEXT,
        "alias": UINT64,
        "timestamp_ms": UINT64,
        "unit": st.none() | TEXT,
        "is_historical": st.booleans(),
    }
)
PAYLOADS = st.fixed_dictionaries(
    {"timestamp_ms": UINT64, "metrics": st.lists(METRICS, max_size=4), "seq": UINT64}
)


def built(plain: dict[str, Any]) -> Payload:
    """Make a payload; in no strategy, because checked types draw by chance what they check."""
    metrics = []
    for given_metric in plain["metrics"]:
        rest = dict(given_metric)
        datatype, value = rest.pop("typed")
        metrics.append(Metric(datatype=datatype, value=value, **rest))
    return Payload(timestamp_ms=plain["timestamp_ms"], metrics=tuple(metrics), seq=plain["seq"])


@settings(deadline=None)
@given(PAYLOADS)
def test_what_is_written_is_read(plain: dict[str, Any]) -> None:
    payload = built(plain)
    assert decode(encode(payload)) == payload


def test_who_speaks_json_alone_does_not_wait_for_protobuf() -> None:
    program = "import edge_pose.mqtt, sys; print('google.protobuf' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(PayloadError, match=r"no Sparkplug B payload.*utf-8"):
        decode(bytes.fromhex("12 03 0a 01 ff"))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_payload_or_a_payload_error(data: bytes) -> None:
    with suppress(PayloadError):
        assert isinstance(decode(data), Payload)


@settings(deadline=None)
@given(PAYLOADS, st.data())
def test_a_payload_with_damage_is_a_payload_or_a_payload_error(
    plain: dict[str, Any], data: st.DataObject
) -> None:
    whole = bytearray(encode(built(plain)) + b"\x1a\x02\x08\x01")
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(PayloadError):
        assert isinstance(decode(bytes(whole)), Payload)


@settings(deadline=None)
@given(st.binary(max_size=60) | TEXT.map(str.encode))
def test_any_bytes_are_a_host_state_or_a_payload_error(data: bytes) -> None:
    with suppress(PayloadError):
        assert isinstance(read_host_state(data), HostState)


@pytest.mark.parametrize(
    "text",
    [
        "ONLINE",
        "{}",
        "[]",
        "null",
        "[" * 100_000,
        '{"online": 1, "timestamp": 1}',
        '{"online": true, "timestamp": true}',
        '{"online": true, "timestamp": 1.5}',
        '{"online": "true", "timestamp": 1}',
        '{"online": true}',
    ],
)
def test_a_state_without_a_truth_value_and_a_whole_number_is_refused(text: str) -> None:
    with pytest.raises(PayloadError, match=r"no STATE.*wanted"):
        read_host_state(text.encode())


def test_a_negative_number_travels_as_its_twos_complement() -> None:
    data = encode(Payload(metrics=(Metric(datatype=DataType.INT32, value=-1),)))
    assert data == bytes.fromhex("12 08 20 03 50 ff ff ff ff 0f")


def test_a_payload_worked_out_by_hand() -> None:
    metric = Metric(name="x", timestamp_ms=2, datatype=DataType.FLOAT, value=1.0, unit="m")
    data = encode(Payload(timestamp_ms=1, metrics=(metric,), seq=3))
    unit = bytes.fromhex("4a 10 0a 07") + b"engUnit" + bytes.fromhex("12 05 08 0c 42 01") + b"m"
    body = bytes.fromhex("0a 01") + b"x" + bytes.fromhex("18 02 20 09") + unit
    body += bytes.fromhex("65 00 00 80 3f")
    assert data == bytes.fromhex("08 01 12") + bytes([len(body)]) + body + bytes.fromhex("18 03")


READ_WITH_TAHU = """
const payloads = require('sparkplug-payload').get('spBv1.0');
const lines = require('fs').readFileSync(0, 'utf8').trim().split('\\n');
const plain = (key, value) => (value && value.low !== undefined)
  ? value.high * 4294967296 + (value.low >>> 0) : value;
for (const line of lines)
  console.log(JSON.stringify(payloads.decodePayload(Buffer.from(line, 'hex')), plain));
"""


@pytest.fixture(scope="session")
def tahu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the JavaScript decoder of Eclipse Tahu, which shares no line with ours."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("there is no node and npm on this machine to run the decoder of Eclipse Tahu")
    folder = tmp_path_factory.mktemp("tahu")
    install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(
        [*install, "sparkplug-payload@1.0.3"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"npm could not fetch sparkplug-payload 1.0.3: {done.stderr.strip()[:200]}")
    return folder


def read_with_tahu(folder: Path, payloads: list[bytes]) -> list[dict[str, Any]]:
    done = subprocess.run(
        ["node", "-e", READ_WITH_TAHU],
        cwd=folder,
        input="\n".join(payload.hex() for payload in payloads),
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_the_decoder_of_tahu_reads_what_the_edge_node_says(tahu: Path) -> None:
    node = edge_node()
    said = node.connect(7) + node.camera(online=True)
    frame, poses, stats = next(walkers(people=1, frames=1))
    poses[0].joints_m[JOINTS.index("nose")] = math.nan
    values = camera_values(poses, stats, slots={1: 0}, joints=JOINTS)
    said += node.report(values, measured_ms=frame.captured_at_ms)
    said += node.report_historical({"Pose/Persons": 3}, measured_ms=5)
    said += node.camera(online=False) + node.leave()
    payloads = [action.payload for action in said if isinstance(action, Publish)]
    nbirth, dbirth, ddata, historical, ddeath, ndeath = read_with_tahu(tahu, payloads)
    by_name = {metric["name"]: metric for metric in dbirth["metrics"]}
    assert [metric["value"] for metric in nbirth["metrics"][:2]] == [7, False]
    assert by_name["Pose/P0/nose/x"]["properties"] == {"engUnit": {"type": "String", "value": "m"}}
    assert {metric["value"] for metric in by_name.values()} == {None}
    assert len(by_name) == len(DECLARED)
    told = {metric["name"]: metric["value"] for metric in ddata["metrics"]}
    assert told["Pose/Persons"] == 1
    assert told["Pose/P0/stale"] is False
    assert told["Pose/P0/right_wrist/z"] == pytest.approx(values["Pose/P0/right_wrist/z"])
    assert "Pose/P0/nose/x" not in told, "it is null as it was at birth"
    assert {metric["type"] for metric in ddata["metrics"]} == {"Int32", "Boolean", "Float"}
    (old,) = historical["metrics"]
    assert (old["value"], old["timestamp"], old["isHistorical"]) == (3, 5, True)
    assert [said["seq"] for said in (nbirth, dbirth, ddata, historical, ddeath)] == [0, 1, 2, 3, 4]
    assert "seq" not in ndeath
    assert [(m["name"], m["value"]) for m in ndeath["metrics"]] == [("bdSeq", 7)]


@pytest.mark.slow
def test_with_aliases_and_without_data_types_the_same_is_read_once_the_birth_is_known(
    tahu: Path,
) -> None:
    node = edge_node(aliases=True)
    said = node.connect(0) + node.camera(online=True)
    said += node.report({"Pose/Persons": 2, "Stats/fps": 12.5}, measured_ms=9)
    payloads = [action.payload for action in said if isinstance(action, Publish)]
    _, dbirth, ddata = read_with_tahu(tahu, payloads)
    names = {metric["alias"]: metric["name"] for metric in dbirth["metrics"]}
    told = {names[metric["alias"]]: metric["value"] for metric in ddata["metrics"]}
    assert told == {"Pose/Persons": 2, "Stats/fps": 12.5}
