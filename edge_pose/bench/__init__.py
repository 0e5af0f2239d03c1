"""What the appliance costs here: every stage of a frame, and the networks alone beside the whole."""
