"""Which URLs are refused, wherever the configuration has one, and that what is meant well is not."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from connector.config import Config
from connector.config.urls import check_plain, split_url

SECRET = "hunter2"

REFUSED = {
    # scheme
    "": "must begin with",
    "rtm.example": "must begin with",
    "//rtm.example/stream": "must begin with",
    "file:///etc/passwd": "must begin with",
    "ftp://rtm.example/": "must begin with",
    "gopher://rtm.example:70/_": "must begin with",
    "javascript:alert(1)": "must begin with",
    "data:text/plain,x": "must begin with",
    "unix:///var/run/docker.sock": "must begin with",
    # userinfo, told apart or not
    "S://me@rtm.example/": "contains credentials",
    f"S://me:{SECRET}@rtm.example/": "contains credentials",
    f"S://:{SECRET}@rtm.example/": "contains credentials",
    "S://@rtm.example/": "contains credentials",
    f"S://rtm.example\\@evil.example:{SECRET}@x/": "contains credentials",
    "S://rtm.example%40evil.example/": "no name of the DNS",
    # queries and fragments, empty ones too
    f"S://rtm.example/stream?token={SECRET}": "must not contain ? or #",
    "S://rtm.example/stream?": "must not contain ? or #",
    "S://rtm.example/stream#part": "must not contain ? or #",
    "S://rtm.example#@evil.example/": "must not contain ? or #",
    "S://rtm.example?@evil.example/": "must not contain ? or #",
    # ports
    "S://rtm.example:port/": "is no URL",
    "S://rtm.example:-1/": "is no URL",
    "S://rtm.example:0/": "has port 0",
    "S://rtm.example:65536/": "is no URL",
    "S://rtm.example:80:90/": "is no URL",
    # control characters and blanks
    "S://rtm.example/a b": "contains blanks",
    " S://rtm.example/": "contains blanks",
    "S://rtm.example/\n": "contains blanks",
    "S://rtm.exa\tmple/": "contains blanks",
    "S://rtm.example/\r\nHost: evil": "contains blanks",
    "S://rtm.example/\x00": "contains blanks",
    "S://rtm.example/\x1b[31m": "contains blanks",
    "S://rtm.example/\x7f": "contains blanks",
    "S://rtm.example/\u2028": "contains blanks",
    "S://rtm.example/\u202egnp": "contains blanks",
    "S://rtm.exa\u200bmple/": "contains blanks",
    # letters that only look like others, digits that become others
    "S://rtm.ex\u0430mple/": "other letters than ASCII",
    "S://bücher.example/": "other letters than ASCII",
    "S://\uff11\uff16\uff19.254.169.254/": "other letters than ASCII",
    "S://rtm。example/": "other letters than ASCII",
    "S://rtm.example/strüm": "other letters than ASCII",
    "S://rtm.example℀/": "other letters than ASCII",
    # hosts that are none
    "S:///stream": "names no host",
    "S://:443/stream": "names no host",
    "S:rtm.example": "names no host",
    "S://-rtm.example/": "no name of the DNS",
    "S://rtm-.example/": "no name of the DNS",
    "S://rtm..example/": "no name of the DNS",
    "S://./": "no name of the DNS",
    "S://*.example/": "no name of the DNS",
    "S://rtm.example,evil.example/": "no name of the DNS",
    "S://rtm.example;evil.example/": "no name of the DNS",
    "S://evil.example\\.rtm.example/": "no name of the DNS",
    "S://%72tm.example/": "no name of the DNS",
    "S://%31%36%39.254.169.254/": "no name of the DNS",
    "S://rtm.example%00.evil.example/": "no name of the DNS",
    "S://$(id)/": "no name of the DNS",
    "S://${jndi}/": "no name of the DNS",
    f"S://{'a' * 64}.example/": "no name of the DNS",
    f"S://{'a.' * 127}example/": "no name of the DNS",
    # addresses in unusual forms
    "S://2852039166/": "no usual IPv4 address",
    "S://0xa9fea9fe/": "no usual IPv4 address",
    "S://0xa9.0xfe.0xa9.0xfe/": "no usual IPv4 address",
    "S://0251.0376.0251.0376/": "no usual IPv4 address",
    "S://169.254.43518/": "no usual IPv4 address",
    "S://127.1/": "no usual IPv4 address",
    "S://0/": "no usual IPv4 address",
    "S://127.0.0.1./": "no usual IPv4 address",
    "S://169.254.169.254./": "no usual IPv4 address",
    "S://256.1.1.1/": "no usual IPv4 address",
    "S://rtm.example.0x/": "no usual IPv4 address",
    # addresses that are no server's
    "S://0.0.0.0/": "unspecified",
    "S://0.1.2.3/": "reserved",
    "S://169.254.169.254/": "link-local",
    "S://169.254.0.1:8080/": "link-local",
    "S://224.0.0.1/": "multicast",
    "S://239.255.255.250/": "multicast",
    "S://255.255.255.255/": "reserved",
    "S://240.0.0.1/": "reserved",
    "S://[::]/": "unspecified",
    "S://[fe80::1]/": "link-local",
    "S://[fe80::1%25eth0]/": "link-local",
    "S://[ff02::1]/": "multicast",
    "S://[::ffff:169.254.169.254]/": "IPv4 address in IPv6 form",
    "S://[::ffff:a9fe:a9fe]/": "IPv4 address in IPv6 form",
    "S://[2002:a9fe:a9fe::]/": "IPv4 address in IPv6 form",
    "S://[64:ff9b::a9fe:a9fe]/": "reserved",
    "S://[::169.254.169.254]/": "reserved",
    "S://[::1/": "is no URL",
    "S://[rtm.example]/": "is no URL",
    "S://[127.0.0.1]/": "is no URL",
    # where clouds keep credentials
    "S://100.100.100.200/latest/meta-data/": "credentials",
    "S://192.0.0.192/": "credentials",
    "S://[fd00:ec2::254]/": "credentials",
    "S://metadata.google.internal/computeMetadata/v1/": "credentials",
    "S://METADATA.google.internal./": "credentials",
    "S://metadata/": "credentials",
}
NOT_ENCRYPTED = (
    "S://rtm.example/",
    "S://10.0.0.5/",
    "S://localhost.example/",
    "S://127.0.0.1.example/",
    "S://[2001:db8::1]/",
)
ACCEPTED = (
    "S://rtm.example/stream",
    "S://RTM.example:8443/stream/",
    "S://rtm.example./",
    "S://rtm.example:/",
    "S://xn--bcher-kva.example/%C3%BC",
    "S://schema_registry:8081",
    "S://3com.example/",
    "S://registry.apps.svc.cluster.local:8081/apis/ccompat/v7",
    "S://10.0.0.5/",
    "S://192.168.1.2:8081",
    "S://[2001:db8::1]:443/",
    "S://[fd12:3456:789a::1]/",
    "S://127.0.0.1:1/",
    "S://[::1]:1/",
    "S://localhost/",
)
SCHEMES = {"source": ("wss", "ws"), "rest": ("https", "http")}


def split(url, encrypted, plain):
    check_plain(split_url(url, (encrypted, plain)), allowed=True)


@pytest.mark.parametrize("kind", SCHEMES)
@pytest.mark.parametrize(("url", "said"), REFUSED.items(), ids=map(ascii, REFUSED))
def test_refused_with_every_scheme_and_told_why_without_the_url(kind, url, said):
    for scheme in SCHEMES[kind]:
        with pytest.raises(ValueError, match=said.replace("?", r"\?")) as raised:
            split_url(url.replace("S:", f"{scheme}:"), SCHEMES[kind])
        text = str(raised.value)
        assert SECRET not in text
        assert text.isprintable()


@pytest.mark.parametrize("url", NOT_ENCRYPTED)
def test_plain_is_refused_but_to_this_machine(url):
    for encrypted, plain in SCHEMES.values():
        with pytest.raises(ValueError, match="is not encrypted"):
            split(url.replace("S:", f"{plain}:"), encrypted, plain)
        split(url.replace("S:", f"{encrypted}:"), encrypted, plain)


@pytest.mark.parametrize("url", ACCEPTED)
def test_accepted_when_encrypted(url):
    for encrypted, plain in SCHEMES.values():
        split(url.replace("S:", f"{encrypted}:"), encrypted, plain)


PLACES = {
    "source.url": "wss",
    "source.rest_url": "https",
    "source.departments_url": "https",
    "source.oauth.token_url": "https",
    "registry.urls.0": "https",
    "otlp.endpoint": "https",
}


def config(**urls):
    oauth = {"client_id": "c", "client_secret_file": "/s"}
    data = {
        "account": "acme",
        "source": {"oauth": oauth},
        "subscriptions": [{"metrics": ["agents.*"]}],
        "kafka": {"bootstrap_servers": "k:1"},
        "registry": {"urls": ["https://registry"]},
        "otlp": {"endpoint": "https://collector"},
    }
    for place, url in urls.items():
        *way, last = place.split(".")
        part = data
        for key in way:
            part = part[key]
        part[int(last) if last.isdecimal() else last] = url
    return Config.model_validate(data)


@pytest.mark.parametrize("place", PLACES)
def test_every_place_of_the_configuration_refuses_them_all(place):
    for url, said in REFUSED.items():
        with pytest.raises(ValidationError) as raised:
            config(**{place: url.replace("S:", f"{PLACES[place]}:")})
        assert said in str(raised.value), url
    for url in ACCEPTED:
        config(**{place: url.replace("S:", f"{PLACES[place]}:")})


def test_a_token_for_a_collector_is_not_sent_in_the_clear():
    for endpoint, fine in (("http://collector:4318", False), ("https://collector", True), ("http://[::1]:4318", True)):
        data = config().model_dump() | {"otlp": {"endpoint": endpoint, "token_file": "/t"}}
        if fine:
            Config.model_validate(data)
            continue
        with pytest.raises(ValidationError, match="would send the token unencrypted; use https://"):
            Config.model_validate(data)
