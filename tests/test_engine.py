"""The network on a CPU without torch: it sees what torch sees, whatever the widths and threads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crnn import engine
from crnn.engine import Engine
from crnn.image import prepare
from crnn.model import CRNNForCTC
from crnn.recognizer import SHIPPED, Recognizer

HEAVY = ("torch", "transformers", "gradio", "pandas", "openvino_telemetry")
ROUNDING = 0.02  # of probabilities, by 8-bit integers


@pytest.fixture
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine computes as torch does, on every CPU."""
    monkeypatch.setattr(engine, "INTEGERS", False)


def noise(widths: list[int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((3, 48, width)).astype(np.float32) for width in widths]


@pytest.mark.usefixtures("in_float32")
def test_it_sees_what_torch_sees_at_every_width(tiny_model: CRNNForCTC, tiny_checkpoint: Path) -> None:
    network, pictures = Engine.from_folder(tiny_checkpoint), noise([64, 32, 160, 64, 64, 64, 64, 64, 32, 1024])
    network.streams = 1  # else so few pictures are looked at one by one
    assert [len(some) for some in network._together(pictures)] == [1, 1, 1, 4, 1, 1, 1]
    both = zip(network.infer(pictures), tiny_model.infer(pictures), strict=True)
    for picture, (ours, theirs) in zip(pictures, both, strict=True):
        frames = picture.shape[2] // 4
        assert ours[0].shape == (frames, 15) and ours[1].shape == (frames, 6, frames)
        for mine, its in zip(ours, theirs, strict=True):
            assert mine.dtype == np.float32 and np.allclose(mine, its, atol=1e-4)


def test_rounding_moves_probabilities_little(word_picture: Callable[..., np.ndarray]) -> None:
    pictures = [prepare(word_picture(text, width=width), 48, 4) for text, width in (("7Kx2", 160), ("a", 60))]
    torch_reader = Recognizer.from_pretrained(device="cpu")
    both = zip(Engine.from_folder(SHIPPED).infer(pictures), torch_reader.model.infer(pictures), strict=True)
    for (log_probs, attention), (exact_log_probs, exact_attention) in both:
        assert np.allclose(np.exp(log_probs), np.exp(exact_log_probs), atol=ROUNDING)
        assert np.allclose(attention, exact_attention, atol=ROUNDING)


def test_the_range_of_a_channel_is_told_by_its_norms() -> None:
    weights = {"a.bias": np.array([0.0, 1.0]), "a.weight": np.array([3.0, -2.0])}
    weights |= {"b.bias": np.array([0.5, 5.0]), "b.weight": np.array([4.0, 0.0])}
    assert engine._most(weights, ["a"]) == engine.SPREAD * 3
    assert engine._most(weights, ["a", "b"]) == 0.5 + engine.SPREAD * 5


def test_a_kernel_of_zeros_is_multiplied_as_8_bit_integers_too() -> None:
    here = Engine.from_folder(SHIPPED)
    weights = {name: array.copy() for name, array in here._weights.items()}
    weights["backbone.blocks.3.conv1.weight"][0] = 0.0
    ((log_probs, _),) = Engine(here.config, weights).infer(noise([64]))
    assert np.isfinite(log_probs).all()


def test_no_pictures_are_no_work(tiny_checkpoint: Path) -> None:
    assert Engine.from_folder(tiny_checkpoint).infer([]) == []


def test_threads_do_not_mix_up_their_pictures(tiny_checkpoint: Path) -> None:
    network, pictures = Engine.from_folder(tiny_checkpoint), noise([32, 64, 96, 128] * 8)
    alone = [network.infer([picture])[0][0] for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda picture: network.infer([picture])[0][0], pictures))
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


def test_a_forked_process_reads_and_so_does_one_that_gets_a_copy(
    tmp_path: Path, tiny_checkpoint: Path, word_picture: Callable[..., np.ndarray]
) -> None:
    Image.fromarray(word_picture("7Kx2")).save(tmp_path / "one.png")
    code = f"""
import multiprocessing, pickle
from crnn.engine import Engine
from crnn.recognizer import Recognizer
from pathlib import Path

reader = Recognizer(Engine.from_folder(Path({str(tiny_checkpoint)!r})))
texts = [reader.read({str(tmp_path / "one.png")!r}).text]
with multiprocessing.get_context("fork").Pool(1) as pool:
    for work in (reader.read, pickle.loads(pickle.dumps(reader)).read):
        texts.append(pool.apply_async(work, [{str(tmp_path / "one.png")!r}]).get(60).text)
print(len(texts), len(set(texts)))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stdout.split() == ["3", "1"], ran.stderr


def test_a_head_for_other_characters_is_refused(tiny_model: CRNNForCTC) -> None:
    weights = {name: tensor.numpy() for name, tensor in tiny_model.state_dict().items()}
    shape = {name: getattr(tiny_model.config, name) for name in engine.Config.__dataclass_fields__}
    with pytest.raises(RuntimeError, match="15 classes for 15 characters"):
        Engine(engine.Config(**{**shape, "charset": "0123456789abABx"}), weights)


def test_reading_on_a_cpu_imports_no_torch_and_reports_to_nobody(
    tmp_path: Path, word_picture: Callable[..., np.ndarray]
) -> None:
    Image.fromarray(word_picture("7Kx2")).save(tmp_path / "one.png")
    code = (
        "import sys, crnn.cli, crnn.recognizer as r; r.has_gpu = lambda: False;"
        f"crnn.cli.main(['read', {str(tmp_path / 'one.png')!r}]);"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[1] == "[]"


def test_the_shipped_kernels_lie_on_the_steps_in_which_they_are_multiplied() -> None:
    weights = Engine.from_folder(SHIPPED)._weights
    kernels = [name for name in weights if name.startswith("backbone.blocks.") and weights[name].ndim == 4]
    assert kernels
    for name in kernels:
        steps = 127 * weights[name] / np.abs(weights[name]).max(axis=(1, 2, 3), keepdims=True)
        assert np.allclose(steps, steps.round(), atol=1e-3), name
