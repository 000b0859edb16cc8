"""What the server remembers of each session's last read, and that it forgets it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crnn.decode import Reading
from crnn.image import Picture

if TYPE_CHECKING:
    from crnn.recognizer import Look

SECONDS = 240  # the page promises that all is gone after five minutes


@dataclass(frozen=True)
class Kept:
    """What it takes to decode again, to correct and to say again, without the picture's file and the network."""

    picture: Picture
    look: Look
    reading: Reading


class Shelf:
    """Keeps the last read of each session for a few minutes after it was last changed. Any thread may use it.

    gr.State would keep it for an hour after the page was closed.
    """

    def __init__(self, forgotten: Callable[[str], None]) -> None:
        """forgotten: called with the session whose time is over."""
        self._forgotten = forgotten
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[Kept, threading.Timer]] = {}

    def put(self, session: str, kept: Kept) -> None:
        """Keep a session's read in place of its last one."""
        timer = threading.Timer(SECONDS, self._forget, [session, kept])
        timer.daemon = True
        with self._lock:
            if session in self._kept:
                self._kept[session][1].cancel()
            self._kept[session] = kept, timer
        timer.start()

    def get(self, session: str) -> Kept | None:
        """Return a session's last read, None where there is none or its time is over."""
        with self._lock:
            found = self._kept.get(session)
        return found and found[0]

    def drop(self, session: str) -> None:
        """Forget a session's last read now, as another takes its place."""
        with self._lock:
            kept = self._kept.pop(session, None)
        if kept:
            kept[1].cancel()

    def _forget(self, session: str, kept: Kept) -> None:
        with self._lock:
            if session not in self._kept or self._kept[session][0] is not kept:
                return  # another read took its place
            del self._kept[session]
        self._forgotten(session)
