"""Figures are taken apart from each other, on the same pictures, and told side by side."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from PIL import Image

from crnn import bench
from crnn.bench import Figure

FIGURES = [Figure("read, 1 core", "crnn", 4.0, "ms"), Figure("read, 1 core", "peer", 10.0, "ms")]


def size_of(data: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(data)).size


def cores() -> int:
    return len(os.sched_getaffinity(0))


def test_the_pictures_are_the_same_each_time() -> None:
    assert {size_of(data) for data in bench.drawn(3)} == {(160, 60)}
    assert bench.drawn(3, None) == bench.drawn(3, None)
    assert len({size_of(data) for data in bench.drawn(3, None)}) > 1


def test_a_read_takes_milliseconds_in_a_process_of_its_own() -> None:
    assert 0.5 < bench.apart(1, bench._latency, "crnn greedy", 2, 160, ["plain"]) < 500


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="processes can't be bound to cores here")
def test_a_process_has_the_cores_that_it_is_measured_on() -> None:
    assert bench.apart(1, cores) == 1


def test_whole_processes_have_a_time_and_a_peak_of_memory() -> None:
    seconds, megabytes = bench._process(["-c", "ballast = bytearray(50 * 2**20)"])
    assert 0 < seconds < 10 and 50 < megabytes < 100


def test_the_table_gives_the_ratio_to_each_peer() -> None:
    ours, peers = bench.table(FIGURES, as_json=False).splitlines()
    assert "crnn / it" not in ours and peers.endswith("crnn / it: 0.40")
    assert json.loads(bench.table(FIGURES, as_json=True))[1] == {
        "what": "read, 1 core", "who": "peer", "value": 10.0, "unit": "ms"
    }  # fmt: skip


def test_a_gpus_floor_is_what_its_operations_and_its_bytes_allow() -> None:
    endless = float("inf")
    read, trained = (bench._floor(training, 1e12, endless) for training in (False, True))
    assert trained == pytest.approx(read / 3)  # forward, and twice as much backward
    moved, while_training = (bench._floor(training, endless, 1e12) for training in (False, True))
    assert while_training == pytest.approx(moved / 1.5)  # in numbers of half the size
    assert bench._floor(False, 1e12, 1e12) == min(read, moved)


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    names = [f"read, {width} px wide, 1 core" for width in bench.WIDTHS_PX]
    names += [f"batches of {size}, 2 cores" for size in bench.BATCHES]
    names += [f"decode with a beam of {top + 1}, 1 core" for top in bench.BEAMS]
    names += [f"read many, processes of a core: {count}" for count in bench.PROCESSES]
    bench.plot([Figure(name, "crnn", 1.0 + place, "ms") for place, name in enumerate(names)], tmp_path / "plot.png")
    assert size_of((tmp_path / "plot.png").read_bytes())[0] > 800
