"""New labelled pictures from parts of others: cut between characters, and joined to texts that nobody brought."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.random import Generator

from crnn.charset import Charset
from crnn.decode import alignment
from crnn.image import Geometry, Picture, prepare
from crnn.model import CRNNForCTC

SEAM = 0.15  # width of the cross-fade where two parts meet, as a share of the height


Labelled = tuple[Picture, str, np.ndarray]  # (H, W, 3) uint8; its text; where its characters part, as of `partings`


def splice(rng: Generator, left: Labelled, right: Labelled) -> tuple[Picture, str]:
    """The beginning of one picture and the end of another.

    Args:
        rng: where both are cut.
        left: whose beginning is taken.
        right: whose end is taken.

    Returns:
        A picture as high as the left one, and its text: of at least two characters, about as long as the others.
    """
    (picture, text, cuts), (other, other_text, other_cuts) = left, right
    i = int(rng.integers(1, len(text)))
    wanted = len(text) - i  # as long as it was
    j = int(np.clip(len(other_text) - wanted, 1, len(other_text) - 1))
    scale = picture.shape[0] / other.shape[0]
    end = cv2.resize(other, (max(2, round(other.shape[1] * scale)), picture.shape[0]), interpolation=cv2.INTER_AREA)
    x, y = round(float(cuts[i - 1])), round(float(other_cuts[j - 1]) * scale)
    seam = max(1, round(SEAM * picture.shape[0] / 2))
    a = picture[:, : min(x + seam, picture.shape[1])]
    b = end[:, max(y - seam, 0) :]
    overlap = min(2 * seam, a.shape[1], b.shape[1])
    fade = np.linspace(0, 1, overlap, dtype=np.float32)[None, :, None]
    middle = (1 - fade) * a[:, -overlap:] + fade * b[:, :overlap]
    joined = np.concatenate([a[:, :-overlap], middle.astype(np.uint8), b[:, overlap:]], axis=1)
    return joined, text[:i] + other_text[j:]


@torch.inference_mode()
def partings(model: CRNNForCTC, picture: Picture, text: str) -> np.ndarray:
    """Where the characters of a labelled picture part, (len(text) - 1,) in px, as the model sees it.

    Args:
        model: in evaluation mode.
        picture: (H, W, 3) uint8.
        text: what it says, of the model's charset.
    """
    height, stride = model.config.height, model.config.stride
    geometry = Geometry.of(picture, height, stride)
    logits = model(torch.from_numpy(prepare(picture, height, stride))[None]).logits[0]
    frames = alignment(logits.log_softmax(-1).numpy(), Charset(model.config.charset).encode(text))
    centres = np.array(frames).mean(axis=1)
    return (centres[1:] + centres[:-1]) / 2 * geometry.width / geometry.frames
