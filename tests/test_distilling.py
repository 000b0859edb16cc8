"""What a smaller reader begins with."""

from __future__ import annotations

import torch
from distilling import distance, in_8_bits_straight_through, pruned

from crnn.config import CRNNConfig
from crnn.model import CRNNForCTC, in_8_bits


def test_of_a_network_with_none_left_out_all_stays(tiny_model: CRNNForCTC) -> None:
    config = tiny_model.config
    same = pruned(tiny_model, list(config.channels), config.lstm_size)
    for name, value in tiny_model.state_dict().items():
        assert torch.equal(same.state_dict()[name], value), name


def test_channels_that_do_nothing_are_left_out(tiny_model: CRNNForCTC) -> None:
    config, tiny = tiny_model.config, tiny_model.state_dict()
    wide = CRNNConfig(**{**config.to_dict(), "channels": [count + 8 for count in config.channels]})
    teacher = CRNNForCTC(wide)
    for name, value in teacher.state_dict().items():
        value.zero_()
        if not name.startswith(("lstm", "head")):
            value[tuple(slice(0, size) for size in tiny[name].shape)] = tiny[name]
    small = pruned(teacher, list(config.channels), config.lstm_size).state_dict()
    for name in (name for name in tiny if name.startswith("backbone")):
        assert torch.equal(small[name], tiny[name]), name


def test_a_student_like_its_teacher_is_nearest_to_it(tiny_model: CRNNForCTC) -> None:
    torch.manual_seed(0)
    pictures = torch.randn(2, 3, tiny_model.config.height, 64)
    told_by = tiny_model.eval()(pictures)
    other = CRNNForCTC(tiny_model.config).eval()(pictures)
    lengths = torch.tensor([2, 3])
    assert distance(told_by, told_by, lengths) < distance(other, told_by, lengths)


def test_rounded_weights_learn_as_if_they_were_not(tiny_model: CRNNForCTC) -> None:
    weights = dict(tiny_model.named_parameters())
    rounded = in_8_bits_straight_through(weights)
    for name, value in in_8_bits(weights).items():
        assert torch.allclose(rounded[name], value, atol=1e-7), name
    name = "backbone.blocks.0.conv1.weight"
    (rounded[name] * 3).sum().backward()
    gradient = weights[name].grad
    assert gradient is not None and torch.equal(gradient, torch.full_like(gradient, 3.0))
