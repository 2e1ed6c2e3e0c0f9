"""The command line: `suture <command>`, or `python -m gateway <command>`."""

import argparse
import sys
from types import ModuleType

from canonical.errors import Failure
from gateway.commands import (
    api,
    audit,
    clients,
    config,
    demo,
    doctor,
    facility,
    inspect,
    keys,
    openapi,
    people,
    replay,
    retention,
    serve,
    signing_keys,
    subscriptions,
    tasks,
    trace,
    worker,
)
from gateway.config import ConfigurationRefused
from gateway.logs import set_up_logging

_COMMANDS: tuple[ModuleType, ...] = (
    serve,
    worker,
    demo,
    inspect,
    trace,
    tasks,
    audit,
    clients,
    api,
    people,
    subscriptions,
    keys,
    signing_keys,
    facility,
    config,
    retention,
    openapi,
    replay,
    doctor,
)


def main(words: list[str] | None = None) -> int:
    """Run one command; failures are one line that says what to do, never a traceback."""
    parser = argparse.ArgumentParser(
        prog="suture", description="API gateway and ledger for healthcare supply chain."
    )
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for module in _COMMANDS:
        sub = commands.add_parser(module.NAME, help=module.HELP, description=module.HELP)
        module.arguments(sub)
        sub.set_defaults(run=module.run)
    given = parser.parse_args(words)
    set_up_logging()
    try:
        return int(given.run(given))
    except ConfigurationRefused as exc:
        print(f"suture: configuration refused: {exc}", file=sys.stderr)
        return 2
    except Failure as exc:
        fix = f"\n  next: {exc.fix}" if exc.fix else ""
        print(f"suture: {exc}{fix}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
