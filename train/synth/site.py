"""The places the synthetic people work in: `factory` to train on, the others to be examined on.

`other` is held out: another palette, another mounting of the camera, another noise, another codec.
A network that has seen the world's photographs hardly notices.  `dock` is held out too, and another
place for every network: wide lenses high on the wall look steeply down, at night, without colour.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from edge_pose.errors import ConfigError

Range: TypeAlias = tuple[float, float]
Colour: TypeAlias = tuple[float, float, float]
"""sRGB, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What sets the pictures of one place apart."""

    name: str
    palette: tuple[Colour, ...]
    """Walls, floors, machines and plain clothes."""
    palette_share: float
    """How often a colour comes from the palette rather than from anywhere."""
    hi_vis: tuple[Colour, ...]
    hats: tuple[Colour, ...]
    camera_height_m: Range
    hall_height_m: Range
    field_of_view_deg: Range
    roll_deg: float
    """Cameras are turned by up to so much either way about the middle of their roll."""
    hall_pitch_deg: Range
    codec: Literal["jpeg", "webp"]
    codec_quality: tuple[int, int]
    noise: Range
    """Standard deviation of the sensor's noise at full signal, as a share of white."""
    mono_share: float
    low_light_share: float
    close_distance_m: Range = (1.1, 7.0)
    """From a close camera to the middle of whom it shows, across the floor."""
    roll_middle_deg: float = 0.0
    """Where it is positive, what is level runs down to the right in the picture."""


FACTORY: Final = Site(
    name="factory",
    palette=(
        (0.10, 0.13, 0.20),
        (0.16, 0.20, 0.30),
        (0.25, 0.28, 0.32),
        (0.40, 0.41, 0.42),
        (0.55, 0.55, 0.53),
        (0.20, 0.30, 0.45),
        (0.35, 0.38, 0.30),
        (0.30, 0.24, 0.20),
        (0.08, 0.08, 0.09),
        (0.75, 0.73, 0.70),
        (0.10, 0.25, 0.20),
        (0.60, 0.50, 0.35),
        (0.85, 0.85, 0.84),
    ),
    palette_share=0.55,
    hi_vis=((0.75, 1.0, 0.02), (1.0, 0.32, 0.02), (1.0, 0.12, 0.05)),
    hats=(
        (0.95, 0.95, 0.93),
        (1.0, 0.8, 0.05),
        (0.9, 0.25, 0.05),
        (0.1, 0.25, 0.7),
        (0.7, 0.05, 0.05),
        (0.1, 0.5, 0.2),
        (0.08, 0.08, 0.1),
    ),
    camera_height_m=(0.4, 4.0),
    hall_height_m=(1.6, 5.0),
    field_of_view_deg=(35.0, 90.0),
    roll_deg=8.0,
    hall_pitch_deg=(2.0, 35.0),
    codec="jpeg",
    codec_quality=(35, 95),
    noise=(0.002, 0.03),
    mono_share=0.1,
    low_light_share=0.12,
)

OTHER: Final = Site(
    name="other",
    palette=(
        (0.92, 0.88, 0.78),
        (0.30, 0.55, 0.55),
        (0.52, 0.33, 0.50),
        (0.78, 0.62, 0.55),
        (0.15, 0.32, 0.33),
        (0.88, 0.93, 0.90),
        (0.40, 0.20, 0.22),
        (0.68, 0.75, 0.45),
    ),
    palette_share=0.85,
    hi_vis=((0.95, 0.1, 0.55), (0.1, 0.85, 0.75)),
    hats=((0.5, 0.1, 0.6), (0.85, 0.85, 0.5), (0.2, 0.7, 0.7)),
    camera_height_m=(1.8, 3.4),
    hall_height_m=(2.6, 4.2),
    field_of_view_deg=(62.0, 100.0),
    roll_deg=4.0,
    hall_pitch_deg=(18.0, 40.0),
    codec="webp",
    codec_quality=(8, 45),
    noise=(0.02, 0.05),
    mono_share=0.25,
    low_light_share=0.25,
)

DOCK: Final = Site(
    name="dock",
    palette=(
        (0.22, 0.22, 0.23),
        (0.33, 0.32, 0.30),
        (0.12, 0.12, 0.14),
        (0.45, 0.43, 0.38),
        (0.18, 0.21, 0.19),
        (0.28, 0.20, 0.15),
    ),
    palette_share=0.9,
    hi_vis=((0.95, 0.85, 0.2), (0.9, 0.45, 0.15)),
    hats=((0.6, 0.6, 0.58), (0.3, 0.3, 0.32), (0.8, 0.7, 0.3)),
    camera_height_m=(3.4, 5.4),
    hall_height_m=(4.2, 6.5),
    field_of_view_deg=(80.0, 110.0),
    roll_deg=15.0,
    hall_pitch_deg=(35.0, 60.0),
    codec="webp",
    codec_quality=(5, 30),
    noise=(0.03, 0.08),
    mono_share=0.6,
    low_light_share=0.5,
)

POSSIBLE: Final[Mapping[str, Range]] = MappingProxyType(
    {
        "height_m": (0.2, 20.0),
        "field_of_view_deg": (15.0, 130.0),
        "pitch_deg": (-20.0, 85.0),
        "roll_deg": (-90.0, 90.0),
        "distance_m": (0.5, 20.0),
    }
)

SITES: Final = {site.name: site for site in (FACTORY, OTHER, DOCK)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounting:
    """How the cameras of a line hang, as far as somebody knows; it is no label of any picture."""

    height_m: Range | None = None
    field_of_view_deg: Range | None = None
    pitch_deg: Range | None = None
    roll_deg: Range | None = None
    distance_m: Range | None = None
    """Of close views."""

    def __post_init__(self) -> None:
        """Refuse ranges that hold nothing, and cameras that see nothing.

        Raises:
            ConfigError: the least is more than the most, or either is beyond what a camera can do.

        """
        for name, limits in POSSIBLE.items():
            found = getattr(self, name)
            if found is not None and not limits[0] <= found[0] <= found[1] <= limits[1]:
                raise ConfigError(
                    f"The mounting's {name} is {found[0]:g} to {found[1]:g}; give the least first, "
                    f"both from {limits[0]:g} to {limits[1]:g}."
                )

    def of(self, site: Site) -> Site:
        """Return the site as these cameras see it; what is not known stays the site's."""
        height, view, pitch = self.height_m, self.field_of_view_deg, self.pitch_deg
        mounted = replace(
            site,
            camera_height_m=height or site.camera_height_m,
            hall_height_m=height or site.hall_height_m,
            field_of_view_deg=view or site.field_of_view_deg,
            hall_pitch_deg=pitch or site.hall_pitch_deg,
            close_distance_m=self.distance_m or site.close_distance_m,
        )
        if self.roll_deg is None:
            return mounted
        least, most = self.roll_deg
        return replace(mounted, roll_deg=(most - least) / 2, roll_middle_deg=(least + most) / 2)

    def words(self) -> dict[str, list[float]]:
        """Return what is known by name, for a recipe; nothing where nothing is."""
        return {name: list(value) for name, value in asdict(self).items() if value is not None}


def find_site(name: str) -> Site:
    """Look a site up by name."""
    if name not in SITES:
        raise ConfigError(f"There is no site {name!r}; choose one of {', '.join(SITES)}.")
    return SITES[name]
