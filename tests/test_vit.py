"""The transformers: against torch's own layers, hand-written attention, and geometry."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_pose import skeleton
from train.vit import SIZES, Block, Vit, VitSize, area_shares, fit_size, sine_positions
from train.vit_pose import VitPose

SMALL = VitSize(name="toy", width=24, depth=3, heads=2, patch_px=8, input_px=32)


def toy(seed: int = 0) -> Vit:
    torch.manual_seed(seed)
    vit = Vit(SMALL).eval()
    for value in vit.parameters():  # biases that are not nought, so that a lost one would show
        value.data += 0.05 * torch.randn_like(value)
    return vit


def torchs_own(block: Block, width: int, heads: int) -> nn.TransformerEncoderLayer:
    layer = nn.TransformerEncoderLayer(
        width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    theirs = {
        "self_attn.in_proj_weight": block.attention.qkv.weight,
        "self_attn.in_proj_bias": block.attention.qkv.bias,
        "self_attn.out_proj.weight": block.attention.out.weight,
        "self_attn.out_proj.bias": block.attention.out.bias,
        "norm1.weight": block.norm_attention.weight,
        "norm1.bias": block.norm_attention.bias,
        "norm2.weight": block.norm_mlp.weight,
        "norm2.bias": block.norm_mlp.bias,
        **{
            f"linear{number}.{kind}": block.mlp.get_parameter(f"{place}.{kind}")
            for number, place in ((1, 0), (2, 2))
            for kind in ("weight", "bias")
        },
    }
    layer.load_state_dict(theirs)
    return layer.train()  # in evaluation torch takes a fused path of its own


def test_the_blocks_do_what_torchs_own_layers_do() -> None:
    vit = toy()
    tokens = torch.randn(2, 16, SMALL.width)
    wanted = tokens
    for block in vit.blocks:
        assert isinstance(block, Block)
        wanted = torchs_own(block, SMALL.width, SMALL.heads)(wanted)
    wanted = functional.layer_norm(wanted, (SMALL.width,), vit.norm.weight, vit.norm.bias)
    torch.testing.assert_close(vit.encode(tokens).tokens, wanted, atol=1e-5, rtol=1e-4)


def test_the_logits_asked_for_are_those_whose_softmax_mixes_the_values() -> None:
    vit = toy()
    image = torch.rand(2, 3, 32, 32)
    seen = vit(image, attention_layers=[vit.layer(-1), 0])
    assert sorted(seen.attention_logits) == [0, 2]
    block = vit.blocks[0]
    assert isinstance(block, Block)
    x = block.norm_attention(vit.embed(image))
    mixed = torch.zeros(2, 16, SMALL.width)
    rows = SMALL.width // SMALL.heads
    for batch in range(2):
        for head in range(SMALL.heads):
            q, k, v = (
                x[batch] @ block.attention.qkv.weight[first : first + rows].T
                + block.attention.qkv.bias[first : first + rows]
                for first in (part * SMALL.width + head * rows for part in range(3))
            )
            logits = q @ k.T / math.sqrt(rows)
            torch.testing.assert_close(seen.attention_logits[0][batch, head], logits)
            mixed[batch, :, head * rows : (head + 1) * rows] = logits.softmax(1) @ v
    torch.testing.assert_close(block.attention(x), block.attention.out(mixed), atol=1e-5, rtol=1e-4)


def test_asking_for_attention_changes_no_token_and_lets_gradients_through() -> None:
    vit = toy()
    image = torch.rand(1, 3, 32, 32)
    plain, asked = vit(image), vit(image, attention_layers=[1])
    torch.testing.assert_close(plain.tokens, asked.tokens)
    assert plain.attention_logits == {}
    asked.attention_logits[1].square().mean().backward()
    assert vit.patches.weight.grad is not None
    assert vit.patches.weight.grad.abs().sum() > 0


def test_layers_count_from_the_end_too() -> None:
    vit = Vit(SIZES["nano"])
    assert [vit.layer(index) for index in (0, 3, -1, -4)] == [0, 3, 3, 0]
    with pytest.raises(IndexError, match="nano has 4 layers"):
        vit.layer(4)


def test_tokens_stand_in_reading_order() -> None:
    vit = toy()
    image = torch.full((1, 3, 32, 32), 0.5)
    changed = image.clone()
    changed[:, :, 8:16, 24:32] = 1.0  # second row of patches, fourth column
    moved = (vit.embed(changed) - vit.embed(image)).abs().sum((0, 2))
    assert moved.nonzero().flatten().tolist() == [7]


def test_positions_tell_every_place_apart_and_near_from_far() -> None:
    places = sine_positions(12, 192)
    likeness = functional.cosine_similarity(places[:, None], places[None], dim=2)
    assert (likeness - torch.eye(144)).max() < 0.999
    middle = likeness[6 * 12 + 6].reshape(12, 12)
    assert middle[6, 7] > middle[6, 9]
    torch.testing.assert_close(middle[6, 9], middle[9, 6])
    # Worked out by hand for two patches a side and width 4: sin x, cos x, sin y, cos y.
    sine, cosine = math.sin(1), math.cos(1)
    wanted = torch.tensor([[0, 1, 0, 1], [sine, cosine, 0, 1], [0, 1, sine, cosine]])
    torch.testing.assert_close(sine_positions(2, 4)[:3], wanted)
    with pytest.raises(ValueError, match="four divides, not 6"):
        sine_positions(2, 6)


def test_resizing_averages_the_area_under_each_new_pixel() -> None:
    wanted = torch.tensor([[0.75, 0.25, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0.25, 0.75]])
    torch.testing.assert_close(area_shares(4, 3), wanted)
    image = torch.rand(1, 2, 8, 8)
    shares = area_shares(8, 4)
    for halved in (fit_size(image, 4), shares @ image @ shares.T):
        torch.testing.assert_close(halved, image.reshape(1, 2, 4, 2, 4, 2).mean((3, 5)))
    assert fit_size(image, 8) is image
    # A ramp of brightness stays that ramp, to a twelfth of a pixel: no place wanders.
    ramp = torch.arange(256.0).expand(1, 1, 256, -1)
    wanted_line = (torch.arange(192) + 0.5) * 256 / 192 - 0.5
    torch.testing.assert_close(fit_size(ramp, 192)[0, 0, 5], wanted_line, atol=0.084, rtol=0)


@pytest.mark.parametrize("name", ["nano", "tiny"])
def test_answers_are_in_pixels_of_the_crop_whatever_the_input_size(name: str) -> None:
    torch.manual_seed(0)
    network = VitPose(SIZES[name]).eval()
    nn.init.zeros_(network.head.weight)
    with torch.no_grad():
        answer, attention = network.with_attention(torch.rand(2, 3, 256, 256), [1])
    assert {key: tuple(value.shape) for key, value in answer.items()} == {
        "joints_px": (2, 25, 2),
        "joints_m": (2, 25, 3),
        "score_logits": (2, 25),
        "presence_logits": (2,),
        "reach_px": (2, 2, 2),
    }
    n = SIZES[name].grid ** 2
    assert tuple(attention[1].shape) == (2, SIZES[name].heads, n, n)
    # A head that says nothing averages the centres of all patches: the middle of the crop.
    torch.testing.assert_close(answer["joints_px"], torch.full((2, 25, 2), 127.5))


def one_patch_speaks(network: VitPose, row: int, column: int) -> Tensor:
    """Return tokens of which one alone, for the head below, is heard."""
    size = network.encoder.size
    tokens = torch.zeros(1, size.grid**2, size.width)
    tokens[0, row * size.grid + column, 0] = 1.0
    return tokens


def test_a_joint_is_where_the_patch_that_is_heard_points() -> None:
    network = VitPose(SIZES["nano"])
    nose = skeleton.INDEX["nose"]
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.weight[nose, 0] = 50.0  # how much it wants to be heard
        network.head.weight[27 + 2 * nose, 0] = 0.1  # a tenth of the crop to the right
        network.head.weight[27 + 54 + 3 * nose + 2, 0] = -0.4  # metres
        answer = network.answer(one_patch_speaks(network, row=1, column=6))
    # Patches of 16 in 128 pixels are 32 in 256: column 6 is centred on 6.5 * 32 - 0.5 = 207.5.
    wanted_px = torch.tensor([207.5 + 25.6, 1.5 * 32 - 0.5])
    torch.testing.assert_close(answer["joints_px"][0, nose], wanted_px, atol=1e-3, rtol=0)
    wanted_m = torch.tensor([0, 0, -0.4])
    torch.testing.assert_close(answer["joints_m"][0, nose], wanted_m, atol=1e-4, rtol=0)


def test_the_pelvis_is_the_middle_of_the_hips() -> None:
    torch.manual_seed(3)
    network = VitPose(SIZES["nano"])
    nn.init.normal_(network.head.weight)
    with torch.no_grad():
        answer = network(torch.rand(2, 3, 256, 256))
    hips = [skeleton.INDEX["left_hip"], skeleton.INDEX["right_hip"]]
    assert not answer["joints_m"][:, skeleton.ROOT].any()
    for key in ("joints_px", "joints_m"):
        middle = answer[key][:, hips].mean(1)
        torch.testing.assert_close(answer[key][:, skeleton.ROOT], middle, atol=1e-4, rtol=1e-5)


def test_a_network_learns_to_point_at_dots_in_places_drawn_anew() -> None:
    torch.manual_seed(0)
    network = VitPose(VitSize(name="toy", width=48, depth=2, heads=2, patch_px=16, input_px=64))
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    nose = skeleton.INDEX["nose"]

    def dots(count: int, low: float, high: float) -> tuple[Tensor, Tensor]:
        places_px = low + (high - low) * torch.rand(count, 2)
        line = torch.arange(256.0)
        across = (line - places_px[:, :1]).square()
        down = (line - places_px[:, 1:]).square()
        image = (-(across[:, None, :] + down[:, :, None]) / (2 * 12.0**2)).exp()
        return image[:, None].expand(-1, 3, -1, -1), places_px

    for _ in range(150):
        image, places_px = dots(16, 30, 226)
        loss = (network(image)["joints_px"][:, nose] - places_px).abs().mean() / 256
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    image, places_px = dots(64, 40, 216)
    with torch.no_grad():
        away_px = (network(image)["joints_px"][:, nose] - places_px).norm(dim=1).mean()
    assert away_px < 16
