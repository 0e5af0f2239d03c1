"""A small web server on loopback: /metrics for Prometheus, /healthz and /readyz for supervisors.

It runs in threads of its own, reads what others wrote, and is given up on without waiting: nothing
that somebody asks, or does not finish asking, reaches the loop.
"""

import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from edge_pose.address import family_of, in_url, names_this_machine
from edge_pose.config import MetricsConfig
from edge_pose.errors import ConfigError
from edge_pose.metrics.exposition import CONTENT_TYPE, text
from edge_pose.metrics.health import Verdict, Watched

log = logging.getLogger(__name__)

PATIENCE_S: Final = 3.0
"""How long somebody may be silent while asking."""
POLL_S: Final = 0.1
"""So soon the server notices that it shall end."""
AT_ONCE: Final = 8
"""Questions that are answered at the same time; further ones are hung up on."""


@contextmanager
def serve_metrics(metrics: MetricsConfig, watched: Watched) -> Iterator[str]:
    """Answer while the context lasts; gives the address.  Port 0 takes a free one."""
    try:
        server = _Server(metrics.host, metrics.port, watched)
    except OSError as error:
        raise ConfigError(
            f"the figures cannot be served at {metrics.host}:{metrics.port}: {error.strerror}; "
            "choose another port with metrics.port, one for each camera, or 0 for any free one"
        ) from None
    thread = threading.Thread(
        target=server.serve_forever, args=(POLL_S,), name="metrics", daemon=True
    )
    thread.start()
    try:
        yield f"http://{in_url(metrics.host)}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    """Takes only so many questions at once, so that nobody can fill the process with threads."""

    block_on_close = False  # whoever dawdles is not waited for at the end

    def __init__(self, host: str, port: int, watched: Watched) -> None:
        self.address_family = family_of(host)
        self._free = threading.BoundedSemaphore(AT_ONCE)
        super().__init__((host, port), partial(_Handler, watched))

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, or hang up."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and make room for the next."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Leave a trace of a bug in the log; somebody who went away is none."""
        log.debug("A question of %s was not answered: %r", client_address, sys.exc_info()[1])


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD."""

    server_version = "edge-pose"
    sys_version = ""
    timeout = PATIENCE_S

    def __init__(self, watched: Watched, *args: Any) -> None:
        self._watched = watched
        super().__init__(*args)

    def do_GET(self) -> None:
        """Answer one question."""
        path = self.path.partition("?")[0]
        if not names_this_machine(self.headers.get("Host", "")):
            self.send_error(HTTPStatus.FORBIDDEN, "These figures are for this machine only")
        elif path == "/metrics":
            self._answer(HTTPStatus.OK, CONTENT_TYPE, text(self._watched.families()))
        elif path == "/healthz":
            self._judge(self._watched.alive())
        elif path == "/readyz":
            self._judge(self._watched.ready())
        else:
            self.send_error(HTTPStatus.NOT_FOUND, "Known are /metrics, /healthz and /readyz")

    def do_HEAD(self) -> None:
        """Answer without the body."""
        self.do_GET()

    def _judge(self, verdict: Verdict) -> None:
        status = HTTPStatus.OK if verdict.well else HTTPStatus.SERVICE_UNAVAILABLE
        said = {"status": "ok" if verdict.well else "not ok", **verdict.reasons}
        self._answer(status, "application/json", json.dumps(said) + "\n")

    def _answer(self, status: HTTPStatus, kind: str, said: str) -> None:
        body = said.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            with suppress(ConnectionError):
                self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — as in the base class
        """Log questions only where somebody looks for trouble."""
        log.debug(format, *args)
