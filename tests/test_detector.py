"""The detector's boxes and what it is punished for."""

import numpy as np
import torch

from train.detector import decode_boxes, encode_boxes
from train.detector_loss import detector_terms
from train.ssd import INPUT_PX, anchors, decode

AT = torch.from_numpy(anchors())


def test_decoding_undoes_encoding_and_agrees_with_the_teacher() -> None:
    encodings = torch.randn(len(AT), 4, generator=torch.Generator().manual_seed(0))
    boxes_px = decode_boxes(encodings, AT)
    assert torch.allclose(encode_boxes(boxes_px, AT), encodings, atol=1e-3)
    fractions = decode(encodings.numpy(), anchors())
    assert np.allclose((boxes_px.numpy() + 0.5) / INPUT_PX, fractions, atol=1e-5)


def test_a_perfect_box_costs_nothing_and_a_shifted_one_does() -> None:
    people = torch.tensor([[[60.0, 40.0, 160.0, 250.0]]])
    batch = {"people_px": people, "unsure_px": torch.zeros(1, 1, 4)}
    costs = []
    for shift_px in (0.0, 10.0):
        encodings = encode_boxes((people + shift_px).expand(1, len(AT), 4), AT)
        predicted = {"encodings": encodings, "score_logits": torch.zeros(1, len(AT))}
        costs.append(float(detector_terms(predicted, batch, AT)["box"]))
    assert costs[0] < 1e-4
    assert costs[1] > 0.1


def test_finding_somebody_where_nobody_is_sure_costs_nothing() -> None:
    box = torch.tensor([[[60.0, 40.0, 160.0, 250.0]]])
    nothing = torch.zeros(1, 1, 4)
    y, x, height, width = AT.unbind(1)
    lone = int(
        ((y - 0.48).abs() + (x - 0.37).abs() + (height - 0.7).abs() + (width - 0.33).abs()).argmin()
    )
    logits = torch.full((1, len(AT)), -30.0)
    logits[0, lone] = 5.0
    predicted = {"encodings": torch.zeros(1, len(AT), 4), "score_logits": logits}
    doubted = detector_terms(predicted, {"people_px": nothing, "unsure_px": box}, AT)
    invented = detector_terms(predicted, {"people_px": nothing, "unsure_px": nothing}, AT)
    assert float(doubted["score"]) < 1e-6
    assert float(invented["score"]) > 0.1
