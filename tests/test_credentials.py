"""Secrets from files, TLS contexts and masks."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from publisher.credentials import SecretMask, read_secret, read_secrets, skip_verification, tls_context
from publisher.errors import ConfigurationError
from publisher.testing import FakeSinkContext


class TestReadSecret:
    @pytest.mark.parametrize(
        ("content", "secret"),
        [
            (b"s3cret", "s3cret"),
            (b"s3cret\n", "s3cret"),
            (b"s3cret\r\n", "s3cret"),
            (b" s3cret \n", " s3cret "),
            (b"s3cret\nnot this\n", "s3cret"),
            (b"\xef\xbb\xbfs3cret\r\n", "s3cret"),
            ("pä\u2028ss\n".encode(), "pä\u2028ss"),
        ],
    )
    def test_it_is_the_first_line(self, tmp_path: Path, content: bytes, secret: str) -> None:
        path = tmp_path / "password"
        path.write_bytes(content)
        assert read_secret(path, "password_file") == secret

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (None, "cannot be read: No such file or directory; create it"),
            (b"\xff", "it is not UTF-8"),
            (b"", "the first line is empty"),
            (b"\ns3cret", "the first line is empty"),
        ],
    )
    def test_a_file_that_cannot_be_used_is_named_with_its_option(
        self, tmp_path: Path, content: bytes | None, expected: str
    ) -> None:
        path = tmp_path / "password"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigurationError) as error:
            read_secret(path, "password_file")
        assert str(error.value).startswith(f"password_file {path}: {expected}")
        assert "s3cret" not in str(error.value)

    def test_several_are_the_lines_that_are_no_comments(self, tmp_path: Path) -> None:
        path = tmp_path / "urls"
        path.write_bytes(b"\xef\xbb\xbf# phones\r\nntfys://one#a\r\n\r\n  ntfys://two  \n")
        assert read_secrets(path, "urls_file") == ["ntfys://one#a", "ntfys://two"]
        path.write_bytes(b"# none\n \n")
        with pytest.raises(ConfigurationError, match=r"urls_file .*urls: it has no line; write the secrets there"):
            read_secrets(path, "urls_file")

    def test_a_directory_is_no_secret(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="cannot be read: "):
            read_secret(tmp_path, "token_file")

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no /dev/zero")
    def test_a_file_without_end_is_not_read_for_ever(self) -> None:
        assert len(read_secret(Path("/dev/zero"), "token_file")) <= 1 << 20


class TestTlsContext:
    def test_it_verifies(self) -> None:
        context = tls_context()
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname

    def test_skipping_verification_is_never_silent(self) -> None:
        context, sink = tls_context(), FakeSinkContext()
        skip_verification(context, "broker.lan:8883", sink.log)
        assert (context.check_hostname, context.verify_mode) == (False, ssl.CERT_NONE)
        [record] = sink.logged
        assert record.levelname == "WARNING"
        assert "broker.lan:8883" in record.getMessage()

    def test_the_files_are_loaded(self, tmp_path: Path) -> None:
        authority = trustme.CA()
        ca_file, client = tmp_path / "ca.pem", tmp_path / "client.pem"
        authority.cert_pem.write_to_path(str(ca_file))
        authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(str(client))
        context = tls_context(ca_file=ca_file, cert_file=client)
        assert len(context.get_ca_certs()) == 1

    @pytest.mark.parametrize("option", ["ca_file", "cert_file", "key_file"])
    @pytest.mark.parametrize("content", [None, b"", b"nonsense"])
    def test_a_file_that_cannot_be_used_is_named_with_its_option(
        self, tmp_path: Path, option: str, content: bytes | None
    ) -> None:
        path, certificate = tmp_path / "file.pem", tmp_path / "client.pem"
        trustme.CA().issue_cert("client").cert_chain_pems[0].write_to_path(str(certificate))
        if content is not None:
            path.write_bytes(content)
        files = {option: path} | ({"cert_file": certificate} if option == "key_file" else {})
        with pytest.raises(ConfigurationError) as error:
            tls_context(**files)
        assert f"{option} {path}" in str(error.value)

    def test_a_key_with_a_password_is_an_error_instead_of_a_question(self, tmp_path: Path) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

        certificate, key = tmp_path / "client.pem", tmp_path / "client.key"
        trustme.CA().issue_cert("client").cert_chain_pems[0].write_to_path(str(certificate))
        key.write_bytes(
            generate_private_key(SECP256R1()).private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"password"),
            )
        )
        with pytest.raises(ConfigurationError, match="without a password"):
            tls_context(cert_file=certificate, key_file=key)


class TestSecretMask:
    def test_every_secret_is_replaced_the_longest_first(self) -> None:
        mask = SecretMask(["s3cret", "s3cret-and-more", "other-one"])
        assert mask("got s3cret-and-more, s3cret and other-one") == "got ***, *** and ***"

    def test_short_texts_are_no_secrets(self) -> None:
        assert SecretMask(["", "1", "/in"])("status 1 at /in") == "status 1 at /in"

    def test_its_repr_shows_none(self) -> None:
        assert "s3cret" not in repr(SecretMask(["s3cret"]))


def test_reading_options_imports_no_ssl() -> None:
    program = "import publisher.credentials, sys; sys.exit('ssl' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
