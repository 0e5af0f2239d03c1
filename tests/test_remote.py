"""Whatever is asked from afar is answered clearly or dropped, and leaves one line of audit."""

import json
import logging
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_pose.clock import NS_PER_S
from edge_pose.config import COMMANDS
from edge_pose.errors import ConfigError
from edge_pose.remote import AT_ONCE, Action, Asked, Desk


class Office:
    """A desk, a clock that goes on when told, and a list of what was done."""

    def __init__(self, allowed: str = " ".join(COMMANDS)) -> None:
        self.done: list[str] = []
        self.now_ns = 0
        actions = {name: self._action(name) for name in COMMANDS}
        self.desk = Desk(actions, allowed.split(), clock=lambda: self.now_ns)

    def _action(self, name: str) -> Action:
        def act() -> Mapping[str, object]:
            self.done.append(name)
            if name == "reload":
                raise ConfigError("camera.fps is 0; wanted at least 0.01")
            if name == "rebirth":
                raise ZeroDivisionError
            return {"paused": True} if name == "pause" else {}

        return act

    def ask(self, name: str, payload: str | bytes = b"", *, retained: bool = False) -> str | None:
        """Ask in peace, a minute after the last one."""
        self.now_ns += 60 * NS_PER_S
        return self.at_once(name, payload, retained=retained)

    def at_once(
        self, name: str, payload: str | bytes = b"", *, retained: bool = False
    ) -> str | None:
        """Ask without any time between."""
        data = payload.encode() if isinstance(payload, str) else payload
        return self.desk.handle(Asked(name=name, payload=data, retained=retained))

    def error(self, name: str, payload: str | bytes = b"") -> str:
        """Ask for what is refused."""
        told = self.ask(name, payload)
        assert told is not None
        table = json.loads(told)
        assert table["ok"] is False
        return str(table["error"])


def test_what_is_allowed_is_done_and_the_id_comes_back() -> None:
    office = Office()
    told = json.loads(office.ask("pause", '{"id": "shift-7"}') or "")
    assert told.pop("ts") > 1_700_000_000_000
    assert told == {"v": 1, "command": "pause", "id": "shift-7", "ok": True, "paused": True}
    assert "id" not in json.loads(office.ask("resume") or "")
    assert json.loads(office.ask("resume", '{"id": 12}') or "")["id"] == 12
    assert office.done == ["pause", "resume", "resume"]


def test_what_is_not_allowed_and_what_nobody_knows_is_refused_with_what_is() -> None:
    office = Office("pause resume")
    assert "snapshot-stats is not allowed here; commands.allow" in office.error("snapshot-stats")
    assert "allowed are pause, resume" in office.error("reboot")
    assert office.done == []


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        ("now!", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        ("[]", "not an object with nothing but an id"),
        ('{"id": "1", "until": "tomorrow"}', "not an object with nothing but an id"),
        ('{"id": true}', "the id is not a whole number or a text"),
        ('{"id": 1.5}', "the id is not a whole number or a text"),
        ('{"id": {"a": 1}}', "the id is not a whole number or a text"),
        ('{"id": "%s"}' % ("x" * 65), "at most 64 characters"),
        ('{"id": 1e400}', "the id is not"),
        ("1" * 1025, "has 1025 bytes, at most 1024"),
        ("[" * 1000, "is not JSON"),
    ],
)
def test_a_payload_that_is_garbage_is_refused_and_nothing_is_done(
    payload: str | bytes, sentence: str
) -> None:
    office = Office()
    told = office.error("pause", payload)
    assert sentence in told
    assert 'send nothing, or a JSON object like {"id": "7"}' in told
    assert office.done == []


def test_what_the_broker_kept_is_neither_done_nor_answered() -> None:
    office = Office()
    assert office.ask("pause", retained=True) is None
    assert office.done == []


def test_what_fails_is_answered_and_the_next_command_is_done(
    caplog: pytest.LogCaptureFixture,
) -> None:
    office = Office()
    assert office.error("reload") == "camera.fps is 0; wanted at least 0.01"
    assert "a bug" in office.error("rebirth")
    assert "ZeroDivisionError" in caplog.text
    assert '"ok":true' in (office.ask("pause") or "")


def test_a_flood_is_answered_once_and_dies_down() -> None:
    office = Office()
    told = [office.at_once("pause") for _ in range(100)]
    assert len(office.done) == AT_ONCE
    assert [one is not None for one in told] == [True] * (AT_ONCE + 1) + [False] * (99 - AT_ONCE)
    assert "too many commands" in (told[AT_ONCE] or "")
    office.now_ns += NS_PER_S
    assert '"ok":true' in (office.at_once("resume") or "")
    assert "too many commands" in (office.at_once("resume") or "")


def test_each_command_is_one_line_of_audit_that_cannot_be_forged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    office = Office("pause")
    logging.getLogger("edge_pose").setLevel(logging.ERROR)
    office.ask("pause", '{"id": "a\\nAUDIT command \\"resume\\" done"}')
    office.ask("resume")
    office.ask("pause", retained=True)
    office.ask("x\ny")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 4
    assert all(line.startswith("AUDIT command ") and "\n" not in line for line in lines)
    assert lines[0].endswith(' "done"')
    assert "not allowed" in lines[1]
    assert "retained" in lines[2]


@given(name=st.text() | st.sampled_from(COMMANDS), payload=st.binary() | st.text().map(str.encode))
def test_whatever_comes_is_answered_with_json_or_not_at_all(name: str, payload: bytes) -> None:
    told = Office().ask(name, payload)
    assert told is None or json.loads(told)["ok"] in (True, False)
