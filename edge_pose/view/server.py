"""A small web server on loopback: the page, its assets, and the published messages as events."""

import logging
import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Final

from edge_pose.address import Broker, family_of, in_url, names_this_machine
from edge_pose.errors import ConfigError
from edge_pose.mqtt import Subscription
from edge_pose.view.hub import Hub

log = logging.getLogger(__name__)

KEEP_ALIVE_S: Final = 5.0
"""So often an idle stream shows that it lives, and finds out that its page has gone."""
ASSETS: Final = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/views.js": ("views.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@contextmanager
def serve_view(
    broker: Broker, *, root: str = "edge-pose", host: str = "127.0.0.1", port: int = 8765
) -> Iterator[str]:
    """Serve the page while the context lasts; gives its address.  Port 0 takes a free one."""
    hub = Hub(broker.url, root)
    try:
        server = _Server(host, port, hub)
    except OSError as error:
        raise ConfigError(
            f"the live page cannot be served at {in_url(host)}:{port}: {error.strerror}; choose "
            "another port with --port or view.port, 0 for any free one, or another view.host"
        ) from None
    leaves = ("status", "info", "+/status", "+/meta", "+/pose", "+/stats")
    subscription = Subscription(broker, [f"{root}/+/{leaf}" for leaf in leaves])
    threads = [
        threading.Thread(target=server.serve_forever, name="view-http", daemon=True),
        threading.Thread(target=_pump, args=(subscription, hub), name="view-mqtt", daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield f"http://{in_url(host)}:{server.server_address[1]}/"
    finally:
        subscription.close()
        hub.close()
        server.shutdown()
        server.server_close()
        for thread in threads:
            thread.join()


def _pump(subscription: Subscription, hub: Hub) -> None:
    while (posted := subscription.receive()) is not None:
        hub.post(posted)


class _Server(ThreadingHTTPServer):
    """Serves each request in a thread; one that fails concerns nobody else."""

    def __init__(self, host: str, port: int, hub: Hub) -> None:
        self.address_family = family_of(host)
        super().__init__((host, port), partial(_Handler, hub))

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - as in the base class
        """Log what the base class would print, where somebody looks for trouble."""
        log.debug("A request failed: %r", sys.exc_info()[1])


class _Handler(BaseHTTPRequestHandler):
    """Answers GET for the page, its assets and `/events`."""

    timeout = 30.0
    """Seconds; whoever asks for nothing, or takes nothing, is let go."""
    server_version = "edge-pose"
    sys_version = ""

    def __init__(self, hub: Hub, *args: object) -> None:
        self._hub = hub
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answer one request."""
        path = self.path.partition("?")[0]
        if not names_this_machine(self.headers.get("Host", "")):
            self.send_error(HTTPStatus.FORBIDDEN, "This page is for this machine only")
        elif path == "/events":
            # A page that was closed, or that reads nothing more, is no error.
            with suppress(OSError):
                self._stream()
        elif path in ASSETS:
            name, kind = ASSETS[path]
            body = (files("edge_pose.view") / "page" / name).read_bytes()
            self._begin(kind, length=len(body))
            self.wfile.write(body)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _begin(self, kind: str, *, length: int | None = None) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()

    def _stream(self) -> None:
        self._begin("text/event-stream")
        page = self._hub.join()
        try:
            while True:
                try:
                    event = page.get(timeout=KEEP_ALIVE_S)
                except queue.Empty:
                    event = ": still here\n\n"
                if event is None:
                    return
                self.wfile.write(event.encode())
        finally:
            self._hub.leave(page)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — as in the base class
        """Log requests only where somebody looks for trouble."""
        log.debug(format, *args)
