"""From a bundle to something that finds people: opened, hashed, checked on golden pictures."""

import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from edge_pose import __version__
from edge_pose.bundle import Bundle
from edge_pose.camera import IntrinsicsFor, lens
from edge_pose.clock import utc_ms
from edge_pose.config import CameraConfig, Config
from edge_pose.engines import Engines
from edge_pose.engines.engine_cache import default_folder
from edge_pose.golden import Deviation
from edge_pose.message import Info, Model, as_mapping, meta
from edge_pose.people import EstimatorSettings, PoseEstimator
from edge_pose.runtime import open_engines
from edge_pose.store import chosen_bundle
from edge_pose.time_sync import time_sync
from edge_pose.track_settings import TrackSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenModel:
    """Networks that answered as the workshop did."""

    bundle: Bundle
    estimator: PoseEstimator
    intrinsics_for: IntrinsicsFor
    engine: str
    deviation: Deviation
    degraded: str | None
    """Why something faster that should have worked is not used; None when nothing is amiss."""

    @property
    def identity(self) -> Model:
        """Name the bundle on the wire."""
        manifest = self.bundle.manifest
        return Model(
            name=manifest.name,
            version=manifest.version,
            sha256=manifest.sha256[manifest.networks.pose.file],
        )

    def info(self) -> Info:
        """Describe this device on the wire."""
        sync = time_sync()
        return Info(
            version=__version__,
            machine=f"{platform.system()} {platform.machine()}",
            model=self.identity,
            engine=self.engine,
            degraded=self.degraded,
            started=utc_ms(),
            clock_synchronised=None if sync is None else sync.synchronised,
        )

    def meta(self, width_px: int, height_px: int, *, cam: str) -> Mapping[str, object]:
        """Describe on the wire what holds for all frames of one size."""
        intrinsics = self.intrinsics_for(width_px, height_px)
        return as_mapping(
            meta(cam=cam, intrinsics=intrinsics, model=self.identity, engine=self.engine)
        )


def lens_of(camera: CameraConfig) -> IntrinsicsFor:
    """Choose how the camera is known."""
    return lens(calibration=camera.intrinsics, fx_px=camera.fx_px, hfov_deg=camera.hfov_deg)


@contextmanager
def open_model(
    config: Config, *, around: Callable[[Engines], Engines] | None = None
) -> Iterator[OpenModel]:
    """Open the bundle and its engines while the context lasts; a BundleError when it disagrees.

    `around` puts something between the estimator and engines that were believed.
    """
    with ExitStack() as stack:
        intrinsics_for = lens_of(config.camera)
        bundle = chosen_bundle(config.model, os.environ)
        carried = open_engines(
            bundle,
            stack,
            folder=default_folder(os.environ),
            choice=config.model.runtime,
            threads=config.model.threads,
            precision=config.model.precision,
        )
        yield OpenModel(
            bundle=bundle,
            estimator=PoseEstimator(
                bundle,
                engines=carried.engines if around is None else around(carried.engines),
                intrinsics_for=intrinsics_for,
                settings=EstimatorSettings(
                    tracking=TrackSettings(
                        max_people=config.model.max_people,
                        looks_per_frame=max(
                            config.model.looks_per_frame, carried.engines.pose.at_once
                        ),
                    )
                ),
            ),
            intrinsics_for=intrinsics_for,
            engine=carried.engines.pose.description,
            deviation=carried.deviation,
            degraded=carried.degraded,
        )
