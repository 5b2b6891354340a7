"""The fault proxy does what its words say, each against a server that echoes."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

import pytest
from faults.proxy import END_TXN, PRODUCE, Network


class Echo:
    """Answers every byte; keeps what it received."""

    def __init__(self):
        self.received = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._clients = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                self._clients.append(client)
                self._threads.append(threading.Thread(target=self._serve, args=(client,), daemon=True))
                self._threads[-1].start()

    def _serve(self, client):
        with contextlib.suppress(OSError), client:
            while data := client.recv(65536):
                self.received += data
                client.sendall(data)

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for client in self._clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()
        for thread in self._threads:
            thread.join(5)


@pytest.fixture
def echo():
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def network():
    with Network() as network:
        yield network


@pytest.fixture
def proxy(network, echo):
    return network.proxy(echo.port)


@pytest.fixture
def connect():
    sockets = []

    def make(proxy, timeout=5.0):
        sockets.append(socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout))
        return sockets[-1]

    yield make
    for one in sockets:
        one.close()


def ask(client, data):
    client.sendall(data)
    return read(client, len(data))


def read(client, size):
    found = b""
    while len(found) < size:
        data = client.recv(size - len(found))
        if not data:
            break
        found += data
    return found


def silent(client, seconds=0.3):
    client.settimeout(seconds)
    try:
        return client.recv(1) is None
    except TimeoutError:
        return True
    finally:
        client.settimeout(5.0)


def timed(client, data):
    began = time.monotonic()
    assert ask(client, data) == data
    return time.monotonic() - began


def request(key, body=b""):
    return struct.pack(">ih", 2 + len(body), key) + body


def test_bytes_pass_both_ways_and_the_end_too(proxy, echo, connect):
    client = connect(proxy)
    data = bytes(range(256)) * 1000
    threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
    assert read(client, len(data)) == data
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    assert echo.received == data


def test_latency_holds_each_direction_back(proxy, connect):
    client = connect(proxy)
    proxy.poison("down", latency=0.2, jitter=0.05)
    assert timed(client, b"x") >= 0.15
    proxy.poison("up", latency=0.2)
    assert timed(client, b"x") >= 0.35


def test_bandwidth_and_slicer_slow_down(proxy, connect):
    client = connect(proxy)
    proxy.poison("up", bandwidth=10_000)
    assert timed(client, b"x" * 3000) >= 0.25
    proxy.heal()
    proxy.poison("down", slicer=(10, 0.02))
    assert timed(client, b"x" * 100) >= 0.15


def test_limit_data_ends_after_so_many_bytes(proxy, connect):
    client = connect(proxy)
    proxy.poison("down", limit_data=5)
    client.sendall(b"0123456789")
    with contextlib.suppress(ConnectionResetError):
        assert read(client, 10) == b"01234"


def test_timeout_swallows_and_then_ends(proxy, connect):
    client = connect(proxy)
    proxy.poison(timeout=0.3)
    client.sendall(b"x")
    assert silent(client, 0.1)
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_reset_peer_is_a_reset(proxy, connect):
    client = connect(proxy)
    proxy.poison("up", reset_peer=0.0)
    client.sendall(b"x")
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_slow_close_delays_the_end(proxy, connect):
    client = connect(proxy)
    proxy.poison("up", slow_close=0.3)
    assert ask(client, b"x") == b"x"
    began = time.monotonic()
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    assert time.monotonic() - began >= 0.3


def test_down_refuses_and_resets_until_it_is_up(proxy, connect):
    client = connect(proxy)
    assert ask(client, b"x") == b"x"
    proxy.down()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.up()
    assert ask(connect(proxy), b"x") == b"x"


def test_cut_resets_and_serves_new_ones(proxy, connect):
    client = connect(proxy)
    assert ask(client, b"x") == b"x"
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert ask(connect(proxy), b"x") == b"x"


def test_a_dead_server_is_a_reset(network, connect):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with contextlib.suppress(ConnectionResetError):
        assert connect(network.proxy(port)).recv(1) == b""


def test_frozen_connections_are_half_open_and_thaw_late(proxy, connect, echo):
    client = connect(proxy)
    assert ask(client, b"x") == b"x"
    proxy.freeze()
    client.sendall(b"late")
    newcomer = connect(proxy)
    newcomer.sendall(b"y")
    assert silent(client)
    assert silent(newcomer)
    assert echo.received == b"x"
    proxy.thaw()
    assert read(client, 4) == b"late"
    assert read(newcomer, 1) == b"y"


def test_stalled_bytes_arrive_at_their_release_and_new_connections_are_served(network, proxy, connect, echo):
    client = connect(proxy)
    assert ask(client, b"x") == b"x"
    proxy.freeze()
    client.sendall(b"held")
    time.sleep(0.1)
    proxy.stall()
    proxy.thaw()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert ask(connect(proxy), b"new") == b"new"
    assert echo.received == b"xnew"
    proxy.release()
    deadline = time.monotonic() + 5
    while b"held" not in echo.received and time.monotonic() < deadline:
        time.sleep(0.01)
    assert echo.received == b"xnewheld"


def test_a_tap_holds_one_request_of_a_kafka_client(network, echo, connect):
    proxy = network.proxy(echo.port, kafka=True)
    keys = []

    def tap(_link, key):
        keys.append(key)
        return "hold" if key == END_TXN else None

    proxy.tap = tap
    client = connect(proxy)
    produce, end = request(PRODUCE, b"records"), request(END_TXN, b"commit")
    client.sendall(produce[:3])
    time.sleep(0.05)
    client.sendall(produce[3:])
    assert read(client, len(produce)) == produce
    client.sendall(end)
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert keys == [PRODUCE, END_TXN]
    assert echo.received == produce
    proxy.release()
    deadline = time.monotonic() + 5
    while end not in echo.received and time.monotonic() < deadline:
        time.sleep(0.01)
    assert echo.received == produce + end


def test_a_tap_drops_one_request(network, echo, connect):
    proxy = network.proxy(echo.port, kafka=True)
    proxy.tap = lambda _link, key: "drop" if key == END_TXN else None
    client = connect(proxy)
    client.sendall(request(END_TXN))
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert echo.received == b""
