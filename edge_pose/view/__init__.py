"""The live page: published messages in, moving skeletons in a browser out."""

from edge_pose.view.server import serve_view

__all__ = ["serve_view"]
