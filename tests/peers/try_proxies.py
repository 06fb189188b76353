"""What reverse proxies let through; README's table is what was seen.

Each proxy is tried as it comes, and with the settings that README names: log-ins, tokens of growing
size, a body of 2 MB, and two log-ins of three legs that cross each other, which a proxy passes only
if it keeps a client on one connection to the server.
"""

from __future__ import annotations

import functools
import http.client
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from gateways import GATEWAYS, Gateway, Tuning, run_gateway
from legs import Traveller, connect, send
from people import Person
from places import Sites
from readme import README, assert_version, rows_below

pytestmark = pytest.mark.timeout(300)

HEADING = "proxy"
SIZES = [1_000, 4_000, 5_000, 9_000, 16_000, 45_000, 60_000]
LARGEST = 65_536
STEP = 100
BODY = 2_000_000
COOKIE = 6_000
SUM_BOUNDING = {"HAProxy", "Squid", "Envoy"}


@dataclass(frozen=True, eq=False)
class Passage:
    """A proxy that runs."""

    port: int
    person: Person

    @property
    def cache(self) -> Path:
        return Path(self.person.environment["KRB5CCNAME"].removeprefix("FILE:"))

    @functools.cache  # noqa: B019 - it lives as long as the run
    def status_of(self, size: int, cookie: str = "") -> int:
        """Send a token of a size; 200 if it arrived whole, else the proxy's status, or 0."""
        with (
            closing(connect(self.port)) as connection,
            suppress(OSError, http.client.HTTPException),
        ):
            status, page, _ = send(connection, b"\xff" * size, "/field", cookie)
            whole = len("Negotiate ") + (size + 2) // 3 * 4
            assert status != 200 or page == str(whole), f"{page} bytes of {whole} arrived"
            return status
        return 0

    @functools.cached_property
    def largest(self) -> int:
        """The largest token that arrives, to a hundred bytes."""
        if self.status_of(LARGEST) == 200:
            return LARGEST
        low, high = 0, LARGEST // STEP
        while high - low > 1:
            middle = (low + high) // 2
            if self.status_of(middle * STEP) == 200:
                low = middle
            else:
                high = middle
        return low * STEP

    def log_in(self) -> str:
        with closing(Traveller(self.port, self.cache)) as traveller:
            traveller.log_in()
            return traveller.page

    def post(self) -> int:
        with closing(connect(self.port)) as connection, suppress(OSError):
            connection.request("POST", "/body", body=bytes(BODY))
            answer = connection.getresponse()
            page = answer.read().decode(errors="replace")
            assert answer.status != 200 or page == str(BODY)
            return answer.status
        return 0

    @functools.cached_property
    def legs(self) -> list[int]:
        """The statuses of two log-ins whose legs alternate; what failed ends it."""
        statuses: list[int] = []
        with ExitStack() as stack:
            both = [stack.enter_context(closing(Traveller(self.port, self.cache))) for _ in "ab"]
            for leg in (Traveller.leg_1, Traveller.leg_2, Traveller.leg_3):
                for traveller in both:
                    try:
                        statuses.append(leg(traveller))
                    except (OSError, http.client.HTTPException, AssertionError, ValueError):
                        return [*statuses, 0]
        return statuses


@dataclass(frozen=True)
class Passages:
    """A proxy as it comes, and with the settings of README."""

    gateway: Gateway
    default: Passage
    tuned: Passage

    def row(self) -> str:
        settings = " ".join(f"`{line}`" for line in settings_of(self.gateway.tuned))
        legs = [passage.legs == PASSED for passage in (self.default, self.tuned)]
        several = {(True, True): "yes", (False, True): "with it", (False, False): "no"}[*legs]
        first, then = kilobytes(self.default), kilobytes(self.tuned)
        body = "yes" if self.default.post() == 200 else f"no ({self.default.post()})"
        cells = [self.gateway.name, first, body, settings or "none needed", then, several]
        return f"| {' | '.join(cells)} |"


PASSED = [401, 401, 401, 401, 200, 200]


def settings_of(tuning: Tuning) -> list[str]:
    return [*tuning.settings, *([f"cache_peer ... {tuning.peer}"] if tuning.peer else [])]


