"""The appliance: cameras in, 3D human keypoints out."""

__version__ = "0.1.0"
