"""What is in force in this process, and how it changes: as a whole, between two calls.

Whoever depends on the configuration says how he would change: first everybody prepares, which may
fail and changes nothing; then all change at once, without a wait in between. A call that is in hand
goes on under the policies it began with.
"""

from collections.abc import Callable

from litestar.types import ASGIApp, Receive, Scope, Send

from gateway.config import Config, ConfigurationRefused
from gateway.pipeline import compose
from policies.edge import Edge

Prepare = Callable[[Config], Callable[[], None]]


class PoliciesInForce:
    """The configuration that holds now."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._followers: list[Prepare] = []

    def follow(self, prepare: Prepare) -> None:
        """Have `prepare` called with each new configuration; what it returns puts it in force."""
        self._followers.append(prepare)

    def change(self, config: Config) -> None:
        """Put a configuration in force, all of it; raises `ConfigurationRefused` and keeps the old
        one.
        """
        for put_in_force in self.rehearse(config):
            put_in_force()
        self.config = config

    def rehearse(self, config: Config) -> list[Callable[[], None]]:
        """Prepare everything and change nothing; raises `ConfigurationRefused`."""
        try:
            return [prepare(config) for prepare in self._followers]
        except (ValueError, TypeError, LookupError) as exc:
            raise ConfigurationRefused(f"it cannot be put in force: {exc}") from exc


class LivePipeline:
    """An application behind the policies that are in force when a call arrives."""

    def __init__(self, in_force: PoliciesInForce, inner: ASGIApp, edge: Edge) -> None:
        self._inner = inner
        self._edge = edge
        self._app = compose(in_force.config.pipeline, inner, edge)
        in_force.follow(self._prepare)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def _prepare(self, config: Config) -> Callable[[], None]:
        app = compose(config.pipeline, self._inner, self._edge)

        def put_in_force() -> None:
            self._app = app

        return put_in_force
