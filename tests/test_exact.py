"""Where a joint lies is not rounded, whatever the arithmetic of the layers before."""

import torch
from torch import nn

from train.exact import exactly


def test_a_head_answers_in_full_precision_amid_bfloat16() -> None:
    head, features = nn.Linear(64, 2), torch.randn(5, 64)
    with torch.no_grad():
        wanted = head(features)
        with torch.autocast("cpu", torch.bfloat16):
            assert head(features).dtype == torch.bfloat16
            with exactly(features) as same:
                found = head(same)
            assert head(features).dtype == torch.bfloat16
    assert found.dtype == torch.float32
    assert torch.equal(found, wanted)


def test_without_autocast_nothing_happens() -> None:
    features = torch.randn(3)
    with exactly(features) as same:
        assert same is features
