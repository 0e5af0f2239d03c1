"""What a network's tokens know after a stage: monitors and a linear probe, as a row of a report.

In: a pose network, the source to fit the probe on, and a place with 3D truth to measure in.  Out:
`train.report_results.Network`, and the probe's errors.
"""

from functools import partial
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from train.domain_errors import batches_for
from train.domains import Domain
from train.insight import selective_of
from train.look import read_off
from train.probes import known_people, linear_probe
from train.report_results import Network
from train.report_rows import network as row_of
from train.representation import monitors

FITTED: Final = 384
"""People of the source that the probe is fitted to."""


def latents_of(
    name: str, network: nn.Module, source: Domain, test: Domain, *, most: int
) -> tuple[Network, Float[np.ndarray, "people joints"]]:
    """Look at people of both places with the encoder frozen."""
    encode = partial(read_off, network)
    fitted = known_people(encode, batches_for(network, source.people, most=FITTED))
    measured = known_people(encode, batches_for(network, test.people, most=most))
    probe = linear_probe(fitted, measured)
    row = row_of(
        name,
        test.name,
        monitors(torch.from_numpy(measured.features)),
        probes={"linear probe": probe},
        selective=selective_of(measured.features, measured.joints_m),
    )
    return row, probe.errors_mm
