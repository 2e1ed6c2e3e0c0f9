"""Pages: the operations console, and the API documentation with Swagger UI. All offline."""

import importlib.util
from functools import cache, lru_cache
from pathlib import Path

from litestar import MediaType, Response, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, SkipValidation

from canonical.errors import NotFound
from gateway import asyncapi
from gateway.events import DOCUMENT
from gateway.lifecycle import lifecycle_of
from gateway.openapi import TIERS, encoded
from gateway.policies_in_force import PoliciesInForce
from policies.lifecycle import Lifecycle

_CONSOLE = Path(__file__).resolve().parent.parent / "experience_apis" / "operations" / "console"
_AUDIT = _CONSOLE.parent.parent / "security" / "console"
_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
_DOCS = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Suture APIs</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/assets/swagger-ui-standalone-preset.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = """window.ui = SwaggerUIBundle({
  urls: [
    { name: "Experience APIs", url: "/openapi/experience.json" },
    { name: "Process APIs", url: "/openapi/process.json" },
    { name: "System APIs", url: "/openapi/system.json" },
  ],
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
  layout: "StandaloneLayout",
});
"""


@get("/console", operation_id="openConsole", public=True)
async def open_console() -> Response[bytes]:
    """Show the operations console; its data needs a token."""
    return _file(_CONSOLE, "index.html")


@get("/console/{name:str}", operation_id="readConsoleFile", public=True)
async def read_console_file(name: FromPath[str]) -> Response[bytes]:
    """Return a script, style or picture of the console."""
    return _file(_CONSOLE, name)


@get("/console/audit", operation_id="openAuditConsole", public=True)
async def open_audit_console() -> Response[bytes]:
    """Show the console of security reviewers; its data needs a token."""
    return _file(_AUDIT, "index.html")


@get("/console/audit/{name:str}", operation_id="readAuditConsoleFile", public=True)
async def read_audit_console_file(name: FromPath[str]) -> Response[bytes]:
    """Return a script or style of the console of security reviewers."""
    return _file(_AUDIT, name)


@get("/docs", operation_id="openDocs", public=True)
async def open_docs() -> Response[str]:
    """Show the API documentation."""
    return Response(_DOCS, media_type=MediaType.HTML)


@get("/docs/start.js", operation_id="startDocs", public=True)
async def start_docs() -> Response[str]:
    """Return the few lines that start Swagger UI."""
    return Response(_START, media_type=_TYPES[".js"])


@get("/docs/assets/{name:str}", operation_id="readDocsFile", public=True)
async def read_docs_file(name: FromPath[str]) -> Response[bytes]:
    """Return a file of Swagger UI from its installed package."""
    return _file(_swagger_folder(), name)


@get("/openapi/{name:str}", operation_id="readOpenapi", public=True)
async def read_openapi(
    name: FromPath[str], in_force: NamedDependency[SkipValidation[PoliciesInForce]]
) -> Response[bytes]:
    """Return the OpenAPI document of a tier, or the AsyncAPI document of all events."""
    if name == DOCUMENT:
        return Response(_events(), media_type=MediaType.JSON)
    tier, _, suffix = name.partition(".")
    if tier not in TIERS or suffix != "json":
        known = (*(f"{tier}.json" for tier in TIERS), DOCUMENT)
        raise NotFound("no such document", expected=", ".join(known))
    lifecycle = lifecycle_of(in_force.config.pipeline)
    return Response(_document(tier, lifecycle), media_type=MediaType.JSON)


@cache
def _events() -> bytes:
    return asyncapi.encoded()


@lru_cache(maxsize=8)
def _document(tier: str, lifecycle: Lifecycle) -> bytes:
    return encoded(tier, lifecycle)


@cache
def _swagger_folder() -> Path:
    spec = importlib.util.find_spec("openapi_ui_bundles")
    if spec is None or spec.origin is None:
        raise NotFound("Swagger UI is not installed", fix="install openapi-ui-bundles")
    return Path(spec.origin).parent / "swagger_ui" / "vendor"


@cache
def _content(folder: Path) -> dict[str, bytes]:
    """Read a folder once: only what is in it can be asked for."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix in _TYPES}


def _file(folder: Path, name: str) -> Response[bytes]:
    body = _content(folder).get(name)
    if body is None:
        raise NotFound("no such file")
    return Response(body, media_type=_TYPES[Path(name).suffix])


router = Router(
    "/",
    route_handlers=[
        open_console,
        read_console_file,
        open_audit_console,
        read_audit_console_file,
        open_docs,
        start_docs,
        read_docs_file,
        read_openapi,
    ],
)
