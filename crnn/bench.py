"""How fast everything is, side by side with the peers that are installed: ddddocr, RapidOCR's line recogniser, and for
training docTR's CRNN, for drawing the package captcha.

Every figure is taken in a process of its own, bound to so many cores (where the system can do that), all on the same
pictures. Machines differ and are noisy: what counts are the ratios of one run. Where torch has a GPU, what it does
comes last, beside the floor: what the operations and the bytes of the work allow at the rates that were measured.
"""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from itertools import cycle, product
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.request import urlopen

import numpy as np

from crnn import fonts
from crnn.recognizer import has_gpu

ROOT = Path(__file__).parent.parent
WIDTH_PX, HEIGHT_PX = 160, 60
PICTURES, MIXED = 60, 2000  # of that size; of all sizes
ROUNDS, WARM_UP = 5, 5  # times that each picture is read; reads before the clock runs
BATCHES = (1, 8, 32, 128)
WIDTHS_PX = (80, 160, 320, 640)
PROCESSES = (1, 2, 4)
GPU_BATCH = 1024  # pictures a call
BEAMS = (9, 29, 99)  # other texts to give; the beam holds one more
DRAWN, DRAWN_PX = 2000, 64  # pictures to draw, and their height
TRAINED, STEPS, GPU_STEPS = 64, 24, 240  # pictures a training step; steps to time
STARTS = 3  # of each process that is timed from its start
PATIENCE_S = 120

