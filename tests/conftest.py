"""Every annotated array shape and dtype of our packages is checked while the tests run.

The hook must stand before anything imports the packages, so it stands here, at module level.
"""

from jaxtyping import install_import_hook

install_import_hook(["edge_pose", "train", "export"], "beartype.beartype")
