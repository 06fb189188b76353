"""What the service ends TLS with, and the password of its key from one of three places."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from authsrv.service.config.files import check_file, read_file
from authsrv.service.config.model import TlsTable
from authsrv.service.config.problems import Findings
from authsrv.service.config.settings import TlsFiles

__all__ = ["KEY_PASSWORD_VARIABLE", "build_tls"]

KEY_PASSWORD_VARIABLE: Final = "AUTHSRV_LISTEN_TLS_KEY_PASSWORD"  # noqa: S105
"""The variable of the environment that may have the password of the key."""

_KEY: Final = "listen.tls"
_MAX_SECRET_BYTES: Final = 4_096


def build_tls(
    table: TlsTable, file: str, environment: Mapping[str, str], findings: Findings
) -> TlsFiles | None:
    """Take [listen.tls].

    Args:
        table: It.
        file: The path of the configuration, which may have the password.
        environment: The variables of the environment.
        findings: Where problems go.
    """
    if table.certificate is None or table.key is None:
        findings.error(_KEY, "it needs both certificate and key")
        return None
    folder = os.path.dirname(file)
    certificate, key = os.path.join(folder, table.certificate), os.path.join(folder, table.key)
    check_file(certificate, findings, f"{_KEY}.certificate")
    check_file(key, findings, f"{_KEY}.key", is_secret=True)
    return TlsFiles(certificate, key, _password(table, file, environment, findings))


def _password(
    table: TlsTable, file: str, environment: Mapping[str, str], findings: Findings
) -> str | None:
    where = f"{_KEY}.key_password"
    outside = environment.get(KEY_PASSWORD_VARIABLE)
    given = (table.key_password, table.key_password_file, outside)
    if sum(each is not None for each in given) > 1:
        findings.error(
            where,
            "it stands in more than one of key_password, key_password_file and "
            f"{KEY_PASSWORD_VARIABLE}",
        )
        return None
    if table.key_password is not None:
        # The secret stands in the configuration itself.
        check_file(file, findings, where, is_secret=True)
        return table.key_password
    if table.key_password_file is None:
        return outside
    path = os.path.join(os.path.dirname(file), table.key_password_file)
    return _read_secret(path, findings, f"{where}_file")


def _read_secret(path: str, findings: Findings, key: str) -> str | None:
    content = read_file(path, findings, key, max_bytes=_MAX_SECRET_BYTES, is_secret=True)
    if content is None:
        return None
    try:
        secret = content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        findings.error(key, f"{path} is not UTF-8")
        return None
    if not secret:
        findings.error(key, f"{path} is empty")
    return secret