OURS, PEERS, TRAINER, DRAWER = "crnn", ("ddddocr", "rapidocr"), "doctr", "captcha"
CPU, GPU = "cpu", "cuda"  # as torch names them
READ = {
    "ddddocr": "import ddddocr; print(ddddocr.DdddOcr(show_ad=False).classification(open({0!r}, 'rb').read()))",
    "rapidocr": "from rapidocr import RapidOCR;"
    "print(RapidOCR()({0!r}, use_det=False, use_cls=False, use_rec=True).txts)",
}
PROCESS = """
import resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], capture_output=True, check=True)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
HELLO = "import gradio as gr; gr.Interface(lambda name: f'Hello {{name}}!', 'text', 'text').launch(server_port={0})"

Reader = Callable[[bytes], Any]


class Figure(NamedTuple):
    """One figure: what was measured, of whom, its value, and the unit."""

    what: str
    who: str
    value: float
    unit: str


def bench(pictures: int = PICTURES, mixed: int = MIXED) -> Iterator[Figure]:
    """Measure everything, a figure at a time.

    Args:
        pictures: how many of one size, to take the median over.
        mixed: how many of all sizes, to read one after the other.
    """
    peers = [peer for peer in PEERS if find_spec(peer)]
    for what, styles in (("read what is clear, 1 core", ["plain"]), ("read hard ones of all kinds, 1 core", None)):
        readers = ("crnn greedy", "crnn", "crnn constrained", *peers)
        # Some processes are luckier with their memory than others, and a busy machine is slower for a while: in each
        # round every reader has its turn.
        rounds = [[apart(1, _latency, who, pictures, WIDTH_PX, styles) for who in readers] for _ in range(STARTS)]
        for who, took in zip(readers, zip(*rounds, strict=True), strict=True):
            yield Figure(what, who, median(took), "ms")
    for who in ("crnn greedy", *peers):
        yield Figure("read many, 2 cores", who, apart(2, _throughput, who, mixed), "pictures/s")
    for processes in PROCESSES:
        rate = _side_by_side(processes, mixed)
        yield Figure(f"read many, processes of a core: {processes}", OURS, rate, "pictures/s")
    for size in BATCHES:
        yield Figure(f"batches of {size}, 2 cores", OURS, apart(2, _batches, size, pictures), "ms a picture")
    for top in BEAMS:
        yield Figure(f"decode with a beam of {top + 1}, 1 core", OURS, apart(1, _decoding, top), "ms")
    for width in WIDTHS_PX:
        yield Figure(
            f"read, {width} px wide, 1 core", OURS, apart(1, _latency, "crnn greedy", 20, width, ["plain"]), "ms"
        )
    yield Figure("overlays of 5 characters, 1 core", OURS, apart(1, _overlays), "ms")
    for who in (OURS, *filter(find_spec, [DRAWER])):
        yield Figure(f"draw {DRAWN_PX} px high, 1 core", who, apart(1, _drawn, who), "pictures/s")
    peak = apart(2, _matrix_peak)
    yield Figure("matrix products, 2 cores", "torch", peak / 1e9, "G multiply-adds/s")
    rate = apart(2, _training, OURS, True)
    yield Figure("training, drawing included, 2 cores", OURS, rate, "pictures/s")
    yield Figure("its share of the matrix products' rate", OURS, rate * apart(2, _training_work) / peak, "")
    for who in (OURS, *filter(find_spec, [TRAINER])):
        yield Figure("training, drawing not included, 2 cores", who, apart(2, _training, who, False), "pictures/s")
    with TemporaryDirectory() as folder:
        one = Path(folder) / "one.png"
        one.write_bytes(drawn(1)[0])
        commands = {OURS: ["-m", "crnn", "read", str(one)]}
        commands |= {peer: ["-c", READ[peer].format(str(one))] for peer in peers}
        for who, command in commands.items():
            seconds, megabytes = _process(command)
            yield Figure("whole process that reads one", who, seconds, "s")
            yield Figure("its peak memory", who, megabytes, "MB")
    yield Figure("page answers", OURS, _answers(["app.py"]), "s")
    yield Figure("page answers", "gradio hello", _answers(["-c", HELLO]), "s")
    if apart(2, has_gpu):
        yield from bench_gpu(mixed)


def bench_gpu(mixed: int = MIXED) -> Iterator[Figure]:
    """Measure what a GPU does, a figure at a time.

    Args:
        mixed: how many pictures of all sizes, to read one after the other.
    """
    cores = os.cpu_count() or 1
    peaks = {numbers: apart(cores, _matrix_peak, GPU, numbers) for numbers in ("bfloat16", "float32")}
    for numbers, peak in peaks.items():
        yield Figure(f"matrix products of {numbers}, GPU", "torch", peak / 1e12, "T multiply-adds/s")
    copies = apart(cores, _copies)
    yield Figure("copies, read and written, GPU", "torch", copies / 1e9, "GB/s")
    network = f"network in batches of {GPU_BATCH}, GPU"
    yield Figure(network, OURS, apart(cores, _network), "pictures/s")
    yield Figure(network, "floor", apart(cores, _floor, False, peaks["float32"], copies), "pictures/s")
    read = apart(cores, _throughput, "crnn greedy", mixed, GPU_BATCH)
    yield Figure(f"read many in batches of {GPU_BATCH}, GPU", OURS, read, "pictures/s")
    steps = "training, drawing not included, GPU"
    alone, together = (apart(cores, _training, OURS, drawing, GPU) for drawing in (False, True))
    yield Figure(steps, OURS, alone, "pictures/s")
    yield Figure(steps, "floor", apart(cores, _floor, True, peaks["bfloat16"], copies), "pictures/s")
    yield Figure("training, drawing included, GPU", OURS, together, "pictures/s")
    yield Figure("share of that time spent waiting for drawings", OURS, max(0.0, 1 - together / alone), "")


def apart(cores: int, measure: Callable[..., float], *arguments: Any) -> float:
    """What a function measures in a new process on so many cores."""
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=_bind, initargs=(cores,)) as pool:
        return pool.submit(measure, *arguments).result()


def _bind(cores: int) -> None:
    fonts.FOLDERS = ()  # the system's fonts would make other pictures on each machine, and take a minute to find
    if hasattr(os, "sched_setaffinity"):  # Linux
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def drawn(count: int, width_px: int | None = WIDTH_PX, styles: Sequence[str] | None = None) -> list[bytes]:
    """PNG files of drawn pictures of these families, or all; 60 px high and of this width, or with None of any size."""
    from PIL import Image

    from crnn.styles import STYLES
    from crnn.synth import draw

    rng, files = np.random.default_rng(0), []
    aspect, height = (width_px / HEIGHT_PX, HEIGHT_PX) if width_px else (None, None)
    for _, style in zip(range(count), cycle(styles or STYLES), strict=False):
        file = io.BytesIO()
        Image.fromarray(draw(rng, style=style, aspect=aspect, height=height).picture).save(file, "PNG")
        files.append(file.getvalue())
    return files


def reader_of(who: str) -> Reader:
    """A function from a picture file's bytes to what is read in it."""
    if who == "ddddocr":
        import ddddocr

        return ddddocr.DdddOcr(show_ad=False).classification
    if who == "rapidocr":
        from rapidocr import RapidOCR

        engine = RapidOCR()
        return lambda data: engine(data, use_det=False, use_cls=False, use_rec=True)

    from crnn.recognizer import Recognizer

    reader = Recognizer.from_pretrained()
    options: dict[str, dict[str, Any]] = {
        "crnn greedy": {"top": 0},
        "crnn": {},
        "crnn constrained": {"charset": "alphanumeric", "length": (3, 9)},
    }
    return lambda data: reader.read(data, **options[who])


