"""A camera as a device of a Sparkplug B edge node: payloads, metrics, state; no network here."""
