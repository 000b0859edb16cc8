"""Which reader reads for whom: the shipped one for all, and for a session its own fine-tuned one."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from crnn.tabs.session_cache import SessionCache

if TYPE_CHECKING:
    from crnn.recognizer import Recognizer

MOST = 6  # own readers in memory, about 10 MB each
SECONDS = 3600  # that one is kept after its last use

log = logging.getLogger(__name__)


class Readers:
    """The shipped reader, and those of sessions that brought their own. Nothing here waits; any thread may use it."""

    def __init__(self, shipped: Future[Recognizer], most: int = MOST, seconds: float = SECONDS) -> None:
        """Begin without own ones.

        Args:
            shipped: perhaps still loading.
            most: own readers to keep; beyond, the one that was used longest ago goes.
            seconds: that one is kept after its last use.
        """
        self.shipped = shipped
        self._own: SessionCache[Future[Recognizer]] = SessionCache(seconds=seconds, most=most)
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load-own")

    def of(self, session: str) -> Future[Recognizer]:
        """The reader that reads for a session, perhaps still loading."""
        return self._own.get(session, renew=True) or self.shipped

    def use(self, session: str, folder: Path) -> Future[Recognizer]:
        """Read with a checkpoint's folder from now on, in this session alone.

        Returns the reader that is being loaded; once it is, the folder may go. Where it can't be loaded, its
        exception is a ValueError that says why in one sentence, and reads fail with it until `back`.
        """
        loading = self._loader.submit(load, folder)
        self._own.put(session, loading)
        return loading

    def back(self, session: str) -> None:
        """Read with the shipped reader again."""
        self._own.drop(session)

    def has_own(self, session: str) -> bool:
        """Whether a session has its own reader, be it still loading."""
        return self._own.get(session) is not None


def load(folder: Path) -> Recognizer:
    """Load a checkpoint into memory. Raises ValueError, one sentence, where it is none."""
    from crnn.recognizer import Recognizer

    try:
        return Recognizer.from_pretrained(folder)
    except ValueError as error:  # its sentence names a folder of the server
        log.warning("An own reader can't be loaded: %s", error)
        raise ValueError("The fine-tuned reader's files are damaged, or gone; train it again.") from error
