"""What a person may do in an app; how passwords are kept; what may be registered and proved."""

import hashlib
import unicodedata

import msgspec
import pytest

from canonical.errors import InvalidRequest
from policies.oauth.clients import new_client
from policies.oauth.codes import (
    answer_address,
    authorization_request,
    origin,
    parameters,
    proves,
    redirect_target,
    refuse_unusable,
)
from policies.oauth.device import new_user_code, shown_user_code, typed_user_code
from policies.oauth.passwords import is_outdated, is_password, password_hash, refuse_weak
from policies.oauth.people import Person, allowance
from policies.oauth.refresh import Consent, Lifetimes, still_allowed
from policies.oauth.refusals import OAuth2Error

PASSWORD = "four small boats at noon"
KEPT = password_hash(PASSWORD)
READ, WRITE, BUY = "items:read", "items:write", "orders:write"
ROLES = {"nurse": (READ, WRITE), "buyer": (READ, BUY)}
ALEX = Person(person_id="alex", display_name="Alex Example", roles=("nurse",))
APP = msgspec.structs.replace(
    new_client("app", (READ, BUY))[0],
    grant_types=("authorization_code",),
    redirect_uris=("https://app.example/cb?x=1", "http://127.0.0.1/cb", "http://[::1]:80/cb"),
)


def allowed(facilities=((), ()), classes=("supply",), roles=("nurse",), asked=(READ, WRITE, BUY)):
    client = msgspec.structs.replace(APP, facilities=facilities[0])
    person = msgspec.structs.replace(
        ALEX, facilities=facilities[1], data_classes=classes, roles=roles
    )
    return allowance(client, person, ROLES, asked)


@pytest.mark.parametrize(
    ("roles", "scopes"),
    [
        (("nurse",), (READ,)),
        (("buyer",), (READ, BUY)),
        (("nurse", "buyer"), (READ, BUY)),
        (("retired-role",), ()),
        ((), ()),
    ],
)
def test_scopes_are_those_that_were_asked_for_and_both_may_have(roles, scopes):
    assert allowed(roles=roles).scopes == scopes
    assert allowed(roles=roles).is_nothing == (not scopes)


@pytest.mark.parametrize(
    ("facilities", "both"),
    [
        (((), ()), ()),
        ((("A",), ()), ("A",)),
        (((), ("B",)), ("B",)),
        ((("A", "B"), ("B", "C")), ("B",)),
    ],
)
def test_facilities_are_those_that_both_may_see(facilities, both):
    assert allowed(facilities).facilities == both


def test_no_facility_in_common_is_nothing_and_not_every_facility():
    assert allowed((("A",), ("B",))).is_nothing


def test_data_classes_are_those_that_both_may_see():
    assert allowed(classes=("supply", "phi")).data_classes == ("supply",)
    assert allowed(classes=()).data_classes == ()


@pytest.mark.parametrize(
    "facts",
    [
        {"person_id": ""},
        {"person_id": "a b"},
        {"person_id": "-a"},
        {"person_id": "a" * 65},
        {"display_name": ""},
        {"display_name": "a\nb"},
        {"display_name": "a" * 101},
    ],
)
def test_a_person_that_cannot_be_named_is_refused(facts):
    with pytest.raises(InvalidRequest):
        msgspec.convert({"personId": "a", "displayName": "A"} | _camel(facts), Person)


def _camel(facts):
    return {
        {"person_id": "personId", "display_name": "displayName"}[k]: v for k, v in facts.items()
    }


def test_a_password_is_known_again_and_nothing_of_it_is_kept():
    assert is_password(KEPT, PASSWORD)
    assert not is_password(KEPT, PASSWORD + " ")
    assert PASSWORD not in KEPT
    assert password_hash(PASSWORD) != KEPT
    assert KEPT.startswith("scrypt$32768$8$3$")


def test_a_password_is_the_same_however_its_letters_are_composed():
    composed = "élève à la fenêtre"
    assert is_password(password_hash(composed), unicodedata.normalize("NFD", composed))


def test_nobody_without_a_password_has_one_that_fits():
    assert not is_password("", "")
    assert not is_password("", PASSWORD)


def test_a_password_kept_with_other_settings_is_known_and_is_outdated():
    salt = bytes(16)
    key = hashlib.scrypt(PASSWORD.encode(), salt=salt, n=1024, r=8, p=1, dklen=32)
    old = f"scrypt$1024$8$1${salt.hex()}${key.hex()}"
    assert is_password(old, PASSWORD)
    assert is_outdated(old)
    assert not is_outdated(KEPT)


@pytest.mark.parametrize(
    "weak",
    [
        "",
        "short",
        "a" * 14,
        "aaaaaaaaaaaaaaaaaa",
        "abcabcabcabcabcabc",
        "my name is ALEX yes",
        "x" * 257,
    ],
)
def test_a_password_that_is_guessed_first_is_refused(weak):
    with pytest.raises(InvalidRequest) as refused:
        refuse_weak(weak, "alex", "Alex Example")
    assert refused.value.expected
    assert not weak or weak not in str(refused.value)