def _latency(who: str, pictures: int, width_px: int, styles: Sequence[str] | None) -> float:
    """Median ms from a file's bytes to its reading."""
    read, files = reader_of(who), drawn(pictures, width_px, styles)
    for data in files[:WARM_UP]:
        read(data)
    return 1e3 * median(_timed(read, data) for _ in range(ROUNDS) for data in files)


def _timed(work: Callable[..., Any], *arguments: Any) -> float:
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def _throughput(who: str, pictures: int, batch_size: int = 32) -> float:
    """Pictures a second, of all sizes; batch_size: of ours."""
    files = drawn(pictures, None)
    if who in PEERS:
        read = reader_of(who)
        read(files[0])
        return pictures / _timed(lambda: [read(data) for data in files])

    from crnn.recognizer import Recognizer

    reader = Recognizer.from_pretrained()
    reader.read(files[0])
    return pictures / _timed(lambda: list(reader.read_many(files, batch_size=batch_size, top=0)))


def _batches(size: int, pictures: int) -> float:
    """Ms a picture in batches of this size; singles are read one after the other."""
    from crnn.recognizer import Recognizer

    reader, files = Recognizer.from_pretrained(), drawn(pictures)
    files = files * -(-4 * size // pictures)  # four batches at least
    read: Callable[[], Any] = lambda: list(reader.read_many(files, batch_size=size, top=0))  # noqa: E731
    if size == 1:
        read = lambda: [reader.read(data, top=0) for data in files]  # noqa: E731
    read()
    return 1e3 * median(_timed(read) for _ in range(ROUNDS)) / len(files)


def _side_by_side(processes: int, pictures: int) -> float:
    """Pictures a second of so many processes together, each on one core as long as there are cores."""
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        alone = [pool.submit(_on_core, number, pictures) for number in range(processes)]
        return sum(one.result() for one in alone)


def _on_core(number: int, pictures: int) -> float:
    _bind(os.cpu_count() or 1)
    if hasattr(os, "sched_setaffinity"):  # Linux
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[number % len(cores)]})
    return _throughput("crnn greedy", pictures)


def _decoding(top: int) -> float:
    """Median ms to decode what the network saw, with so many other texts."""
    from crnn.recognizer import Recognizer

    reader = Recognizer.from_pretrained()
    looks = [reader.look(data) for data in drawn(PICTURES)]
    return 1e3 * median(_timed(lambda look=look: reader.decode(look, top=top)) for look in looks for _ in range(ROUNDS))


def _finished(work: Callable[..., Any], *arguments: Any) -> Any:
    """What a function gives, once the GPU is done with it."""
    import torch

    result = work(*arguments)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result


def _matrix_peak(device: str = CPU, numbers: str | None = None) -> float:
    """Multiply-adds a second of matrix products, the best of several.

    numbers: None: those that training computes in on this CPU. A GPU multiplies float32 as convolutions do, in TF32.
    """
    import torch

    from crnn.train import cpu_multiplies_bfloat16

    torch.backends.cuda.matmul.allow_tf32 = True
    numbers = numbers or ("bfloat16" if cpu_multiplies_bfloat16() else "float32")
    side = 2048 if device == CPU else 8192
    a, b = (torch.randn(side, side, dtype=getattr(torch, numbers), device=device) for _ in range(2))
    return side**3 / min(_timed(_finished, torch.matmul, a, b) for _ in range(4 * ROUNDS))


def _copies() -> float:
    """Bytes a second that a GPU reads and writes in its memory, the best of several."""
    import torch

    a = torch.ones(2**30, dtype=torch.uint8, device=GPU)
    b = torch.empty_like(a)
    return 2 * a.numel() / min(_timed(_finished, b.copy_, a) for _ in range(4 * ROUNDS))


