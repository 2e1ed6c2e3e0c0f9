"""Every point at which a flow gives way, and death at the ones that are due.

A flow's coroutine is driven by hand: whatever it awaits passes through here, so that each time it
gives way (before) and each time it goes on (after) is known by name: flow, word of the story, which
time, phase. The process kills itself at a point where nobody has died yet, and writes that down
first. Its successor runs the flow again, passes the points that are over, and dies at the next one.
"""

import functools
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from ledger.catalogue import FlowDefinition
from ledger.story import Story

Phase = Literal["before", "after", "end"]


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """Where a flow was when its process died: in which word of its story, at which await of it."""

    flow: str
    word: str
    turn: int
    phase: Phase


_line = msgspec.json.Decoder(Point)


class Points:
    """The points of a run, kept in a file. `share` is how many of them are to be died at."""

    def __init__(self, file: Path, *, share: float = 1.0, seed: int = 0) -> None:
        self._file = file
        self._share = share
        self._seed = seed
        self._known = set(self.died())

    def died(self) -> list[Point]:
        """Return where processes have died, in order."""
        known = self._file.read_bytes() if self._file.exists() else b""
        return [_line.decode(line) for line in known.splitlines()]

    def reached(self, point: Point) -> None:
        """Die here, unless somebody has died here before or this point is not of the sample."""
        if point in self._known or not self._is_due(point):
            return
        with self._file.open("ab") as file:
            file.write(msgspec.json.encode(point) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.kill(os.getpid(), signal.SIGKILL)

    def _is_due(self, point: Point) -> bool:
        name = f"{self._seed} {point.flow} {point.word} {point.turn} {point.phase}"
        return random.Random(name).random() < self._share


class _Told:
    """A story that notes which of its words is being told."""

    def __init__(self, story: Story, flow: str, points: Points) -> None:
        self._story = story
        self._flow = flow
        self._points = points
        self._times: Counter[str] = Counter()
        self.word = "begin"
        self.turn = 0

    def __getattr__(self, name: str) -> Any:
        told = getattr(self._story, name)
        if not callable(told) or name == "now":
            return told

        def tell(*args: Any, **kwargs: Any) -> Any:
            word = " ".join((name, *(each for each in args[:1] if isinstance(each, str))))
            self._times[word] += 1
            self.word = word if self._times[word] == 1 else f"{word} #{self._times[word]}"
            self.turn = 0
            if kwargs.get("compensate") is not None:
                kwargs["compensate"] = self._deadly_too(self.word, kwargs["compensate"])
            return told(*args, **kwargs)

        return tell

    def _deadly_too(self, word: str, undo: Callable[..., Any]) -> Callable[..., Any]:
        """Undoing is told by the ledger, not by the flow: its points are those of this call."""

        @functools.wraps(undo)
        async def undone(*args: Any, **kwargs: Any) -> Any:
            self.word, self.turn = f"undo: {word}", 0
            return await _Driven(self._flow, self, undo(*args, **kwargs), self._points)

        return undone


class _Driven(Awaitable[Any]):
    """Drives a flow's coroutine, from one point to the next."""

    def __init__(
        self, flow: str, told: _Told, run: Coroutine[Any, Any, Any], points: Points
    ) -> None:
        self._flow = flow
        self._told = told
        self._run = run
        self._points = points

    def __await__(self) -> Generator[Any, Any, Any]:
        answer: Any = None
        failure: BaseException | None = None
        while True:
            try:
                awaited = self._run.send(answer) if failure is None else self._run.throw(failure)
            except StopIteration as end:
                self._reached("end")
                return end.value
            self._told.turn += 1
            self._reached("before")
            answer, failure = None, None
            try:
                answer = yield awaited
            except BaseException as exc:  # noqa: BLE001 - it is the flow's, and is thrown into it
                failure = exc
            self._reached("after")

    def _reached(self, phase: Phase) -> None:
        self._points.reached(
            Point(flow=self._flow, word=self._told.word, turn=self._told.turn, phase=phase)
        )


def deadly(flows: Sequence[FlowDefinition], points: Points) -> list[FlowDefinition]:
    """Return the flows, each to die at its points."""
    return [msgspec.structs.replace(flow, run=_deadly(flow, points)) for flow in flows]


def _deadly(flow: FlowDefinition, points: Points) -> Callable[..., Awaitable[Any]]:
    async def run(story: Story, facts: msgspec.Struct) -> Any:
        told = _Told(story, flow.name, points)
        within: Any = flow.run(told, facts)
        return await _Driven(flow.name, told, within, points)

    return run
