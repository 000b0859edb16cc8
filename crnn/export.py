"""A checkpoint as an ONNX file, for programs in other languages and for other runtimes.

What the network takes and gives is said in the file itself, too. Preparing pictures (:func:`crnn.image.prepare`), the
other looks (:mod:`crnn.recognizer`) and decoding (:mod:`crnn.decode`) are not part of it.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir
import torch
from torch import Tensor, nn
from torch.export import Dim

from crnn.hub import loading
from crnn.model import load

if TYPE_CHECKING:
    from crnn.config import CRNNConfig
    from crnn.model import CRNNForCTC

ABOUT = (
    "Reads a line of distorted text. pixel_values (pictures, 3, {height}, width): RGB, resized to {height} px of "
    "height and a multiple of {stride} px of width, which the pictures of a call have in common; over all channels "
    "together the mean 0 and the standard deviation 1. log_probs (pictures, frames, classes), a frame for every "
    "{stride} px: class 0 is the blank of CTC, class i the i-th character of the charset in the metadata. attention "
    "(pictures, frames, rows, columns): where each frame looked; it sums to 1."
)


class _Reading(nn.Module):
    """What :meth:`crnn.model.CRNNForCTC.infer` gives of pictures of one width."""

    def __init__(self, model: CRNNForCTC) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        output = self.model(pixel_values)
        return output.logits.log_softmax(-1), output.attention


def export_onnx(checkpoint: str | Path, file: Path) -> None:
    """Write a checkpoint's network to a file, weights included. It takes about half a minute.

    Its input is pixel_values (N, 3, H, W) float32, with any N and with W a multiple of the stride; its outputs are
    log_probs (N, T, C) and attention (N, T, h, T), as in :class:`crnn.model.CRNNOutput`. The charset, the height, the
    stride and the calibration stand in its metadata.

    Args:
        checkpoint: a folder with config.json and model.safetensors, or the id of a model on the Hugging Face Hub.
        file: where to write; what is there is replaced.

    Raises:
        ValueError: there is no such checkpoint, or it holds another kind of model.
        OSError: the file can't be written.
    """
    with loading(checkpoint) as folder:
        model = load(folder)
    config: CRNNConfig = model.config
    shapes = {0: Dim("pictures"), 3: config.stride * Dim("frames")}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision is not there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what torch itself does on the way
        program = torch.onnx.export(
            _Reading(model).eval(),
            (torch.zeros(2, 3, config.height, 16 * config.stride),),
            input_names=["pixel_values"],
            output_names=["log_probs", "attention"],
            dynamic_shapes={"pixel_values": shapes},
            external_data=False,
            verbose=False,
        )
    assert program is not None  # it would be, had torch been given a file
    graph = program.model.graph
    for value in (output for node in graph for output in node.outputs):
        value.shape = None  # from the LSTM on, torch takes the frames of the example for those of all
    log_probs, attention = graph.outputs
    log_probs.shape = onnx_ir.Shape(("pictures", "frames", config.classes))
    attention.shape = onnx_ir.Shape(("pictures", "frames", config.height // 8, "frames"))
    graph.doc_string = ABOUT.format(height=config.height, stride=config.stride)
    program.model.metadata_props.update(
        charset=config.charset,
        height=str(config.height),
        stride=str(config.stride),
        calibration=" ".join(map(str, config.calibration)),
    )
    program.save(file)
