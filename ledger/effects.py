"""The shapes of calls that change something outside, and of those that take it back; of a claim."""

from typing import Protocol, TypeVar

import msgspec

from canonical.context import PatientContext

A = TypeVar("A", contravariant=True)
B = TypeVar("B", contravariant=True)
C = TypeVar("C", contravariant=True)
R = TypeVar("R", covariant=True)


class Effect(Protocol[A, R]):
    """A call that changes another system: once for one key."""

    async def __call__(self, first: A, /, *, key: str) -> R: ...


class Effect2(Protocol[A, B, R]):
    async def __call__(self, first: A, second: B, /, *, key: str) -> R: ...


class Compensation(Protocol[A, B]):
    """Takes an effect back. `done` is what it came to; None where nobody knows whether it happened:
    then it is looked up by `key`, the effect's own key. Harmless when it is repeated.
    """

    async def __call__(self, first: A, done: B | None, /, *, key: str) -> object: ...


class Compensation2(Protocol[A, B, C]):
    async def __call__(self, first: A, second: B, done: C | None, /, *, key: str) -> object: ...


class Redress(Protocol[A, B]):
    """Takes back an effect that saw the patient."""

    async def __call__(
        self, first: A, done: B | None, /, *, key: str, patient: PatientContext
    ) -> object: ...


class Disclosure(Protocol[A, R]):
    """An effect that is allowed to see the patient."""

    async def __call__(self, first: A, /, *, key: str, patient: PatientContext) -> R: ...


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a claimed name: this flow, or another one of `transaction`."""

    mine: bool
    transaction: str
