"""No spelling of an address, no name and no redirect reaches a server that was not allowed; the server saw no connection."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from durum.transports.http import HttpTransport
from tests.transports.http_servers import Answer, Server, failure, serving, transport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from durum.errors import TransportError

# {} is the port of a server that listens on every address of this machine.
LOOPBACK = [
    *("127.0.0.1:{}", "127.0.0.1.:{}", "127.255.255.254:{}", "2130706433:{}", "017700000001:{}", "0x7f000001:{}", "0x7f.1:{}"),
    *("0177.0.0.1:{}", "127.1:{}", "127.0.1:{}", "0x7F.0.0.0x1:{}", "127.000.000.001:{}", "0.0.0.0:{}", "0:{}", "0x0:{}"),
    *("[::1]:{}", "[0:0:0:0:0:0:0:1]:{}", "[::]:{}", "[0::0]:{}", "[::ffff:127.0.0.1]:{}", "[::FFFF:7F00:1]:{}"),
    *("[0:0:0:0:0:ffff:127.0.0.1]:{}", "[0000:0000:0000:0000:0000:ffff:7f00:0001]:{}", "[::ffff:0.0.0.0]:{}"),
    *("[::127.0.0.1]:{}", "[::ffff:0:127.0.0.1]:{}", "[64:ff9b::127.0.0.1]:{}", "[64:ff9b:1::7f00:1]:{}", "[2002:7f00:1::]:{}"),
    *("[::1%25lo]:{}", "[fe80::1%25lo]:{}", "[fe80::1]:{}", "localhost:{}", "localhost.:{}", "LocalHost:{}", "LOCALHOST.:{}"),
    *("\uff11\uff12\uff17.0.0.1:{}", "127\u30020\u30020\u30021:{}", "127\uff0e0\uff0e0\uff0e1:{}", "\u2460\u2461\u2466.1:{}"),
    *("\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54:{}", "lo\u00adcalhost:{}", "%31%32%37.0.0.1:{}"),
    *("good.test@127.0.0.1:{}", "good.test:x@127.0.0.1:{}", "@127.0.0.1:{}", ":@127.0.0.1:{}", "good.test%40127.0.0.1:{}"),
    *("good.test\\@127.0.0.1:{}", "127.0.0.1:{}\\@good.test", "127.0.0.1:{}#@good.test", "127.0.0.1:{}?@good.test"),
    *("127.0.0.1%00.good.test:{}", "127.0.0.1%0d%0a:{}", "127.0.0.1\t:{}", "127.0.0.1 :{}", "127.0.0.1:{}:{}"),
]
ELSEWHERE = [
    *("10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1"),
    *("224.0.0.1", "255.255.255.255", "[ff02::1]", "[fc00::1]", "[2001:db8::1]", "[3fff::1]", "[2001::1]"),
    *("169.254.169.254", "2852039166", "0xa9fea9fe", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "[fd20:ce::254]"),
    *("100.100.100.200", "168.63.129.16", "192.0.0.192", "[64:ff9b::169.254.169.254]", "[2002:a9fe:a9fe::]"),
]
SCHEMES = [
    *("file:///etc/passwd", "file://localhost/etc/passwd", "gopher://127.0.0.1:{}/_GET%20/", "ftp://127.0.0.1:{}/"),
    *("dict://127.0.0.1:{}/", "data:text/plain,x", "ldap://127.0.0.1:{}/", "unix:///run/x.sock", "HTTP+UNIX://x/"),
    *("jar:http://127.0.0.1:{}!/", "ws://127.0.0.1:{}/", "tftp://127.0.0.1:{}/", "javascript:alert(1)", "blob:http://x/"),
]


class CountingServer(Server):
    """Counts connections, so that one without a request is seen too."""

    connections = 0

    def server_bind(self) -> None:
        """Answer on IPv4 as well where the address is an IPv6 one."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Count one."""
        self.connections += 1
        return bool(super().verify_request(request, client_address))


@pytest.fixture
def secret_server() -> Iterator[CountingServer]:
    """Give a server on every address of this machine that nobody allowed."""
    try:
        server = CountingServer("::")
    except OSError:
        server = CountingServer("0.0.0.0")  # noqa: S104 - it is the one that must not be reached
    with serving(server):
        yield server


