"""Database addresses: no part of a password is ever printed."""

import shlex
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.unit.test_campaign import MINIMAL, loaded
from wqmaster.campaign.models import Database
from wqmaster.database.address import ENCODER, redacted, why_not
from wqmaster.database.documents import Store
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import AddressInvalid, CampaignError

PASSWORDS = [
    *("zq/zx", "zq?zx", "zq@zx", "zq:zx", "zq%zx", "zq@zx/zv", "zq/zx@zv", "zq@zx?zv"),
    *("34/zx", "34?zx", "34/zx?zv=zw", "zq@zx/zv?zw@zz", "%zq", "zq@zx,zv/zw"),
]
PIECES = ("zq", "zx", "zv", "zw", "zz", "34")
ADDRESSES = [
    "mongodb://me:{}@127.0.0.1:1/db",
    "mongodb+srv://me:{}@127.0.0.1",
    "mongodb://{}:x@h:1",
]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("address", ADDRESSES)
def test_a_password_that_is_not_encoded_is_refused_and_not_printed(
    address: str, password: str
) -> None:
    uri = address.format(password)
    why = why_not(uri)
    assert why is not None
    assert "percent-encoded" in why
    assert ENCODER in why
    for piece in PIECES:
        assert piece not in why
        assert piece not in redacted(uri)
    assert redacted(address.format(quote(password, safe=""))).count("...@") == 1
    assert why_not(address.format(quote(password, safe=""))) is None


@pytest.mark.parametrize("password", PASSWORDS)
def test_nothing_connects_with_a_password_that_is_not_encoded(
    password: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    campaign = loaded(tmp_path, MINIMAL).campaign
    with pytest.raises(AddressInvalid) as caught:
        Store(f"mongodb://me:{password}@127.0.0.1:1/db", campaign)
    assert caught.value.code is ErrorCode.DATABASE_ADDRESS_INVALID
    message = caught.value.message.replace(str(tmp_path), "")  # it can hold a piece by chance
    assert not any(piece in message for piece in PIECES)
    assert not list(recwarn)


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://me:zq127.0.0.1:1/x",
        "me:zq@127.0.0.1",
        "mongo://me:zq@127.0.0.1",
        "mongodb:/me:zq@h",
        "mongodb://h:zq",
        "mongodb://",
        "",
        "zq",
    ],
)
def test_an_invalid_address_is_not_printed(uri: str) -> None:
    why = why_not(uri)
    assert why is not None
    assert "mongodb://" in why
    assert "zq" not in why + redacted(uri)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("mongodb://h:27017/x", "mongodb://h:27017/x"),
        ("mongodb://me:zq@a.b:1,c:2/x?w=1", "mongodb://...@a.b:1,c:2/x?w=1"),
        ("mongodb://%2Frun%2Fm.sock/?directConnection=true", None),
        ("mongodb://[::1]:27017", None),
        ("mongodb+srv://me:zq@cluster.example.org/?appName=me@lab", None),
        ("mongodb://h/?tlsCertificateKeyFilePassword=zq@zx", None),
        ("mongodb://h/?tlsCertificateKeyFilePassword=zq&zx", "mongodb://h/?..."),
    ],
)
def test_a_valid_address_is_accepted_and_shown_without_its_password(
    uri: str, shown: str | None
) -> None:
    assert why_not(uri) is None
    assert not any(piece in redacted(uri) for piece in PIECES)
    assert shown is None or redacted(uri) == shown


def test_the_suggested_command_encodes_a_password_without_printing_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("getpass.getpass", lambda: "a/b@c+d%e f")
    python, option, program = shlex.split(ENCODER)
    assert (python, option) == ("python3", "-c")
    exec(program)  # noqa: S102
    assert capsys.readouterr().out == "a%2Fb%40c%2Bd%25e%20f\n"


@pytest.mark.parametrize("pieces", ["zq,zx", "zq,zx,zx@h", "zq,zx@h"])
def test_an_address_split_by_a_comma_is_not_reported_as_keys(pieces: str, tmp_path: Path) -> None:
    text = f"{MINIMAL}database: {{uri: mongodb://me:{pieces}}}\n"
    with pytest.raises(CampaignError) as caught:
        loaded(tmp_path, text)
    message = caught.value.message.replace(str(tmp_path), "")  # it can hold a piece by chance
    assert not any(piece in message for piece in PIECES)
    assert Database(uri="mongodb://h").uri == "mongodb://h"
