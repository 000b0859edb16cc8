"""What the server remembers of each session, its last read above all, and that it forgets it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from crnn.decode import Reading
from crnn.image import Picture

if TYPE_CHECKING:
    from crnn.recognizer import Look, Recognizer

SECONDS = 240  # the page promises that all of a read is gone after five minutes

T = TypeVar("T")


@dataclass(frozen=True)
class CachedReading:
    """What it takes to decode again, to correct and to say again, without the picture's file."""

    picture: Picture
    recognizer: Recognizer  # that looked: a look means nothing to another one
    own: bool  # whether it is the session's own
    look: Look
    reading: Reading
    by_user: bool = False  # whether the user has corrected the reading


class SessionCache(Generic[T]):
    """Keeps one thing for each session until its time is over. Any thread may use it.

    gr.State would keep it for an hour after the page was closed.
    """

    def __init__(
        self, forgotten: Callable[[str], None] = lambda session: None, seconds: float | None = None, most: int = 10**9
    ) -> None:
        """Begin with nothing.

        Args:
            forgotten: called with the session whose time is over.
            seconds: that a thing is kept after it was put, or renewed; None: `SECONDS`.
            most: things to keep; beyond, the one that was put or renewed longest ago goes.
        """
        self._forgotten = forgotten
        self._seconds = SECONDS if seconds is None else seconds
        self._most = most
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[T, threading.Timer]] = {}  # the one to go first stands first

    def put(self, session: str, kept: T) -> None:
        """Keep a thing in place of the session's last one."""
        with self._lock:
            self._put(session, kept)
            while len(self._kept) > self._most:
                self._take(next(iter(self._kept)))

    def get(self, session: str, renew: bool = False) -> T | None:
        """Return what is kept for a session, None where there is nothing or its time is over; renew: its time anew."""
        with self._lock:
            found = self._kept.get(session)
            if found and renew:
                self._put(session, found[0])
        return found and found[0]

    def drop(self, session: str) -> None:
        """Forget a session's thing now, as another takes its place."""
        with self._lock:
            self._take(session)

    def _put(self, session: str, kept: T) -> None:
        """As `put`, without the lock and the bound."""
        self._take(session)
        timer = threading.Timer(self._seconds, self._forget, [session])
        timer.daemon = True
        self._kept[session] = kept, timer
        timer.start()

    def _take(self, session: str) -> None:
        taken = self._kept.pop(session, None)
        if taken:
            taken[1].cancel()

    def _forget(self, session: str) -> None:
        with self._lock:
            if session not in self._kept or self._kept[session][1] is not threading.current_thread():
                return  # another thing took its place, or its time began anew
            del self._kept[session]
        self._forgotten(session)
