"""What several tests need: a network small enough for milliseconds, and pictures without fonts or files."""

from __future__ import annotations

import os

# Before any library looks: no test reaches the network.
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "GRADIO_ANALYTICS_ENABLED": "False"}

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import crnn.fonts
from crnn.config import CRNNConfig
from crnn.model import CRNNForCTC

crnn.fonts.FOLDERS = ()  # pip's fonts alone: the same pictures on every machine


@pytest.fixture(scope="session", autouse=True)
def train_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the Train tab keeps stays among the tests' files."""
    os.environ["CRNN_TRAIN_FOLDER"] = str(tmp_path_factory.mktemp("train"))


@pytest.fixture(scope="session")
def tiny_config() -> CRNNConfig:
    """A network of a few thousand parameters that knows digits and two letters in both cases."""
    return CRNNConfig(charset="0123456789abAB", channels=(8, 8, 8, 8, 16), attention_heads=2, lstm_size=8)


@pytest.fixture(scope="session")
def tiny_model(tiny_config: CRNNConfig) -> CRNNForCTC:
    """The tiny network, untrained, the same in each run."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CRNNForCTC(tiny_config).eval()


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_model: CRNNForCTC, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network in a folder."""
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny_model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def word_picture() -> Callable[..., np.ndarray]:
    """A function that draws a text in black on white: (height, width, 3) uint8."""

    def draw(text: str, width: int = 160, height: int = 60) -> np.ndarray:
        picture = np.full((height, width, 3), 255, np.uint8)
        cv2.putText(picture, text, (8, height - 18), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (0, 0, 0), 2)
        return picture

    return draw
