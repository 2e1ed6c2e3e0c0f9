"""How many calls this process has open to each destination: what is slow holds up nobody else."""

import time
from collections import defaultdict, deque

_REMEMBERED_SECONDS = 10.0


class Crowded(Exception):
    """So many calls are open to this destination that the flow comes back later; `pause` says when
    (seconds).
    """

    def __init__(self, destination: str, pause: float) -> None:
        super().__init__(destination)
        self.destination = destination
        self.pause = pause


class Crowds:
    """Counts calls by destination; the more were sent away lately, the later they come back."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[str, int] = defaultdict(int)
        self._sent_away: dict[str, deque[float]] = defaultdict(deque)

    def enter(self, destination: str) -> None:
        """Be one of the open calls, or raise `Crowded`. '' is nowhere outside."""
        if not destination:
            return
        if self._open[destination] >= self._most:
            raise Crowded(destination, self._pause(destination))
        self._open[destination] += 1

    def leave(self, destination: str) -> None:
        if destination:
            self._open[destination] -= 1

    def _pause(self, destination: str) -> float:
        now, sent_away = time.monotonic(), self._sent_away[destination]
        while sent_away and sent_away[0] < now - _REMEMBERED_SECONDS:
            sent_away.popleft()
        sent_away.append(now)
        return max(0.2, min(30.0, len(sent_away) / self._most))
