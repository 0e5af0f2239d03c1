"""The appliance: cameras in, 3D human keypoints out."""

import os

__version__ = "0.1.0"

# Merely imported, ONNX Runtime would keep an identifier of this device and a database of telemetry.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
