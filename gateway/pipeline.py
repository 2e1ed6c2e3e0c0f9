"""The pipeline of gateway.toml: what it must hold, in which order, and the application it makes."""

from collections.abc import Sequence
from typing import Final

from litestar.types import ASGIApp

from gateway.catalogue import Policy
from gateway.config import ConfigurationRefused
from policies.edge import Edge

_ONCE: Final = ("correlation-id", "audit", "problem-details", "bearer-token")
_OUTSIDE_PROBLEMS: Final = frozenset(("correlation-id", "tracing", "security-headers", "audit"))
"""What acts on every answer, refusals too; everything else is inside problem-details."""
_PAIRS: Final = (
    ("correlation-id", "tracing"),
    ("correlation-id", "security-headers"),
    ("correlation-id", "audit"),
    ("security-headers", "problem-details"),
    ("tracing", "audit"),
    ("audit", "problem-details"),
    ("strict-framing", "max-body"),
    ("strict-framing", "bearer-token"),
    ("max-body", "body-shape"),
    ("body-time", "bearer-token"),
    ("cors", "bearer-token"),
)
"""Outer, inner: where both are there, the first comes first."""


def compose(pipeline: Sequence[Policy], app: ASGIApp, edge: Edge) -> ASGIApp:
    """Wrap an application in its policies, the first one outermost."""
    for policy in reversed(pipeline):
        app = policy(app, edge)
    return app


def tag(policy: Policy) -> str:
    """Return the word by which gateway.toml calls a policy."""
    return str(policy.__struct_config__.tag)


def require_order(pipeline: Sequence[Policy]) -> None:
    """Raise `ConfigurationRefused`, with the place, for a pipeline that would let something by."""
    tags = [tag(policy) for policy in pipeline]
    for needed in _ONCE:
        if tags.count(needed) != 1:
            raise _refused("", f"{needed} must be there, once")
    inside = tags.index("problem-details")
    for place, name in enumerate(tags):
        if place < inside and name not in _OUTSIDE_PROBLEMS:
            raise _refused(f"[{place}]", f"{name} must come after problem-details")
    for outer, inner in _PAIRS:
        if outer in tags and inner in tags and tags.index(outer) > tags.index(inner):
            raise _refused(f"[{tags.index(outer)}]", f"{outer} must come before {inner}")


def _refused(place: str, said: str) -> ConfigurationRefused:
    return ConfigurationRefused(f"{said} - at `$.pipeline{place}`")
