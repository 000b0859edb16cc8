"""The network of :mod:`crnn.model` on a CPU: the same weights, run by OpenVINO, without torch.

OpenVINO computes in float32, and on x86 multiplies 8-bit integers in the stages, seven eighths of all multiplications.
Letters in the shape comments as in :mod:`crnn.model`: N pictures, H x W px, D channels, h x w cells, T frames (T = w),
C classes.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

# OpenVINO's model converter reports each import to Google Analytics; without it nothing is sent. Whoever shares this
# process may still import it.
sys.modules["openvino.tools.ovc"] = None  # type: ignore[assignment]
import openvino as ov  # noqa: E402
import openvino.opset13 as ops  # noqa: E402

del sys.modules["openvino.tools.ovc"]

Array = npt.NDArray[np.float32]
Weights = Mapping[str, Array]  # as named in model.safetensors

INTEGERS = platform.machine().lower() in ("x86_64", "amd64")  # quicker there; not measured on others
STRIDES = ((1, 1), (2, 2), (2, 1), (1, 1))  # of the backbone's stages, as in crnn.model; tests compare the two
AHEAD = 8  # calls that wait for a core or are computed, for each core
TOGETHER = 4  # pictures of one width in one call, since the LSTM's weights are too large for a core's cache
SPREAD = 6  # standard deviations above its mean that a channel is expected to reach
TINY = 1e-12  # a kernel of zeros has steps, too
NORM_EPSILON = 1e-5  # torch.nn.BatchNorm2d's
UNSEEN = -1e9  # score of a cell that lies too far away
GATES = (1, 0, 2, 3)  # torch's LSTM has input, forget, cell, output; OpenVINO's forget, input, cell, output


@dataclass
class Config:
    """What config.json says, as :class:`crnn.config.CRNNConfig` explains it, without transformers."""

    charset: str
    height: int
    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    attention_heads: int
    attention_reach: int
    lstm_size: int
    calibration: tuple[float, float]
    stride: int = 4


class Engine:
    """The network of a checkpoint on the CPU; any thread may use it, a forked process too, and it can be pickled."""

    def __init__(self, config: Config, weights: Weights) -> None:
        """Compile the network. Raises KeyError or RuntimeError where the weights are another network's."""
        self.config = config
        self.streams = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._weights = weights
        self.rounds = INTEGERS
        self._begin()

    def _begin(self) -> None:
        """Compile for this process: what was compiled before a fork hangs after it."""
        self._process = os.getpid()
        self._compiling = Lock()
        self._quick = self._compile(eight_bits=self.rounds)
        self.__dict__.pop("_exact", None)

    def __reduce__(self) -> tuple[Any, ...]:
        return Engine, (self.config, self._weights)

    @cached_property
    def _exact(self) -> ov.CompiledModel:
        return self._compile(eight_bits=False) if self.rounds else self._quick

    def _compile(self, eight_bits: bool) -> ov.CompiledModel:
        """The network once for each core."""
        model = network(self.config, self._weights, eight_bits)
        # OpenVINO would take bfloat16 where there is some. It makes the network ready for a new width in three times as
        # long, and computes no faster for a picture alone, a seventh faster for eight together.
        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": self.streams}
        # A thread a call: threads that share one were slower.
        return ov.Core().compile_model(model, "CPU", options | {"NUM_STREAMS": self.streams})

    @classmethod
    def from_folder(cls, folder: Path) -> Engine:
        """Load a checkpoint's folder. Raises KeyError, RuntimeError, ValueError or SafetensorError where it is none."""
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        names = Config.__dataclass_fields__.keys() - {"stride"}
        return cls(Config(**{name: values[name] for name in names}), load_file(folder / "model.safetensors"))

    def infer(self, prepared: Sequence[Array], exact: bool = False) -> list[tuple[Array, Array]]:
        """What the network sees in each picture: log-probabilities (T, C) and attention (T, h, T).

        Args:
            prepared: each (3, H, W), of :func:`crnn.image.prepare`; W may differ.
            exact: compute in float32, which takes up to twice as long; compiled at the first such call.
        """
        if self._process != os.getpid():
            self._begin()
        with self._compiling:  # two threads may be the first to ask for float32
            compiled = self._exact if exact else self._quick
        seen: list[tuple[Array, Array]] = []
        running: deque[ov.InferRequest] = deque()
        for pictures in self._together(prepared):  # handed over ahead, so that no core waits for Python
            if len(running) < self.streams * AHEAD:
                request = compiled.create_infer_request()
            else:
                request = running.popleft()
                seen += _seen(request)
            request.start_async({0: pictures}, share_inputs=True)
            running.append(request)
        for request in running:
            seen += _seen(request)
        return seen

    def _together(self, prepared: Sequence[Array]) -> Iterator[Array]:
        """The pictures (N, 3, H, W) of each call, in order: one, or several of one width where no core stays idle."""
        most = TOGETHER if len(prepared) >= 2 * TOGETHER * self.streams else 1
        for _, same in groupby(prepared, key=lambda picture: picture.shape[2]):
            some = list(same)
            whole = len(some) // most * most
            yield from (np.stack(some[start : start + most]) for start in range(0, whole, most))
            yield from (picture[None] for picture in some[whole:])