def _network() -> float:
    """Pictures a second through the network alone on a GPU, in one call; each of WIDTH_PX and prepared before."""
    import torch

    from crnn.image import open_picture, prepare
    from crnn.recognizer import Recognizer

    model: Any = Recognizer.from_pretrained(device=GPU).model
    pictures = [prepare(open_picture(data), model.config.height, model.config.stride) for data in drawn(PICTURES)]
    batch = torch.from_numpy(np.resize(np.stack(pictures), (GPU_BATCH, *pictures[0].shape))).to(GPU)
    with torch.inference_mode():
        for _ in range(WARM_UP):
            _finished(model, batch)
        return GPU_BATCH / median(_timed(_finished, model, batch) for _ in range(4 * ROUNDS))


def _floor(training: bool, products: float, copies: float) -> float:
    """Pictures a second, of WIDTH_PX, that a GPU can't exceed with so many multiply-adds and bytes a second.

    Each layer reads its input and writes its output once, in float32 or, in training, twice as fast in bfloat16; the
    backward pass does twice the forward's work.
    """
    import torch
    from torch import nn
    from torch.utils.flop_counter import FlopCounterMode

    from crnn.config import CRNNConfig
    from crnn.model import CRNNForCTC

    model, moved = CRNNForCTC(CRNNConfig()).eval(), []

    def note(layer: Any, inputs: Any, output: Any) -> None:
        moved.append(inputs[0].numel() + (output[0] if isinstance(output, tuple) else output).numel())

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.LSTM):
            layer.register_forward_hook(note)
    width = WIDTH_PX * model.config.height // HEIGHT_PX
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, model.config.height, width))
    multiplied, read_and_written = counter.get_total_flops() / 2, 4 * sum(moved)
    if training:
        multiplied, read_and_written = 3 * multiplied, 3 * read_and_written / 2
    return 1 / max(multiplied / products, read_and_written / copies)


def _training(who: str, drawing: bool, device: str = CPU) -> float:
    """Pictures a second in training steps. drawing: by as many workers as in training; else done before."""
    import torch
    from torch.utils.data import DataLoader

    from crnn.charset import Charset
    from crnn.config import CRNNConfig
    from crnn.data import Batch, DrawnBatches
    from crnn.model import CRNNForCTC
    from crnn.train import CPU_WORKERS, GPU_WORKERS, cpu_multiplies_bfloat16

    config = CRNNConfig()
    charset = Charset(config.charset)
    drawn_batches = DrawnBatches(charset, config.height, config.stride, TRAINED, 0, easy=False)
    steps, workers = (GPU_STEPS, GPU_WORKERS) if device == GPU else (STEPS, CPU_WORKERS)
    batches: Any = iter(DataLoader(drawn_batches, batch_size=None, num_workers=workers if drawing else 0))
    if not drawing:
        batches = cycle([next(batches) for _ in range(WARM_UP + STEPS)])
    model: Any
    if who == TRAINER:
        from doctr.models import crnn_vgg16_bn

        model = crnn_vgg16_bn(
            pretrained=False,
            pretrained_backbone=False,
            vocab=config.charset,
            input_shape=(3, config.height, WIDTH_PX),
        )

        def loss(batch: Batch) -> Any:
            texts = [charset.decode([i for i in row if i]) for row in batch["labels"].tolist()]
            return model(batch["pixel_values"], texts)["loss"]
    else:
        model = CRNNForCTC(config)

        def loss(batch: Batch) -> Any:
            return model(**{name: values.to(device) for name, values in batch.items()}).loss

    model.to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters())
    start = 0.0
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            start = time.perf_counter()
        with torch.autocast(device, torch.bfloat16, enabled=device == GPU or cpu_multiplies_bfloat16()):
            lost = loss(next(batches))
        lost.backward()
        _finished(optimizer.step)
        optimizer.zero_grad()
    return TRAINED * steps / (time.perf_counter() - start)


def _training_work() -> float:
    """Multiply-adds to train on one drawn picture, forward and backward."""
    from torch.utils.flop_counter import FlopCounterMode

    from crnn.charset import Charset
    from crnn.config import CRNNConfig
    from crnn.data import DrawnBatches
    from crnn.model import CRNNForCTC

    config = CRNNConfig()
    batches = iter(DrawnBatches(Charset(config.charset), config.height, config.stride, TRAINED, 0, easy=False))
    model, operations = CRNNForCTC(config).train(), []
    for _ in range(STEPS):
        with FlopCounterMode(display=False) as counter:
            model(**next(batches)).loss.backward()
        operations.append(counter.get_total_flops())
    return sum(operations) / len(operations) / TRAINED / 2


