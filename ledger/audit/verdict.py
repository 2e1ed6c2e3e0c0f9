"""What comes of verifying: how much was read, how much of it is signed, and everything broken."""

import msgspec

CHECKPOINT = "checkpoint"
EXPORT = "export"


class BrokenLink(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What does not hold, and where.

    `chain` is a chain's name with the record's number in `seq`; or «checkpoint» with its number; or
    «export» with the line of the file. Of each chain the first break is named.
    """

    chain: str
    seq: int
    reason: str


class Verdict(msgspec.Struct, kw_only=True, rename="camel"):
    """`signed` is how many of the `records` a checkpoint states; the rest is newer than all.

    `left_out` counts records that only their digests stand for. `checkpoint` is the newest one as
    `number:hash`, to be kept elsewhere. `key` is the id of the first key, `pinned` whether a key
    that the verifier knew before vouches for all; None where it knew none.
    """

    records: int = 0
    signed: int = 0
    left_out: int = 0
    removed: int = 0
    chains: int = 0
    checkpoints: int = 0
    checkpoint: str = ""
    key: str = ""
    pinned: bool | None = None
    complete: bool = True
    broken: list[BrokenLink] = []
