"""The ONNX file: what it gives is what torch gives, for any number of pictures of any width."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import pytest

from crnn.cli import main
from crnn.config import CRNNConfig
from crnn.image import prepare
from crnn.model import CRNNForCTC


@pytest.fixture(scope="module")
def exported(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    assert main(["export", str(tiny_checkpoint), "--onnx", str(file)]) == 0
    return file


@pytest.mark.parametrize(("pictures", "width"), [(1, 160), (3, 90), (2, 600)])
def test_it_gives_what_torch_gives(
    exported: Path, tiny_model: CRNNForCTC, word_picture: Callable[..., np.ndarray], pictures: int, width: int
) -> None:
    height, stride = tiny_model.config.height, tiny_model.config.stride
    batch = [prepare(word_picture("ab12"[number:], width), height, stride) for number in range(pictures)]
    network = ov.Core().compile_model(ov.Core().read_model(exported), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    log_probs, attention = network([np.stack(batch)]).values()
    for row, (expected, looked) in enumerate(tiny_model.infer(batch)):
        assert np.allclose(log_probs[row], expected, atol=1e-4)
        assert np.allclose(attention[row], looked, atol=1e-5)


def test_the_file_says_what_it_takes_and_gives(exported: Path, tiny_config: CRNNConfig) -> None:
    model = onnx.load(exported)
    onnx.checker.check_model(model, full_check=True)
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert said == {"charset": tiny_config.charset, "height": "48", "stride": "4", "calibration": "1.0 0.0"}
    assert "class 0 is the blank" in model.graph.doc_string
    shapes = {
        value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {
        "pixel_values": ["pictures", 3, 48, "4*frames"],
        "log_probs": ["pictures", "frames", len(tiny_config.charset) + 1],
        "attention": ["pictures", "frames", 6, "frames"],
    }


def test_what_cannot_be_exported_is_one_sentence(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(tmp_path), "--onnx", str(tmp_path / "a.onnx")]) == 1
    assert "holds no config.json; give a folder that" in capsys.readouterr().err
    for bad in (tmp_path / "nowhere" / "a.onnx", tmp_path):
        with pytest.raises(SystemExit):
            main(["export", str(tiny_checkpoint), "--onnx", str(bad)])
        assert "is no place for a network; give a FILE in a folder that exists" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
