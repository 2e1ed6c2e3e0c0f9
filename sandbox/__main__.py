"""Run one simulated system: `python -m sandbox erp|ehr|supplier|issuer --port N …`."""

import argparse
import os
import socket
import threading
import time
from decimal import Decimal
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from sandbox.ehr.app import create_app as ehr_app
from sandbox.ehr.settings import Settings as EhrSettings
from sandbox.erp.app import Settings as ErpSettings
from sandbox.erp.app import create_app as erp_app
from sandbox.issuer.app import create_app as issuer_app
from sandbox.supplier.app import create_app as supplier_app
from sandbox.supplier.settings import Settings as SupplierSettings


def main() -> None:
    """Serve until stopped; prints one line when it answers."""
    arguments = _arguments()
    systems = {"erp": _erp, "ehr": _ehr, "supplier": _supplier, "issuer": _issuer}
    app = systems[arguments.system](arguments)
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((arguments.host, arguments.port))
    listening.listen(128)
    if arguments.with_parent:
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    port = listening.getsockname()[1]
    print(f"{arguments.system} ready on http://{arguments.host}:{port}", flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on")
    uvicorn.Server(config).run(sockets=[listening])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("system", choices=("erp", "ehr", "supplier", "issuer"))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--with-parent", action="store_true", help="end when the parent ends")
    parser.add_argument("--gateway", default="http://127.0.0.1:8420")
    parser.add_argument("--mllp-host", default="127.0.0.1")
    parser.add_argument("--mllp-port", type=int, default=2575)
    parser.add_argument("--client", default="")
    parser.add_argument("--secret-file", type=Path, help="the OAuth client's secret, or the ERP's")
    parser.add_argument("--behaviour", default="accept")
    parser.add_argument("--pace", type=float, default=0.5, help="seconds between documents")
    parser.add_argument("--serials", default="", help="SKUs that carry serials, by commas")
    parser.add_argument("--price", action="append", default=[], help="SKU=price of the supplier")
    return parser.parse_args()


def _secret(arguments: argparse.Namespace) -> str:
    file: Path | None = arguments.secret_file
    return file.read_text(encoding="utf-8").strip() if file else "sandbox"


def _erp(arguments: argparse.Namespace) -> Starlette:
    return erp_app(ErpSettings(password=_secret(arguments)))


def _ehr(arguments: argparse.Namespace) -> Starlette:
    return ehr_app(
        EhrSettings(
            gateway_url=arguments.gateway,
            mllp_host=arguments.mllp_host,
            mllp_port=arguments.mllp_port,
            token_url=f"{arguments.gateway}/oauth/token",
            client_id=arguments.client,
            client_secret=_secret(arguments),
        )
    )


def _supplier(arguments: argparse.Namespace) -> Starlette:
    prices = dict[str, Decimal]()
    for given in arguments.price:
        sku, _, price = str(given).partition("=")
        prices[sku] = Decimal(price)
    return supplier_app(
        SupplierSettings(
            gateway_url=arguments.gateway,
            token_url=f"{arguments.gateway}/oauth/token",
            client_id=arguments.client,
            client_secret=_secret(arguments),
            behaviour=arguments.behaviour,
            pace=arguments.pace,
            catalogue=prices,
            serial_controlled=frozenset(filter(None, str(arguments.serials).split(","))),
        )
    )


def _issuer(_arguments: argparse.Namespace) -> Starlette:
    return issuer_app()


def _end_with(parent: int) -> None:
    """Leave nothing running behind a parent that was killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


if __name__ == "__main__":
    main()
