"""What the operator sets: a frozen dataclass per section, each key with its meaning and limits."""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal

from edge_pose.skeleton import joint_names
from edge_pose.zone import Zone, read_zones

COMMANDS: Final = ("pause", "resume", "snapshot-stats", "reload", "rebirth")
"""What can be asked of a running appliance over MQTT."""


Tier = Literal["fast", "accurate"]
"""Models in the package: one look at everybody, or two, as seen and mirrored, in twice the time."""


@dataclass(frozen=True, slots=True)
class Key:
    """What a setting means, for the commented default file, and its limits, inclusive."""

    meaning: str
    minimum: float | None = None
    maximum: float | None = None
    read: Callable[[object], object] | None = None
    """Reads what is neither text nor number; a ValueError of it says what is wrong."""
    example: str | None = None
    """How it is written, for the commented default file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraConfig:
    """Where pictures come from and what is known about the lens."""

    source: Annotated[
        str,
        Key(
            "Camera number, /dev/v4l/by-id/... path, rtsp:// or http:// address, "
            "video file, folder of pictures or single picture"
        ),
    ] = "0"
    name: Annotated[str, Key("Name of this camera in topics and messages")] = "cam0"
    wait: Annotated[bool, Key("Start even when the camera is not there yet, and wait for it")] = (
        False
    )
    realtime: Annotated[bool, Key("Play a file at its own rate and drop frames like a camera")] = (
        False
    )
    width_px: Annotated[int | None, Key("Picture width asked of a USB camera", 1.0)] = None
    height_px: Annotated[int | None, Key("Picture height asked of a USB camera", 1.0)] = None
    fps: Annotated[
        float | None, Key("Rate asked of a USB camera, or of a folder of pictures", 0.01, 1000.0)
    ] = None
    username: Annotated[str | None, Key("User name for a network camera")] = None
    password_file: Annotated[
        Path | None, Key("File whose first line is the password of the camera")
    ] = None
    stale_s: Annotated[
        float, Key("A connected camera without a frame for so long is called stale", 0.1)
    ] = 5.0
    fx_px: Annotated[
        float | None, Key("Focal length in pixels of the full picture, centred", 1.0)
    ] = None
    hfov_deg: Annotated[float | None, Key("Horizontal field of view in degrees", 1.0, 170.0)] = None
    intrinsics: Annotated[Path | None, Key("File with a calibrated camera matrix")] = None
    pitch_deg: Annotated[
        float | None, Key("How far the camera looks below the horizon", -89.0, 89.0)
    ] = None
    roll_deg: Annotated[
        float, Key("How far what is level runs down to the right in the picture", -180.0, 180.0)
    ] = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Which networks look at the pictures, and how hard they may work."""

    tier: Annotated[
        Tier | None,
        Key("Model in the package; without it the installed one, else fast"),
    ] = None
    bundle: Annotated[Path | None, Key("Model bundle, in the place of those")] = None
    trusted_keys: Annotated[
        Path | None,
        Key("Folder of public keys (*.pem); models signed by one of them may be installed"),
    ] = None
    store: Annotated[
        Path | None,
        Key(
            "Folder of installed models; without it $STATE_DIRECTORY/models, or "
            "edge-pose/models among the user's data"
        ),
    ] = None
    runtime: Annotated[
        Literal["auto", "tensorrt", "onnx"],
        Key("What runs the networks: auto takes TensorRT where there is a GPU for it"),
    ] = "auto"
    precision: Annotated[
        Literal["auto", "int8", "fp16", "fp32"],
        Key("Of the pose network; auto: the fastest with TensorRT, single without"),
    ] = "auto"
    max_people: Annotated[int, Key("Most people followed at a time", 1.0, 100.0)] = 16
    looks_per_frame: Annotated[
        int,
        Key(
            "Most people whom one frame looks at; more take turns, and move on as they moved "
            "meanwhile. A GPU that takes more at once looks at more",
            1.0,
            100.0,
        ),
    ] = 4
    threads: Annotated[
        int | None, Key("Processor threads per network; without it all cores", 1.0, 256.0)
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputConfig:
    """What is written besides MQTT, and for how long."""

    messages: Annotated[
        Literal["jsonl", "none"] | None, Key("jsonl writes the messages to standard output")
    ] = None
    frames: Annotated[int | None, Key("Stop after so many frames", 1.0)] = None
    events: Annotated[bool, Key("jsonl writes events too, each as a line of its own")] = False
    joints: Annotated[
        tuple[str, ...] | None,
        Key(
            "Joints that leave the device, in any message; without it all",
            read=joint_names,
            example='["neck", "left_wrist", "right_wrist"]',
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsConfig:
    """What counts as an event."""

    zones: Annotated[
        tuple[Zone, ...],
        Key(
            "Zones by name, each with its corners: picture, in parts of the picture's width and "
            "height, or floor_m, in metres to the right and ahead of the camera; part = 'hips' "
            "where feet are hidden",
            read=read_zones,
            example="{press = {picture = [[0.1, 0.4], [0.5, 0.4], [0.5, 1.0], [0.1, 1.0]]}}",
        ),
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttConfig:
    """The broker; without an address nothing is published."""

    broker: Annotated[str | None, Key("Broker: host, host:port or mqtts://host:port")] = None
    protocol: Annotated[Literal["5", "3.1.1"], Key("MQTT version")] = "5"
    root: Annotated[str, Key("First levels of every topic, such as plant/line-3")] = "edge-pose"
    username: Annotated[str | None, Key("User name at the broker")] = None
    password_file: Annotated[
        Path | None, Key("File whose first line is the password at the broker")
    ] = None
    ca_file: Annotated[
        Path | None, Key("Certificates that may sign the broker's; without it the system's")
    ] = None
    cert_file: Annotated[Path | None, Key("Our own certificate, where the broker wants one")] = None
    key_file: Annotated[Path | None, Key("Private key of our own certificate")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandsConfig:
    """What may be asked of this appliance over MQTT; nothing, unless enabled."""

    enabled: Annotated[
        bool, Key("Hear commands from whoever may publish to them at the broker")
    ] = False
    allow: Annotated[str, Key("Commands that are done, with blanks between")] = " ".join(COMMANDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkplugConfig:
    """The camera as a device of a Sparkplug B edge node, at the broker of [mqtt]."""

    enabled: Annotated[bool, Key("Publish as a Sparkplug B edge node too")] = False
    group: Annotated[str, Key("Group of the edge node, such as site-line; one level")] = "edge-pose"
    node: Annotated[
        str | None,
        Key(
            "Name of the edge node, one for each camera that runs; "
            "without it the name of the device"
        ),
    ] = None
    primary_host: Annotated[
        str | None, Key("Host application without which nothing is published")
    ] = None
    aliases: Annotated[bool, Key("Numbers instead of names in data; some hosts cannot")] = False
    datatype_in_data: Annotated[
        bool, Key("Repeat the data type in data; without it some hosts read no values")
    ] = True
    rate_hz: Annotated[float, Key("Most messages a second", 0.01, 10.0)] = 2.0
    history_hz: Annotated[
        float,
        Key(
            "Most moments a second kept while nobody hears us, see [spool]; 0 keeps none", 0.0, 10.0
        ),
    ] = 1.0
    deadband_m: Annotated[float, Key("A joint that moved no farther is not told", 0.0, 10.0)] = (
        0.005
    )
    joints: Annotated[
        str, Key("Joints to tell, joined by commas, such as left_wrist,right_wrist; or all")
    ] = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class TagsConfig:
    """Bare numbers, a topic each, for products that read nothing else."""

    enabled: Annotated[bool, Key("Publish them")] = False
    joints: Annotated[
        tuple[str, ...] | None,
        Key(
            "Joints that have tags; without it all",
            read=joint_names,
            example='["left_wrist", "right_wrist"]',
        ),
    ] = None
    deadband_m: Annotated[float, Key("A joint that has moved less is not told again", 0.0)] = 0.005
    rate_hz: Annotated[float, Key("How often a tag is told at most", 0.1, 30.0)] = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeAssistantConfig:
    """Home Assistant shows the camera by itself when it is told how."""

    enabled: Annotated[bool, Key("Tell it")] = False
    prefix: Annotated[str, Key("First levels of the topics that it watches for news")] = (
        "homeassistant"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolConfig:
    """Where events, summaries and Sparkplug history wait for the broker and whoever reads them."""

    enabled: Annotated[
        bool, Key("Keep them on disk; false keeps a few in memory, until the program ends")
    ] = True
    folder: Annotated[
        Path | None, Key("Folder for them; without it systemd's folder for state, or the user's")
    ] = None
    max_rows: Annotated[int, Key("Most messages kept", 1.0)] = 200_000
    max_bytes: Annotated[int, Key("Most bytes of messages kept", 100_000.0)] = 64_000_000
    max_age_s: Annotated[float, Key("Seconds after which a message is not worth keeping", 1.0)] = (
        86_400.0
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewConfig:
    """The live page in a browser."""

    enabled: Annotated[bool, Key("Serve the live page")] = False
    host: Annotated[
        str, Key("Address on loopback that the page is served on; others reach it through ssh -L")
    ] = "127.0.0.1"
    port: Annotated[int, Key("Port of the page", 0.0, 65535.0)] = 8765


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    """Figures for Prometheus, /healthz and /readyz, for this machine only."""

    enabled: Annotated[bool, Key("Serve /metrics, /healthz and /readyz")] = False
    host: Annotated[str, Key("Loopback address they are served on")] = "127.0.0.1"
    port: Annotated[
        int, Key("Their port, another one for each camera; 0 takes a free one", 0.0, 65535.0)
    ] = 9109


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConfig:
    """Who we are."""

    name: Annotated[str, Key("Name of this device in topics; without it the host name")] = field(
        default_factory=socket.gethostname
    )
    log: Annotated[
        Literal["debug", "info", "warning", "error"], Key("Least important log line shown")
    ] = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings."""

    camera: CameraConfig = field(default_factory=CameraConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    events: EventsConfig = field(default_factory=EventsConfig)
    mqtt: MqttConfig = field(default_factory=MqttConfig)
    commands: CommandsConfig = field(default_factory=CommandsConfig)
    sparkplug: SparkplugConfig = field(default_factory=SparkplugConfig)
    tags: TagsConfig = field(default_factory=TagsConfig)
    homeassistant: HomeAssistantConfig = field(default_factory=HomeAssistantConfig)
    spool: SpoolConfig = field(default_factory=SpoolConfig)
    view: ViewConfig = field(default_factory=ViewConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    device: DeviceConfig = field(default_factory=DeviceConfig)
