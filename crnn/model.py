"""CRNN with two-dimensional attention: a picture in, a distribution over characters for each frame out.

Letters in the shape comments: N pictures, H x W px of the prepared picture, D channels of the last stage,
h x w cells of the feature map (h = H // 8, w = W // 4), T frames (T = w), C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.utils import ModelOutput, logging

from crnn.charset import BLANK
from crnn.config import CRNNConfig

Array = npt.NDArray[np.float32]

TINY = 1e-12  # a kernel of zeros has steps, too
IGNORED = -100  # frames without a known class, as in torch.nn.functional.cross_entropy


@dataclass
class CRNNOutput(ModelOutput):
    """What the model gives.

    Attributes:
        loss: scalar, only with ``labels``.
        logits: (N, T, C) float32, before the softmax.
        attention: (N, T, h, w) float32; where each frame looks on the picture, summing to 1 for each frame.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    attention: Tensor | None = None


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., 2015, Deep Residual Learning, section 3.3)."""

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int], column_px: int) -> None:
        super().__init__()
        self.column_px = column_px  # of the picture, to a column of what comes out
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or stride != (1, 1):
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor, widths: Tensor | None) -> Tensor:
        y = clear_padding(F.relu(self.norm1(self.conv1(x))), widths, self.column_px)
        y = self.norm2(self.conv2(y))
        return clear_padding(F.relu(y + self.shortcut(x)), widths, self.column_px)


class Backbone(nn.Module):
    """Stem and residual stages: (N, 3, H, W) -> (N, D, H // 8, W // 4)."""

    # Height halves three times, width only twice: a narrow character must still get frames of its own.
    STEM_PX = 2  # of the picture, to a column after the stem
    STRIDES = ((1, 1), (2, 2), (2, 1), (1, 1))

    def __init__(self, config: CRNNConfig) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, config.channels[0], 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(config.channels[0])
        blocks: list[nn.Module] = []
        inputs, column_px = config.channels[0], self.STEM_PX
        for outputs, count, stride in zip(config.channels[1:], config.blocks, self.STRIDES, strict=True):
            column_px *= stride[1]
            for number in range(count):
                blocks.append(ResidualBlock(inputs, outputs, stride if number == 0 else (1, 1), column_px))
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor, widths: Tensor | None) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)  # CPUs and GPUs convolve it faster
        x = clear_padding(F.relu(self.norm(self.stem(x))), widths, self.STEM_PX)  # (N, 32, H/2, W/2)
        for block in self.blocks:
            x = block(x, widths)
        return x  # (N, D, h, w)


