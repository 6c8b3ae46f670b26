"""Signatures, judged by the known vector and by the standardwebhooks library."""

from __future__ import annotations

import base64
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from publisher_webhook.signature import parse_secret, sign
from tests.plugins.webhook.conftest import OTHER_SECRET, SECRET


def test_the_known_vector() -> None:
    key = parse_secret("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("receivers", [SECRET, OTHER_SECRET])
def test_a_receiver_with_either_secret_knows_it_while_they_are_rotated(receivers: str) -> None:
    keys = [parse_secret(secret) for secret in (SECRET, OTHER_SECRET)]
    body = '{"umlaut": "ü"}'.encode()
    now = int(time.time())
    headers = {"webhook-id": "a-1", "webhook-timestamp": str(now), "webhook-signature": sign(keys, "a-1", now, body)}
    assert Webhook(receivers).verify(body, headers) == {"umlaut": "ü"}
    with pytest.raises(WebhookVerificationError):
        Webhook(receivers).verify(body + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(receivers).verify(body, headers | {"webhook-id": "a-2"})


@pytest.mark.parametrize("size", [24, 32, 64])
@pytest.mark.parametrize("prefix", ["whsec_", ""])
@pytest.mark.parametrize("padding", [True, False])
def test_secrets_of_24_to_64_bytes_are_taken(size: int, prefix: str, padding: bool) -> None:
    encoded = base64.b64encode(bytes(range(size))).decode()
    text = prefix + (encoded if padding else encoded.rstrip("="))
    assert parse_secret(f" {text}\n") == bytes(range(size))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "correct horse battery staple correct horse",
        "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw!",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS\u00fc",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwA",
    ],
)
def test_anything_else_is_refused_with_what_was_expected_and_without_the_secret(text: str) -> None:
    with pytest.raises(ValueError, match="expected a secret like whsec_ and base64") as caught:
        parse_secret(text)
    assert caught.value.__cause__ is None
    if text.strip("whsec_"):
        assert text not in str(caught.value)
