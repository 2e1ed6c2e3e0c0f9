"""How sessions and grants end, and the access tokens that came from them with them."""

import msgspec

from ledger.ledger import Ledger
from policies.oauth.revoked import client_name, token_name

_SKEW_SECONDS = 60.0


class Endings(msgspec.Struct, frozen=True, kw_only=True):
    """`token_seconds` is how long an access token lives at most."""

    ledger: Ledger
    token_seconds: int

    async def end(self, family: str, reason: str) -> None:
        """End a session or grant with everything that came from it."""
        ended = await self.ledger.tickets.end(family, self.ledger.clock(), reason)
        await self._withdraw(family, *(each.id for each in ended))

    async def end_all_of(self, person_id: str, reason: str) -> int:
        """End everything of a person at once; return how many sessions and grants that were."""
        ended = await self.ledger.tickets.end_of(person_id, self.ledger.clock(), reason)
        await self._withdraw(*(each.id for each in ended))
        return len(ended)

    async def shut_out(self, person_id: str, reason: str) -> int:
        """End everything of a person, and all tokens for them that were given by now."""
        now = self.ledger.clock().timestamp()
        await self.ledger.withdrawals.withdraw(
            client_name(person_id), until=self._until(), given_before=now
        )
        return await self.end_all_of(person_id, reason)

    async def _withdraw(self, *families: str) -> None:
        for family in dict.fromkeys(families):
            await self.ledger.withdrawals.withdraw(token_name(family), until=self._until())

    def _until(self) -> float:
        return self.ledger.clock().timestamp() + self.token_seconds + _SKEW_SECONDS
