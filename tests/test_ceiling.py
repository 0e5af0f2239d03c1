"""What a run can climb down from, and that it is a ReLU6 in all else."""

import torch
from torch import nn

from train.ceiling import Ceiling


def test_inside_its_range_and_without_training_it_is_relu6() -> None:
    x = torch.linspace(-3, 12, 61)
    ours, theirs = Ceiling(), nn.ReLU6()
    assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours.eval()(x), theirs(x))
    inside = torch.linspace(-3, 5.9, 61, requires_grad=True)
    downhill = torch.cos(torch.arange(61.0))
    (found,) = torch.autograd.grad(ours.train()(inside) @ downhill, inside)
    (wanted,) = torch.autograd.grad(theirs(inside) @ downhill, inside)
    assert torch.equal(found, wanted)


def test_what_is_above_hears_only_of_what_brings_it_down() -> None:
    x = torch.tensor([107.0, 107.0, -9.0, -9.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(Ceiling()(x) @ torch.tensor([2.0, -2.0, 2.0, -2.0]), x)
    assert gradient.tolist() == [2.0, 0.0, 0.0, 0.0]


def test_a_layer_far_above_comes_down_again() -> None:
    """With the usual ReLU6 it would stay there for ever."""
    ends = {}
    for clip in (Ceiling(), nn.ReLU6()):
        weight = torch.tensor(50.0, requires_grad=True)
        optimiser = torch.optim.SGD([weight], lr=0.05)
        for _ in range(100):
            optimiser.zero_grad()
            (clip(2 * weight) - 1.0).square().backward()
            optimiser.step()
        ends[type(clip)] = float(weight.detach())
    assert ends[nn.ReLU6] == 50.0
    assert abs(ends[Ceiling] - 0.5) < 0.01
