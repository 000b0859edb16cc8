"""Pushing a checkpoint, with the real client against a stand-in of the Hub's HTTP interface."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest

from crnn import hub
from crnn.hub import HubError, push
from crnn.model import CRNNForCTC
from crnn.recognizer import Recognizer

TOKEN = "hf_NotARealTokenButLikeOne"
REVISION = "0" * 39 + "1"


class StandIn(ThreadingHTTPServer):
    """What the client asks of the Hub to create a repository and commit to it; weights go by Git LFS."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.private: dict[str, bool] = {}  # of each repository
        self.files: dict[str, dict[str, bytes]] = {}  # of each repository, as committed
        self.blobs: dict[str, bytes] = {}  # by SHA-256
        self.asked: list[tuple[str, str | None]] = []  # method and path, authorization
        self.broken: dict[str, tuple[int, str]] = {}  # a part of a path: the status and message of its answer


class Answer(BaseHTTPRequestHandler):
    """One request."""

    server: StandIn
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def do_PUT(self) -> None:
        self.answer()

    def answer(self) -> None:
        body = self.body()
        path = self.path.split("?")[0]
        authorization = self.headers.get("Authorization")
        self.server.asked.append((f"{self.command} {path}", authorization))
        for part, (status, message) in self.server.broken.items():
            if part in path:
                return self.send({"error": message}, status)
        if self.command == "PUT" and (upload := re.fullmatch(r"/upload/(\w+)", path)):  # signed, so without a token
            assert hashlib.sha256(body).hexdigest() == upload[1]
            self.server.blobs[upload[1]] = body
            return self.send({})
        if authorization != f"Bearer {TOKEN}":
            return self.send({"error": "Invalid credentials in Authorization header"}, 401)
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if path == "/api/validate-yaml":
            return self.send({"errors": [], "warnings": []})
        if match := re.fullmatch(r"/api/models/(\w+/\w+)(/preupload/main|/commit/main)?", path):
            repo, task = match.groups()
            if repo not in self.server.private:
                return self.send({"error": "Repository not found"}, 404)
            if task is None:
                return self.send({"id": repo, "sha": REVISION, "private": self.server.private[repo], "siblings": []})
            return self.preupload(json.loads(body)) if "preupload" in task else self.commit(repo, body)
        if re.fullmatch(r"/\w+/\w+\.git/info/lfs/objects/batch", path):
            return self.batch(json.loads(body))
        self.send({"error": f"no such path {path}"}, 404)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def create(self, asked: dict[str, Any]) -> None:
        repo = f"{asked['organization'] or 'ada'}/{asked['name']}"
        if repo.startswith("other/"):
            return self.send({"error": "You don't have the rights to create a model here"}, 403)
        there = repo in self.server.private
        if not there:
            self.server.private[repo] = asked.get("visibility") == "private" or asked.get("private", False)
            self.server.files[repo] = {}
        self.send({"url": f"{self.server.address}/{repo}"}, 409 if there else 200)

    def preupload(self, asked: dict[str, Any]) -> None:
        modes = [
            {"path": file["path"], "uploadMode": mode(file["path"]), "shouldIgnore": False} for file in asked["files"]
        ]
        self.send({"files": modes})

    def batch(self, asked: dict[str, Any]) -> None:
        assert asked["operation"] == "upload" and asked["hash_algo"] == "sha256"
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.server.address}/upload/{one['oid']}"}}}
            for one in asked["objects"]
        ]
        self.send({"transfer": "basic", "objects": objects})

    def commit(self, repo: str, body: bytes) -> None:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.server.files[repo][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.server.files[repo][value["path"]] = self.server.blobs[value["oid"]]
        self.send({"commitUrl": f"{self.server.address}/{repo}/commit/{REVISION}", "commitOid": REVISION})

    def send(self, content: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        if "error" in content:
            self.send_header("X-Error-Message", content["error"])
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Not to the screen."""


def mode(path: str) -> str:
    return "lfs" if path.endswith(".safetensors") else "regular"


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A Hub on this machine, to which `push` goes although tests are offline otherwise."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    with StandIn() as server:
        monkeypatch.setattr(hub, "ENDPOINT", server.address)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A run's folder: the checkpoint, its card, and what is no one else's business."""
    folder = tmp_path / "run"
    shutil.copytree(tiny_checkpoint, folder)
    (folder / "README.md").write_text("---\nlibrary_name: transformers\n---\n\n# A reader\n", encoding="utf-8")
    (folder / "progress.jsonl").write_text("{}\n")
    shutil.copytree(tiny_checkpoint, folder / "checkpoint-10")
    return folder


def test_the_checkpoint_and_its_card_arrive_byte_for_byte_and_nothing_else(
    stand_in: StandIn, checkpoint: Path, tiny_model: CRNNForCTC, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    before = dict(os.environ)
    assert push(checkpoint, "ada/reader", f" {TOKEN}\n") == f"{stand_in.address}/ada/reader"
    assert stand_in.private == {"ada/reader": True}
    files = stand_in.files["ada/reader"]
    assert files == {
        name: (checkpoint / name).read_bytes() for name in ("config.json", "model.safetensors", "README.md")
    }
    assert [*stand_in.blobs.values()] == [files["model.safetensors"]]  # which went by LFS, as on the Hub
    for request, authorization in stand_in.asked:
        assert authorization == (None if request.startswith("PUT /upload/") else f"Bearer {TOKEN}"), request
    assert TOKEN not in caplog.text and os.environ == before
    assert not any(TOKEN.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    (tmp_path / "got").mkdir()
    for name, content in files.items():
        (tmp_path / "got" / name).write_bytes(content)
    picture = np.random.default_rng(0).integers(0, 256, (48, 120, 3), np.uint8)
    got = Recognizer.from_pretrained(tmp_path / "got").read(picture)
    assert (got.text, got.confidence) == (
        (expected := Recognizer(tiny_model).read(picture)).text,
        pytest.approx(expected.confidence),
    )


def test_a_name_alone_is_of_the_tokens_user_and_a_second_push_replaces(stand_in: StandIn, checkpoint: Path) -> None:
    assert push(checkpoint, "reader", TOKEN) == f"{stand_in.address}/ada/reader"
    (checkpoint / "README.md").write_text("# Better\n")
    push(checkpoint, "ada/reader", TOKEN)
    assert stand_in.files["ada/reader"]["README.md"] == b"# Better\n"


def test_what_is_private_goes_to_no_public_repository(stand_in: StandIn, checkpoint: Path) -> None:
    push(checkpoint, "ada/reader", TOKEN, private=False)
    assert stand_in.private == {"ada/reader": False}
    before = len(stand_in.asked)
    with pytest.raises(HubError, match="^ada/reader is there already, for all to see; "):
        push(checkpoint, "ada/reader", TOKEN)
    assert not any("commit" in request for request, _ in stand_in.asked[before:])


def one_sentence(error: BaseException) -> bool:
    sentence = str(error)
    return sentence[-1] == "." and ". " not in sentence and "\n" not in sentence and TOKEN not in sentence


@pytest.mark.parametrize(
    "repo", ["", "a b", "a/b/c", "ada/..", "ada/x--y", "https://huggingface.co/ada/x", "ada/é", "/"]
)
def test_a_malformed_name_asks_the_hub_for_nothing(stand_in: StandIn, checkpoint: Path, repo: str) -> None:
    with pytest.raises(HubError, match="is no name on the Hub; give USER/NAME") as caught:
        push(checkpoint, repo, TOKEN)
    assert one_sentence(caught.value) and not stand_in.asked


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("", "There is no token"),
        (" \n", "There is no token"),
        ("hf_two\nlines", "This is no token"),
        ("hf_é€abc", "no token"),
    ],
)
def test_what_is_no_token_is_not_sent(stand_in: StandIn, checkpoint: Path, token: str, said: str) -> None:
    with pytest.raises(HubError, match=said) as caught:
        push(checkpoint, "ada/reader", token)
    assert one_sentence(caught.value) and not stand_in.asked
    assert not token.strip() or token not in str(caught.value)


def test_a_wrong_token_is_refused(stand_in: StandIn, checkpoint: Path) -> None:
    with pytest.raises(HubError, match="^The Hub refuses the token; ") as caught:
        push(checkpoint, "ada/reader", "hf_AnotherToken")
    assert one_sentence(caught.value) and "hf_Another" not in str(caught.value) and not stand_in.files
    assert caught.value.__suppress_context__  # the client's own error holds the request, and so the token


def test_another_ones_name_is_refused(stand_in: StandIn, checkpoint: Path) -> None:
    with pytest.raises(HubError, match="^The token has no write access to other/reader; ") as caught:
        push(checkpoint, "other/reader", TOKEN)
    assert one_sentence(caught.value)


@pytest.mark.parametrize(
    ("part", "status", "said"),
    [
        ("/create", 429, "The Hub takes no more requests for now"),
        ("/create", 500, r"The Hub answered with 500 \(out of order .+\); try again later"),
        ("/commit", 403, "no write access"),
        ("/commit", 413, r"answered with 413"),
        ("/upload", 400, r"answered with 400"),
    ],
)
def test_what_the_hub_answers_is_said(stand_in: StandIn, checkpoint: Path, part: str, status: int, said: str) -> None:
    stand_in.broken[part] = (status, f"out of order {TOKEN}.")  # a hub that echoes
    with pytest.raises(HubError, match=said) as caught:
        push(checkpoint, "ada/reader", TOKEN)
    assert one_sentence(caught.value)


def test_without_a_network_one_sentence(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HubError, match="set to stay offline") as caught:  # as conftest.py sets it
        push(checkpoint, "ada/reader", TOKEN)
    assert one_sentence(caught.value)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(hub, "ENDPOINT", f"http://127.0.0.1:{port}")
    with pytest.raises(HubError, match="^The Hub can't be reached") as caught:
        push(checkpoint, "ada/reader", TOKEN)
    assert one_sentence(caught.value)


def test_a_folder_that_is_no_checkpoint(stand_in: StandIn, checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").unlink()
    for folder in (checkpoint, checkpoint / "nowhere"):
        with pytest.raises(HubError, match="so this is no checkpoint to push") as caught:
            push(folder, "ada/reader", TOKEN)
        assert one_sentence(caught.value) and not stand_in.asked
