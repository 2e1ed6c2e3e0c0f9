"""What an installation may set of its ledger: `[ledger]` of gateway.toml."""

import msgspec


class LedgerSettings(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True
):
    """Times in seconds, by the clock of the database.

    `lease_seconds`: how long a silent worker keeps its flows. `max_attempts`: tries of one step
    before a person is asked, `max_crashes`: workers that may die over one step before that.
    `in_flight`: flows that one worker runs at a time; those that wait for an answer from outside
    do not count, up to `most_running`. `per_destination`: calls one worker has open at a time to
    one system: what is slow there holds up nobody else.
    """

    lease_seconds: float = 5.0
    max_attempts: int = 40
    max_crashes: int = 8
    in_flight: int = 128
    most_running: int = 1024
    per_destination: int = 64
    connections: int = 12
