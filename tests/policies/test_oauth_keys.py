import msgspec
import pytest
from joserfc.jwk import ECKey, KeySet, RSAKey

from canonical.errors import InvalidRequest, StoreUnavailable
from policies.oauth.clients import new_client
from policies.oauth.keys import kept_signing_keys, signing_keys, write_signing_keys


def test_keys_are_made_once_and_kept_for_our_account_alone(tmp_path):
    path = tmp_path / "keys.json"
    first = kept_signing_keys(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert kept_signing_keys(path).signing_id == first.signing_id
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys.json"]


def test_the_first_of_two_writers_wins(tmp_path):
    path = tmp_path / "keys.json"
    first = kept_signing_keys(path)
    write_signing_keys(first.rotated(), path, replace=False)
    assert signing_keys(path).signing_id == first.signing_id


def test_keys_that_cannot_be_kept_are_a_named_failure(tmp_path):
    with pytest.raises(StoreUnavailable):
        kept_signing_keys(tmp_path / "missing" / "keys.json")


def test_a_rotated_set_survives_the_file(tmp_path):
    path = tmp_path / "keys.json"
    rotated = kept_signing_keys(path).rotated()
    write_signing_keys(rotated, path)
    read = signing_keys(path)
    assert read.signing_id == rotated.signing_id
    assert read.public() == rotated.public()
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_is_published_verifies_and_gives_no_private_part_away(tmp_path):
    keys = kept_signing_keys(tmp_path / "keys.json")
    published = keys.public()
    (key,) = published["keys"]
    assert "d" not in key
    assert (key["kid"], key["alg"], key["use"]) == (keys.signing_id, "ES256", "sig")
    assert KeySet.import_key_set(published).keys[0].thumbprint() == keys.signing_id


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b'{"keys":[]}',
        b'{"keys":[{"kty":"EC"}]}',
        msgspec.json.encode({"keys": [ECKey.generate_key("P-384").as_dict(private=True)]}),
        msgspec.json.encode({"keys": [ECKey.generate_key("P-256").as_dict(private=False)]}),
        msgspec.json.encode({"keys": [RSAKey.generate_key(2048).as_dict(private=True)]}),
    ],
)
def test_a_file_that_cannot_sign_is_named_with_what_to_do(tmp_path, content):
    path = tmp_path / "keys.json"
    path.write_bytes(content)
    with pytest.raises(StoreUnavailable) as refused:
        kept_signing_keys(path)
    assert refused.value.where == str(path)
    assert refused.value.fix
    assert path.read_bytes() == content


def test_a_client_keeps_no_secret_and_accepts_only_its_own():
    client, secret = new_client("ward-app", ("items:read",))
    other, other_secret = new_client("ward-app", ("items:read",))
    assert len(secret) >= 43  # 256 bits
    assert secret not in repr(client)
    assert client.secret_hash != other.secret_hash
    assert client.accepts(secret)
    for wrong in ("", other_secret, secret[:-1], secret + "x", "ä\udc80"):
        assert not client.accepts(wrong)


@pytest.mark.parametrize("client_id", ["", "a b", "a:b", "-a", "ä", "a" * 65, 'a"'])
def test_a_client_id_that_breaks_headers_or_keys_is_refused(client_id):
    with pytest.raises(InvalidRequest):
        new_client(client_id, ())


@pytest.mark.parametrize("scope", ["", "a b", 'a"b', "a\\b", "ä"])
def test_a_scope_that_breaks_the_protocol_is_refused(scope):
    with pytest.raises(InvalidRequest):
        new_client("ward-app", (scope,))
