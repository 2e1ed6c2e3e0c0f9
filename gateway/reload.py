"""Policies without a restart: this replica's file becomes an edition, every replica takes it up.

    gateway.toml ──▶ holds? ──▶ edition N in PostgreSQL ──▶ NOTIFY ──▶ every replica: in force
                     └─ no: refused with its place, said everywhere, the old one keeps running

A file that changes on a running replica is what somebody wants now. At start, a file whose content
was an edition before is only old: the newest edition counts.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

from canonical.errors import StoreUnavailable
from gateway.app import Parts
from gateway.config import Config, ConfigurationRefused
from gateway.config_changes import changes
from gateway.policies_in_force import PoliciesInForce
from gateway.policy_editions import (
    NAME,
    Proposal,
    of_edition,
    propose,
    proposed_in,
    with_policies_of,
)
from gateway.watched_file import WatchedFile
from ledger.audit_trail import Evidence
from ledger.database import ended
from ledger.editions import Edition
from ledger.ids import new_id
from ledger.ledger import Ledger

log = logging.getLogger("suture.policies")

_EVERY_SECONDS = 0.4
_TURNS_UNTIL_SEEN = 20


class Reload:
    """Keeps one replica's policies those of the newest edition."""

    def __init__(self, ledger: Ledger, in_force: PoliciesInForce, file: Path) -> None:
        self.replica = f"{socket.gethostname()}/{os.getpid()}/{new_id('')[-6:]}"
        self.number: int = 0
        self.file_problem = ""
        self.edition_problem = ""
        self._ledger = ledger
        self._in_force = in_force
        self._file = WatchedFile(file)
        self._began_as: Config = in_force.config
        self._refused: int = 0
        self._asked = False
        self._woken = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def problem(self) -> str:
        """Why what was wanted last is not in force; '' where it is."""
        return self.file_problem or self.edition_problem

    def show_in(self, registry: CollectorRegistry) -> None:
        """Show which edition is in force, and whether one is refused, among the metrics."""
        number = Gauge("suture_policy_edition", "Edition of the policies here", registry=registry)
        refused = Gauge(
            "suture_policies_refused", "1 while a file or an edition is refused", registry=registry
        )
        number.set_function(lambda: self.number)
        refused.set_function(lambda: float(bool(self.problem)))

    async def ping(self) -> None:
        """Raise `ConfigurationRefused` while something is refused."""
        if self.problem:
            raise ConfigurationRefused(self.problem)

    def look_again(self) -> None:
        """Take the file for what is wanted now, also where it has not changed (SIGHUP)."""
        self._asked = True
        self._woken.set()

    async def begin(self) -> None:
        """Settle what is in force before the first call; raises where the file does not hold."""
        wanted = proposed_in(self._file.path)
        self._began_as = wanted.config
        editions = self._ledger.editions
        if not await editions.knows(NAME, wanted.digest):
            await self._publish(wanted)
        self._file.taken()
        await self._take_up()
        await self._say()

    def start(self) -> None:
        listening = self._ledger.editions.listen(self._heard)
        self._tasks = [
            asyncio.create_task(self._run(), name="policies"),
            asyncio.create_task(listening, name="policies-heard"),
        ]

    async def stop(self) -> None:
        await ended(*self._tasks)
        with contextlib.suppress(StoreUnavailable):
            await self._ledger.editions.gone(NAME, self.replica)

    def _heard(self, _name: str) -> None:
        self._woken.set()

    async def _run(self) -> None:
        turn = 0
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), _EVERY_SECONDS)
            self._woken.clear()
            turn += 1
            try:
                changed = await self._turn()
                if changed or turn % _TURNS_UNTIL_SEEN == 0:
                    await self._say()
            except StoreUnavailable as exc:
                log.info("policies stay as they are: %s", exc)

    async def _turn(self) -> bool:
        """Look at the file and at the newest edition; return whether anything became of it."""
        before = (self.number, self.problem)
        if self._asked or self._file.has_changed():
            await self._look_at_file()
            self._asked = False
            self._file.taken()
        await self._take_up()
        return before != (self.number, self.problem)

    async def _look_at_file(self) -> None:
        try:
            wanted = proposed_in(self._file.path)
            self._in_force.rehearse(with_policies_of(self._in_force.config, wanted.config))
        except ConfigurationRefused as exc:
            await self._tell("put gateway.toml in force", "refused", reason=str(exc))
            self.file_problem = str(exc)
            log.error("policies refused, the old ones keep running: %s", exc)  # noqa: TRY400 - no traceback
            return
        self.file_problem = ""
        await self._publish(wanted)

    async def _publish(self, wanted: Proposal) -> None:
        restart = [each.where for each in changes(self._began_as, wanted.config) if each.restart]
        if restart:
            log.warning("these change with a restart only: %s", ", ".join(restart))
        by = f"file on {socket.gethostname()}"
        await propose(self._ledger.editions, wanted, by=by, was=self._in_force.config)

    async def _take_up(self) -> None:
        newest = await self._ledger.editions.current(NAME)
        if newest is None or newest.number in (self.number, self._refused):
            return
        try:
            told = of_edition(newest).config
            self._in_force.change(with_policies_of(self._in_force.config, told))
        except ConfigurationRefused as exc:
            await self._tell_of(newest, "refused", reason=str(exc))
            self._refused, self.edition_problem = newest.number, str(exc)
            log.error("edition %d refused: %s", newest.number, exc)  # noqa: TRY400 - no traceback
            return
        await self._tell_of(newest, "done")
        self.number, self.edition_problem = newest.number, ""
        log.warning("edition %d of the policies is in force", newest.number)

    async def _tell_of(self, edition: Edition, outcome: str, **detail: str) -> None:
        told = {"digest": edition.digest, **detail}
        await self._tell(f"take up edition {edition.number} of {NAME}", outcome, **told)

    async def _tell(self, action: str, outcome: str, **detail: str) -> None:
        await self._ledger.record(
            Evidence(
                kind="configuration",
                actor=self.replica,
                action=action,
                outcome=outcome,
                object=NAME,
                detail=detail,
            )
        )

    async def _say(self) -> None:
        await self._ledger.editions.seen(NAME, self.replica, self.number, self.problem)


@asynccontextmanager
async def following(parts: Parts, file: Path) -> AsyncGenerator[Reload]:
    """Keep a gateway's policies those of the newest edition; say so in its metrics and health."""
    reload = Reload(parts.ledger, parts.in_force, file)
    reload.show_in(parts.metrics.registry)
    parts.pings.useful["policies"] = reload.ping
    await reload.begin()
    reload.start()
    try:
        yield reload
    finally:
        await reload.stop()