class FrameAttention(nn.Module):
    """Each frame looks around in the feature map and takes along what it sees.

    Scaled dot products (Vaswani et al., 2017, section 3.2) between a frame, the mean of its column, and all cells of
    the map within ``attention_reach`` columns, with a learnt bias for the distance. All that goes on to the LSTM is
    what was looked at, so the weights tell what the answer rests on.
    """

    def __init__(self, config: CRNNConfig) -> None:
        super().__init__()
        self.frame_px = config.stride
        size, self.heads, self.reach = config.channels[-1], config.attention_heads, config.attention_reach
        self.rows = nn.Parameter(torch.zeros(config.height // 8, 1, size))
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size, bias=False)
        self.value = nn.Linear(size, size)
        self.output = nn.Linear(size, size)
        offset = torch.arange(-self.reach, self.reach + 1)
        self.distance_bias = nn.Parameter(-offset.abs().float().repeat(self.heads, 1))  # near cells first

    def forward(self, features: Tensor, widths: Tensor | None) -> tuple[Tensor, Tensor]:
        n, size, h, w = features.shape
        cells = features.permute(0, 2, 3, 1) + self.rows  # (N, h, w, D)
        query = self._split(self.query(cells.mean(dim=1)))  # (N, heads, T, D/heads)
        cells = cells.reshape(n, h * w, size)
        key, value = self._split(self.key(cells)), self._split(self.value(cells))  # (N, heads, h*w, D/heads)
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5  # (N, heads, T, h*w)
        scores = scores.float().view(n, self.heads, w, h, w) + self._bias(w)[:, :, None]  # (N, heads, T, h, w)
        if widths is not None:
            scores = scores.masked_fill(
                ~valid_columns(widths, w, self.frame_px)[:, None, None, None], torch.finfo(torch.float32).min
            )
        weights = scores.flatten(3).softmax(-1)  # (N, heads, T, h*w)
        context = (weights.to(value.dtype) @ value).transpose(1, 2).reshape(n, w, size)  # (N, T, D)
        return self.output(context), weights.mean(dim=1).view(n, w, h, w)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _bias(self, w: int) -> Tensor:
        """The bias for each pair of frame and column, (heads, T, w); far columns can't be seen."""
        columns = torch.arange(w, device=self.distance_bias.device)
        offset = columns[None] - columns[:, None]
        bias = self.distance_bias[:, offset.clamp(-self.reach, self.reach) + self.reach]
        return bias.float().masked_fill(offset.abs() > self.reach, torch.finfo(torch.float32).min)


class CRNNForCTC(PreTrainedModel):
    """Convolutions -> attention -> bidirectional LSTM -> CTC head.

    Shi, Bai, Yao, 2015, An End-to-End Trainable Neural Network for Image-based Sequence Recognition (CRNN), with
    residual convolutions and attention over the feature map; Graves et al., 2006, for the CTC loss.
    """

    config: CRNNConfig
    config_class = CRNNConfig
    base_model_prefix = "crnn"
    main_input_name = "pixel_values"
    rounds = False  # of crnn.recognizer.Network

    def __init__(self, config: CRNNConfig) -> None:
        super().__init__(config)
        size = config.channels[-1]
        self.backbone = Backbone(config)
        self.attention = FrameAttention(config)
        self.dropout = nn.Dropout(config.dropout)
        self.lstm = nn.LSTM(size, config.lstm_size, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * config.lstm_size + size, config.classes)
        self.frozen_norms = False  # few pictures say little of all others' means and variances
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def train(self, mode: bool = True) -> CRNNForCTC:
        """As in torch, but for the norms' statistics while they are frozen."""
        super().train(mode)
        if self.frozen_norms:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    @torch.no_grad()
    def add_characters(self, characters: str) -> None:
        """Extend the head by characters that the charset lacks; the logits of all others stay as they are.

        Each new class begins as the mean of the others, and so no more probable than they are.
        """
        old, known = self.head, len(self.config.charset) + 1
        self.config.charset += characters
        self.head = nn.Linear(old.in_features, known + len(characters)).to(old.weight.device)
        for new, kept in ((self.head.weight, old.weight), (self.head.bias, old.bias)):
            new[:known] = kept
            new[known:] = kept[1:].mean(dim=0)

    def forward(
        self,
        pixel_values: Tensor,
        widths: Tensor | None = None,
        labels: Tensor | None = None,
        alignment: Tensor | None = None,
    ) -> CRNNOutput:
        """Read a batch of prepared pictures (:func:`crnn.image.prepare`).

        Args:
            pixel_values: (N, 3, H, W) float; H is the config's height, W a multiple of its stride.
            widths: (N,) int, each picture's own width in px; what lies right of it is padding and never changes the
                answer. None: no picture is padded.
            labels: (N, L) int class ids, padded with the blank; with them the output has a loss.
            alignment: (N, T) int, the class of each frame where it is known, else ``IGNORED``. Drawn pictures know
                where their glyphs are; telling the frames so saves CTC the long search for an alignment.

        Raises:
            ValueError: the height is not the config's, or the width is no multiple of the stride, or a label has more
                characters than the frames can hold.
        """
        height, width = pixel_values.shape[-2:]
        if height != self.config.height or width % self.config.stride:
            raise ValueError(
                f"The batch is {height} px high and {width} px wide; this model takes {self.config.height} px and a "
                f"multiple of {self.config.stride} px: prepare the pictures with crnn.image.prepare."
            )
        features = self.backbone(pixel_values, widths)  # (N, D, h, w)
        context, attention = self.attention(features, widths)  # (N, T, D), (N, T, h, w)
        sequence = self._read_sequence(self.dropout(context), widths)  # (N, T, 2 * lstm_size)
        # The head sees the glyph itself beside its neighbourhood: the backbone learns before the LSTM does.
        logits = self.head(self.dropout(torch.cat([sequence, context], dim=-1))).float()  # (N, T, C)
        loss = None
        if labels is not None:
            loss = ctc_loss(logits, labels, self._frames(logits, widths))
        if loss is not None and alignment is not None:
            loss = loss + alignment_loss(logits, alignment)
        return CRNNOutput(loss=loss, logits=logits, attention=attention)

    @torch.inference_mode()
    def infer(self, prepared: Sequence[Array], exact: bool = True) -> list[tuple[Array, Array]]:
        """What it sees in each picture: log-probabilities (T, C) and attention (T, h, T). Ends training mode.

        Args:
            prepared: each (3, H, W), of :func:`crnn.image.prepare`; W may differ.
            exact: it always is, in float32.
        """
        if not prepared:
            return []
        self.eval()
        widths = [picture.shape[2] for picture in prepared]
        batch = np.zeros((len(prepared), 3, prepared[0].shape[1], max(widths)), np.float32)  # 0 is each one's mean
        for row, picture in zip(batch, prepared, strict=True):
            row[:, :, : picture.shape[2]] = picture
        padded = min(widths) < max(widths)
        output = self(
            torch.from_numpy(batch).to(self.device), torch.tensor(widths, device=self.device) if padded else None
        )
        log_probs, attention = output.logits.log_softmax(-1).cpu().numpy(), output.attention.cpu().numpy()
        frames = [slice(width // self.config.stride) for width in widths]  # the rest is padding
        return [(log_probs[row, own], attention[row, own, :, own]) for row, own in enumerate(frames)]

    def _read_sequence(self, context: Tensor, widths: Tensor | None) -> Tensor:
        if widths is None:
            output: Tensor = self.lstm(context)[0]
            return output
        frames = self._frames(context, widths).cpu()  # packed, so that the backward direction starts at each own end
        packed = nn.utils.rnn.pack_padded_sequence(context, frames, batch_first=True, enforce_sorted=False)
        return nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=context.shape[1])[
            0
        ]

    def _frames(self, x: Tensor, widths: Tensor | None) -> Tensor:
        """Frames of each picture, (N,); x is (N, T, anything)."""
        if widths is None:
            return torch.full((x.shape[0],), x.shape[1], device=x.device)
        return widths // self.config.stride


def load(folder: Path) -> CRNNForCTC:
    """The model of a checkpoint's folder, ready to read. Raises RuntimeError where its weights are another model's."""
    logging.disable_progress_bar()  # it would stand among the readings for a file of a few megabytes
    loaded: Any = CRNNForCTC.from_pretrained(folder, output_loading_info=True)
    model: CRNNForCTC
    model, info = loaded
    if info["missing_keys"]:  # they were made up at random
        raise RuntimeError(f"{folder} lacks {len(info['missing_keys'])} of the model's tensors.")
    return model.eval()


def in_8_bits(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A copy of a model's weights, its stages' kernels rounded as :mod:`crnn.engine` rounds them on many CPUs.

    What is measured and kept with such weights is what is read there: only activations are left to be rounded. A
    second rounding changes nothing.

    Args:
        weights: under the model's own names. Each output channel of a kernel (outputs, inputs, h, w) is rounded to 255
            steps around 0, up to its largest value; all others are copied.
    """
    rounded = {}
    for name, value in weights.items():
        if name.startswith("backbone.blocks.") and value.ndim == 4:
            step = value.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=TINY) / 127
            rounded[name] = (value / step).round() * step
        else:
            rounded[name] = value.clone()
    return rounded


def valid_columns(widths: Tensor, columns: int, column_px: int) -> Tensor:
    """Which columns of a map over the padded batch belong to each picture: (N, columns) bool."""
    return torch.arange(columns, device=widths.device) < (widths // column_px)[:, None]


def clear_padding(x: Tensor, widths: Tensor | None, column_px: int) -> Tensor:
    """Set to zero what lies right of each picture in x (N, D, h, w), as a convolution's own padding does."""
    if widths is None:
        return x
    return x * valid_columns(widths, x.shape[-1], column_px)[:, None, None].to(x.dtype)


def ctc_loss(logits: Tensor, labels: Tensor, frames: Tensor) -> Tensor:
    """Connectionist temporal classification (Graves et al., 2006), the mean over the characters of the batch.

    Args:
        logits: (N, T, C) float32.
        labels: (N, L) class ids, padded with the blank.
        frames: (N,) how many of the T frames are the picture's.

    Raises:
        ValueError: a label needs more frames than its picture has (one a character, one more between equal neighbours).
    """
    lengths = (labels != BLANK).sum(dim=1)  # (N,)
    needed = lengths + ((labels[:, 1:] == labels[:, :-1]) & (labels[:, 1:] != BLANK)).sum(dim=1)
    if bool((needed > frames).any()):
        worst = int((needed - frames).argmax())
        raise ValueError(
            f"A label of {int(lengths[worst])} characters needs {int(needed[worst])} frames, its picture has "
            f"{int(frames[worst])}: give a wider picture or a shorter label."
        )
    log_probs = logits.log_softmax(-1).transpose(0, 1)  # (T, N, C)
    return F.ctc_loss(log_probs, labels, frames, lengths, blank=BLANK, reduction="mean")


def alignment_loss(logits: Tensor, alignment: Tensor) -> Tensor:
    """Cross entropy of the frames whose class is known: for each picture their mean, and of these the batch's.

    Like this every picture weighs the same, and a batch that is split evenly among processes has the mean of theirs.

    Args:
        logits: (N, T, C) float32.
        alignment: (N, T) class ids, or ``IGNORED``.
    """
    each = F.cross_entropy(logits.transpose(1, 2), alignment, ignore_index=IGNORED, reduction="none")  # (N, T)
    known = (alignment != IGNORED).sum(dim=1).clamp(min=1)  # (N,)
    return (each.sum(dim=1) / known).mean()
