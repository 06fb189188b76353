"""What a context must have, over HTTP: a client whose context lacks it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from initiators import INTEGRITY, MUTUAL, fresh_token
from strategies import STRATEGIES, outcome_of

from authsrv.core.flags import AscRet
from authsrv.providers.gssapi.acceptor import GssapiProvider


@pytest.mark.parametrize("required", [AscRet.MUTUAL_AUTH, int(AscRet.MUTUAL_AUTH)])
def test_a_client_that_asks_for_no_mutual_authentication_is_refused_where_it_is_required(
    kerberos_environment: dict[str, str], kerberos_keytab: Path, required: AscRet
) -> None:
    provider, way = GssapiProvider(kerberos_keytab), STRATEGIES["http"]
    token = fresh_token(flags=[INTEGRITY])
    outcome = outcome_of(way, provider, token, required_attributes=required)
    assert outcome == "attributes: the context lacks what is required: MUTUAL_AUTH"
    token = fresh_token(flags=[MUTUAL])
    outcome = outcome_of(way, provider, token, required_attributes=required)
    assert outcome == "alice@AUTHSRV.TEST"
    assert outcome_of(way, provider, fresh_token(flags=[INTEGRITY])) == "alice@AUTHSRV.TEST"
