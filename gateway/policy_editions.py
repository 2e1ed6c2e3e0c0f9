"""The policies of gateway.toml as editions that all replicas share (`ledger/editions.py`)."""

from pathlib import Path

import msgspec

from gateway.config import Config, ConfigurationRefused, read
from gateway.config_changes import RELOADABLE, Change, changes, digest
from gateway.lifecycle import lifecycle_of, require_terms
from gateway.openapi import operation_paths
from gateway.pipeline import require_order
from ledger.editions import Edition, EditionDraft, Editions

NAME = "gateway.toml"
_MOST_TOLD = 40


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A text that holds, and what it says."""

    text: str
    config: Config

    @property
    def digest(self) -> str:
        return digest(self.config)


def proposal(text: str, place: str) -> Proposal:
    """Return a text of gateway.toml as what it says; raises `ConfigurationRefused` with the place
    of its mistake.
    """
    config = read(text, place)
    try:
        require_order(config.pipeline)
        require_terms(lifecycle_of(config.pipeline), operation_paths())
    except ConfigurationRefused as exc:
        raise ConfigurationRefused(f"{place}: {exc}") from exc
    return Proposal(text=text, config=config)


def proposed_in(file: Path) -> Proposal:
    """Return what a file proposes; raises `ConfigurationRefused`."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationRefused(f"{file} is not a text file that can be read") from exc
    return proposal(text, str(file))


def of_edition(edition: Edition) -> Proposal:
    """Return what an edition says; raises `ConfigurationRefused` where this release cannot read
    it.
    """
    return proposal(edition.body, f"edition {edition.number} of {NAME}")


def with_policies_of(config: Config, other: Config) -> Config:
    """Return `config` with everything reloadable as `other` has it."""
    return msgspec.structs.replace(config, **{name: getattr(other, name) for name in RELOADABLE})


async def propose(
    editions: Editions, wanted: Proposal, *, by: str, was: Config | None = None
) -> Edition:
    """Put a proposal in force everywhere; the audit trail says by whom and what changed."""
    found = [] if was is None else list(changes(was, wanted.config))
    told = told_changes([each for each in found if not each.restart])
    return await editions.put(
        EditionDraft(name=NAME, digest=wanted.digest, body=wanted.text, by=by, told=told)
    )


def told_changes(found: list[Change]) -> dict[str, str]:
    """Return changes as an audit record tells them."""
    told = {each.where: f"{each.was or 'nothing'} → {each.becomes or 'nothing'}" for each in found}
    if len(told) > _MOST_TOLD:
        first = dict(list(told.items())[:_MOST_TOLD])
        return {**first, "more": str(len(told) - _MOST_TOLD)}
    return told
