"""What may be asked of a running appliance: pause, begin again with new settings, figures, births.

Asked by signals and by commands over MQTT, from any thread; done by the loop.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Protocol, runtime_checkable

from edge_pose.config import Config
from edge_pose.config.read import Effective
from edge_pose.errors import EdgePoseError
from edge_pose.message import rounded
from edge_pose.pause import Pause
from edge_pose.remote import Action, Asked, Desk
from edge_pose.types import Frame, Pose3D, Stats

log = logging.getLogger(__name__)


@runtime_checkable
class Reborn(Protocol):
    """A sink that can tell anew what holds."""

    def rebirth(self) -> None:
        """Publish every retained message again."""
        ...


class Round(threading.Event):
    """Set when this round ends: for good, or to begin again with new settings."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__()
        self._stop = stop

    def is_set(self) -> bool:
        """Tell whether either was asked for."""
        return self._stop.is_set() or super().is_set()


class Control:
    """Lives as long as the process; each round of the appliance reads what was asked."""

    def __init__(
        self,
        stop: threading.Event,
        *,
        again: Callable[[], Effective],
        asked: threading.Event | None = None,
        pause: Pause | None = None,
    ) -> None:
        """`again` reads the settings anew; `asked` is set by whoever cannot do that itself."""
        self.round = Round(stop)
        self.pause = Pause() if pause is None else pause
        self.new: Config | None = None
        """Settings to begin again with."""
        self.ready = False
        """Whether a round was ready to look at people; since then a supervisor watches us."""
        self._again = again
        self._asked = asked or threading.Event()

    def begin(self) -> Config | None:
        """Begin another round; give the settings for it, None when it is time to end."""
        new, self.new = self.new, None
        self.round.clear()
        return None if self.round.is_set() else new

    def look(self) -> None:
        """Do what a signal asked; called by the loop, a few times a second."""
        if self._asked.is_set():
            self._asked.clear()
            try:
                self.reload()
            except EdgePoseError as error:
                log.error("The settings are not taken: %s; going on with the former ones", error)  # noqa: TRY400 - a sentence for the operator

    def reload(self) -> Mapping[str, object]:
        """Read the settings again; what is wrong is raised, what is right ends this round."""
        self.new = self._again().config
        log.info("The settings were read again; beginning again with them")
        self.round.set()
        return {}

    def desk(self, config: Config, births: Callable[[], object], figures: "Figures") -> Desk:
        """Take commands from afar, as far as they are allowed."""

        def turn(*, paused: bool) -> Mapping[str, object]:
            self.pause.set(on=paused)
            return {"paused": paused}

        def tell_births() -> Mapping[str, object]:
            births()
            return {}

        actions: dict[str, Action] = {
            "pause": lambda: turn(paused=True),
            "resume": lambda: turn(paused=False),
            "snapshot-stats": lambda: {"stats": figures.told(paused=bool(self.pause))},
            "reload": self.reload,
            "rebirth": tell_births,
        }
        return Desk(actions, config.commands.allow.split())


def answers(desk: Desk) -> Callable[[str, bytes, bool], str | None]:
    """Hand on what a connection hears."""

    def answer(name: str, payload: bytes, retained: bool) -> str | None:  # noqa: FBT001 - as it comes from the wire
        return desk.handle(Asked(name=name, payload=payload, retained=retained))

    return answer


class Figures:
    """A sink that keeps the last figures for whoever asks."""

    def __init__(self) -> None:
        self._told: Mapping[str, object] = {}
        self._camera = "offline"

    def told(self, *, paused: bool) -> Mapping[str, object]:
        """Give them, one level deep."""
        return {"camera": self._camera, "paused": paused, **self._told}

    def start(self, meta: Mapping[str, object]) -> None:
        """Nothing of this is a figure."""

    def send(self, frame: Frame, poses: list[Pose3D], stats: Stats) -> None:
        """Keep those of this frame, and nothing about whom it shows."""
        present = {
            name: rounded(value, 2) if isinstance(value, float) else value
            for name, value in asdict(stats).items()
            if value is not None
        }
        self._told = {
            "ts": frame.captured_at_ms,
            "seq": frame.sequence,
            "persons": len(poses),
            **present,
        }

    def status(self, camera: str) -> None:
        """Keep how the camera is."""
        self._camera = camera

    def close(self) -> None:
        """Hold nothing."""
