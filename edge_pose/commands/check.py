"""`edge-pose check`: can this machine do the job?  A line a thing: verdict, finding, next step."""

import json
import os
import platform
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final, TextIO

from edge_pose.address import Broker
from edge_pose.config import Config
from edge_pose.config.read import DEFAULT, Effective
from edge_pose.config.rules import broker as broker_of
from edge_pose.config.service import for_administrator
from edge_pose.engines.engine_cache import default_folder
from edge_pose.errors import EXIT_OK, EXIT_OPERATOR, EdgePoseError
from edge_pose.fitness import Finding, certificate, clock, disk, figures, heat, ram
from edge_pose.time_sync import time_sync

MEMORY_BUDGET_MB: Final = 400
FRAME_S: Final = 10.0
KIB_PER_MB: Final = 1024


_NO_BROKER: Final = Finding(
    thing="broker",
    verdict="note",
    detail="none was named; for the live page `edge-pose run` starts one of its own on loopback",
)


def main(settings: Effective, arguments: Namespace) -> int:
    """Print every finding as it is made; fail when one does."""
    settings = for_administrator(settings, arguments.config, os.environ)
    return report(findings(settings), sys.stdout, as_json=arguments.json)


def report(found: Iterator[Finding], out: TextIO, *, as_json: bool = False) -> int:
    """Write a line for each, for people or for programs, and choose the exit code."""
    code = EXIT_OK
    for finding in found:
        step = f"; {finding.step}" if finding.step else ""
        said = f"{finding.verdict:4}  {finding.thing:8}  {finding.detail}{step}"
        out.write(f"{json.dumps(asdict(finding)) if as_json else said}\n")
        out.flush()
        if finding.verdict == "FAIL":
            code = EXIT_OPERATOR
    return code


def findings(settings: Effective) -> Iterator[Finding]:
    """Look at everything the appliance needs, one after the other."""
    config = settings.config
    yield Finding(
        thing="python",
        verdict="ok",
        detail=f"{platform.python_version()} on {platform.system()} {platform.machine()}",
    )
    yield _tried("opencv", _opencv)
    yield _tried("runtime", _runtime)
    yield _tried("model", lambda: _model(config))
    camera = _tried("camera", lambda: _camera(config))
    if camera.verdict == "FAIL" and settings.origins["camera.source"] == DEFAULT:
        camera = Finding(thing="camera", verdict="note", detail=f"{camera.detail}; none was named")
    yield camera
    yield _tried("broker", lambda: _broker(config)) if config.mqtt.broker else _NO_BROKER
    broker = broker_of(config)
    if broker is not None and broker.tls:
        yield _certificate(broker)
    yield figures(config.metrics)
    yield clock(time_sync())
    yield heat()
    yield ram()
    yield disk(default_folder(os.environ))
    yield _memory()


def _tried(thing: str, look: Callable[[], str | Finding]) -> Finding:
    try:
        seen = look()
        return Finding(thing=thing, verdict="ok", detail=seen) if isinstance(seen, str) else seen
    except EdgePoseError as error:
        return Finding(thing=thing, verdict="FAIL", detail=str(error))
    except ModuleNotFoundError as error:
        name = "edge-pose[opencv]" if error.name == "cv2" else error.name
        detail = f"{error.name} is not installed; `pip install '{name}'` does it"
        return Finding(thing=thing, verdict="FAIL", detail=detail)


def _opencv() -> str:
    import cv2

    registry = cv2.videoio_registry
    backends = [*registry.getCameraBackends(), *registry.getStreamBackends()]
    names = [registry.getBackendName(known) for known in backends if registry.hasBackend(known)]
    return f"OpenCV {cv2.__version__} reading through {', '.join(dict.fromkeys(names))}"


def _runtime() -> str:
    import numpy as np
    import onnxruntime

    return f"ONNX Runtime {onnxruntime.__version__}, numpy {np.__version__}"


def _model(config: Config) -> Finding:
    from edge_pose.model import open_model

    begin_s = time.monotonic()
    with open_model(config) as model:
        manifest, off = model.bundle.manifest, model.deviation
        detail = (
            f"{manifest.name} {manifest.version} in {model.bundle.folder} on {model.engine}; its "
            f"golden pictures agree to {off.px:.2f} px and {off.mm:.1f} mm; ready in "
            f"{time.monotonic() - begin_s:.1f} s"
        )
        return Finding(
            thing="model",
            verdict="note" if model.degraded else "ok",
            detail=detail + (f"; degraded: {model.degraded}" if model.degraded else ""),
            step="`edge-pose build` says more" if model.degraded else None,
        )


def _camera(config: Config) -> str:
    from edge_pose.capture import open_source
    from edge_pose.errors import CameraLost
    from edge_pose.log import redact
    from edge_pose.model import lens_of

    source = open_source(config.camera)
    try:
        frame = source.read(FRAME_S)
    finally:
        source.close()
    if frame is None:
        raise CameraLost(f"{redact(config.camera.source)} gave no frame within {FRAME_S:.0f} s")
    height_px, width_px = frame.image.shape[:2]
    intrinsics = lens_of(config.camera)(width_px, height_px)
    lens = "assumed; --hfov, --fx or --intrinsics tell it" if intrinsics.assumed else "given"
    return (
        f"{redact(config.camera.source)} gives {width_px} x {height_px} pixels; focal length "
        f"{intrinsics.matrix[0, 0]:.0f} px, {lens}"
    )


def _broker(config: Config) -> str:
    broker = broker_of(config)
    assert broker is not None
    from edge_pose.errors import BrokerError
    from edge_pose.mqtt import Link, Subscription

    subscription = Subscription(broker, [])
    try:
        answer = subscription.receive()
    finally:
        subscription.close()
    if isinstance(answer, Link) and answer.up:
        return f"{broker.url} lets us in with MQTT {broker.protocol}"
    reason = answer.reason if isinstance(answer, Link) else "no answer"
    raise BrokerError(
        f"{broker.url} does not let us in: {reason}; start it, or correct mqtt.broker, "
        "mqtt.username or mqtt.password_file"
    )


def _certificate(broker: Broker) -> Finding:
    try:
        return certificate(broker)
    except OSError as error:
        detail = f"the certificate of {broker.url} cannot be judged: {error}"
        return Finding(thing="tls", verdict="FAIL", detail=detail, step="mend or renew it")


def _peak_kib() -> int:
    """Most memory that was resident at once; what the process that started us used does not count.

    `getrusage` would count it: its maximum is handed on through fork and exec.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1])


def _memory() -> Finding:
    peak_mb = _peak_kib() / KIB_PER_MB
    return Finding(
        thing="memory",
        verdict="ok" if peak_mb < MEMORY_BUDGET_MB else "note",
        detail=f"{peak_mb:.0f} MB at most so far, wanted less than {MEMORY_BUDGET_MB}",
    )
