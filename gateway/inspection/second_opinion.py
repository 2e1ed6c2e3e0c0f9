"""Second opinions: what hl7apy, pyx12 and fhir.resources say about the same bytes.

They never change a verdict: each accepts what is wrong and refuses what is right here and there.
They run in a process of their own, because they are slow and may hang or die; what does not answer
in time is ended and has no opinion. Their messages quote values, so none is passed on: an answer
says which rule and which place, in words of ours.
"""

import importlib
import logging
import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Final, Self

import msgspec

from gateway.inspection.formats import Format
from gateway.inspection.verdict import Opinion, Part

TIMEOUT: Final = 20.0

_JUDGES: Final[dict[Format, tuple[str, str]]] = {
    "HL7": ("hl7apy", "gateway.inspection.hl7v2_opinion"),
    "X12": ("pyx12", "gateway.inspection.x12_opinion"),
    "FHIR": ("fhir.resources", "gateway.inspection.fhir_opinion"),
}
_SPAWNED: Final = multiprocessing.get_context("spawn")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a judge says: `is_valid` None where it cannot tell. `text` quotes no value.

    One that saw a part only (`is_partial`) has no say where we found fault with another.
    """

    is_valid: bool | None
    text: str
    is_partial: bool = False


Judge = Callable[[bytes], Answer]


class SecondOpinions:
    """Asks the judges, one part at a time. Their process starts with the first question."""

    def __init__(self, seconds: float = TIMEOUT) -> None:
        self._seconds = seconds
        self._process: SpawnProcess | None = None
        self._line: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        self._end()

    def of(self, form: Format, part: Part) -> Opinion:
        """Return what the judge of that format says about our verdict."""
        by, module = _JUDGES[form]
        answer = self._answer(module, part.body)
        if answer.is_valid is None or (answer.is_partial and part.is_refused):
            return Opinion(by=by, says="none", text=answer.text)
        same = answer.is_valid != part.is_refused
        return Opinion(by=by, says="agree" if same else "disagree", text=answer.text)

    def _answer(self, module: str, body: bytes) -> Answer:
        try:
            line = self._line or self._start()
            line.send((module, body))
            if line.poll(self._seconds):
                answer = line.recv()
                return answer if isinstance(answer, Answer) else _silent("it answered nonsense")
        except (EOFError, OSError):
            self._end()
            return _silent("it ended without an answer")
        self._end()
        return _silent(f"it did not answer within {self._seconds:g} s")

    def _start(self) -> Connection:
        ours, theirs = _SPAWNED.Pipe()
        self._process = _SPAWNED.Process(target=_judge, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self._line = ours
        return ours

    def _end(self) -> None:
        if self._line is not None:
            self._line.close()
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
        self._line = self._process = None


def _silent(why: str) -> Answer:
    return Answer(is_valid=None, text=f"no opinion: {why}")


def _judge(line: Connection) -> None:
    """Answer until nobody asks any more; what the libraries print goes nowhere."""
    logging.disable(logging.CRITICAL)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - not a file of ours
        sys.stdout = sys.stderr = nowhere
        while True:
            try:
                module, body = line.recv()
            except (EOFError, OSError):
                return
            judge: Judge = importlib.import_module(module).opinion
            line.send(judge(body))
