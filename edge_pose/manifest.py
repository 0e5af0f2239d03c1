"""What a model says about itself, read strictly into frozen dataclasses.

In: the table of a `manifest.json`.  Out: a `Manifest` that speaks our contract, or a `BundleError`.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final, TypeVar, get_args, get_origin, get_type_hints

from edge_pose import skeleton
from edge_pose.errors import BundleError

SCHEMA: Final = 3

OUTPUTS: Final = MappingProxyType(
    {
        "pose": MappingProxyType(
            {
                "joints_px": ("batch", skeleton.NUM_JOINTS, 2),
                "joints_m": ("batch", skeleton.NUM_JOINTS, 3),
                "scores": ("batch", skeleton.NUM_JOINTS),
                "presence": ("batch",),
                "reach_px": ("batch", 2, 2),
            }
        ),
        "detector": MappingProxyType({"boxes_px": (1, "anchors", 4), "scores": (1, "anchors")}),
    }
)
"""What each network gives, by name; words stand for sizes that the network chooses."""

_Kind = TypeVar("_Kind")


@dataclass(frozen=True, slots=True, kw_only=True)
class SkeletonSpec:
    """The joints that the pose network was trained on."""

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    mirror: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """The picture a network wants: (pixel / 255 - mean) / std for each channel."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str
    colour: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSpec:
    """One array that a network gives."""

    shape: tuple[int | str, ...]
    unit: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """One network of the bundle."""

    file: str
    input: InputSpec
    outputs: dict[str, OutputSpec]
    pad_value: float | None = None
    """Grey that surrounds a letterboxed frame, 0..255; for the detector only."""

    @property
    def batch(self) -> int | None:
        """How many pictures must go in at once, or None when any number may."""
        first = self.input.shape[0]
        return first if isinstance(first, int) else None

    @property
    def width_px(self) -> int:
        """Width of the input picture."""
        return int(self.input.shape[3])

    @property
    def height_px(self) -> int:
        """Height of the input picture."""
        return int(self.input.shape[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpecs:
    """Both networks, in the order in which a frame meets them."""

    detector: NetworkSpec
    pose: NetworkSpec

    def by_label(self) -> dict[str, NetworkSpec]:
        """Return them by the names that files, golden arrays and options use."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class CropSpec:
    """How a person is cut out of a frame."""

    kind: str
    padding: float
    """Side of the first square over the longer side of the detector's box."""
    reach: float
    """Side of every other over the distance from the hips to where the body reaches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """A data set that the networks learnt from."""

    name: str
    licence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where the networks come from."""

    commit: str
    stages: tuple[str, ...]
    data: tuple[DataSpec, ...]
    details: dict[str, object]
    """Free facts: seeds, device, hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything a model says about itself."""

    schema: int
    name: str
    version: str
    created: str
    skeleton: SkeletonSpec
    networks: NetworkSpecs
    crop: CropSpec
    tolerance_px: dict[str, float]
    """Largest deviation from the golden outputs for each precision."""
    tolerance_mm: dict[str, float]
    metrics: dict[str, object]
    provenance: Provenance
    sha256: dict[str, str]


def read_manifest(table: object, *, where: str) -> Manifest:
    """Read a manifest strictly: an unknown or missing key, or a foreign contract, is an error."""
    if isinstance(table, dict) and table.get("schema") != SCHEMA:
        raise BundleError(
            f"{where} has schema {table.get('schema')!r}, this appliance reads {SCHEMA}; "
            "install the appliance and the bundle of one release"
        )
    manifest = _read(Manifest, table, where)
    _check_contract(manifest, where)
    return manifest


def _check_contract(manifest: Manifest, where: str) -> None:
    ours = SkeletonSpec(
        name=skeleton.NAME,
        joints=skeleton.JOINTS,
        parents=skeleton.PARENTS,
        mirror=skeleton.MIRROR,
    )
    if manifest.skeleton != ours:
        raise BundleError(
            f"{where} speaks skeleton {manifest.skeleton.name!r} of "
            f"{len(manifest.skeleton.joints)} joints, this appliance {ours.name!r} of "
            f"{len(ours.joints)} in its own order; install a matching bundle"
        )
    crop = manifest.crop
    if crop.kind != "body" or not crop.padding >= 1.0 or not crop.reach >= 1.0:
        raise BundleError(
            f"{where} has crop {crop}, wanted kind 'body' and padding and reach of 1 or more"
        )
    for label, network in manifest.networks.by_label().items():
        _check_network(label, network, where)


def _check_network(label: str, network: NetworkSpec, where: str) -> None:
    picture = network.input
    first, *rest = picture.shape or ("",)
    sizes_known = len(rest) == 3 and all(isinstance(size, int) for size in rest) and rest[0] == 3  # noqa: PLR2004 batch, 3, H, W
    if not sizes_known or (isinstance(first, int) and first != 1):
        raise BundleError(
            f"{where}: {label} wants input shape {list(picture.shape)}, "
            "known are [1 or 'batch', 3, height, width]"
        )
    if picture.dtype != "float32" or picture.colour != "RGB":
        raise BundleError(
            f"{where}: {label} wants {picture.dtype} {picture.colour}, "
            "this appliance gives float32 RGB"
        )
    if len(picture.mean) != 3 or len(picture.std) != 3 or min(picture.std) <= 0:  # noqa: PLR2004 channels
        raise BundleError(f"{where}: {label} needs three means and three std above 0")
    if network.outputs.keys() != OUTPUTS[label].keys():
        raise BundleError(
            f"{where}: {label} gives {sorted(network.outputs)}, wanted {sorted(OUTPUTS[label])}"
        )
    if (label == "detector") != (network.pad_value is not None):
        raise BundleError(f"{where}: pad_value belongs to the detector and to nobody else")


def _read(kind: type[_Kind], value: object, where: str) -> _Kind:
    if not isinstance(value, dict):
        raise BundleError(f"{where} is {type(value).__name__}, wanted an object")
    hints = get_type_hints(kind)
    assert is_dataclass(kind)
    known = {field.name: field for field in fields(kind)}
    for key in value:
        if key not in known:
            close = get_close_matches(key, known, n=1)
            advice = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
            raise BundleError(f"{where} has an unknown key {key!r}; {advice}")
    missing = [
        name for name, field in known.items() if field.default is MISSING and name not in value
    ]
    if missing:
        raise BundleError(f"{where} lacks {', '.join(missing)}; pack the bundle again")
    return kind(
        **{key: _convert(hints[key], item, f"{where}: {key}") for key, item in value.items()}
    )


def _convert(hint: object, value: object, where: str) -> object:
    """Turn one JSON value into what the field's type asks for."""
    origin, arguments = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and is_dataclass(hint):
        return _read(hint, value, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(arguments[0], item, where) for item in value)
    if origin is dict and isinstance(value, Mapping):
        return {
            str(key): _convert(arguments[1], item, f"{where}: {key}") for key, item in value.items()
        }
    if hint is object:
        return value
    allowed = (
        tuple(arguments) if arguments and origin is not tuple and origin is not dict else (hint,)
    )
    if float in allowed and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if any(isinstance(kind, type) and type(value) is kind for kind in allowed):
        return value
    raise BundleError(f"{where} is {value!r}, wanted {getattr(hint, '__name__', hint)}")
