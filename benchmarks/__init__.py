"""Measurements that end in a table: ours against rivals, and what the appliance costs."""
