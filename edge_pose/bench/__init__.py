"""What the appliance costs here: each stage of a frame, and the networks alone beside them all."""
