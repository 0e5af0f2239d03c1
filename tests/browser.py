"""A headless Chromium, driven through chromedriver by plain HTTP."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from edge_pose.address import Broker
from edge_pose.broker import free_port, is_listening

PATIENCE_S = 60.0
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


class ScriptError(AssertionError):
    """A page, or the browser, refused what it was asked."""


class Browser:
    """One page."""

    def __init__(self, driver_port: int, options: dict[str, object]) -> None:
        self._port = driver_port
        wanted = {"browserName": "chrome", "goog:chromeOptions": options}
        wanted["goog:loggingPrefs"] = {"browser": "ALL"}
        told = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{told['sessionId']}"

    def open(self, url: str) -> None:
        """Load a page."""
        self._ask("POST", f"{self._session}/url", {"url": url})

    def resize(self, width: int, height: int, *, mobile: bool = False) -> None:
        """Look through a window of so many pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        command = {"cmd": "Emulation.setDeviceMetricsOverride", "params": size}
        self._ask("POST", f"{self._session}/goog/cdp/execute", command)

    def run(self, script: str) -> Any:
        """Give what a piece of JavaScript returns."""
        return self._ask("POST", f"{self._session}/execute/sync", {"script": script, "args": []})

    def text(self, selector: str) -> str:
        """Give the text of an element."""
        found = self.run(f"return document.querySelector({json.dumps(selector)})?.textContent")
        return str(found)

    def wait(self, script: str) -> Any:
        """Wait until a piece of JavaScript returns something true; what it reads may come late."""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            refused = ""
            try:
                if found := self.run(script):
                    return found
            except ScriptError as error:
                refused = f" ({error})"
            assert time.monotonic() < deadline_s, f"never true: {script}{refused}"
            time.sleep(0.05)

    def press(self, key: str) -> None:
        """Press a key."""
        self.run(f"document.dispatchEvent(new KeyboardEvent('keydown', {{key: {key!r}}}))")

    def screenshot(self, path: Path) -> None:
        """Save what is seen."""
        path.write_bytes(base64.b64decode(self._ask("GET", f"{self._session}/screenshot")))

    def complaints(self) -> list[str]:
        """Give the errors and warnings of the console."""
        told = self._ask("POST", f"{self._session}/se/log", {"type": "browser"})
        return [f"{entry['level']} {entry['message']}" for entry in told]

    def close(self) -> None:
        """Close the window."""
        self._ask("DELETE", self._session)

    def _ask(self, method: str, path: str, body: object | None = None) -> Any:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=2 * PATIENCE_S)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            told = json.load(answer)["value"]
            if answer.status != HTTPStatus.OK:
                raise ScriptError(f"{told['error']}: {told['message'].splitlines()[0]}")
            return told
        finally:
            connection.close()


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """Run a browser without a past while the context lasts."""
    driver, program = shutil.which("chromedriver"), shutil.which("chromium")
    assert driver is not None, "install chromium-driver"
    assert program is not None, "install chromium"
    port = free_port()
    child = subprocess.Popen(
        [driver, f"--port={port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder)},
    )
    try:
        _wait_for(port)
        arguments = [*FLAGS, f"--user-data-dir={folder / 'profile'}"]
        browser = Browser(port, {"binary": program, "args": arguments})
        try:
            yield browser
        finally:
            browser.close()
    finally:
        child.terminate()
        child.wait()


def _wait_for(port: int) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not is_listening(Broker(host="127.0.0.1", port=port)):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
