"""`suture worker`: run flows only, beside replicas that serve."""

import argparse

import uvloop

from gateway.commands.opening import configuration, configured
from gateway.commands.serve import serve

NAME = "worker"
HELP = "run flows, deadlines and deliveries only"


def arguments(parser: argparse.ArgumentParser) -> None:
    configuration(parser)


def run(given: argparse.Namespace) -> int:
    return uvloop.run(serve(configured(given), ["worker"], given.config))
