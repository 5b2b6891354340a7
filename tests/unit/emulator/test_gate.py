"""Limits, tokens, roles and ordered refusals."""

import json

import pytest

from connector.emulator.accounts import DEFAULT_CLIENTS, DEFAULT_TOKENS, Accounts, parse_tokens
from connector.emulator.behaviour import Behaviour
from connector.emulator.gate import Gate, Refusal
from connector.emulator.limits import Limits
from connector.errors import ConfigError


def gate(limits=None, **switches):
    return Gate(Accounts(DEFAULT_TOKENS, DEFAULT_CLIENTS), limits or Limits(), Behaviour(**switches))


def enter(made, role="agent", now=0.0):
    return made.session(f"Bearer {role}-token", now)


def test_sessions_and_requests_share_200_a_minute():
    made = gate(Limits(per_agent=0))
    for _ in range(190):
        assert made.request("rest", "Bearer agent-token", 0.0) is None
    for _ in range(10):
        assert enter(made, now=30.0).token == "agent-token"
    refused = enter(made, now=31.0).answer
    assert (refused.status, refused.retry_after) == (429, 29)
    assert json.loads(refused.body)["description"] == "Number of allowed API requests per minute exceeded (200)"
    assert made.request("departments", "Bearer owner-token", 31.0).status == 429
    assert made.limits.refused == 2
    assert enter(made, now=60.0).token == "agent-token"
    assert made.limits.requests(60.0) == 11


def test_ten_sessions_per_agent():
    made = gate()
    for _ in range(10):
        assert enter(made).token
    assert "per agent exceeded (10)" in enter(made).answer.body
    assert enter(made, "owner").token
    made.limits.release_session("agent-token")
    assert enter(made).token
    assert made.limits.requests(0.0) == 12


def test_a_thousand_sessions_per_account():
    made = gate(Limits(per_minute=0, per_agent=0))
    for number in range(1000):
        assert enter(made, ("agent", "owner")[number % 2]).token
    assert "per account exceeded (1000)" in enter(made).answer.body


@pytest.mark.parametrize(
    ("switches", "content_type", "retry_after", "body"),
    [
        ({}, "application/json", 60, '{"error": "APIRateLimitExceeded", "description": "'),
        ({"rate_limit_body": "text"}, "text/plain", 60, "Number of allowed API requests per minute exceeded"),
        ({"retry_after": False}, "application/json", None, '{"error"'),
    ],
)
def test_switches_of_the_429(switches, content_type, retry_after, body):
    made = gate(Limits(per_minute=1), **switches)
    assert enter(made).token
    answer = enter(made).answer
    assert (answer.status, answer.content_type, answer.retry_after) == (429, content_type, retry_after)
    assert answer.body.startswith(body)


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer nobody", "Beareragent-token", "Basic agent-token"])
def test_a_bad_token_is_told_in_band_or_by_http(authorization):
    assert gate(unauthorised="frame").session(authorization, 0.0) == (None, None)
    answer = gate(unauthorised="http").session(authorization, 0.0).answer
    assert (answer.status, json.loads(answer.body)["status_code"]) == (401, 401)
    assert gate().request("rest", authorization, 0.0).status == 401
    assert json.loads(gate().request("departments", authorization, 0.0).body)["error"] == "Unauthorized"


@pytest.mark.parametrize(("role", "status"), [("owner", None), ("administrator", None), ("agent", 403)])
def test_roles(role, status):
    made = gate()
    answer = made.request("departments", f"Bearer {role}-token", 0.0)
    assert (answer and answer.status) == status
    assert made.request("rest", f"Bearer {role}-token", 0.0) is None
    assert enter(made, role).token


def test_refusals_last_a_while_or_a_number_of_times():
    made = gate()
    made.refusals.append(Refusal(503, until=10.0, count=2, body="busy", retry_after=7))
    made.refusals.append(Refusal(403, until=10.0, place="all"))
    assert enter(made, now=1.0).answer == (503, "busy", "text/plain", 7)
    assert made.request("rest", "Bearer agent-token", 1.0).status == 403
    assert [enter(made, now=1.0).answer.status for _ in range(2)] == [503, 403]
    assert enter(made, now=10.0).answer is None


def test_tokens_by_client_credentials():
    accounts = Accounts({}, {"id": "secret"})
    asked = {"grant_type": "client_credentials", "client_id": "id", "client_secret": "secret"}
    status, body = accounts.grant(asked)
    assert (status, body) == (
        200,
        {"access_token": "issued-token-1", "token_type": "Bearer", "scope": "read write"},
    )
    assert accounts.token("Bearer issued-token-1") == "issued-token-1"
    assert accounts.grant(asked | {"client_secret": "guess"})[0] == 401
    assert accounts.grant({"grant_type": "client_credentials"})[0] == 401
    assert accounts.grant({"grant_type": "password"}) == (400, {"error": "unsupported_grant_type"})
    assert accounts.revoke("issued-token-1")
    assert not accounts.revoke("issued-token-1")
    assert accounts.token("Bearer issued-token-1") is None


def test_tokens_on_the_command_line():
    assert parse_tokens(["agent=a", "owner=b=c"]) == {"a": "agent", "b=c": "owner"}
    assert parse_tokens([]) == DEFAULT_TOKENS
    for wrong in ("agent", "agent=", "boss=x"):
        with pytest.raises(ConfigError):
            parse_tokens([wrong])
