"""Which families of drawn pictures are most like given ones, by what the backbone sees in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from crnn.data import ASPECTS
from crnn.image import Picture, Source, open_picture, prepare
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

    def features(picture: Picture) -> np.ndarray:
        cells = model.backbone(torch.from_numpy(prepare(picture, height, stride))[None], None)[0].flatten(1)  # (D, n)
        return torch.cat([cells.mean(dim=1), cells.std(dim=1)]).numpy()

    rng = np.random.default_rng((seed, 3))
    seen, aspects = [], []
    for i in rng.permutation(len(pictures))[:MOST]:
        picture = open_picture(pictures[i])
        seen.append(features(picture))
        aspects.append(float(np.clip(picture.shape[1] / picture.shape[0], *ASPECTS)))
    names, drawn = [], []
    for name in STYLES:
        for _ in range(DRAWN):
            names.append(name)
            aspect = aspects[rng.integers(len(aspects))]
            drawn.append(features(draw(rng, style=name, aspect=aspect).picture))
    known = np.stack(drawn)
    mean, deviation = known.mean(axis=0), known.std(axis=0) + 1e-6
    known, given = (known - mean) / deviation, (np.stack(seen) - mean) / deviation
    distance = ((given[:, None] - known[None]) ** 2).sum(axis=2)  # (pictures, drawn)
    nearest = np.argsort(distance, axis=1)[:, :NEIGHBOURS].ravel()
    voted, votes = np.unique([names[i] for i in nearest], return_counts=True)
    return {str(name): float(count / votes.sum()) for name, count in zip(voted, votes, strict=True)}
