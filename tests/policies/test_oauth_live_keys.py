"""Signing keys that change in their file while others sign and verify with them."""

import pytest

from canonical.errors import Unauthenticated
from policies.oauth.clients import new_client
from policies.oauth.keys import kept_signing_keys, signing_keys, write_signing_keys
from policies.oauth.live_keys import LiveKeys
from policies.oauth.tokens import TokenIssuer, TokenVerifier

ISSUER, NOW = "https://suture.test", 1_800_000_000.0
CLIENT, _ = new_client("ward-app", ("items:read",))


class Replica:
    """A process that shares the file with others; it looks at it when it is told to."""

    def __init__(self, path):
        self.now = NOW
        self.keys = LiveKeys(path, lambda: self.now)
        self.verifier = TokenVerifier(self.keys.current, issuer=ISSUER, audience="suture")
        self.verifier.other_keys = self.keys.look

    def look(self):
        newer = self.keys.look()
        if newer is not None:
            self.verifier.use(newer)

    def token(self):
        issuer = TokenIssuer(keys=self.keys.current, issuer=ISSUER, audience="suture")
        return issuer.issue(CLIENT, ("items:read",), self.now).encode()

    def takes(self, token):
        try:
            return self.verifier.verify(token, self.now).client == "ward-app"
        except Unauthenticated:
            return False


@pytest.fixture
def path(tmp_path):
    kept_signing_keys(tmp_path / "signing.jwks")
    return tmp_path / "signing.jwks"


@pytest.fixture
def replicas(path):
    return Replica(path), Replica(path)


def rotate(path, now=NOW, lead_seconds=0.0):
    rotated = signing_keys(path).rotated(now, keep_seconds=600, lead_seconds=lead_seconds)
    write_signing_keys(rotated, path)
    return rotated.signing_id


def test_a_token_of_a_key_that_was_not_read_yet_makes_the_replica_read_the_file(path, replicas):
    first, second = replicas
    old = second.token()
    new_key = rotate(path)
    first.look()
    assert first.keys.current.signing_id == new_key
    assert second.keys.current.signing_id != new_key
    assert second.takes(first.token())
    assert second.takes(old)
    assert second.keys.current.signing_id == new_key


def test_a_key_is_published_before_it_signs_and_kept_until_its_last_token_is_over(path, replicas):
    first, _ = replicas
    old_key = first.keys.current.signing_id
    new_key = rotate(path, lead_seconds=5)
    for each in replicas:
        each.look()
        assert each.keys.current.ids == (old_key, new_key)
        each.now = NOW + 4.9
    last_of_the_old = first.token()
    for each in replicas:
        each.now = NOW + 5
        each.look()
        assert each.keys.current.ids == (new_key, old_key)
        assert each.takes(last_of_the_old)
        each.now = NOW + 604.9
        each.look()
        assert each.keys.current.ids == (new_key, old_key)
        each.now = NOW + 605
        each.look()
        assert each.keys.current.ids == (new_key,)
        assert each.keys.current.public()["keys"][0]["kid"] == new_key
    assert rotate(path, NOW + 700) != new_key
    assert old_key not in signing_keys(path).ids


def test_keys_replaced_twice_in_a_row_all_verify_what_they_signed(path, replicas):
    first, second = replicas
    tokens = [first.token()]
    for _ in range(3):
        rotate(path)
        first.look()
        tokens.append(first.token())
    assert all(second.takes(token) for token in tokens)


def test_a_removed_key_takes_its_tokens_along(path, replicas):
    first, second = replicas
    stolen, key = first.token(), first.keys.current.signing_id
    assert second.takes(stolen)
    rotate(path)
    write_signing_keys(signing_keys(path).without(key), path)
    second.look()
    assert not second.takes(stolen)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"keys":[]}'])
def test_a_file_that_cannot_be_used_leaves_what_was_read(path, replicas, content):
    first, second = replicas
    token = first.token()
    path.write_bytes(content)
    for each in replicas:
        each.look()
        assert each.takes(token)
    path.unlink()
    second.look()
    assert second.takes(first.token())
