"""`python -m bench.peers.dbos_flows`: DBOS, told what to do by `bench.ledger.turns`.

As its own documentation has it for asyncio: an async workflow of async steps, awaited. Pool of 20,
default serializer, uvloop, no logs, no admin server, an executor id of its own that stays the same.
"""

import asyncio
import importlib
from typing import Any

import uvloop

from bench.ledger.turns import Turn, obey, opened, orders

STEPS = 6
_POOL = 20


async def main() -> None:
    """Serve orders until standard input ends."""
    lines = orders()
    opening = await opened(lines)
    library: Any = importlib.import_module("dbos")
    engine: Any = library.DBOS(
        config={
            "name": "bench",
            "system_database_url": opening.dsn,
            "sys_db_pool_size": _POOL,
            "executor_id": opening.name,
            "application_version": "1",
            "enable_otlp": False,
            "log_level": "CRITICAL",
        }
    )

    async def act(number: int) -> int:
        if opening.latency:
            await asyncio.sleep(opening.latency)
        return number

    step: Any = library.DBOS.step()(act)

    async def six_steps(number: int) -> int:
        for _ in range(STEPS):
            number = await step(number)
        return number

    flow: Any = library.DBOS.workflow()(six_steps)

    async def run_one() -> None:
        await flow(1)
        turn.ended()

    turn = Turn(run_one)
    engine.launch()
    try:
        await obey(lines, turn)
    finally:
        await asyncio.to_thread(library.DBOS.destroy)


if __name__ == "__main__":
    uvloop.run(main())