def _seen(request: ov.InferRequest) -> list[tuple[Array, Array]]:
    """Log-probabilities (T, C) and attention (T, h, T) of the pictures of a call, as soon as they are there."""
    request.wait()
    log_probs, attention = (np.array(request.get_output_tensor(number).data) for number in range(2))
    return list(zip(log_probs, attention, strict=True))


def network(config: Config, weights: Weights, eight_bits: bool = False) -> ov.Model:
    """The network, (N, 3, H, W) -> log-probabilities (N, T, C) and attention (N, T, h, T); norms are folded.

    Args:
        config: its shape.
        weights: what it has learnt.
        eight_bits: whether the backbone's stages multiply 8-bit integers.

    Raises:
        KeyError, RuntimeError: the weights are another network's.
    """
    pixel_values = ops.parameter([-1, 3, config.height, -1], np.float32)
    features = _backbone(pixel_values, config, weights, eight_bits)  # (N, D, h, w)
    context, attention = _attention(features, config, weights)  # (N, T, D), (N, T, h, w)
    sequence = _lstm(context, config, weights)  # (N, T, 2 * lstm_size)
    logits = _linear(ops.concat([sequence, context], 2), weights, "head")
    if weights["head.bias"].shape != (len(config.charset) + 1,):
        raise RuntimeError(f"The head has {len(weights['head.bias'])} classes for {len(config.charset)} characters.")
    return ov.Model([ops.log_softmax(logits, -1), attention], [pixel_values], "crnn")


def _backbone(x: Any, config: Config, weights: Weights, eight_bits: bool) -> Any:
    """Stem and residual stages, (N, 3, H, W) -> (N, D, h, w)."""
    x = ops.relu(_convolution(x, weights, "backbone.stem", "backbone.norm", (2, 2)))
    number, norms = 0, ["backbone.norm"]  # those whose sum x is, before the relu
    for count, first in zip(config.blocks, STRIDES, strict=True):
        for stride in [first] + [(1, 1)] * (count - 1):
            block = f"backbone.blocks.{number}"
            inner, outer = f"{block}.norm1", [f"{block}.norm2"]
            most = within = None
            if eight_bits:
                most, within = _most(weights, norms), _most(weights, [inner])
            y = ops.relu(_convolution(x, weights, f"{block}.conv1", inner, stride, most))
            y = _convolution(y, weights, f"{block}.conv2", outer[0], (1, 1), within)
            if f"{block}.shortcut.0.weight" in weights:
                x, norms = _convolution(x, weights, f"{block}.shortcut.0", f"{block}.shortcut.1", stride, most), []
                outer.append(f"{block}.shortcut.1")
            x, norms = ops.relu(ops.add(y, x)), norms + outer
            number += 1
    return x


def _most(weights: Weights, norms: Sequence[str]) -> float:
    """About the most that the sum of these norms' outputs reaches in any channel.

    A norm's output has the mean and the standard deviation that it has learnt, so no pictures are needed to tell
    (Nagel et al., 2019, Data-Free Quantization, section 4.2).
    """
    mean = sum(weights[f"{norm}.bias"] for norm in norms)
    deviation = np.sqrt(sum(weights[f"{norm}.weight"] ** 2 for norm in norms))
    return float(np.max(mean + SPREAD * deviation))


