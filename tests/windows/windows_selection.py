"""Which tests run with Windows' CPython: a plugin of pytest that skips the others, with reasons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

TESTS = Path(__file__).resolve().parents[1]

SELECTED = (
    "aiohttp",
    "audit",
    "cancel",
    "client/test_client_hosts.py",
    "codecs",
    "core",
    "handshake",
    "http",
    "providers/test_scripted.py",
    "providers/test_sspi.py",
    "sspi",
    "streams",
    "test_import_light.py",
    "testing",
    "windows",
)

_MIT = "needs MIT Kerberos, which authsrv does not use on Windows"
_EXPLICIT = (
    "gives a name and a password, whose structure (SEC_WINNT_AUTH_IDENTITY_EX) crashes Wine 8"
)
_PROGRAMS = "needs programs of Linux"
_SERVICE = "is about the service, which runs on POSIX only"
_REPOSITORY = "is about the repository, not about a system"

LEFT_OUT = {
    "aiohttp/test_aiohttp_own_log.py": "is about processes of POSIX",
    "aiohttp/test_aiohttp_runner.py": "is about signals and processes of POSIX, and uvloop",
    "attacks": _MIT,
    "test_settings_everywhere.py": _MIT,
    "trust": _MIT,
    "peers": _PROGRAMS,
    "readme": _PROGRAMS,
    "client/test_client.py": _MIT,
    "client/test_client_apache.py": _MIT,
    "client/test_client_challenges.py": _MIT,
    "client/test_client_evil.py": _MIT,
    "faults": _MIT,
    "interop": _MIT,
    "providers/test_causes.py": _MIT,
    "providers/test_cache_choice.py": _MIT,
    "providers/test_conformance.py": _MIT,
    "providers/test_decryption.py": _MIT,
    "providers/test_diagnosis.py": _MIT,
    "providers/test_gssapi.py": _MIT,
    "providers/test_gssapi_initiator.py": _MIT,
    "providers/test_keytab_file.py": _MIT,
    "providers/test_pac_signature.py": _MIT,
    "providers/test_password.py": _MIT,
    "providers/test_pyspnego.py": _MIT,
    "providers/test_replay.py": _MIT,
    "providers/test_sspi_conformance.py": "knows one user, as sspi-rs does",
    "service": _SERVICE,
    "sessions": _SERVICE,
    "sign_in": _SERVICE,
    "stores": "is about files and locks of POSIX",
    "sspi/test_sspi_memory.py": "reads /proc",
    "sspi/test_sspi_promises.py": _MIT,
    "streams/test_streams_kerberos.py": _MIT,
    "cli": "is about signals and processes of POSIX",
    "test_demo.py": _MIT,
    "devrealm": _MIT,
    "test_examples.py": _MIT,
    "test_fixtures.py": _MIT,
    "test_meta_exports.py": _REPOSITORY,
    "test_meta_layers.py": _REPOSITORY,
    "test_meta_repository.py": _REPOSITORY,
    "test_programs.py": _PROGRAMS,
}

# Single tests of modules that are selected, by the beginning of their names.
SKIPPED = {
    "aiohttp/test_aiohttp_middleware.py::test_setup_with_a_keytab_takes_the_package": _MIT,
    "aiohttp/test_aiohttp_middleware.py::test_setup_without_keytab_and_package": (
        "says what is so on other systems; test_windows_setup.py says what is so here"
    ),
    "providers/test_sspi.py::test_a_package_that_there_is_not_is_secpkg_not_found": _EXPLICIT,
    "providers/test_sspi.py::test_attributes_are_those_that_sspi_tells": _EXPLICIT,
    "providers/test_sspi.py::test_every_attribute_is_told_or_unsupported": _EXPLICIT,
    "providers/test_sspi.py::test_many_threads_each_with_a_context": _EXPLICIT,
    "providers/test_sspi.py::test_the_last_leg_wants_complete_auth_token": _EXPLICIT,
    "providers/test_sspi.py::test_tokens_after_the_end_and_after_deletion": _EXPLICIT,
    "sspi/test_sspi_initialize.py::test_settings_that_cannot_work_are_invalid_parameters": (
        "asks for Kerberos by gssapi"
    ),
    "test_import_light.py::test_a_keytab_without_the_kerberos_libraries": _MIT,
    "test_import_light.py::test_the_list_of_heavy_libraries": _MIT,
}


def selected() -> list[Path]:
    """The modules and folders to run, of which some modules are left out."""
    return [TESTS / name for name in SELECTED]


def is_left_out(path: Path) -> bool:
    """Whether a module or folder, or a folder around it, is left out."""
    out = {TESTS / name for name in LEFT_OUT}
    return not out.isdisjoint((path, *path.parents))


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Do not even import what is left out."""
    return is_left_out(collection_path) or None


def _modules(name: str) -> list[Path]:
    path = TESTS / name
    return sorted(path.rglob("test_*.py")) if path.is_dir() else [path]


def undecided() -> list[str]:
    """The test modules of which neither table says anything."""
    decided = {path for name in (*SELECTED, *LEFT_OUT) for path in _modules(name)}
    return [str(path.relative_to(TESTS)) for path in _modules(".") if path not in decided]


def outdated() -> list[str]:
    """The entries of the tables that name nothing."""
    files = [name for name in (*SELECTED, *LEFT_OUT) if not (TESTS / name).exists()]
    tests = [name for name in SKIPPED if not _is_there(*name.split("::"))]
    return files + tests


def _is_there(module: str, test: str) -> bool:
    path = TESTS / module
    return path.is_file() and f"def {test.partition('[')[0]}" in path.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def kerberos_realm() -> NoReturn:
    """Skip whoever asks for a realm."""
    pytest.skip(_MIT)


@pytest.fixture
def kerberos_environment(kerberos_realm: object) -> None:
    """Skip whoever asks to be in the realm."""


@pytest.fixture
def kerberos_keytab(kerberos_realm: object) -> None:
    """Skip whoever asks for a keytab."""


@pytest.fixture(autouse=True)
def no_explicit_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the one test that would crash Wine, in place of all that come after it."""
    import sspilib.raw as raw  # which is not there where this module is only asked what runs

    acquire = raw.acquire_credentials_handle

    def guarded(*arguments: Any, **named: Any) -> Any:
        assert named.get("auth_data") is None, f"this test {_EXPLICIT}"
        return acquire(*arguments, **named)

    monkeypatch.setattr(raw, "acquire_credentials_handle", guarded)


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Skip the single tests, and tell why."""
    for item in items:
        name = item.nodeid.removeprefix("tests/")
        for beginning, reason in SKIPPED.items():
            if name.startswith(beginning):
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell of the modules that were not even collected."""
    reasons: dict[str, list[str]] = {}
    for name, reason in LEFT_OUT.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        terminalreporter.write_line(f"left out, {reason}: {', '.join(names)}")
