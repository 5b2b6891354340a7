"""Who may read: tokens, cookies, names, and the settings that decide it."""

import os

import pytest
from pydantic import ValidationError

from connector.config.http import Http
from connector.errors import ConfigError
from connector.web.access import Access, names_this_machine

TOKEN = "a-token-of-some-length"


@pytest.fixture
def token_file(tmp_path):
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    return file


@pytest.mark.parametrize(
    ("authorization", "allowed"),
    [
        (f"Bearer {TOKEN}", True),
        (f"bearer {TOKEN}", True),
        (f"Bearer {TOKEN}x", False),
        ("Bearer ", False),
        (f"Basic {TOKEN}", False),
        (TOKEN, False),
        ("", False),
        ("Bearer \udce4\x00", False),
    ],
)
def test_the_authorization_header(token_file, authorization, allowed):
    assert Access(token_file).allows(authorization, "") is allowed


def test_cookies_expire_and_cannot_be_made(token_file):
    now = [1000.0]
    access = Access(token_file, lambda: now[0])
    cookie = access.cookie()
    assert access.allows("", cookie)
    expires, _, seal = cookie.partition(".")
    for forged in ("", ".", f"{int(expires) + 1}.{seal}", f"x.{seal}", f"{expires}.{seal[:-1]}", f"{expires}.\udcff"):
        assert not access.allows("", forged)
    assert not Access(token_file, lambda: now[0]).allows("", cookie)
    now[0] += 12 * 3600
    assert not access.allows("", cookie)


def test_a_new_token_counts_at_once_and_ends_old_cookies(token_file):
    access = Access(token_file)
    cookie = access.cookie()
    replacement = token_file.with_name("new")
    replacement.write_text("another-token-of-length")
    replacement.chmod(0o600)
    os.replace(replacement, token_file)  # noqa: PTH105 - the way a mounted secret changes
    assert access.knows("another-token-of-length")
    assert not access.knows(TOKEN)
    assert not access.allows("", cookie)


def test_while_the_file_is_missing_the_old_token_stays(token_file):
    access = Access(token_file)
    token_file.unlink()
    assert access.knows(TOKEN)


def test_a_short_token_is_refused(token_file):
    token_file.write_text("short")
    with pytest.raises(ConfigError, match=r"http\.token_file.*shorter than 16"):
        Access(token_file)


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("localhost", True),
        ("localhost:8090", True),
        ("127.0.0.1:1", True),
        ("127.1.2.3", True),
        ("[::1]:8090", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example:8090", False),
        ("10.0.0.1", False),
        ("[::1", False),
        ("", False),
        ("evil.example@localhost.", False),
    ],
)
def test_only_names_of_this_machine_are_answered(host, good):
    assert names_this_machine(host) is good


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_this_machine_needs_no_token(host):
    assert Http(host=host).token_file is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "pod.example", ""])
def test_any_other_address_does(host, tmp_path):
    with pytest.raises(ValidationError):
        Http(host=host)
    if host:
        assert Http(host=host, allow_unauthenticated=True).host == host
        assert Http(host=host, token_file=tmp_path / "token").host == host


def test_token_and_no_token_exclude_each_other(tmp_path):
    with pytest.raises(ValidationError):
        Http(token_file=tmp_path / "token", allow_unauthenticated=True)
