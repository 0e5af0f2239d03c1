"""Measurements that end in a table: ours against rivals, and what the appliance costs."""

import sys
from pathlib import Path

# Some measure with the stand-ins and the certificates of the tests, which are no package.
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
