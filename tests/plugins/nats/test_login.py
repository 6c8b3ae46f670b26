"""The ways to log in, and TLS: each with a real server; a refused login says so."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import trustme

from publisher import ConfigurationError, Retry
from publisher.testing import make_events
from tests.fixtures.nats import NatsServer
from tests.fixtures.nats_accounts import NatsOperator, new_user_key
from tests.fixtures.nats_sinks import OpenSink, filled

LOGINS = ["password", "token", "nkey", "credentials", "user in the URL"]


class Login:
    """One way to log in: the server's configuration, and the sink's options, right and wrong."""

    def __init__(self, kind: str, folder: Path) -> None:
        self._folder = folder
        self.user = ""
        match kind:
            case "password" | "user in the URL":
                self.config = 'authorization { user: nas, password: "right pass" }'
                self.right = {"password_file": self.file("right", "right pass")}
                self.wrong = {"password_file": self.file("wrong", "wrong pass")}
                if kind == "password":
                    self.right |= {"username": "nas"}
                    self.wrong |= {"username": "nas"}
                else:
                    self.user = "nas@"
            case "token":
                self.config = "authorization { token: right-token }"
                self.right = {"token_file": self.file("right", "right-token")}
                self.wrong = {"token_file": self.file("wrong", "wrong-token")}
            case "nkey":
                key, other = new_user_key(), new_user_key()
                self.config = f"authorization {{ users = [ {{ nkey: {key.public} }} ] }}"
                self.right = {"nkey_file": self.file("right", key.seed)}
                self.wrong = {"nkey_file": self.file("wrong", other.seed)}
            case _:
                operator = NatsOperator()
                self.config = operator.config
                self.right = {"credentials_file": str(operator.write_credentials(folder / "right"))}
                self.wrong = {"credentials_file": str(NatsOperator().write_credentials(folder / "wrong"))}

    def file(self, name: str, text: str) -> str:
        path = self._folder / name
        path.write_text(text + "\n")
        return str(path)


@pytest.mark.parametrize("kind", LOGINS)
def test_a_login(kind: str, tmp_path: Path) -> None:
    login = Login(kind, tmp_path)
    with NatsServer(tmp_path / "server", config=login.config) as server:
        url = f"nats://{login.user}127.0.0.1:{server.port}"
        with filled(url, "logged", **login.right) as one:
            one.publish(make_events(1))
        for wrong in [login.wrong] if login.user else [login.wrong, {}]:
            refused = OpenSink(url, "logged", **wrong)
            with pytest.raises(Retry, match=r"refuses the login .*: check user, password, token or keys"):
                refused.sink.open()
            refused.sink.close()


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    for option in ("password_file", "token_file", "nkey_file", "credentials_file"):
        more = {"username": "nas"} if option == "password_file" else {}
        missing = OpenSink("nats://127.0.0.1:1", "x", **{option: str(tmp_path / "none")}, **more)
        with pytest.raises(ConfigurationError, match=f"{option} .*none: cannot be read"):
            missing.sink.open()
        missing.sink.close()
    for option, words in {"nkey_file": "no seed of an nkey", "credentials_file": "expected a user.s JWT"}.items():
        (tmp_path / "text").write_text("some text\n")
        unusable = OpenSink("nats://127.0.0.1:1", "x", **{option: str(tmp_path / "text")})
        try:
            with pytest.raises(ConfigurationError, match=f"{option} .*{words}"):
                unusable.sink.open()
        finally:
            unusable.sink.close()


@pytest.mark.parametrize("option", ["nkey_file", "credentials_file"])
def test_keys_without_the_package_for_them_are_a_clear_error(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The container and the Debian package have no nkeys: it was a bare ModuleNotFoundError."""
    kind = {"nkey_file": "nkey", "credentials_file": "credentials"}[option]
    keys = Login(kind, tmp_path).right
    monkeypatch.setitem(sys.modules, "nkeys", None)  # as if it were not installed
    for call in ("open", "check"):
        one = OpenSink("nats://127.0.0.1:1", "x", **keys)
        with pytest.raises(ConfigurationError) as refused:
            getattr(one.sink, call)()
        one.sink.close()
        assert str(refused.value).startswith(
            f"{option} {keys[option]}: a login with NATS keys needs the Python package"
        )
        assert "pip install nkeys beside publisher, or log in with password_file" in str(refused.value)


class Certificates:
    """An authority with a server's and a client's certificate, as files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        authority = trustme.CA()
        self.ca, self.stranger = str(folder / "ca.pem"), str(folder / "stranger.pem")
        authority.cert_pem.write_to_path(self.ca)
        trustme.CA().cert_pem.write_to_path(self.stranger)
        self.files = {}
        for name in ("127.0.0.1", "client", "elsewhere.example"):
            issued = authority.issue_cert(name)
            cert, key = folder / f"{name}.pem", folder / f"{name}.key"
            cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
            issued.private_key_pem.write_to_path(str(key))
            self.files[name] = {"cert_file": str(cert), "key_file": str(key)}

    def config(self, name: str = "127.0.0.1", *, verify: bool = False) -> str:
        own = self.files[name]
        more = f', ca_file: "{self.ca}", verify: true' if verify else ""
        return f'tls {{ cert_file: "{own["cert_file"]}", key_file: "{own["key_file"]}"{more} }}'


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "certificates")


def fails_to_open(url: str, **options: Any) -> str:
    one = OpenSink(url, "secured", **options)
    try:
        with pytest.raises(Retry) as refused:
            one.sink.open()
        return str(refused.value)
    finally:
        one.sink.close()


def test_tls_with_a_client_certificate(
    certificates: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with NatsServer(tmp_path / "server", config=certificates.config(verify=True)) as server:
        url = server.url.replace("nats://", "tls://")
        with filled(url, "secured", ca_file=certificates.ca, **certificates.files["client"]) as one:
            one.publish(make_events(1))
        for other in ({"ca_file": certificates.stranger}, {}):
            assert "is untrusted" in (said := fails_to_open(url, **other))
            assert "set ca_file to its authority" in said
        assert fails_to_open(url, ca_file=certificates.ca)
        assert "requires TLS: use tls://" in fails_to_open(server.url)
    assert "eof_received" not in caplog.text, "asyncio's warning of a protocol that knows nothing of TLS"


def test_a_certificate_of_another_name_is_refused_unless_insecure(certificates: Certificates, tmp_path: Path) -> None:
    with NatsServer(tmp_path / "server", config=certificates.config("elsewhere.example")) as server:
        url = server.url.replace("nats://", "tls://")
        assert "verify failed" in fails_to_open(url, ca_file=certificates.ca)
        with filled(url, "secured", insecure=True) as one:
            assert any("is not verified: insecure = true" in record.getMessage() for record in one.context.logged)


def test_a_server_without_tls_gets_no_password_over_tls_urls(nats_server: NatsServer, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret pass\n")
    url = nats_server.url.replace("nats://", "tls://")
    said = fails_to_open(url, username="nas", password_file=str(tmp_path / "password"))
    assert "offers no TLS" in said
