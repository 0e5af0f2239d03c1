"""What the appliance tells whoever watches it: figures for Prometheus, and whether it is well."""

from edge_pose.metrics.health import Watched
from edge_pose.metrics.server import serve_metrics

__all__ = ["Watched", "serve_metrics"]
