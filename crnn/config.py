"""Every number that fixes a tensor's shape."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig

from crnn.charset import NAMED


class CRNNConfig(PreTrainedConfig):
    """Shape of a :class:`crnn.model.CRNNForCTC`.

    Args:
        charset: the characters that can be read; character ``i`` is class ``i + 1``, class 0 is the CTC blank.
        height: height in px that every picture is scaled to; a multiple of 8, the backbone's vertical stride.
        channels: channels after the stem and after each of the residual stages; multiples of 8, or training can hang
            on a CPU without AVX-512 (oneDNN's convolutions).
        blocks: residual blocks in each stage.
        attention_heads: heads of the attention; each can look at another part of a glyph.
        attention_reach: how many frames to the left and to the right a frame may look.
        lstm_size: hidden units of the LSTM, in each direction.
        dropout: share of the LSTM's inputs and outputs that training drops.
        calibration: slope and offset of Platt's scaling (1999): calibrated log odds = slope * the network's log odds of
            a text + offset, so that they are those of its being right, ignoring case; training fits them.

    Raises:
        ValueError: the height is no multiple of 8, or the channels can't be split among the heads.
    """

    model_type = "crnn"

    def __init__(
        self,
        charset: str = NAMED["alphanumeric"],
        height: int = 48,
        channels: tuple[int, ...] = (32, 32, 64, 96, 128),
        blocks: tuple[int, ...] = (1, 1, 1, 1),
        attention_heads: int = 4,
        attention_reach: int = 3,
        lstm_size: int = 128,
        dropout: float = 0.1,
        calibration: tuple[float, float] = (1.0, 0.0),
        **kwargs: Any,
    ) -> None:
        if height % 8:
            raise ValueError(f"height is {height} px; the backbone halves it three times, so give a multiple of 8.")
        if channels[-1] % attention_heads:
            raise ValueError(f"{channels[-1]} channels can't be split among {attention_heads} attention heads.")
        self.charset = charset
        self.height = height
        self.channels = tuple(channels)
        self.blocks = tuple(blocks)
        self.attention_heads = attention_heads
        self.attention_reach = attention_reach
        self.lstm_size = lstm_size
        self.dropout = dropout
        self.calibration = tuple(calibration)
        super().__init__(**kwargs)

    @property
    def stride(self) -> int:
        """Width of a frame in px of the prepared picture."""
        return 4

    @property
    def classes(self) -> int:
        """Classes of the head: the blank and one for each character."""
        return len(self.charset) + 1
