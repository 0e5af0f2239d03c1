"""A network camera for tests: RTSP by GStreamer, run by a Python that has its bindings.

Arguments: port, width, height; or port, 0, 0, and a folder of pictures 00000.jpg and so on to show
again and again.  Prints a line when it listens.
"""

import sys

import gi  # type: ignore[import-not-found]

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import (  # type: ignore[import-not-found] # noqa: E402 - versions come first
    GLib,
    Gst,
    GstRtspServer,
)

PORT, WIDTH, HEIGHT, *FOLDER = sys.argv[1:]
PATTERN = (
    "videotestsrc is-live=true pattern=ball"
    f" ! video/x-raw,width={WIDTH},height={HEIGHT},framerate=15/1"
)
PICTURES = (
    f"multifilesrc location={FOLDER[0]}/%05d.jpg loop=true caps=image/jpeg,framerate=15/1"
    " ! jpegdec ! videoconvert ! video/x-raw,format=I420 ! identity sync=true"
    if FOLDER
    else ""
)

Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(PORT)
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(
    f"( {PICTURES or PATTERN}"
    " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15"
    " ! rtph264pay name=pay0 pt=96 config-interval=1 )"
)
factory.set_shared(True)
server.get_mount_points().add_factory("/cam", factory)
server.attach(None)
print("listening", flush=True)  # noqa: T201
GLib.MainLoop().run()
