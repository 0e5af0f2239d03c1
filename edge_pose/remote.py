"""Commands that come from afar: what was asked comes in, what became of it goes out.

Knows no network.  Whatever comes in, nothing is raised: it is answered, or silently dropped where
an answer would help an attacker more than an operator.  Every command leaves an audit line.
"""

import json
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from edge_pose.clock import NS_PER_S, Clock, monotonic_ns, utc_ms
from edge_pose.config import COMMANDS
from edge_pose.errors import EdgePoseError

log = logging.getLogger(__name__)
audit = logging.getLogger("edge_pose.audit")
audit.setLevel(logging.INFO)  # whatever device.log says

VERSION: Final = 1
AT_ONCE: Final = 5
"""So many commands may come together; then one a second."""
MOST_PAYLOAD: Final = 1024
MOST_NAME: Final = 64
"""Of a command, and of the id that is echoed."""
_WANTED: Final = 'send nothing, or a JSON object like {"id": "7"}'

Id = str | int | None
Action = Callable[[], Mapping[str, object]]
"""Does what was asked and gives what belongs into the answer; raises an EdgePoseError if not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A command as it came in."""

    name: str
    payload: bytes
    retained: bool = False
    """Kept by the broker: nobody asks now."""


class Refusal(Exception):
    """A command is not done, for the reason that its sender is told."""


class Desk:
    """Takes commands, one after the other, and has them done."""

    def __init__(
        self,
        actions: Mapping[str, Action],
        allowed: Collection[str],
        *,
        clock: Clock = monotonic_ns,
    ) -> None:
        self._actions = {name: action for name, action in actions.items() if name in allowed}
        self._clock = clock
        self._tokens = float(AT_ONCE)
        self._counted_ns = clock()
        self._flooded = False

    def handle(self, asked: Asked) -> str | None:
        """Do what was asked; give the JSON to answer with, None where nothing is answered."""
        if asked.retained:
            self._note(asked, None, "ignored: it is retained, so nobody asks now")
            return None
        if not self._is_in_time():
            return self._drop(asked)
        self._flooded = False
        if len(asked.name) > MOST_NAME or not asked.name.isprintable():
            self._note(asked, None, "ignored: no command has such a name")
            return None
        identity: Id = None
        found: Mapping[str, object] = {}
        wrong: str | None = None
        try:
            identity = read_id(asked.payload)
            found = self._action(asked.name)()
        except (EdgePoseError, Refusal) as error:
            wrong = str(error)
        except Exception:  # one command that fails must not end the hearing of others
            log.exception("This is a bug in edge-pose; please report it with the lines below")
            wrong = "it failed by a bug; the device's log has more"
        return self._answer(asked, identity, wrong, found)

    def _action(self, name: str) -> Action:
        if name not in COMMANDS:
            known = ", ".join(self._actions) or "none"
            raise Refusal(f"no command has this name; allowed are {known}")
        if name not in self._actions:
            raise Refusal(f"{name} is not allowed here; commands.allow says what is")
        return self._actions[name]

    def _is_in_time(self) -> bool:
        """Take a token where there is one; they come back with time."""
        now_ns = self._clock()
        self._tokens = min(AT_ONCE, self._tokens + (now_ns - self._counted_ns) / NS_PER_S)
        self._counted_ns = now_ns
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def _drop(self, asked: Asked) -> str | None:
        """Answer and log the first of a flood; the rest would only make more of it."""
        if self._flooded:
            return None
        self._flooded = True
        return self._answer(
            asked, None, f"too many commands: {AT_ONCE} at once, then one a second; wait", {}
        )

    def _answer(
        self, asked: Asked, identity: Id, error: str | None, found: Mapping[str, object]
    ) -> str:
        self._note(asked, identity, "done" if error is None else f"refused: {error}")
        table: dict[str, object] = {"v": VERSION, "ts": utc_ms(), "command": asked.name[:MOST_NAME]}
        if identity is not None:
            table["id"] = identity
        table["ok"] = error is None
        if error is not None:
            table["error"] = error
        return json.dumps({**table, **found}, separators=(",", ":"))

    def _note(self, asked: Asked, identity: Id, outcome: str) -> None:
        # As JSON, so that no name and no id can forge a line of the log.
        name = json.dumps(asked.name[:MOST_NAME])
        audit.info("AUDIT command %s id %s %s", name, json.dumps(identity), json.dumps(outcome))


def read_id(payload: bytes) -> Id:
    """Read the id that a command is to be answered with; a Refusal says what is wrong."""
    if not payload.strip():
        return None
    if len(payload) > MOST_PAYLOAD:
        raise Refusal(
            f"the payload has {len(payload)} bytes, at most {MOST_PAYLOAD} are read; {_WANTED}"
        )
    try:
        table = json.loads(payload)
    except (ValueError, RecursionError):
        raise Refusal(f"the payload is not JSON; {_WANTED}") from None
    if not isinstance(table, dict) or table.keys() - {"id"}:
        raise Refusal(f"the payload is not an object with nothing but an id; {_WANTED}")
    identity = table.get("id")
    match identity:
        case bool():
            pass
        case str() if len(identity) <= MOST_NAME:
            return identity
        case int() if abs(identity) < 1 << 53:
            return identity
        case None:
            return None
    raise Refusal(
        f"the id is not a whole number or a text of at most {MOST_NAME} characters; {_WANTED}"
    )
