"""`python -m bench.ledger.ours`: one worker process of ours, told what to do by `turns`."""

import hashlib

import uvloop

from bench.ledger.six_steps import Flows
from bench.ledger.turns import Turn, obey, opened, orders
from ledger.ledger import open_ledger

SECRET = hashlib.sha256(b"bench").digest()
"""Seals the bodies of the bench, which are no secret."""


async def main() -> None:
    """Serve orders until standard input ends."""
    lines = orders()
    opening = await opened(lines)
    async with open_ledger(opening.dsn, secret=SECRET) as ledger:
        flows = Flows(ledger, latency=opening.latency)
        turn = Turn(flows.begin)
        flows.ended = turn.ended
        ledger.worker.start()
        try:
            await obey(lines, turn, flows.wake)
        finally:
            await ledger.worker.stop()


if __name__ == "__main__":
    uvloop.run(main())
