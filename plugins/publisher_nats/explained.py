"""The errors of nats-py and of the network, in words for people."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

from nats import errors

from .errors import NatsRefused, NatsUnavailable

if TYPE_CHECKING:
    from .options import NatsOptions

# OpenSSL's x509_vfy.h: expired, not yet valid, another host name or address.
_OF_A_KNOWN_AUTHORITY = (10, 9, 62, 64)


def words(error: BaseException) -> str:
    """Returns the text of an error of nats-py, without its prefix."""
    return str(error).removeprefix("nats: ") or type(error).__name__


def explained(error: BaseException, server: str, options: NatsOptions) -> BaseException:
    """Returns the error of an attempt to connect, in words; whatever is none of the network stays as it is."""
    text = words(error)
    match error:
        case TimeoutError():
            return NatsUnavailable(f"{server} did not answer within {options.connect_timeout:g} s")
        case ssl.SSLCertVerificationError(verify_code=code) if code not in _OF_A_KNOWN_AUTHORITY:
            return NatsUnavailable(
                f"{server}: the certificate is untrusted ({error.verify_message}): set ca_file to its authority"
            )
        case ssl.SSLError():
            return NatsUnavailable(f"{server}: TLS failed: {text}")
        case ConnectionRefusedError():
            return NatsUnavailable(f"{server} cannot be reached: nothing listens there: wrong port, or no server")
        case socket.gaierror():
            return NatsUnavailable(f"{server} cannot be reached: its name cannot be resolved ({error.strerror})")
        case OSError():
            return NatsUnavailable(f"{server} cannot be reached: {text}")
        case errors.Error() if "authorization" in text.lower() or "authentication" in text.lower():
            return NatsRefused(
                f"{server} refuses the login ({text.strip(chr(39))}): check user, password, token or keys"
            )
        case errors.Error():
            return NatsUnavailable(f"{server}: {text}")
    return error
