"""Tokens for people: what a code, a refresh token and a device code are exchanged for.

Whatever is shown a second time, or by a client that it was not given to, has been stolen: all that
came from it ends at once, access tokens too.
"""

from collections.abc import Mapping
from datetime import timedelta

import msgspec

from canonical.errors import LimiterUnavailable
from gateway.sign_in.authorize import CODE
from gateway.sign_in.desk import Desk, consent_of
from ledger.tickets import Shown, Ticket
from policies.edge import Pace
from policies.oauth.clients import OAuthClient
from policies.oauth.codes import proves
from policies.oauth.device import DEVICE_CODE, INTERVAL_SECONDS
from policies.oauth.people import Allowance
from policies.oauth.refresh import Consent, new_secret, refresh_end, still_allowed
from policies.oauth.refusals import OAuth2Error
from policies.oauth.server import Grant, Granted, TokenRequest
from policies.oauth.tokens import Rights

AUTHORIZATION_CODE, REFRESH = "authorization_code", "refresh_token"
DEVICE = "device"


class PeopleGrants(msgspec.Struct, frozen=True, kw_only=True):
    """Answers each grant that stands for a person."""

    desk: Desk

    @property
    def table(self) -> Mapping[str, Grant]:
        return {
            AUTHORIZATION_CODE: self.by_code,
            REFRESH: self.by_refresh_token,
            DEVICE_CODE: self.by_device_code,
        }

    async def by_code(self, request: TokenRequest) -> Granted:
        """Exchange a code (OAuth 2.1, 4.1.3)."""
        code = request.needed("code")
        verifier, target = request.needed("code_verifier"), request.needed("redirect_uri")
        shown = await self._shown(request, CODE, code)
        consent = consent_of(shown.family)
        if target != consent.redirect_uri or not proves(verifier, consent.challenge):
            await self._stolen(request, shown, "code without its proof")
            raise _no_grant("The code was given for another address or proof.")
        return await self._given(request, shown, CODE, code)

    async def by_refresh_token(self, request: TokenRequest) -> Granted:
        """Exchange a refresh token for a new one and an access token (OAuth 2.1, 4.3)."""
        token = request.needed("refresh_token")
        shown = await self._shown(request, REFRESH, token)
        return await self._given(request, shown, REFRESH, token, request.form.get("scope"))

    async def by_device_code(self, request: TokenRequest) -> Granted:
        """Answer a device that asks whether its person came (RFC 8628 3.4)."""
        code = request.needed("device_code")
        shown = await self._shown(request, DEVICE, code)
        await self._require_patience(shown)
        if shown.family.ended:
            raise OAuth2Error("The person said no.", error="access_denied")
        if not shown.holds(self.desk.clock()):
            raise OAuth2Error("The code has expired.", error="expired_token")
        if not shown.family.owner:
            raise OAuth2Error("The person has not answered yet.", error="authorization_pending")
        return await self._given(request, shown, DEVICE, code)

    async def end_refresh_token(self, client: OAuthClient, token: str, _now: float) -> bool:
        """End what a refresh token of this client belongs to (RFC 7009 2.1); False for others."""
        shown = await self.desk.tickets.find(REFRESH, token)
        if shown is None or consent_of(shown.family).client_id != client.client_id:
            return False
        await self.desk.endings.end(shown.family.id, "revoked by its client")
        return True

    async def _shown(self, request: TokenRequest, kind: str, secret: str) -> Shown:
        shown = await self.desk.tickets.find(kind, secret)
        if shown is None:
            raise _no_grant()
        if consent_of(shown.family).client_id != request.client.client_id:
            await self._stolen(request, shown, f"{kind} of another client")
            raise _no_grant()
        if shown.spent:
            await self._stolen(request, shown, f"{kind} shown again")
            raise _no_grant()
        return shown

    async def _given(
        self, request: TokenRequest, shown: Shown, kind: str, secret: str, scope: str | None = None
    ) -> Granted:
        """Spend what was shown, and give what it is worth today."""
        consent = consent_of(shown.family)
        person = await self.desk.people.find(consent.person_id)
        roles = self.desk.settings.roles
        allowed = still_allowed(consent, request.client, person, roles, scope)
        more = await self._spent(request, shown, kind, secret)
        return Granted(rights=_rights(request, consent, allowed, shown.family.id), more=more)

    async def _spent(
        self, request: TokenRequest, shown: Shown, kind: str, secret: str
    ) -> dict[str, str]:
        """Spend a ticket; return the refresh token that takes its place, where there is one."""
        desk, now = self.desk, self.desk.clock()
        lifetimes, refresh = desk.settings.lifetimes, new_secret()
        whole = shown.family.expires
        if kind != REFRESH:
            whole = now + timedelta(seconds=lifetimes.grant)
        successor = Ticket(kind=REFRESH, secret=refresh, expires=refresh_end(lifetimes, now, whole))
        may = REFRESH in request.client.grant_types
        outcome = await desk.tickets.spend(
            kind, secret, now, *([successor] if may else []), until=whole if may else None
        )
        if outcome == "again":
            await self._stolen(request, shown, f"{kind} shown again")
        if outcome != "spent":
            raise _no_grant()
        return {"refresh_token": refresh} if may else {}

    async def _stolen(self, request: TokenRequest, shown: Shown, what: str) -> None:
        """End all that came from something that is in the wrong hands, and leave a record."""
        await self.desk.endings.end(shown.family.id, what)
        await self.desk.record(
            shown.family.owner,
            "token request",
            "revoked",
            app=request.client.client_id,
            reason=what,
        )

    async def _require_patience(self, shown: Shown) -> None:
        pace = Pace(limit=1, seconds=INTERVAL_SECONDS, burst=1)
        try:
            verdict = await self.desk.limiter(f"device:{shown.family.id}", pace, 1)
        except LimiterUnavailable:
            return  # asking often harms nobody: the code itself cannot be guessed
        if not verdict.allowed:
            raise OAuth2Error("Ask less often, by five seconds more each time.", error="slow_down")


def _no_grant(words: str = "It is unknown, expired, used or revoked.") -> OAuth2Error:
    return OAuth2Error(words, error="invalid_grant")


def _rights(request: TokenRequest, consent: Consent, allowed: Allowance, family: str) -> Rights:
    return Rights(
        client=request.client.client_id,
        subject=consent.person_id,
        scopes=allowed.scopes,
        facilities=allowed.facilities,
        roles=allowed.roles,
        data_classes=allowed.data_classes,
        sla=request.client.sla,
        lineage=(family,),
    )
