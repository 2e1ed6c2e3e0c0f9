"""Whether each checkpoint is signed by the key in force, and follows from the one before it."""

from collections.abc import Callable, Collection

from ledger.audit.checkpoint import Checkpoint, SignedCheckpoint
from ledger.audit.keys import PublicKey
from ledger.audit.verdict import CHECKPOINT

Break = Callable[[str, int, str], None]


class Signatures:
    """Follows checkpoints by number. In a partial export numbers may be left out.

    With `pinned` keys, one of them must have signed: it vouches for all before (each checkpoint
    names the hash of the one before it) and, by what it announces, for all after. Across the gaps
    of a partial export it vouches only for what comes after.
    """

    def __init__(self, tell: Break, *, partial: bool, pinned: Collection[str] | None) -> None:
        self.first_key = ""
        self.keys: dict[str, PublicKey] = {}
        self._tell = tell
        self._partial = partial
        self._pinned = pinned
        self._key: PublicKey | None = None
        self._last: SignedCheckpoint | None = None
        self._strange = False
        self._vouched_from = 0
        self._anchored_from = 0

    @property
    def vouched(self) -> bool | None:
        """Whether a pinned key vouches for all; None where none is pinned or nothing is signed."""
        if not self._pinned or self._last is None:
            return None
        if self._partial and self._anchored_from:
            return 0 < self._vouched_from <= self._anchored_from
        return self._vouched_from > 0

    def read(self, signed: SignedCheckpoint) -> Checkpoint | None:
        """Return what a checkpoint says, and name what is wrong with it."""
        number, last = signed.number, self._last
        self._follow(number, last.number if last else 0)
        self._last = signed
        told = signed.read()
        if told is None:
            self._tell(CHECKPOINT, number, "it cannot be read: it was changed")
            return None
        if told.number != number:
            self._tell(CHECKPOINT, number, f"it calls itself number {told.number}")
        follows = last is None or last.number + 1 != number or told.previous == last.hash
        if not follows or (number == 1 and told.previous):
            self._tell(CHECKPOINT, number, f"it does not follow from checkpoint {number - 1}")
        if not self._strange:
            self._check(signed, told)
        return told

    def anchors(self, number: int) -> None:
        """Note that records are proved by this checkpoint."""
        self._anchored_from = self._anchored_from or number

    def finish(self) -> None:
        if self.vouched is False:
            reason = "it is signed by another key than the one that is known here"
            self._tell(CHECKPOINT, self._last.number if self._last else 1, reason)

    def _follow(self, number: int, last: int) -> None:
        if number <= last:
            self._tell(CHECKPOINT, number, f"it is out of order: it comes after {last}")
        elif number > last + 1 and (not self._partial or last == 0):
            more = f", and so are all up to {number - 1}" if number > last + 2 else ""
            self._tell(CHECKPOINT, last + 1, f"it is missing{more}")

    def _check(self, signed: SignedCheckpoint, told: Checkpoint) -> None:
        if self._key is None:
            self._key = told.announces
        if self._key is None or self._key.id != told.key:
            self._strange = True  # said once: without what announced the key, all that follow are
            self._tell(CHECKPOINT, signed.number, "it is signed by a key that nobody announced")
            return
        self.first_key = self.first_key or told.key
        self.keys[told.key] = self._key
        if not self._key.signed_checkpoint(signed.body, signed.signature):
            self._tell(CHECKPOINT, signed.number, "its signature does not hold")
            return
        if self._pinned and told.key in self._pinned:
            self._vouched_from = self._vouched_from or signed.number
        if told.announces is not None:
            self._key = told.announces
            self.keys[self._key.id] = self._key
