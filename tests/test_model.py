"""The network: shapes, padding, attention, loss, saving."""

from pathlib import Path

import pytest
import torch

from crnn.config import CRNNConfig
from crnn.model import IGNORED, CRNNForCTC, ctc_loss, in_8_bits


def pictures(count: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, 48, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("width", [32, 100, 128, 256])
def test_a_frame_is_four_px_wide(tiny_model: CRNNForCTC, width: int) -> None:
    with torch.no_grad():
        output = tiny_model(pictures(2, width))
    assert output.logits.shape == (2, width // 4, tiny_model.config.classes)
    assert output.attention.shape == (2, width // 4, 6, width // 4)


@pytest.mark.parametrize(("height", "width"), [(48, 255), (40, 128)])
def test_other_sizes_are_refused_with_what_to_do(tiny_model: CRNNForCTC, height: int, width: int) -> None:
    with pytest.raises(ValueError, match=f"{height} px high and {width} px wide.*prepare"):
        tiny_model(torch.zeros(1, 3, height, width))


def test_padding_never_changes_the_answer(tiny_model: CRNNForCTC) -> None:
    widths = torch.tensor([100, 32, 160])
    singles = [pictures(1, int(width), seed) for seed, width in enumerate(widths)]
    batch = torch.full((3, 3, 48, 200), 7.0)  # wider than the widest, and the padding is no zeros
    for row, single in zip(batch, singles, strict=True):
        row[:, :, : single.shape[3]] = single[0]
    batch *= (torch.arange(200) < widths[:, None])[:, None, None]
    with torch.no_grad():
        padded = tiny_model(batch, widths=widths)
        for number, single in enumerate(singles):
            alone = tiny_model(single)
            frames = alone.logits.shape[1]
            torch.testing.assert_close(padded.logits[number, :frames], alone.logits[0], atol=1e-5, rtol=1e-4)
            own = padded.attention[number, :frames, :, :frames]
            torch.testing.assert_close(own, alone.attention[0], atol=1e-6, rtol=1e-4)


def test_attention_is_a_distribution_over_the_cells_nearby(tiny_model: CRNNForCTC) -> None:
    with torch.no_grad():
        attention = tiny_model(pictures(2, 120)).attention  # (2, 30, 6, 30)
    torch.testing.assert_close(attention.sum((2, 3)), torch.ones(2, 30))
    reach = tiny_model.config.attention_reach
    frame, column = torch.meshgrid(torch.arange(30), torch.arange(30), indexing="ij")
    assert attention.sum(2)[:, (frame - column).abs() > reach].max() == 0


def test_all_that_the_lstm_reads_is_what_was_looked_at(tiny_model: CRNNForCTC) -> None:
    features = torch.randn(1, 16, 6, 20, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        context, attention = tiny_model.attention(features, None)
        unseen = attention[0, 10].sum(0) == 0  # columns that frame 10 can't see
        features[:, :, :, unseen] = 0
        assert torch.equal(tiny_model.attention(features, None)[0][0, 10], context[0, 10])


def test_loss_is_that_of_the_label(tiny_model: CRNNForCTC) -> None:
    logits = torch.full((1, 3, 3), -20.0)
    for frame, cls in enumerate((1, 0, 2)):
        logits[0, frame, cls] = 20.0
    certain = ctc_loss(logits, torch.tensor([[1, 2]]), torch.tensor([3]))
    wrong = ctc_loss(logits, torch.tensor([[2, 1]]), torch.tensor([3]))
    assert certain < 1e-3 < 10 < wrong
    alignment = torch.full((2, 25), IGNORED)
    alignment[:, 3] = 1
    labels = torch.tensor([[1, 2], [3, 0]])
    without, with_alignment = (tiny_model(pictures(2, 100), labels=labels, alignment=a).loss for a in (None, alignment))
    assert with_alignment > without


def test_a_label_that_cannot_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match="2 characters needs 3 frames, its picture has 2"):
        ctc_loss(torch.zeros(1, 2, 4), torch.tensor([[1, 1]]), torch.tensor([2]))


def test_saved_and_loaded_it_gives_equal_logits(tiny_model: CRNNForCTC, tmp_path: Path) -> None:
    tiny_model.save_pretrained(tmp_path)
    loaded = CRNNForCTC.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(loaded(pictures(1, 96)).logits, tiny_model(pictures(1, 96)).logits)


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        CRNNConfig(height=50)
    with pytest.raises(ValueError, match="128 channels can't be split among 7"):
        CRNNConfig(attention_heads=7)


def test_the_shipped_size_stays_within_its_budget() -> None:
    model = CRNNForCTC(CRNNConfig())
    counted = 0

    def count(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal counted
        if isinstance(module, torch.nn.Conv2d):
            counted += output.numel() * module.weight[0].numel()
        elif isinstance(module, torch.nn.Linear):
            counted += output.numel() * module.in_features
        elif isinstance(module, torch.nn.LSTM):
            weights = sum(weight.numel() for name, weight in module.named_parameters() if name.startswith("weight"))
            counted += inputs[0].shape[1] * weights

    for module in model.modules():
        module.register_forward_hook(count)
    with torch.no_grad():
        model.eval()(pictures(1, 128))  # a picture of 160 x 60 px
    assert 50e6 < counted <= 250e6
    assert sum(parameter.numel() for parameter in model.parameters()) * 4 < 10e6  # bytes in float32


def test_kernels_in_8_bits_are_of_255_steps_and_stay_so(tiny_model: CRNNForCTC) -> None:
    weights = tiny_model.state_dict()
    rounded = in_8_bits(weights)
    kernels = [name for name in weights if name.startswith("backbone.blocks.") and weights[name].ndim == 4]
    assert len(kernels) == 2 * 4 + 3  # two in each stage, and one in each shortcut
    for name, value in rounded.items():
        if name not in kernels:
            assert torch.equal(value, weights[name]), name
            continue
        largest = weights[name].abs().amax(dim=(1, 2, 3), keepdim=True)
        steps = value / largest * 127
        assert torch.allclose(steps, steps.round(), atol=1e-3) and not torch.equal(value, weights[name]), name
        assert ((value - weights[name]).abs() <= largest / 254 * 1.001).all(), name
        assert torch.allclose(in_8_bits(rounded)[name], value, atol=1e-7), name
