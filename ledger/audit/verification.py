"""Verifying: records and checkpoints one after the other, in memory for chains, not for records.

Whoever feeds a `Verifier` gives, before each checkpoint, the records that it is the first to state,
chain by chain; after the last checkpoint those that none states yet. A table and an export are
verified by the same rules.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

import msgspec

from ledger.audit.chain import (
    KeptRecord,
    columns,
    first_hash,
    has_columns,
    has_times,
    linked,
    next_hash,
    searchable,
)
from ledger.audit.checkpoint import ChainHead, Floor, SignedCheckpoint
from ledger.audit.evidence import Evidence, decode_evidence
from ledger.audit.keys import PublicKey
from ledger.audit.signatures import Signatures
from ledger.audit.verdict import CHECKPOINT, BrokenLink, Verdict


class Witness(NamedTuple):
    """A checkpoint that somebody wrote down elsewhere."""

    number: int
    hash: str


class _Run:
    """How far a chain has been followed. `open` is whether its next record is awaited."""

    __slots__ = ("at", "broken", "hash", "open", "seq", "stated", "unsigned")

    def __init__(self, seq: int, before: bytes, *, is_open: bool) -> None:
        self.seq = seq
        self.hash = before
        self.at: float = float("-inf")
        self.stated = 0
        self.unsigned = 0
        self.broken = False
        self.open = is_open


class Verifier:
    """Takes the trail in order; says what is broken. `partial` allows gaps between runs."""

    def __init__(
        self,
        floors: Iterable[Floor] = (),
        *,
        partial: bool = False,
        pinned: Collection[str] | None = None,
        witness: Witness | None = None,
    ) -> None:
        self.verdict = Verdict(complete=not partial, broken=[])
        self._partial = partial
        self._floors = {floor.chain: floor for floor in floors}
        self._unsaid = set(self._floors)
        self._runs: dict[str, _Run] = {}
        self._named: set[str] = set()
        self._signatures = Signatures(self._break, partial=partial, pinned=pinned)
        self._witness = witness

    def record(self, row: KeptRecord) -> None:
        """Follow a chain by one record."""
        self.verdict.records += 1
        run = self._run(row.chain)
        if run.broken:
            return
        reason = self._wrong(run, row)
        if reason:
            self._broken(row.chain, run, row.seq, reason)
            return
        run.seq, run.hash, run.at = row.seq, bytes(row.hash), row.at.timestamp()
        run.unsigned += 1

    def left_out(self, chain: str, first: int, digests: list[bytes]) -> None:
        """Follow a chain over records that only their digests stand for."""
        self.verdict.left_out += len(digests)
        run = self._run(chain)
        if run.broken:
            return
        if not run.open or first != run.seq + 1 or not has_times(chain) or not self._partial:
            self._broken(chain, run, first, "what was left out does not follow")
            return
        for digest in digests:
            run.hash = linked(run.hash, digest)
        run.seq += len(digests)

    def resume(self, chain: str, seq: int, before: bytes) -> None:
        """Begin to follow a chain after record `seq`, in a partial export."""
        run = self._runs.setdefault(chain, _Run(0, b"", is_open=False))
        if run.broken:
            return
        if not self._partial or run.open or seq < run.seq:
            self._broken(chain, run, seq, "the chain is taken up where it is not left")
            return
        run.seq, run.hash, run.open = seq, before, True

    def checkpoint(self, signed: SignedCheckpoint) -> None:
        """Hold the chains against what a checkpoint states."""
        told = self._signatures.read(signed)
        self.verdict.checkpoints += 1
        self.verdict.checkpoint = f"{signed.number}:{signed.hash}"
        if self._witness and self._witness.number == signed.number:
            if signed.hash != self._witness.hash:
                self._break(CHECKPOINT, signed.number, "it is not the one that was written down")
            self._witness = None
        if told is None:
            return
        for head in told.chains:
            self._state(head, signed.number)
        for floor in told.floors:
            self._state_floor(floor, signed.number)
        self._named.update(head.chain for head in told.chains)
        if not self._partial and told.count != len(self._named):
            reason = f"it counts {told.count} chains, and {len(self._named)} are named so far"
            self._break(CHECKPOINT, signed.number, reason)

    def finish(self) -> Verdict:
        """Say what came of it; nothing is fed after this."""
        for chain in sorted(self._unsaid):
            first = self._floors[chain].first
            self._break(chain, 1, f"records before {first} are gone, and no checkpoint says so")
        if self._witness:
            self._break(CHECKPOINT, self._witness.number, "it was written down, and is not there")
        self._signatures.finish()
        verdict = self.verdict
        verdict.removed = sum(floor.first - 1 for floor in self._floors.values())
        verdict.chains = len(self._runs)
        verdict.key, verdict.pinned = self._signatures.first_key, self._signatures.vouched
        return verdict

    def registered(self, chain: str, covered: int) -> None:
        """Hold a chain against the register: it was begun, and covered up to a record."""
        run = self._runs.get(chain)
        if run is None:
            self._break(chain, 1, "the whole chain is missing: it was begun, and has no record")
        elif covered > run.stated and not run.broken:
            reason = f"record {covered} was covered by a checkpoint that is not there"
            self._broken(chain, run, covered, reason)

    def key(self, identifier: str) -> PublicKey | None:
        """Return a key that checkpoints are signed with or announce, as far as they were read."""
        return self._signatures.keys.get(identifier)

    def fault(self, chain: str, seq: int, reason: str) -> None:
        """Name something broken that is neither record nor checkpoint (a line of a file)."""
        self._break(chain, seq, reason)

    def _run(self, chain: str) -> _Run:
        run = self._runs.get(chain)
        if run is None:
            floor = self._floors.get(chain)
            run = _Run(0, first_hash(chain), is_open=not self._partial)
            if floor is not None:
                run = _Run(floor.first - 1, bytes.fromhex(floor.before), is_open=True)
            self._runs[chain] = run
        return run

    def _wrong(self, run: _Run, row: KeptRecord) -> str:
        """Say what is wrong with the next record of a chain; '' where it follows."""
        if not run.open:
            return "the record stands alone: what comes before it is not said"
        wanted = run.seq + 1
        if row.seq > wanted:
            gone = (
                f"record {wanted}"
                if row.seq == wanted + 1
                else f"records {wanted} to {row.seq - 1}"
            )
            return f"{gone} is missing or out of order"
        if row.seq < wanted:
            return f"record {row.seq} is out of order: {wanted} was expected"
        if next_hash(run.hash, row) != row.hash:
            return "the record is not the one that was written"
        if has_times(row.chain) and row.at.timestamp() < run.at:
            return "the record is older than the one before it"
        return _copied_wrong(row)

    def _state(self, head: ChainHead, number: int) -> None:
        if self._partial and (head.chain not in self._runs or not self._runs[head.chain].open):
            return
        run = self._run(head.chain)
        if run.broken:
            return
        floor = self._floors.get(head.chain)
        if head.seq <= run.stated:
            reason = f"checkpoint {number} states record {head.seq} after record {run.stated}"
            self._broken(head.chain, run, head.seq, reason)
            return
        run.stated = head.seq
        if floor and head.seq < floor.first:
            if head.seq == floor.first - 1 and head.hash != floor.before:
                reason = (
                    f"checkpoint {number} states another hash for it than the chain begins with"
                )
                self._broken(head.chain, run, head.seq, reason)
            return
        reason = _unlike(run, head, number)
        if reason:
            self._broken(head.chain, run, min(run.seq + 1, head.seq), reason)
            return
        self.verdict.signed += run.unsigned
        run.unsigned = 0
        run.open = not self._partial
        self._signatures.anchors(number)

    def _state_floor(self, floor: Floor, number: int) -> None:
        """Take note that a floor is signed: the one in force, or an earlier one of its chain."""
        run = self._run(floor.chain)
        if floor.first - 1 > run.stated:
            reason = f"checkpoint {number} lets records go that no checkpoint had stated"
            self._broken(floor.chain, run, floor.first, reason)
        if self._floors.get(floor.chain) == floor:
            self._unsaid.discard(floor.chain)

    def _broken(self, chain: str, run: _Run, seq: int, reason: str) -> None:
        run.broken = True
        self._break(chain, seq, reason)

    def _break(self, chain: str, seq: int, reason: str) -> None:
        self.verdict.broken.append(BrokenLink(chain=chain, seq=seq, reason=reason))


def _unlike(run: _Run, head: ChainHead, number: int) -> str:
    """Say how a chain differs from its head as a checkpoint states it; '' where it does not."""
    if run.seq == 0:
        return f"the whole chain is missing: checkpoint {number} states {head.seq} records"
    if run.seq < head.seq:
        gone = f"records {run.seq + 1} to {head.seq}" if run.seq + 1 < head.seq else "the record"
        return f"{gone} missing at the end: checkpoint {number} states record {head.seq}"
    if run.seq > head.seq or run.hash.hex() != head.hash:
        return f"checkpoint {number} states another record {head.seq}"
    return ""


def _copied_wrong(row: KeptRecord) -> str:
    """Compare the columns for searching with what the record says."""
    try:
        told: Evidence = decode_evidence(row.record)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "the record is not one of an audit trail"
    if told.kind != row.kind:
        return f"it is filed as {row.kind!r}, and says {told.kind!r}"
    if (told.transaction or None) != row.transaction_id:
        return "it is filed under another transaction than it says"
    if has_times(row.chain) and searchable(told.actor) != row.actor:
        return "it is filed under another actor than it says"
    if has_columns(row.chain) and columns(told) != (row.object, row.facility, row.refusal):
        return "it is filed under another object, facility or outcome than it says"
    return ""