def untouched(error: TransportError, server: CountingServer) -> None:
    """Check that an error came before any connection: refused as written or by its address, or no name of anything."""
    unknown = "does not resolve" in str(error) or error.transport_code == "http_timeout"  # a resolver may think for long
    assert unknown or error.transport_code in {"invalid_request", "address_refused"}, error
    assert error.retryable is unknown
    assert (server.connections, server.seen) == (0, [])


@pytest.mark.parametrize("host", LOOPBACK, ids=ascii)
def test_no_spelling_of_this_machine_is_reached(secret_server: CountingServer, host: str) -> None:
    """Numbers in any base, IPv6 in any dress, other alphabets and users before the host lead nowhere."""
    url = "http://" + host.replace("{}", str(secret_server.port)) + "/"
    for allowed in ([], ["good.test", "10.0.0.1", f"127.0.0.1:{secret_server.port + 1}"]):
        untouched(failure(HttpTransport(allowed), url, timeout_ms=5_000), secret_server)


def test_the_server_of_these_tests_can_be_reached(secret_server: CountingServer) -> None:
    """A workflow that allows the host gets there, so that the others prove something."""
    url = f"http://127.0.0.1:{secret_server.port}/"
    with pytest.raises(pytest.fail.Exception):
        failure(HttpTransport(["127.0.0.1"]), url)
    assert secret_server.connections == 1


@pytest.mark.parametrize("host", ELSEWHERE)
def test_no_special_address_is_tried(secret_server: CountingServer, host: str) -> None:
    """Private, shared, documentation, multicast and metadata addresses are refused before a connection is tried."""
    error = failure(HttpTransport(), f"http://{host}:{secret_server.port}/latest/meta-data", timeout_ms=5_000)
    assert error.transport_code == "address_refused"
    untouched(error, secret_server)


@pytest.mark.parametrize("url", SCHEMES)
def test_no_other_scheme_is_spoken(secret_server: CountingServer, url: str) -> None:
    """Only http and https are, whatever is allowed."""
    error = failure(HttpTransport(["127.0.0.1", "localhost"]), url.replace("{}", str(secret_server.port)))
    assert error.transport_code == "invalid_request"
    assert secret_server.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_leads_to_another_scheme(server: Server, secret_server: CountingServer, status: int) -> None:
    """Where a request may not go, a redirect of an allowed server may not lead, with any status."""
    one = transport(server.origin, "x://localhost")
    for url in SCHEMES:
        server.answers["/"] = Answer(status, b"", [("Location", url.replace("{}", str(secret_server.port)))])
        error = failure(one, server.origin)
        assert (error.transport_code, error.retryable) == ("http_redirect", False)
        assert "root:" not in str(error) + str(error.details)
    assert secret_server.connections == 0


@pytest.mark.parametrize("before", [0, 3])
def test_no_redirect_leads_to_this_machine(server: Server, secret_server: CountingServer, before: int) -> None:
    """An allowed server cannot name a forbidden one in any spelling, at once or after redirects that are fine."""
    for number in range(before):
        server.answers[f"/{number}"] = Answer(307, b"", [("Location", f"/{number + 1}")])
    one = transport(server.origin)
    for host in [host for host in LOOPBACK if host.isascii() and host.isprintable()]:
        for scheme in ("https:", ""):
            location = f"{scheme}//{host.replace('{}', str(secret_server.port))}/admin"
            server.answers[f"/{before}"] = Answer(302, b"", [("Location", location)])
            assert failure(one, f"{server.origin}/0").transport_code in {"http_redirect", "http_timeout"}, location
    assert (secret_server.connections, secret_server.seen) == (0, [])


@pytest.mark.parametrize("answers", [["3ffe::1", "127.0.0.1"], ["127.0.0.1", "3ffe::1"], ["3ffe::1", "::1"]])
def test_a_name_that_changes_its_mind_gains_nothing(
    secret_server: CountingServer, answers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is public when it is judged and this machine when it is asked again leads to the address that was judged."""
    asked: list[str] = []

    def rebinding(host: object, port: object, *_: object, **__: object) -> list[Any]:
        address = answers[min(len(asked), len(answers) - 1)]
        asked.append(str(host))
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, port, 0, 0) if ":" in address else (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    # 3ffe::/16 was given back and is routed nowhere.
    error = failure(HttpTransport(), f"http://rebind.test:{secret_server.port}/", timeout_ms=300)
    expected = {"address_refused"} if answers[0] == "127.0.0.1" else {"http_connect", "http_timeout"}
    assert error.transport_code in expected
    assert asked == ["rebind.test"]
    assert (secret_server.connections, secret_server.seen) == (0, [])
