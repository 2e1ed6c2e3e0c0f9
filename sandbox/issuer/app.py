"""The simulated identity provider as an ASGI app: discovery and keys for the gateway, `/sim/*` for
tests. It signs whatever claims it is told to: it is foreign, and nobody should believe it blindly.
"""

import asyncio
import time
from typing import Literal

import msgspec
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Fault = Literal["", "down", "slow", "garbled", "another-issuer", "no-keys", "redirect"]


class Order(msgspec.Struct):
    """What a token shall say. `header` replaces members of the header; null takes one away."""

    claims: dict[str, object]
    header: dict[str, object] = {}
    algorithm: Literal["ES256", "RS256"] = "ES256"
    key: int = 0


class Fate(msgspec.Struct):
    """What goes wrong from now on, and for how long a slow answer takes."""

    fault: Fault = ""
    seconds: float = 30.0


class _Generation:
    """One pair of keys, until the next rotation."""

    def __init__(self, number: int) -> None:
        self._keys: dict[str, ECKey | RSAKey] = {
            "ES256": ECKey.generate_key("P-256"),
            "RS256": RSAKey.generate_key(2048),
        }
        self._number = number

    def key(self, algorithm: str) -> ECKey | RSAKey:
        return self._keys[algorithm]

    def kid(self, algorithm: str) -> str:
        return f"{algorithm.lower()}-{self._number}"

    def public(self) -> list[dict[str, str | list[str]]]:
        return [
            {**key.as_dict(private=False), "kid": self.kid(name), "alg": name, "use": "sig"}
            for name, key in self._keys.items()
        ]


class _Provider:
    """The endpoints."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._generations = [_Generation(1)]
        self._retired = 0
        self._fate = Fate()
        self._asked = {"discovery": 0, "jwks": 0}

    async def discovery(self, request: Request) -> Response:
        self._asked["discovery"] += 1
        failed = await self._failed(request)
        if failed is not None:
            return failed
        issuer = _address(request)
        said = "https://evil.example" if self._fate.fault == "another-issuer" else issuer
        return _json(
            {
                "issuer": said,
                "jwks_uri": f"{issuer}/jwks",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256", "RS256"],
            }
        )

    async def keys(self, request: Request) -> Response:
        self._asked["jwks"] += 1
        failed = await self._failed(request)
        if failed is not None:
            return failed
        shown = [] if self._fate.fault == "no-keys" else self._generations[self._retired :]
        return _json({"keys": [key for generation in shown for key in generation.public()]})

    async def token(self, request: Request) -> Response:
        """Sign what is asked for with the newest key, or with the one of `key` rotations ago."""
        order = msgspec.json.decode(await request.body(), type=Order)
        generation = self._generations[-1 - order.key]
        now = int(time.time())
        claims = {"iss": _address(request), "iat": now, "exp": now + 600, **order.claims}
        header = {"alg": order.algorithm, "typ": "at+jwt", "kid": generation.kid(order.algorithm)}
        signed = jws.serialize_compact(
            _said({**header, **order.header}),
            msgspec.json.encode(_said(claims)),
            generation.key(order.algorithm),
            [order.algorithm],
            jws.JWSRegistry(algorithms=[order.algorithm], strict_check_header=False),
        )
        return Response(signed, media_type="text/plain")

    async def rotate(self, request: Request) -> Response:
        """Sign with new keys from now on; with `?retire=1` the old ones are shown no more."""
        self._generations.append(_Generation(len(self._generations) + 1))
        if request.query_params.get("retire"):
            self._retired = len(self._generations) - 1
        return _json({"generation": len(self._generations)})

    async def fate(self, request: Request) -> Response:
        self._fate = msgspec.json.decode(await request.body(), type=Fate)
        return _json({"fault": self._fate.fault})

    async def anew(self, request: Request) -> Response:
        """Forget all that was done here, keys included."""
        del request
        self._begin()
        return _json({"generation": 1})

    async def asked(self, request: Request) -> Response:
        del request
        return _json(self._asked)

    async def _failed(self, request: Request) -> Response | None:
        match self._fate.fault:
            case "down":
                return Response(status_code=503)
            case "garbled":
                return Response("<html>maintenance</html>", media_type="text/html")
            case "redirect":
                return Response(status_code=302, headers={"location": f"{request.url}?again"})
            case "slow":
                await asyncio.sleep(self._fate.seconds)
            case _:
                pass
        return None


def create_app() -> Starlette:
    """Return a provider with keys of its own."""
    provider = _Provider()
    return Starlette(
        routes=[
            Route("/.well-known/openid-configuration", provider.discovery),
            Route("/jwks", provider.keys),
            Route("/sim/token", provider.token, methods=["POST"]),
            Route("/sim/rotate", provider.rotate, methods=["POST"]),
            Route("/sim/fate", provider.fate, methods=["POST"]),
            Route("/sim/anew", provider.anew, methods=["POST"]),
            Route("/sim/asked", provider.asked),
        ]
    )


def _address(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _said(members: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in members.items() if value is not None}


def _json(body: object) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")
