"""The clients that are tried, and how each is started: one row of a table for each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from programs import find_program
from workshop import CLIENTS, dotnet, go_client, java_client

__all__ = ["CALLERS", "Caller", "Make", "Start", "Visit", "libsoup"]


@dataclass(frozen=True, slots=True)
class Visit:
    """Where a client goes.

    Args:
        url: The site, with "/" at its end.
        certificate: The site's certificate, as PEM.
        folder: A folder for the client's own files.
        krb5_conf: The realm's configuration, for clients that do not read KRB5_CONFIG.
    """

    url: str
    certificate: Path
    folder: Path
    krb5_conf: Path


@dataclass(frozen=True, slots=True)
class Start:
    """How a client is started.

    Args:
        command: The program and its arguments.
        variables: What its environment has besides the person's.
    """

    command: list[str]
    variables: Mapping[str, str] = field(default_factory=dict)


Make = Callable[[Visit], Start]


@dataclass(frozen=True, slots=True)
class Caller:
    """A client.

    Args:
        name: How README calls it.
        setting: What it needs, as README says it; empty if nothing.
        start: Starts it with what it needs.
        without: Starts it without that; None where it needs nothing.
        binding: Starts it with channel bindings switched on; None where there is no switch.
        switch: What switches them on, as README says it.
        no_tls: Why it cannot speak TLS here, as README says it; empty if it can.
        complaint: What it says then itself.
        package: The Debian package that has the version in the name; empty if there is none.
    """

    name: str
    setting: str
    start: Make
    without: Make | None = None
    binding: Make | None = None
    switch: str = ""
    no_tls: str = ""
    complaint: str = ""
    package: str = ""


def curl(*options: str) -> Make:
    def make(visit: Visit) -> Start:
        program = find_program("curl", package="curl")
        common = ["--disable", "--silent", "--show-error", "--max-time", "30", "--noproxy", "*"]
        trust = ["--cacert", str(visit.certificate)]
        return Start([program, *common, *trust, *options, visit.url])

    return make


def git(*options: str) -> Make:
    def make(visit: Visit) -> Start:
        program = find_program("git", package="git")
        command = [program, "-c", "credential.helper=", *options, "ls-remote"]
        variables = {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"}
        variables["GIT_SSL_CAINFO"] = str(visit.certificate)
        return Start([*command, f"{visit.url}repository.git"], variables)

    return make


def python(script: str, *mode: str, program: str = sys.executable, **variables: str) -> Make:
    def make(visit: Visit) -> Start:
        command = [program, str(CLIENTS / script), visit.url, str(visit.certificate), *mode]
        return Start(command, variables)

    return make


def libsoup(*, trusted: str) -> Make:
    def make(visit: Visit) -> Start:
        # It is a library of GNOME; the system's own Python is what speaks to it.
        start = python("by_libsoup.py", program="/usr/bin/python3")(visit)
        site = visit.url.rstrip("/")
        uris = {"SOUP_GSSAPI_TRUSTED_URIS": trusted.format(site=site)} if trusted else {}
        return Start(start.command, {**uris, "GIO_USE_PROXY_RESOLVER": "dummy"})

    return make


def chromium(*switches: str) -> Make:
    def make(visit: Visit) -> Start:
        program = find_program("chromium", package="chromium")
        script = [sys.executable, str(CLIENTS / "by_chromium.py"), program]
        return Start([*script, str(visit.folder / "chromium"), visit.url, *switches])

    return make


def firefox(*preferences: str) -> Make:
    def make(visit: Visit) -> Start:
        program = find_program("firefox-esr", package="firefox-esr")
        script = [sys.executable, str(CLIENTS / "by_firefox.py"), program]
        return Start([*script, str(visit.folder / "firefox"), visit.url, *preferences])

    return make


def java(*properties: str) -> Make:
    def make(visit: Visit) -> Start:
        program = find_program("java", package="default-jdk-headless")
        conf = f"-Djava.security.krb5.conf={visit.krb5_conf}"
        command = [program, conf, *properties, "-cp", str(java_client()), "Fetch"]
        return Start([*command, visit.url, str(visit.certificate)])

    return make


def go(**variables: str) -> Make:
    return lambda visit: Start([str(go_client()), visit.url, str(visit.certificate)], variables)


def csharp(**variables: str) -> Make:
    settings = {"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1", "DOTNET_CLI_TELEMETRY_OPTOUT": "1"}
    return lambda visit: Start([*dotnet(), visit.url], {**settings, **variables})


CALLERS = [
    Caller(
        "curl 7.88", "`--negotiate -u :`", curl("--negotiate", "--user", ":"), curl(),
        package="curl",
    ),
    Caller(
        "git 2.39", "`http.emptyAuth=true`",
        git("-c", "http.emptyAuth=true"), git(),
        package="git",
    ),
    Caller(
        "libsoup 3", "`SOUP_GSSAPI_TRUSTED_URIS` with the port, for plain http",
        libsoup(trusted="{site}"), libsoup(trusted="http://localhost"),
        package="libsoup-3.0-0",
    ),
    Caller(
        "Chromium", "`--auth-server-allowlist`",
        chromium("--auth-server-allowlist=localhost"), chromium(),
    ),
    Caller(
        "Firefox", "`network.negotiate-auth.trusted-uris`",
        firefox("network.negotiate-auth.trusted-uris=localhost"), firefox(),
    ),
    Caller(
        "Java 17, `HttpURLConnection`", "", java(),
        binding=java("-Djdk.https.negotiate.cbt=always"),
        switch="`jdk.https.negotiate.cbt=always`",
        package="default-jdk-headless",
    ),
    Caller(
        "Go, gokrb5 8.4", "`spnego.NewClient`", go(), go(WITHOUT="1"),
        package="golang-github-jcmturner-gokrb5.v8-dev",
    ),
    Caller(
        ".NET Core 3.1, `HttpClient`", "`UseDefaultCredentials`", csharp(), csharp(WITHOUT="1"),
        no_tls="not tried: this release needs OpenSSL 1",
        complaint="No usable version of libssl was found",
    ),
    Caller(
        "Heimdal 7.8, its GSS-API", "", python("by_heimdal.py"),
        binding=python("by_heimdal.py", "bindings"), switch="the program gives them",
        package="libgssapi3-heimdal",
    ),
    Caller(
        "requests-gssapi", "`auth=HTTPSPNEGOAuth()`",
        python("by_requests.py"), python("by_requests.py", "without"),
        python("by_requests.py", "bindings"), '`channel_bindings="tls-server-end-point"`',
    ),
    Caller(
        "httpx-gssapi", "`auth=HTTPSPNEGOAuth()`",
        python("by_httpx.py"), python("by_httpx.py", "without"),
    ),
    Caller(
        "pyspnego", "", python("by_pyspnego.py"),
        binding=python("by_pyspnego.py", "bindings"), switch="the program gives them",
    ),
    Caller(
        "`authsrv.client`", "the host on its list",
        python("by_authsrv.py"), python("by_authsrv.py", "without"),
    ),
]  # fmt: skip
