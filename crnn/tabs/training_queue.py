"""Where people train: a workspace for each, one training at a time in a process of its own, the others in a queue."""

from __future__ import annotations

import atexit
import hashlib
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from crnn.intake import Limits
from crnn.recognizer import SHIPPED
from crnn.tabs.workspace import Workspace

if sys.platform != "win32":
    import fcntl

ROOT = Path(__file__).parent.parent.parent  # where `python -m crnn` is found
NAME = re.compile("[0-9a-f]{32}")  # of a workspace's folder; whatever else lies beside them is left alone
TOKEN_LENGTHS = range(20, 200)
NICE = 19  # reading goes first
POLL_S, CLEAN_S = 0.5, 30.0
SLACK_S = 600.0  # a training that takes twice its budget and this is killed
GOODBYE_S = 10.0  # to end by itself when the server ends
DRAW_S = 300.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rules:
    """What one visitor may use. Each is a whole number from 1 on, and set by an environment variable.

    Attributes:
        pictures: that may be brought (CRNN_TRAIN_PICTURES).
        megabytes: that they may have all together, unpacked (CRNN_TRAIN_MEGABYTES).
        minutes: that a training may take (CRNN_TRAIN_MINUTES); on Hugging Face Spaces (SPACE_ID is set) 10.
        queue: trainings that may wait (CRNN_TRAIN_QUEUE).
        keep_minutes: after which everything of a visitor is removed, from the last use on (CRNN_TRAIN_KEEP_MINUTES).
    """

    pictures: int = 10_000
    megabytes: int = 200
    minutes: int = 30
    queue: int = 8
    keep_minutes: int = 120

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Rules:
        """The rules that the environment sets. Raises ValueError where one is no whole number from 1 on."""
        rules: dict[str, int] = {"minutes": 10} if environment.get("SPACE_ID") else {}
        for one in fields(cls):
            variable = f"CRNN_TRAIN_{one.name.upper()}"
            value = environment.get(variable, "")
            if not value:
                continue
            if not re.fullmatch("[0-9]{1,9}", value) or int(value) < 1:
                raise ValueError(f"{variable} is {value!r}; set it to a whole number from 1 on, or not at all.")
            rules[one.name] = int(value)
        return cls(**rules)

    @property
    def limits(self) -> Limits:
        """Of the pictures."""
        return Limits(self.pictures, self.megabytes)


def scratch(environment: Mapping[str, str]) -> Path:
    """Where workspaces lie: CRNN_TRAIN_FOLDER, or a folder in GRADIO_TEMP_DIR, or in the system's for such things."""
    chosen = environment.get("CRNN_TRAIN_FOLDER")
    above = environment.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()
    return (Path(chosen) if chosen else Path(above) / "captcha-reader-training").absolute()


@dataclass(frozen=True)
class TrainingOptions:
    """How a training is wanted.

    Attributes:
        minutes: time budget.
        layers: "all", or "head" for all but the convolutions.
        seed: of everything random.
        draw_share: of each batch, drawn pictures, 0 to 0.9.
    """

    minutes: float = 3.0
    layers: str = "all"
    seed: int = 0
    draw_share: float = 0.6


Phase = Literal["idle", "queued", "starting", "running", "done", "failed", "interrupted"]


@dataclass(frozen=True)
class State:
    """How the training of a workspace stands.

    Attributes:
        phase: "starting" until the first step; "interrupted": its process is gone, and it said neither why nor what it
            made.
        place: in the queue, from 1 on.
        stopping: it was asked to stop.
        resumable: an interim checkpoint is there to go on from.
        options: how it was wanted.
        before: figures of the held-out pictures before it, exact and cer.
        steps, evaluated, done, sentence: of its events, as `crnn.finetune` writes them.
    """

    phase: Phase = "idle"
    place: int = 0
    stopping: bool = False
    resumable: bool = False
    options: TrainingOptions | None = None
    before: dict[str, Any] | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)
    evaluated: list[dict[str, Any]] = field(default_factory=list)
    done: dict[str, Any] | None = None
    sentence: str = ""

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.phase in ("queued", "starting", "running")


class QueueFullError(ValueError):
    """As many trainings wait as may."""


class BusyError(ValueError):
    """A training of this workspace waits or runs already."""


