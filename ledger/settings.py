"""What an installation may set of its ledger: `[ledger]` of gateway.toml."""

import msgspec

LEAST_CONNECTIONS = 6
"""Two lanes of the writer and three listeners keep theirs; one is left for everything else."""


class LedgerSettings(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True
):
    """Times in seconds, by the clock of the database.

    `lease_seconds`: how long a silent worker keeps its flows. `max_attempts`: tries of one step
    before a person is asked, `max_crashes`: workers that may die over one step before that.
    `in_flight`: flows that one worker runs at a time; those that wait for an answer from outside
    do not count, up to `most_running`. `per_destination`: calls one worker has open at a time to
    one system: what is slow there holds up nobody else. `call_seconds`: how long a call may last;
    an effect of a worker that fell silent is taken back only after that.
    """

    lease_seconds: float = 5.0
    max_attempts: int = 40
    max_crashes: int = 8
    in_flight: int = 128
    most_running: int = 1024
    per_destination: int = 64
    call_seconds: float = 12.0
    connections: int = 12

    def __post_init__(self) -> None:
        if self.connections < LEAST_CONNECTIONS:
            raise ValueError(f"connections: at least {LEAST_CONNECTIONS}")


class RetentionRules(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True
):
    """How many days what is kept: `[retention]` of gateway.toml; 0 keeps it for ever.

    `bodies`: documents byte for byte. `stories`: finished flows with their steps, news and tasks.
    `hops`: what a trace tells, by whole months. `events`: published ones that every subscriber has.
    `contexts`: sealed patients that no unfinished flow names. `identities`: how long a document
    that comes again is recognised; after that it is a new one. `audit`: records of the trail.

    What is not finished stays whole, however old it is. What stays for ever: that a message came,
    when, from whom and its digest; transactions, the names they go by, and claimed names.
    """

    bodies: int = 0
    stories: int = 0
    hops: int = 0
    events: int = 0
    contexts: int = 0
    identities: int = 0
    audit: int = 0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: days, 0 for ever")
