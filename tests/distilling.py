"""A smaller reader out of a larger one: `python tests/distilling.py checkpoints/captcha runs/small --minutes 60`.

It begins with those channels of the teacher that weigh most (Li et al., 2017, Pruning Filters for Efficient ConvNets,
section 3.1), or with --from at a smaller reader, and learns from drawn pictures: what they say, as in any training, and
which probabilities the teacher gives each frame, and where it looks (Hinton et al., 2015, Distilling the Knowledge in a
Neural Network, section 2). It learns with its kernels rounded as they will be kept.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F
from torch.utils.data import DataLoader

from crnn.charset import Charset
from crnn.config import CRNNConfig
from crnn.data import DrawnBatches
from crnn.evaluate import fit_calibration
from crnn.fonts import find_fonts
from crnn.model import CRNNForCTC, CRNNOutput, in_8_bits, load
from crnn.recognizer import Recognizer
from crnn.train import (
    BATCH_SIZE,
    CALIBRATION_PICTURES,
    EVALUATION_SEED,
    LOWER_RATE,
    MOST_FONTS,
    EMACallback,
    rate,
    save,
)

LOOK = 0.05  # weight of where the teacher looks
Weights = dict[str, Tensor]


def main() -> None:
    """Prune, teach, calibrate, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--from", dest="start", type=Path, help="a smaller reader to go on from")
    parser.add_argument("--channels", type=int, nargs=5, default=CRNNConfig().channels)
    parser.add_argument("--lstm", type=int, default=CRNNConfig().lstm_size)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    teacher = load(arguments.teacher)
    student = load(arguments.start) if arguments.start else pruned(teacher, arguments.channels, arguments.lstm)
    teach(teacher, student, arguments.minutes, arguments.seed)
    student.config.calibration = fit_calibration(Recognizer(student), CALIBRATION_PICTURES, EVALUATION_SEED)
    save(student, arguments.output)


def teach(teacher: CRNNForCTC, student: CRNNForCTC, minutes: float, seed: int) -> None:
    """Train the student, and leave it with its averaged weights, its kernels in 8 bits."""
    config, done, told, start = student.config, 0, 0.0, 0.0
    fonts = find_fonts(MOST_FONTS)
    drawn = DrawnBatches(Charset(config.charset), config.height, config.stride, BATCH_SIZE, seed, 0, False, fonts)
    for model in (teacher.eval(), student.train()):
        model.to(memory_format=torch.channels_last)  # type: ignore[call-arg]  # wrapped untyped
    ema = EMACallback(student)
    optimizer = torch.optim.AdamW(student.parameters(), weight_decay=0.02)
    for batch in DataLoader(drawn, batch_size=None, num_workers=1, prefetch_factor=8):
        start = start or time.monotonic()
        share = (time.monotonic() - start) / (60 * minutes)
        if share >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = LOWER_RATE * rate(share)
        with torch.no_grad():
            told_by = teacher(batch["pixel_values"])
        weights = in_8_bits_straight_through(dict(student.named_parameters()))
        output = functional_call(student, weights, (), batch)
        loss = output.loss + distance(output, told_by, (batch["labels"] > 0).sum(dim=1))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 2.0)
        optimizer.step()
        ema.averaged.update_parameters(student)
        done += BATCH_SIZE
        if time.monotonic() - told > 60:
            told = time.monotonic()
            print(f"{share:.0%}, {done:,} pictures: loss {loss.item():.3f}", flush=True)
    student.load_state_dict(in_8_bits(ema.weights))


def in_8_bits_straight_through(weights: Weights) -> Weights:
    """Weights in 8 bits, whose gradients are the others', as if nothing was rounded (the straight-through estimator).

    Bengio et al., 2013, Estimating or Propagating Gradients Through Stochastic Neurons, section 4.
    """
    rounded = in_8_bits(weights)
    return {name: value + (rounded[name] - value).detach() for name, value in weights.items()}


def distance(output: CRNNOutput, told_by: CRNNOutput, lengths: Tensor) -> Tensor:
    """How far a student is from its teacher, in what each frame says and in where it looks: a scalar.

    Args:
        output: the student's: logits (N, T, C), attention (N, T, h, w).
        told_by: the teacher's for the same pictures, in the same shapes.
        lengths: (N,) characters in each picture, over which the frames' divergences, in nats, are shared out.
    """
    assert output.logits is not None and output.attention is not None
    assert told_by.logits is not None and told_by.attention is not None
    said, taught = (one.logits.log_softmax(-1) for one in (output, told_by))  # (N, T, C)
    apart = F.kl_div(said, taught, reduction="none", log_target=True).sum(dim=(1, 2)) / lengths
    looked = -(told_by.attention * output.attention.clamp(min=1e-6).log()).sum(dim=(2, 3))  # (N, T)
    return apart.mean() + LOOK * looked.mean()


