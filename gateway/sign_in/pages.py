"""The pages that people meet: plain HTML without a script, in the style of the console.

Every text is escaped where it is put in. Nothing is loaded but our own style sheets.
"""

from html import escape
from http import HTTPStatus
from urllib.parse import urlsplit

from litestar import MediaType, Response
from litestar.datastructures import Cookie

from gateway.sign_in.sessions import FORM_TOKEN, form_token
from policies.oauth.clients import OAuthClient
from policies.oauth.codes import origin
from policies.oauth.people import Allowance, Person

Page = Response[str]

_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · Suture</title>
<link rel="icon" href="/console/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/console/console.css">
<link rel="stylesheet" href="/oauth/pages.css">
</head>
<body>
<header class="bar"><h1 class="brand"><span>Suture</span>
<span class="brand-place">Sign-in</span></h1></header>
<main>
<section class="sign-in" aria-labelledby="title">
<h2 id="title">{title}</h2>
{content}
</section>
</main>
</body>
</html>
"""
STYLE = """/* What the pages of people need besides the console's style sheet. */
.sign-in dl { display: grid; gap: 0.6rem; }
.sign-in dt { font-size: 0.8125rem; color: var(--soft); }
.sign-in dd { margin: 0; }
.sign-in dd ul { display: grid; gap: 0.15rem; }
.choices { display: flex; flex-wrap: wrap; gap: 0.6rem; margin-top: 0.5rem; }
.user-code { font-family: var(--mono); letter-spacing: 0.1em; text-transform: uppercase; }
"""
_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)


def page(
    title: str, *content: str, status: int = HTTPStatus.OK, to: str = "", wait: int = 0
) -> Page:
    """Return a page. `to` is the only address, besides ours, that its form may lead to."""
    headers = {
        "content-security-policy": f"{_CSP} {origin(to)}" if to else _CSP,
        "cache-control": "no-store",
    }
    if wait:
        headers["retry-after"] = str(wait)
    return Response(
        _FRAME.format(title=escape(title), content="\n".join(content)),
        status_code=status,
        headers=headers,
        media_type=MediaType.HTML,
    )


def sent_on(address: str, *cookies: Cookie) -> Page:
    """Send a browser to an address by GET, whatever it did here."""
    return Response(
        "",
        status_code=HTTPStatus.SEE_OTHER,
        headers={"location": address},
        cookies=cookies,
        media_type=MediaType.TEXT,
    )


def form(action: str, secret: str, purpose: str, bound: dict[str, str], *content: str) -> str:
    """Return a form that only this browser can send, and only for these fields."""
    whole = "\n".join([purpose, *bound.values()])
    hidden = [_hidden(FORM_TOKEN, form_token(secret, whole))]
    hidden += [_hidden(name, value) for name, value in bound.items()]
    return "\n".join([f'<form method="post" action="{action}">', *hidden, *content, "</form>"])


def _hidden(name: str, value: str) -> str:
    return f'<input type="hidden" name="{name}" value="{escape(value)}">'


def problem(text: str) -> str:
    """Return a sentence that is read out at once."""
    return f'<p class="problem" id="problem" role="alert">{escape(text)}</p>'


def paragraph(text: str, kind: str = "soft") -> str:
    """Return a paragraph of plain text."""
    return f'<p class="{kind}">{escape(text)}</p>'


def sign_in_page(secret: str, back: dict[str, str], trouble: str = "", name: str = "") -> Page:
    """Ask who it is. `back` says where to go on; the password is never sent back."""
    invalid = ' aria-invalid="true" aria-describedby="problem"' if trouble else ""
    fields = f"""<label for="person">Person id</label>
<input id="person" name="person" type="text" autocomplete="username" spellcheck="false"
 autocapitalize="none" maxlength="64" value="{escape(name)}" required{invalid}{_focus(not name)}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password"
 maxlength="256" required{invalid}{_focus(bool(name))}>
<button type="submit" class="primary">Sign in</button>"""
    return page(
        "Sign in",
        *([problem(trouble)] if trouble else []),
        form("/oauth/sign-in", secret, "sign-in", back, fields),
        status=HTTPStatus.FORBIDDEN if trouble else HTTPStatus.OK,
    )


def _focus(wanted: bool) -> str:  # noqa: FBT001 - an attribute or none
    return " autofocus" if wanted else ""


def who_line(person: Person) -> str:
    """Say who is signed in, and how to change that."""
    name, person_id = escape(person.display_name), escape(person.person_id)
    return (
        f'<p class="soft">Signed in as {name} ({person_id}). '
        '<a href="/oauth/sign-out">Sign out</a></p>'
    )


def asked_for(client: OAuthClient, allowed: Allowance, redirect_uri: str = "") -> str:
    """List what an app would get."""
    facts = [
        ("App", [client.name or client.client_id]),
        ("It may", [_in_words(scope) for scope in allowed.scopes]),
        ("In the facilities", list(allowed.facilities) or ["all"]),
        ("And see", [_DATA_WORDS[each] for each in allowed.data_classes] or ["nothing besides"]),
    ]
    if redirect_uri:
        parts = urlsplit(redirect_uri)
        facts.append(("You go back to", [parts.hostname or f"the app ({parts.scheme})"]))
    rows = (f"<dt>{escape(name)}</dt><dd>{_listed(values)}</dd>" for name, values in facts)
    return "<dl>" + "".join(f"<div>{row}</div>" for row in rows) + "</dl>"


def _in_words(scope: str) -> str:
    """Say what a scope is for: process.requisitions:approve, to approve requisitions."""
    named, _, act = scope.rpartition(":")
    words = named.partition(".")[2].replace(".", " ").replace("-", " ")
    return f"{act} {words} ({scope})" if words else scope


_DATA_WORDS = {
    "supply": "goods, stock and orders",
    "financial": "prices, invoices and postings",
    "phi": "what names a patient",
}


def _listed(values: list[str]) -> str:
    if len(values) == 1:
        return escape(values[0])
    return "<ul>" + "".join(f"<li>{escape(value)}</li>" for value in values) + "</ul>"


def choices(*, may_allow: bool) -> str:
    """Return the buttons of a decision. None has the focus: nobody allows by a key too many."""
    allow = '<button type="submit" class="primary" name="decision" value="allow">Allow</button>'
    word = "Deny" if may_allow else "Go back"
    deny = f'<button type="submit" name="decision" value="deny">{word}</button>'
    return f'<div class="choices">{allow if may_allow else ""}{deny}</div>'


def code_field(name: str, value: str, trouble: str) -> str:
    """Return the field for the code on the screen of a device."""
    invalid = ' aria-invalid="true" aria-describedby="problem"' if trouble else ""
    return f"""{problem(trouble) if trouble else ""}
<label for="code">Code that the device shows</label>
<input id="code" class="user-code" name="{name}" type="text" autocomplete="off" spellcheck="false"
 autocapitalize="characters" maxlength="16" value="{escape(value)}" required{invalid} autofocus>
<button type="submit" class="primary">Go on</button>"""
