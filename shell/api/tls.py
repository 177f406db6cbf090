"""The TLS contexts of REST, both ways, and noticing that the listener's files were replaced.

Here belongs what is read from the certificate files.  Nothing secret appears in an error.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from shell.config.settings import CtlSettings, RestApiSettings

_VERIFY = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}


class TlsError(Exception):
    """The TLS files cannot be used; the text names the files and the mend."""


def server_context(rest: RestApiSettings) -> ssl.SSLContext | None:
    """Return a new context of these settings, None without a certfile; raises TlsError."""
    if not rest.certfile:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    key = rest.keyfile or rest.certfile
    try:
        # Without a callback OpenSSL would ask for the password of the key on the terminal.
        password = rest.keyfile_password or ""
        context.load_cert_chain(rest.certfile, rest.keyfile, lambda: password)
    except (OSError, ValueError) as error:
        raise TlsError(
            f"restapi.certfile {rest.certfile} with key {key}: {_reason(error)}; "
            "both must be readable PEM files that belong together"
        ) from None
    try:
        if rest.cafile:
            context.load_verify_locations(rest.cafile)
        context.verify_mode = _VERIFY[rest.verify_client]
        if rest.ciphers:
            context.set_ciphers(rest.ciphers)
    except (OSError, ValueError) as error:
        raise TlsError(
            f"restapi.cafile {rest.cafile} or restapi.ciphers {rest.ciphers}: {_reason(error)}"
        ) from None
    return context


def client_context(ctl: CtlSettings) -> ssl.SSLContext:
    """Return a context for calls to other members, which verifies nothing; raises TlsError."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if ctl.certfile:
        password = ctl.keyfile_password or ""
        try:
            context.load_cert_chain(ctl.certfile, ctl.keyfile, lambda: password)
        except (OSError, ValueError) as error:
            raise TlsError(
                f"ctl.certfile {ctl.certfile} with key {ctl.keyfile or ctl.certfile}: "
                f"{_reason(error)}; both must be readable PEM files that belong together"
            ) from None
    return context


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return str(error.reason or "not valid")
    return str(getattr(error, "strerror", None) or error)


def file_marks(rest: RestApiSettings) -> tuple[tuple[int, int, int], ...]:
    """Return what changes when one of the files is replaced or rewritten."""
    marks = []
    for path in (rest.certfile, rest.keyfile, rest.cafile):
        if path:
            try:
                found = Path(path).stat()
                marks.append((found.st_mtime_ns, found.st_ino, found.st_size))
            except OSError:
                marks.append((0, 0, 0))
    return tuple(marks)