def _overlays() -> float:
    """Median ms to lay five characters' focus over their picture."""
    from crnn.image import open_picture
    from crnn.overlay import overlay
    from crnn.recognizer import Recognizer

    reader = Recognizer.from_pretrained()
    picture, reading = next(
        (picture, reading)
        for picture in map(open_picture, drawn(PICTURES))
        if len((reading := reader.read(picture)).characters) == 5
    )
    return 1e3 * median(_timed(overlay, picture, reading) for _ in range(10 * ROUNDS))


def _drawn(who: str) -> float:
    """Pictures drawn a second; ours of all families, once the letters and digits of all fonts are known."""
    from crnn.synth import draw, random_text

    rng = np.random.default_rng(0)
    if who == DRAWER:
        from captcha.image import ImageCaptcha

        peer = ImageCaptcha(round(WIDTH_PX * DRAWN_PX / HEIGHT_PX), DRAWN_PX)
        work: Callable[[], Any] = lambda: [peer.generate_image(random_text(rng)) for _ in range(DRAWN)]  # noqa: E731
    else:
        for font, character in product(fonts.find_fonts(), fonts.PROBE):
            fonts.glyph(font, character)
        work = lambda: [draw(rng, height=DRAWN_PX) for _ in range(DRAWN)]  # noqa: E731
        work()
    return DRAWN / _timed(work)


def _process(command: Sequence[str]) -> tuple[float, float]:
    """Median s of a whole Python process and its peak resident memory in MB; the first, cold start is not counted."""
    runs = []
    for _ in range(1 + STARTS):
        asked = [sys.executable, "-c", PROCESS, sys.executable, *command]
        ran = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)
        runs.append([float(number) for number in ran.stdout.split()])
    seconds, kibibytes = (median(column) for column in zip(*runs[1:], strict=True))
    return seconds, kibibytes / 1024


def _answers(command: Sequence[str]) -> float:
    """Median s from a server's start until it answers; the first start is not counted."""
    seconds = []
    for _ in range(1 + STARTS):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        asked = [argument.format(port) if argument == HELLO else argument for argument in command]
        environment = os.environ | {"GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
        start = time.perf_counter()
        server = subprocess.Popen(
            [sys.executable, *asked], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            while time.perf_counter() - start < PATIENCE_S:
                try:
                    urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE_S).close()
                    break
                except OSError:
                    time.sleep(0.01)
            seconds.append(time.perf_counter() - start)
        finally:
            server.terminate()
            server.wait()
    return median(seconds[1:])


def table(figures: Sequence[Figure], as_json: bool) -> str:
    """All figures for a person, a line each, with the ratio of ours to each peer's; or as JSON."""
    if as_json:
        return json.dumps([figure._asdict() for figure in figures])
    lines = []
    for figure in figures:
        ours = next(one for one in figures if one.what == figure.what)
        ratio = "" if figure is ours else f"   {ours.who} / it: {ours.value / figure.value:.2f}"
        lines.append(f"{figure.what:34} {figure.who:18} {figure.value:9.2f} {figure.unit}{ratio}")
    return "\n".join(lines)


def plot(figures: Sequence[Figure], path: Path) -> None:
    """How the figures grow with width, batch, beam and processes; dashed: in proportion, from the first.

    Raises:
        ModuleNotFoundError: there is no matplotlib.
    """
    from matplotlib.figure import Figure as Page

    panels = (
        ("read, {} px wide, 1 core", WIDTHS_PX, "Width of the picture, px", "ms a picture, 1 core", 1),
        ("batches of {}, 2 cores", BATCHES, "Pictures in a batch", "ms a picture, 2 cores", 0),
        ("decode with a beam of {}, 1 core", [top + 1 for top in BEAMS], "Beam", "ms to decode, 1 core", 1),
        ("read many, processes of a core: {}", PROCESSES, "Processes of one core", "pictures a second", 1),
    )
    page = Page(figsize=(11, 2.8), layout="constrained")
    for axes, (what, xs, across, upright, power) in zip(page.subplots(1, len(panels)), panels, strict=True):
        ys = [next(figure.value for figure in figures if figure.what == what.format(x)) for x in xs]
        axes.plot(xs, ys, "o-", color="#1d4ed8")
        axes.plot(xs, [ys[0] * (x / xs[0]) ** power for x in xs], "--", color="#64748b")
        axes.set(xlabel=across, ylabel=upright, ylim=(0, None), xscale="log", xticks=xs, xticklabels=xs)
        axes.minorticks_off()
    page.savefig(path, dpi=110)
