"""Asked to stop at any moment, the appliance ends well before systemd would end it."""

import re
import socket
from pathlib import Path

import pytest

from appliance import start
from bundles import make_bundle

UNIT = Path(__file__).resolve().parents[1] / "systemd" / "edge-pose@.service"
((PATIENCE, _),) = re.findall(r"TimeoutStopSec=(\d+)(s)", UNIT.read_text())


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["STATUS=opening", "READY=1", "STATUS=camera offline"])
def test_without_camera_and_broker_and_with_somebody_who_dawdles_it_ends_in_time(
    moment: str, bundle: Path, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(60)
        environ = {
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "EDGE_POSE_METRICS_ENABLED": "true",
            "EDGE_POSE_METRICS_PORT": "0",
        }
        words = ("/dev/video99", "--wait", "--bundle", bundle, "--broker", "192.0.2.1")
        with start("run", *words, environ=environ) as child:
            try:
                assert child.stderr is not None
                while moment not in listening.recv(4096).decode():
                    pass
                line = next(line for line in child.stderr if "Figures are at" in line)
                port = int(line.rpartition(":")[2].partition("/")[0])
                with socket.create_connection(("127.0.0.1", port)):
                    child.terminate()
                    assert child.wait(int(PATIENCE)) == 0
            finally:
                child.kill()


@pytest.mark.slow
def test_before_it_knows_how_to_stop_the_signal_itself_ends_it(bundle: Path) -> None:
    """Systemd counts that as a clean end too."""
    with start("run", "/dev/video99", "--wait", "--bundle", bundle, "--output", "none") as child:
        child.terminate()
        try:
            assert child.wait(int(PATIENCE)) in (0, -15)
        finally:
            child.kill()
