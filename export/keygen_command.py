"""`python -m export keygen`: a key pair to sign bundles with."""

import argparse
from pathlib import Path

from export.sign import keygen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("key", type=Path, help="new file for the private key, such as release.pem")


def main(options: argparse.Namespace) -> None:
    """Write both halves."""
    public, name = keygen(options.key)
    print(f"{options.key}: private, keep it off line and off the appliances")
    print(f"{public}: public, key {name}; copy it into model.trusted_keys of the appliances")