@dataclass
class _Job:
    workspace: Workspace
    options: TrainingOptions
    resume: bool = False
    stopping: bool = False
    dropped: bool = False  # all of it is to be removed, no matter what it has learnt
    adopted: bool = False  # an earlier server began it
    ended: threading.Event = field(default_factory=threading.Event)


Command = Callable[[Workspace, TrainingOptions, bool], Sequence[str]]


def training(checkpoint: str | None = None) -> Command:
    """The command that trains from a checkpoint, a folder or Hub id; None: the shipped one."""

    def command(workspace: Workspace, options: TrainingOptions, resume: bool) -> list[str]:
        return [
            sys.executable, "-m", "crnn", "train", str(workspace.pictures), "--from", str(checkpoint or SHIPPED),
            "--output", str(workspace.run), "--minutes", str(options.minutes), "--layers", options.layers,
            "--seed", str(options.seed), "--draw-share", str(options.draw_share), *(["--resume"] if resume else []),
        ]  # fmt: skip

    return command


class TrainingQueue:
    """Workspaces and trainings. Any thread may use it; what matters lies on the disk and outlives the server."""

    def __init__(self, root: Path, rules: Rules, command: Command) -> None:
        """root: made where it isn't there. Raises ValueError where it can't be used; one sentence."""
        self.root, self.rules, self.command = root, rules, command
        _make_private(root)
        self._lock = threading.Condition()
        self._queue: deque[_Job] = deque(self._left_running())
        self._job: _Job | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="trainings", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    # ---------------------------------------------------------------- workspaces

    def workspace(self, token: str) -> Workspace:
        """The workspace of whoever has this secret, made where it isn't there; its time begins anew.

        Raises:
            ValueError: it is no secret.
        """
        if not isinstance(token, str) or len(token) not in TOKEN_LENGTHS:
            raise ValueError("This is no visitor's token; reload the page.")
        folder = self.root / hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()[:32]
        workspace = Workspace(folder)
        with self._lock:  # or it could be cleaned away between
            _make_private(self.root)  # which others that clean up may have removed
            folder.mkdir(mode=0o700, exist_ok=True)
            workspace.pictures.mkdir(exist_ok=True)
            os.utime(folder)
        return workspace

    def remove(self, workspace: Workspace) -> None:
        """Remove a workspace and all that it holds; a training of it ends at once."""
        with self._lock:
            job = self._find(workspace)
            if job:
                job.dropped = True
                if job in self._queue:
                    self._queue.remove(job)
                    job.ended.set()
                self._lock.notify_all()
        if job:
            job.ended.wait()
        shutil.rmtree(workspace.folder, ignore_errors=True)

    def draw(self, workspace: Workspace, count: int, styles: Sequence[str]) -> None:
        """Add drawn pictures, other ones each time.

        Raises:
            ValueError: the limits are passed, or the drawing failed; one sentence.
        """
        before = len(workspace.examples())
        with tempfile.TemporaryDirectory(prefix="new-", dir=workspace.folder, ignore_cleanup_errors=True) as staging:
            command = [sys.executable, "-m", "crnn", "draw", staging, "--count", str(count), "--seed", str(before)]
            process = self._start([*command, *(["--style", *styles] if styles else [])])
            try:
                failed = process.wait(DRAW_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise ValueError(f"Drawing took more than {DRAW_S:.0f} seconds; draw fewer pictures.") from None
            if failed:
                raise ValueError(f"The {count} pictures could not be drawn; try fewer, or other kinds.")
            workspace.add(Path(staging), names=False, limits=self.rules.limits)

    # ---------------------------------------------------------------- trainings

    def start(self, workspace: Workspace, options: TrainingOptions, resume: bool = False) -> None:
        """Put a training into the queue. What was learnt before is lost when it begins, unless it is resumed.

        Raises:
            ValueError: the options can't be fulfilled; one sentence. BusyError: one of this workspace is active.
            QueueFullError: too many wait.
        """
        if not 0 < options.minutes <= self.rules.minutes:
            raise ValueError(
                f"The training shall take {options.minutes:g} minutes; "
                f"give more than 0 and at most {self.rules.minutes}."
            )
        with self._lock:
            if self._find(workspace):
                raise BusyError("A training of yours is running; stop it first.")
            if len(self._queue) >= self.rules.queue:
                raise QueueFullError(f"{len(self._queue)} trainings are waiting; try again in some minutes.")
            self._queue.append(_Job(workspace, options, resume))
            self._lock.notify_all()

    def stop(self, workspace: Workspace) -> bool:
        """End a training with the best so far; or leave the queue, and return False."""
        with self._lock:
            job = self._find(workspace)
            waits = bool(job and job in self._queue)
            if job and waits:
                self._queue.remove(job)
                job.ended.set()
            elif job:
                job.stopping = True
            self._lock.notify_all()
        return not waits

    def state(self, workspace: Workspace) -> State:
        """How the training of a workspace stands."""
        with self._lock:
            job = self._find(workspace)
            place = self._queue.index(job) + 1 if job and job in self._queue else 0
        if job and place:
            return State("queued", place, options=job.options)
        told = _told(workspace)
        options = job.options if job else _read_options(workspace)
        phase: Phase = "idle"
        if job:
            phase = "running" if told["steps"] else "starting"
        elif told["done"]:
            phase = "done"
        elif told["sentence"]:
            phase = "failed"
        elif options:
            phase = "interrupted"
        resumable = phase == "interrupted" and any(workspace.run.glob("checkpoint-*"))
        return State(phase, 0, bool(job and job.stopping), resumable, options, **told)

    def wait(self, workspace: Workspace, seconds: float) -> State:
        """The state of a workspace once nothing of it is active, or after so long."""
        with self._lock:
            job = self._find(workspace)
        if job:
            job.ended.wait(seconds)
        return self.state(workspace)

    def close(self) -> None:
        """End the running training, which may keep the best so far, and take no other."""
        with self._lock:
            self._closed = True
            self._queue.clear()
            self._lock.notify_all()
        self._thread.join(GOODBYE_S + 5)
        atexit.unregister(self.close)

    # ---------------------------------------------------------------- inside

    def _find(self, workspace: Workspace) -> _Job | None:
        jobs = [*self._queue, *([self._job] if self._job else [])]
        return next((job for job in jobs if job.workspace == workspace), None)

    def _left_running(self) -> list[_Job]:
        """The trainings that an earlier server left running."""
        workspaces = [Workspace(folder) for folder in self._folders()]
        return [
            _Job(workspace, _read_options(workspace) or TrainingOptions(), adopted=True)
            for workspace in workspaces
            if _is_held(workspace)
        ]

    def _folders(self) -> list[Path]:
        found = [one for one in self.root.iterdir() if NAME.fullmatch(one.name)] if self.root.is_dir() else []
        return [one for one in found if one.is_dir() and not one.is_symlink()]

    def _work(self) -> None:
        """Take one job after the other, and clean up now and then; the queue's own thread."""
        cleaned = 0.0
        while True:
            with self._lock:
                if self._closed:
                    return
                self._job = self._queue.popleft() if self._queue else None
                if self._job is None:
                    self._lock.wait(CLEAN_S)
            job = self._job
            if job:
                try:
                    self._run(job)
                except Exception:  # the next one may fare better; this one counts as interrupted
                    log.exception("A training could not be run.")
                with suppress(OSError):
                    os.utime(job.workspace.folder)
                with self._lock:
                    self._job = None
                job.ended.set()
            if time.monotonic() - cleaned > CLEAN_S:
                cleaned = time.monotonic()
                try:
                    self._clean()
                except OSError:
                    log.exception("What nobody uses any more could not be removed.")

    def _run(self, job: _Job) -> None:
        """Run a training until it ends, by itself or not."""
        workspace, hard_limit_s = job.workspace, 2 * 60 * job.options.minutes + SLACK_S
        begun = time.monotonic()
        process = None if job.adopted else self._begin(job)
        asked_to_end = 0.0
        cleaned = begun
        while process.poll() is None if process else _is_held(workspace):
            now = time.monotonic()
            with self._lock:
                self._lock.wait(POLL_S)
                stopping, dropped, closed = job.stopping, job.dropped, self._closed
            if stopping and workspace.run.is_dir():
                (workspace.run / "stop").touch()  # again and again: a training forgets it when it begins
            if closed and job.adopted:  # the server that began it may still be there
                return
            if closed and not asked_to_end:
                asked_to_end = now
                _signal(workspace, signal.SIGTERM)
            if dropped or now - begun > hard_limit_s or (asked_to_end and now - asked_to_end > GOODBYE_S):
                _signal(workspace, KILL)
            if now - cleaned > CLEAN_S:
                cleaned = now
                self._clean()
        (workspace.run / "stop").unlink(missing_ok=True)

    def _begin(self, job: _Job) -> subprocess.Popen[bytes]:
        workspace = job.workspace
        resume = job.resume and any(workspace.run.glob("checkpoint-*"))
        if not resume:
            shutil.rmtree(workspace.run, ignore_errors=True)
        workspace.run.mkdir(exist_ok=True)
        (workspace.run / "stop").unlink(missing_ok=True)
        _options_file(workspace).write_text(json.dumps(asdict(job.options)), encoding="utf-8")
        with workspace.log.open("ab" if resume else "wb") as output:
            _hold(output.fileno())  # the process inherits it; it is free again when the process is gone
            process = self._start(self.command(workspace, job.options, resume), output.fileno())
        _process_file(workspace).write_text(str(process.pid), encoding="utf-8")
        return process

    def _start(self, command: Sequence[str], output: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Start a process that leaves the processor to others and is the leader of a group."""
        nice = [shutil.which("nice") or "", "-n", str(NICE)]
        return subprocess.Popen(
            [*(nice if nice[0] else []), *command],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            creationflags=getattr(subprocess, "IDLE_PRIORITY_CLASS", 0),  # where there is no nice
        )

    def _clean(self) -> None:
        """Remove the workspaces that nobody used for so long."""
        for folder in self._folders():
            workspace = Workspace(folder)
            with self._lock:
                if self._find(workspace) is None and not _is_held(workspace):
                    with suppress(FileNotFoundError):
                        if time.time() - folder.stat().st_mtime > 60 * self.rules.keep_minutes:
                            shutil.rmtree(folder, ignore_errors=True)


def _make_private(root: Path) -> None:
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = root.lstat()
        if root.is_symlink() or (sys.platform != "win32" and status.st_uid != os.getuid()):
            raise PermissionError("it belongs to someone else")
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(
            f"The folder {root} can't be used for training ({reason}); set CRNN_TRAIN_FOLDER to one of your own."
        ) from None


def _options_file(workspace: Workspace) -> Path:
    return workspace.folder / "options.json"


def _process_file(workspace: Workspace) -> Path:
    return workspace.folder / "process"


def _read_options(workspace: Workspace) -> TrainingOptions | None:
    try:
        return TrainingOptions(**json.loads(_options_file(workspace).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _told(workspace: Workspace) -> dict[str, Any]:
    """The events of a training, sorted out; without those after the checkpoint from which it was resumed."""
    try:
        lines = (workspace.run / "progress.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    before, done, sentence = None, None, ""
    steps: list[dict[str, Any]] = []
    evaluated: list[dict[str, Any]] = []
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:  # the last one, half written
            continue
        kind = event["event"]
        if kind == "start":
            done, sentence = None, ""
            steps = [one for one in steps if one["spent_s"] <= event["spent_s"]]
            evaluated = [one for one in evaluated if one["spent_s"] <= event["spent_s"]]
        elif kind == "before":
            before = event
        elif kind == "step":
            steps.append(event)
        elif kind == "evaluated":
            evaluated.append(event)
        elif kind == "done":
            done = event
        elif kind == "error":
            sentence = event["sentence"]
    return {"before": before, "steps": steps, "evaluated": evaluated, "done": done, "sentence": sentence}


# Whether a training still runs is asked of the lock on its log, which it has inherited: unlike a process's number, no
# other process gets it later, and another server of the same folder sees it too. Windows ends a server's trainings with
# it, as there is no such lock.


def _hold(file: int) -> None:
    if sys.platform != "win32":
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_held(workspace: Workspace) -> bool:
    if sys.platform == "win32":
        return False
    try:
        file = workspace.log.open("rb")
    except FileNotFoundError:  # removed a moment ago
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


def _signal(workspace: Workspace, number: int) -> None:
    """Send a signal to the process that holds a workspace, and to those that it started."""
    with suppress(OSError, ValueError):
        process = int(_process_file(workspace).read_text(encoding="utf-8"))
        if sys.platform == "win32":
            os.kill(process, number)
        else:
            os.killpg(process, number)
