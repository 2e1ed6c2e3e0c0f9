"""gateway.toml: taken as a whole, or refused with the place of the mistake."""

from decimal import Decimal
from pathlib import Path

import pytest

from gateway import config
from gateway.config import ConfigurationRefused, load, provide, secret, setting

COMMITTED = Path(__file__).parents[2] / "gateway.toml"
TEXT = """\
[[pipeline]]
policy = "correlation-id"

[[pipeline]]
policy = "max-body"
limit-bytes = 4194304

[[pipeline]]
policy = "rate-limit"
name = "calls"
limit = 6000
seconds = 60.0
when-unavailable = "allow"

[server]
port = 8420

[[facilities]]
id = "1710"
zone = "America/New_York"

[[feeds.hl7v2]]
sending-facility = "GENERAL"
facility = "1710"
zone = "America/Chicago"
observations = { UOM = "unit" }

[feeds.fhir]
facility = "1710"
zone = "America/Chicago"
identifier-systems = { "urn:example:item" = "ehr" }

[upstreams.erp]
url = "http://127.0.0.1:8431"
user = "GATEWAY"
password-secret = "SUTURE_ERP_PASSWORD"

[upstreams.ehr]
url = "http://127.0.0.1:8432/fhir"

[edi]
own = ["ZZ:GENERALHOSP"]

[approval]
threshold = "2500"

[matching]
price-percent = "0"

[observability]
sample-ratio = 0.1
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "gateway.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_committed_file_holds():
    told = load(COMMITTED)
    assert told.pipeline[0].__struct_config__.tag == "correlation-id"
    assert {"erp", "ehr"} <= told.upstreams.keys()


def test_a_file_becomes_typed_values(tmp_path: Path):
    told = load(written(tmp_path, TEXT))
    assert told.approval.threshold == Decimal(2500)
    assert told.upstreams["erp"].password_secret == "SUTURE_ERP_PASSWORD"
    assert [one.id for one in told.facilities] == ["1710"]


def test_what_the_file_leaves_out_has_a_default(tmp_path: Path):
    told = load(written(tmp_path, "pipeline = []"))
    assert (told.server.host, told.mllp.port, told.state_folder) == ("127.0.0.1", 2575, ".suture")
    assert (told.upstreams, told.facilities, told.feeds.fhir) == ({}, (), None)


@pytest.mark.parametrize(
    ("was", "becomes", "says"),
    [
        ("[[pipeline]]", "typo = 1\n[[pipeline]]", "unknown field `typo`"),
        ("port = 8420", "prot = 8420", "unknown field `prot` - at `$.server`"),
        ("port = 8420", 'port = "8420"', "Expected `int`, got `str` - at `$.server.port`"),
        ('"max-body"', '"max"', "Invalid value 'max' - at `$.pipeline[1].policy`"),
        ("limit-bytes", "limit-byte", "unknown field `limit-byte` - at `$.pipeline[1]`"),
        ("4194304", '"4 MB"', "got `str` - at `$.pipeline[1].limit-bytes`"),
        ('"allow"', '"perhaps"', "at `$.pipeline[2].when-unavailable`"),
        ('"calls"', "7", "got `int` - at `$.pipeline[2].name`"),
        ("zone = ", "zones = ", "unknown field `zones` - at `$.facilities[0]`"),
        ("America/New_York", "America/Newyork", "at `$.facilities[0]`"),
        ("America/New_York", "", "at `$.facilities[0]`"),
        ("America/Chicago", "Chicago", "at `$.feeds.hl7v2[0]`"),
        ('UOM = "unit"', 'UOM = "uom"', "at `$.feeds.hl7v2[0].observations[...]`"),
        ('"ehr" }', '"epic" }', "at `$.feeds.fhir.identifier-systems[...]`"),
        ("user = ", "usr = ", "$.upstreams.erp: Object contains unknown field `usr`"),
        ('url = "http://127.0.0.1:8431"', "url = 1", "$.upstreams.erp: Expected `str`, got `int`"),
        ('url = "http://127.0.0.1:8432/fhir"', "", "$.upstreams.ehr: Object missing required"),
        ('"ZZ:GENERALHOSP"', '"GENERALHOSP"', "at `$.edi.own[0]`"),
        ('"2500"', '"plenty"', "Invalid decimal string - at `$.approval.threshold`"),
        ("price-percent", "percent", "unknown field `percent` - at `$.matching`"),
        (
            "sample-ratio = 0.1",
            'spans = "x"',
            "Invalid enum value 'x' - at `$.observability.spans`",
        ),
        ("[server]", "[server", "(at line 15, column 8)"),
        ("[matching]", "[server]", "Cannot declare ('server',) twice"),
        (TEXT, "[server]\nport = 1", "missing required field `pipeline`"),
    ],
)
def test_a_file_that_does_not_hold_is_refused_with_the_path_of_the_mistake(
    tmp_path: Path, was: str, becomes: str, says: str
):
    assert was in TEXT
    path = written(tmp_path, TEXT.replace(was, becomes, 1))
    with pytest.raises(ConfigurationRefused) as refused:
        load(path)
    assert says in str(refused.value)
    assert str(refused.value).startswith(f"{path}: ")


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ConfigurationRefused, match=r"absent\.toml does not exist"):
        load(tmp_path / "absent.toml")


def test_a_folder_or_a_picture_is_no_configuration(tmp_path: Path):
    picture = tmp_path / "picture"
    picture.write_bytes(b"\x89PNG\xff\xfe")
    for path in (tmp_path, picture):
        with pytest.raises(ConfigurationRefused, match="not a text file"):
            load(path)


NAME = "SUTURE_TEST_SECRET"


def test_a_secret_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(NAME, "from the environment")
    assert secret(NAME) == "from the environment"


def test_a_secret_is_read_from_the_file_that_is_named_without_its_last_line_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    file = tmp_path / "secret"
    file.write_text("from a file\n")
    monkeypatch.setenv(f"{NAME}_FILE", str(file))
    assert secret(NAME) == "from a file"


def test_the_environment_goes_before_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv(NAME, "from the environment")
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "absent"))
    assert secret(NAME) == "from the environment"


def test_a_secret_nobody_set_is_empty(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(NAME, raising=False)
    assert secret(NAME) == ""


def test_a_secret_file_that_cannot_be_read_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "absent"))
    with pytest.raises(ConfigurationRefused, match=rf"{NAME}_FILE: cannot read .*absent"):
        secret(NAME)


def test_a_setting_can_be_provided_but_never_overruled(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(NAME, "")
    monkeypatch.delenv(NAME)
    assert setting(NAME, "default") == "default"
    provide(NAME, "provided")
    provide(NAME, "too late")
    assert setting(NAME) == "provided"


def test_no_secret_has_a_place_in_the_file():
    held = {
        name for kind in vars(config).values() for name in getattr(kind, "__struct_fields__", ())
    }
    assert {name for name in held if "password" in name or "secret" in name} == {"password_secret"}