def kilobytes(passage: Passage) -> str:
    if passage.largest == LARGEST:
        return "64 KiB"
    return f"{passage.largest / 1000:.1f} KB, then {passage.status_of(passage.largest + STEP)}"


def port_of(sites: Sites) -> int:
    return int(re.findall(r":(\d+)/", sites.plain)[0])


@pytest.fixture(autouse=True)
def this_process(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens are made in this process."""
    for name in ("KRB5_CONFIG", "KRB5CCNAME", "KRB5_CLIENT_KTNAME"):
        monkeypatch.setenv(name, person.environment[name])


@pytest.fixture(scope="session")
def every_passage(sites: Sites, person: Person) -> Iterator[dict[str, Passages]]:
    site = port_of(sites)
    with ExitStack() as stack:

        def passage(gateway: Gateway, tuning: Tuning) -> Passage:
            return Passage(stack.enter_context(run_gateway(gateway, tuning, site)), person)

        yield {
            gateway.name: Passages(
                gateway, passage(gateway, gateway.default), passage(gateway, gateway.tuned)
            )
            for gateway in GATEWAYS
        }


@pytest.fixture(params=[gateway.name for gateway in GATEWAYS])
def passages(request: pytest.FixtureRequest, every_passage: dict[str, Passages]) -> Passages:
    return every_passage[request.param]


def test_somebody_logs_in_through_it(passages: Passages) -> None:
    for passage in (passages.default, passages.tuned):
        assert f"principal={passage.person.principal}," in passage.log_in()


def test_tokens_of_every_size_arrive_with_the_settings_of_the_readme(passages: Passages) -> None:
    sizes = [size for size in SIZES if size <= passages.gateway.at_least]
    assert {size: passages.tuned.status_of(size) for size in sizes} == dict.fromkeys(sizes, 200)


def test_by_default_what_is_larger_than_the_readme_says_is_refused(passages: Passages) -> None:
    passage = passages.default
    arrived = {size: passage.status_of(size) == 200 for size in SIZES}
    assert arrived == {size: size <= passage.largest for size in SIZES}


def test_the_readme_names_the_proxies_that_bound_the_sum_of_all_fields(
    every_passage: dict[str, Passages],
) -> None:
    cookie = "name=" + "x" * COOKIE
    bounding = {
        name.partition(" ")[0]
        for name, passages in every_passage.items()
        if passages.default.largest < LARGEST
        and passages.default.status_of(passages.default.largest, cookie) != 200
    }
    assert bounding == SUM_BOUNDING
    assert "Those count as well\nfor HAProxy, Squid and Envoy" in README.read_text()


def test_a_body_of_2_mb_arrives_with_the_settings_of_the_readme(passages: Passages) -> None:
    assert passages.tuned.post() == 200


def test_squid_keeps_the_token_back_if_not_told_otherwise(sites: Sites, person: Person) -> None:
    (squid,) = (gateway for gateway in GATEWAYS if gateway.configuration == "squid.conf")
    with run_gateway(squid, Tuning(), port_of(sites)) as port:
        assert "principal=" not in Passage(port, person).log_in()


def test_the_server_itself_sees_the_whole_token(passages: Passages, sites: Sites) -> None:
    size = passages.gateway.at_least
    before = len(sites.logged())
    with closing(connect(passages.tuned.port)) as connection:
        status, _, _ = send(connection, b"\xff" * size)
    assert status in {400, 401}
    assert f"{size}B" in sites.logged()[before:]


@pytest.mark.parametrize(
    ("name", "package"),
    [(gateway.name, gateway.package) for gateway in GATEWAYS if gateway.package],
)
def test_the_versions_are_those_of_the_readme(name: str, package: str) -> None:
    assert_version(name, package)


def test_the_readme_tells_what_was_seen(passages: Passages) -> None:
    assert passages.row() in rows_below(HEADING)


def test_the_readme_tells_of_nothing_else(
    every_passage: dict[str, Passages], table: dict[str, list[str]]
) -> None:
    seen = [passages.row() for passages in every_passage.values()]
    table["proxies"] = seen
    assert rows_below(HEADING) == seen