def _attention(features: Any, config: Config, weights: Weights) -> tuple[Any, Any]:
    """What each frame takes along, (N, T, D), and where it looked, (N, T, h, w).

    :mod:`crnn.model` adds each row's vector to its cells before their keys and values are taken. Here the vector's own
    key and value are added after, so that both are one convolution of the features as they lie.
    """
    size, heads, rows = config.channels[-1], config.attention_heads, config.height // 8
    row, scale = weights["attention.rows"][:, 0].T, (size // heads) ** -0.5  # (D, h)

    query = scale * weights["attention.query.weight"]
    shift = query @ row.mean(axis=1, keepdims=True) + scale * weights["attention.query.bias"][:, None]  # (D, 1)
    means = ops.reduce_mean(features, _integers(2), False)  # (N, D, T)
    query = ops.add(ops.matmul(_constant(query), means, False, False), _constant(shift))
    query = _reshape(query, 0, heads, size // heads, -1)  # (N, heads, D / heads, T)

    kernel = np.concatenate([weights["attention.key.weight"], weights["attention.value.weight"]])  # (2 * D, D)
    shift = kernel @ row + np.pad(weights["attention.value.bias"], (size, 0))[:, None]  # (2 * D, h)
    both = ops.convolution(features, _constant(kernel[:, :, None, None]), [1, 1], [0, 0], [0, 0], [1, 1])
    both = _reshape(ops.add(both, _constant(shift[:, :, None])), 0, 2, heads, size // heads, -1)
    key, value = (ops.gather(both, _integer(number), _integer(1)) for number in range(2))  # (N, heads, D / heads, hw)

    scores = _reshape(ops.matmul(query, key, True, False), 0, 0, 0, rows, -1)  # (N, heads, T, h, w)
    scores = ops.add(scores, _distance_bias(features, config, weights))
    shares = ops.softmax(_reshape(scores, 0, 0, 0, -1), -1)  # (N, heads, T, h * w)
    taken = ops.transpose(ops.matmul(shares, value, False, True), _integers(0, 2, 1, 3))  # (N, T, heads, D / heads)
    context = _linear(_reshape(taken, 0, 0, -1), weights, "attention.output")
    return context, _reshape(ops.reduce_mean(shares, _integers(1), False), 0, 0, rows, -1)


def _distance_bias(features: Any, config: Config, weights: Weights) -> Any:
    """What is added to the scores of each pair of frame and column, (heads, T, 1, w)."""
    reach = config.attention_reach
    width = ops.gather(ops.shape_of(features, "i64"), _integer(3), _integer(0))
    columns = ops.range(_integer(0), width, _integer(1), "i64")
    offset = ops.subtract(ops.unsqueeze(columns, _integer(0)), ops.unsqueeze(columns, _integer(1)))  # (T, w)
    place = ops.add(ops.clamp(offset, -reach - 1, reach + 1), _integer(reach + 1))
    near = np.pad(weights["attention.distance_bias"], ((0, 0), (1, 1)), constant_values=UNSEEN)
    return ops.unsqueeze(ops.gather(_constant(near), place, _integer(1)), _integer(2))


def _lstm(context: Any, config: Config, weights: Weights) -> Any:
    """Both directions, (N, T, D) -> (N, T, 2 * lstm_size)."""

    def gates(name: str) -> Array:
        both = [weights[f"lstm.{name}_l0{direction}"] for direction in ("", "_reverse")]
        return np.stack([np.concatenate([np.split(one, 4)[gate] for gate in GATES]) for one in both])

    shape = ops.shape_of(context, "i64")
    count, frames = (ops.gather(shape, _integers(axis), _integer(0)) for axis in (0, 1))
    start = ops.broadcast(_constant(0.0), ops.concat([count, _integers(2, config.lstm_size)], 0))
    lstm = ops.lstm_sequence(
        context, start, start, ops.broadcast(frames, count), _constant(gates("weight_ih")),
        _constant(gates("weight_hh")), _constant(gates("bias_ih") + gates("bias_hh")), config.lstm_size,
        "bidirectional",
    )  # fmt: skip
    return _reshape(ops.transpose(lstm.output(0), _integers(0, 2, 1, 3)), 0, 0, -1)


def _convolution(
    x: Any, weights: Weights, name: str, norm: str, stride: tuple[int, int], most: float | None = None
) -> Any:
    """A convolution that keeps the size, but for its stride, and its batch norm in one.

    With a `most` it multiplies 8-bit integers: x, of 0 to so much, in 256 steps, and the kernel of each channel.
    """
    kernel = weights[f"{name}.weight"]
    scale = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + NORM_EPSILON)
    shift = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
    kernel = kernel * scale[:, None, None, None]
    multiplied = _constant(kernel)
    if most is not None:
        x = _in_steps(x, 0.0, most, 256)
        largest = np.maximum(np.abs(kernel).max(axis=(1, 2, 3), keepdims=True), TINY)
        multiplied = _in_steps(multiplied, -largest, largest, 255)
    padding = [kernel.shape[2] // 2] * 2
    y = ops.convolution(x, multiplied, list(stride), padding, padding, [1, 1])
    return ops.add(y, _constant(shift[None, :, None, None]))


def _in_steps(x: Any, low: npt.ArrayLike, high: npt.ArrayLike, levels: int) -> Any:
    """x rounded to so many levels from low to high, which OpenVINO keeps as 8-bit integers."""
    ends = _constant(low), _constant(high)
    return ops.fake_quantize(x, *ends, *ends, levels)


def _linear(x: Any, weights: Weights, name: str) -> Any:
    y = ops.matmul(x, _constant(weights[f"{name}.weight"]), False, True)
    return ops.add(y, _constant(weights[f"{name}.bias"])) if f"{name}.bias" in weights else y


def _reshape(x: Any, *shape: int) -> Any:
    """0 keeps an axis, -1 is what is left."""
    return ops.reshape(x, _integers(*shape), True)


def _constant(values: npt.ArrayLike) -> Any:
    return ops.constant(np.asarray(values, np.float32))


def _integer(value: int) -> Any:
    return ops.constant(np.asarray(value, np.int64))


def _integers(*values: int) -> Any:
    return ops.constant(np.asarray(values, np.int64))