def test_a_long_password_of_any_kind_is_good():
    refuse_weak(PASSWORD, "alex", "Alex Example")
    refuse_weak("пять маленьких лодок", "alex")


@pytest.mark.parametrize(
    "address",
    [
        "https://app.example/cb",
        "https://app.example:8443/cb?x=1",
        "http://127.0.0.1/cb",
        "http://127.0.0.1:9000/cb",
        "http://[::1]/cb",
        "com.example.app:/cb",
    ],
)
def test_an_address_to_return_to_may_be_registered(address):
    refuse_unusable(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/cb",
        "http://app.example/cb",
        "http://localhost/cb",
        "https://app.example/cb#x",
        "https://app.example/cb#",
        "https://user@app.example/cb",
        "https://:pw@app.example/cb",
        "https://app.example/a/../cb",
        "https://app.example\\cb",
        "https://app.example/c b",
        "https://app.example;script-src/cb",
        "https:///cb",
        "https://[::1/cb",
        "javascript:alert(1)",
        "data:text/html,x",
        "app:/cb",
        "https://*.example/cb",
        "https://exämple/cb",
    ],
)
def test_an_address_that_leads_astray_is_not_registered(address):
    with pytest.raises(InvalidRequest):
        refuse_unusable(address)


@pytest.mark.parametrize(
    ("uri", "good"),
    [
        ("https://app.example/cb?x=1", True),
        ("https://app.example/cb", False),
        ("http://127.0.0.1/cb", True),
        ("http://127.0.0.1:55555/cb", True),
        ("http://[::1]:4/cb", True),
        ("http://[::1]/cb", True),
        ("http://127.0.0.1:55555/cb/", False),
        ("http://127.0.0.1:/cb", False),
        ("http://127.0.0.2/cb", False),
        ("https://127.0.0.1/cb", False),
    ],
)
def test_an_address_is_the_registered_one_but_for_the_port_of_this_device(uri, good):
    try:
        assert redirect_target(APP, {"redirect_uri": uri}) == uri
    except InvalidRequest:
        assert not good
    else:
        assert good


def test_an_answer_joins_the_query_that_an_address_has():
    told = answer_address("https://a.example/cb?x=1", "https://suture.test", None, code="c")
    assert told == "https://a.example/cb?x=1&code=c&iss=https%3A%2F%2Fsuture.test"
    told = answer_address("com.example:/cb", "https://suture.test", "", code="c")
    assert told.startswith("com.example:/cb?code=c&state=&iss=")


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("https://app.example:8443/cb", "https://app.example:8443"),
        ("http://127.0.0.1:9000/cb", "http://127.0.0.1:9000"),
        ("http://[::1]:9000/cb", "http:"),
        ("https://x;script-src/cb", "https:"),
        ("com.example.app:/cb", "com.example.app:"),
        ("/nowhere", "'none'"),
    ],
)
def test_a_page_may_lead_to_the_origin_of_the_app_alone(address, source):
    assert origin(address) == source


def test_the_verifier_of_the_standard_proves_its_challenge():
    """RFC 7636, appendix B."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert proves(verifier, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
    assert not proves(verifier + "x", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
    assert not proves(verifier[:42], "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
    assert not proves("ü" * 43, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")


def test_all_scopes_of_the_app_are_meant_where_none_is_named():
    proof = f"code_challenge={'a' * 43}&code_challenge_method=S256"
    said = parameters(f"response_type=code&{proof}&response_mode=query")
    wanted = authorization_request(APP, said, "https://app.example/cb?x=1")
    assert (wanted.scopes, wanted.state) == ((READ, BUY), None)


def test_a_grant_is_worth_what_is_allowed_today():
    consent = Consent(client_id="app", scopes=(READ,), person_id="alex")
    assert still_allowed(consent, APP, ALEX, ROLES).scopes == (READ,)
    assert still_allowed(consent, APP, ALEX, ROLES, READ).scopes == (READ,)
    for person in (None, msgspec.structs.replace(ALEX, active=False)):
        with pytest.raises(OAuth2Error, match="invalid_grant"):
            still_allowed(consent, APP, person, ROLES)
    with pytest.raises(OAuth2Error, match="invalid_scope"):
        still_allowed(consent, APP, ALEX, ROLES, BUY)
    with pytest.raises(OAuth2Error, match="invalid_grant"):
        still_allowed(consent, APP, ALEX, {})


def test_lifetimes_are_sound():
    assert Lifetimes().code == 60
    for wrong in ({"code": 61}, {"session": 0}):
        with pytest.raises(ValueError, match="second"):
            Lifetimes(**wrong)


def test_a_user_code_is_read_back_however_it_is_typed():
    code = new_user_code()
    shown = shown_user_code(code)
    assert len(shown) == 9
    for typed in (shown, shown.lower(), code, f" {shown.replace('-', ' ')} "):
        assert typed_user_code(typed) == code
    for wrong in ("", "ABCD-EFGH", code[:7], code + "B", "WDJB-MJH1"):
        assert typed_user_code(wrong) == ""
