"""Which families of drawn pictures are most like given ones, by what the backbone sees in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from crnn.data import ASPECTS
from crnn.image import Source, open_picture, prepare
from crnn.model import CRNNForCTC
from crnn.styles import STYLES
from crnn.synth import draw

DRAWN, NEIGHBOURS = 24, 5  # pictures of each family to compare with; how many of all vote for a given one
MOST = 100  # given pictures that are compared


@torch.inference_mode()
def families_like(model: CRNNForCTC, pictures: Sequence[Source], seed: int) -> dict[str, float]:
    """How alike pictures are to each family, summing to 1; families that nothing is alike to are left out.

    Each picture's nearest drawn neighbours vote for their families (Cover and Hart, 1967), by the mean and the
    deviation of each channel of the backbone's features, standardised over the drawn ones.

    Args:
        model: whose backbone compares; left in evaluation mode.
        pictures: at least one; those that are chosen are opened, one at a time.
        seed: of the drawing and of the choice among many pictures.
    """
    model.eval()
    height, stride = model.config.height, model.config.stride
    rng = np.random.default_rng((seed, 3))
    seen, aspects = [], []
    for i in rng.permutation(len(pictures))[:MOST]:
        picture = open_picture(pictures[i])
        seen.append(prepare(picture, height, stride))
        aspects.append(float(np.clip(picture.shape[1] / picture.shape[0], *ASPECTS)))
    given, drawn = _features(model, seen), []
    for name in STYLES:
        some = [draw(rng, style=name, aspect=aspects[rng.integers(len(aspects))]).picture for _ in range(DRAWN)]
        drawn.append(_features(model, [prepare(picture, height, stride) for picture in some]))
    names, known = [name for name in STYLES for _ in range(DRAWN)], np.concatenate(drawn)
    mean, deviation = known.mean(axis=0), known.std(axis=0) + 1e-6
    known, given = (known - mean) / deviation, (given - mean) / deviation
    distance = ((given[:, None] - known[None]) ** 2).sum(axis=2)  # (pictures, drawn)
    nearest = np.argsort(distance, axis=1)[:, :NEIGHBOURS].ravel()
    voted, votes = np.unique([names[i] for i in nearest], return_counts=True)
    return {str(name): float(count / votes.sum()) for name, count in zip(voted, votes, strict=True)}


def _features(model: CRNNForCTC, prepared: Sequence[np.ndarray]) -> np.ndarray:
    """Mean and deviation of each channel in prepared pictures, each (3, H, W): (pictures, 2 * D).

    Those of one width go through the backbone together; most are, as drawn ones have the given ones' aspects.
    """
    found = np.empty((len(prepared), 2 * model.config.channels[-1]), np.float32)
    widths = np.array([picture.shape[2] for picture in prepared])
    for width in np.unique(widths):
        same = np.flatnonzero(widths == width)
        cells = model.backbone(torch.from_numpy(np.stack([prepared[i] for i in same.tolist()])), None).flatten(
            2
        )  # (N, D, h*w)
        found[same] = torch.cat([cells.mean(dim=2), cells.std(dim=2)], dim=1)
    return found
