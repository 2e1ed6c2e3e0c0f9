"""The measurements run, and tell apart what was measured, what was not run and what is void.

No figure is looked at: whether something is fast enough is for a person to read.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from rich.console import Console

from bench.load import Target, load
from bench.report import Comparison, Report, Row, Trial, compared, judged
from bench.rounds import Contender, Settings, in_turn
from bench.table import show
from canonical.clock import utc_now

ROOT = Path(__file__).resolve().parent.parent
QUICK = ("--rounds", "1", "--quick", "--json")
RATIOS = {
    "codecs": (
        "hl7v2: suture / hl7apy",
        "x12: suture / pyx12",
        "fhir: suture / fhir.resources",
    ),
    "ledger": (
        "messages, 50 in flight: suture / by hand",
        "flows, 1 in flight: suture / by hand",
        "flows, 50 in flight: suture / same rows",
        "audit, 50 in flight: suture / by hand",
    ),
    "edge": tuple(
        f"{row}: gateway / bare Litestar" for row in ("public", "token", "database")
    ),
}