def pruned(teacher: CRNNForCTC, channels: list[int], lstm_size: int) -> CRNNForCTC:
    """A smaller network with those of the teacher's channels and units that weigh most.

    Args:
        teacher: with one block in each stage.
        channels: of the stem, and of each stage; the first two are one number, as the first stage adds to the stem's.
        lstm_size: units in each direction.

    Raises:
        ValueError: the first two differ, or the teacher has fewer of something or more blocks.
    """
    old, new = teacher.config, CRNNConfig(**{**teacher.config.to_dict(), "channels": channels, "lstm_size": lstm_size})
    if channels[0] != channels[1] or set(old.blocks) != {1}:
        raise ValueError(
            f"Channels {channels} and blocks {old.blocks}; give the stem as many as stage 1, one block each."
        )
    if any(few > many for few, many in zip([*channels, lstm_size], [*old.channels, old.lstm_size], strict=True)):
        raise ValueError(f"The teacher has {old.channels} channels and {old.lstm_size} units; give no more.")
    student = CRNNForCTC(new)
    weights, kept = teacher.state_dict(), {}

    def reached(names: list[str], dim: int) -> Tensor:
        """How much goes into, or comes from, each channel of these layers: the norm over all other dimensions."""
        squares = [weights[f"{name}.weight"].pow(2).transpose(0, dim).flatten(1).sum(dim=1) for name in names]
        return torch.stack(squares).sum(dim=0).sqrt()

    def gain(*norms: str) -> Tensor:
        return torch.stack([weights[f"{norm}.weight"] ** 2 for norm in norms]).sum(dim=0).sqrt()

    def keep(name: str, *chosen: Tensor) -> None:
        """Of each tensor of a layer the chosen outputs, and of its weight the chosen inputs."""
        for key in (key for key in weights if key.startswith(f"{name}.")):
            value = weights[key]
            for dim, indices in enumerate(chosen[: value.dim()]):
                value = value.index_select(dim, indices)
            kept[key] = value

    def inputs_of(number: int) -> list[str]:
        block = f"backbone.blocks.{number}"
        return [name for name in (f"{block}.conv1", f"{block}.shortcut.0") if f"{name}.weight" in weights]

    # The backbone. The stem's channels are the first stage's, which adds to them.
    last = len(channels) - 2
    first = gain("backbone.norm", "backbone.blocks.0.norm2") * reached(inputs_of(0), 1) * reached(inputs_of(1), 1)
    between = [_most(first, channels[0])] * 2
    for number in range(1, last + 1):
        block = f"backbone.blocks.{number}"
        after = inputs_of(number + 1) if number < last else [f"attention.{name}" for name in ("query", "key", "value")]
        weight = gain(f"{block}.norm2", f"{block}.shortcut.1") * reached(after, 1)
        between.append(_most(weight, channels[number + 1]))
    keep("backbone.stem", between[0])
    keep("backbone.norm", between[0])
    for number in range(last + 1):
        block, inputs, outputs = f"backbone.blocks.{number}", between[number], between[number + 1]
        inner = _most(gain(f"{block}.norm1") * reached([f"{block}.conv2"], 1), channels[number + 1])
        keep(f"{block}.conv1", inner, inputs)
        keep(f"{block}.norm1", inner)
        keep(f"{block}.conv2", outputs, inner)
        keep(f"{block}.norm2", outputs)
        keep(f"{block}.shortcut.0", outputs, inputs)
        keep(f"{block}.shortcut.1", outputs)

    # The attention, by heads: the same dimensions of queries and keys.
    rows, heads = between[-1], old.attention_heads

    def each_head(weight: Tensor) -> Tensor:
        some = [_most(own, channels[-1] // heads) for own in weight.chunk(heads)]
        return torch.cat([own + head * (len(weight) // heads) for head, own in enumerate(some)])

    asked = each_head(reached(["attention.query"], 0) * reached(["attention.key"], 0))
    taken = each_head(reached(["attention.value"], 0) * reached(["attention.output"], 1))
    head = weights["head.weight"].pow(2).sum(dim=0)  # what it takes of both directions and of the context
    into_lstm = sum(weights[f"lstm.weight_ih_l0{way}"].pow(2).sum(dim=0) for way in ("", "_reverse"))
    context = _most(reached(["attention.output"], 0) * (into_lstm + head[2 * old.lstm_size :]).sqrt(), channels[-1])
    keep("attention.query", asked, rows)
    keep("attention.key", asked, rows)
    keep("attention.value", taken, rows)
    keep("attention.output", context, taken)
    for name in ("query.weight", "query.bias"):  # whose products are divided by the root of their number
        kept[f"attention.{name}"] = kept[f"attention.{name}"] * (channels[-1] / old.channels[-1]) ** 0.5
    kept["attention.rows"] = weights["attention.rows"].index_select(2, rows)
    kept["attention.distance_bias"] = weights["attention.distance_bias"]

    # The LSTM: of each unit all four gates.
    both = []
    for number, way in enumerate(("", "_reverse")):
        own = head[number * old.lstm_size : (number + 1) * old.lstm_size]
        units = _most(weights[f"lstm.weight_hh_l0{way}"].pow(2).sum(dim=0) + 2 * own, lstm_size)
        gates = torch.cat([units + gate * old.lstm_size for gate in range(4)])
        for name, columns in (("weight_ih", context), ("weight_hh", units)):
            kept[f"lstm.{name}_l0{way}"] = weights[f"lstm.{name}_l0{way}"][gates][:, columns]
        for name in ("bias_ih", "bias_hh"):
            kept[f"lstm.{name}_l0{way}"] = weights[f"lstm.{name}_l0{way}"][gates]
        both.append(units + number * old.lstm_size)
    kept["head.weight"] = weights["head.weight"][:, torch.cat([*both, context + 2 * old.lstm_size])]
    kept["head.bias"] = weights["head.bias"]
    student.load_state_dict(kept)
    return student


def _most(weight: Tensor, count: int) -> Tensor:
    """The indices, in order, of the so many that weigh most."""
    return weight.topk(count).indices.sort().values


if __name__ == "__main__":
    main()
