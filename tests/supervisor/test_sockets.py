"""Binding, on real addresses of this machine."""

import socket

import pytest

from offhook.supervisor.sockets import AddressError, listen


def close(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def test_localhost_listens_on_its_addresses_with_one_port() -> None:
    sockets = listen("localhost", 0)
    try:
        ports = {sock.getsockname()[1] for sock in sockets}
        assert len(ports) == 1
        assert sockets[0].getsockname()[0] == "127.0.0.1"
        for sock in sockets:
            socket.create_connection(sock.getsockname()[:2], timeout=2).close()
    finally:
        close(sockets)


def test_a_port_that_is_taken_is_named_together_with_the_way_out() -> None:
    taken = listen("127.0.0.1", 0)
    port = taken[0].getsockname()[1]
    try:
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(AddressError, match=str(port)) as caught:
                listen(host, port)
            assert "--port" in caught.value.hint
    finally:
        close(taken)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(AddressError, match="cannot listen"):
        listen("192.0.2.1", 0)


def test_a_name_that_does_not_exist_is_refused() -> None:
    with pytest.raises(AddressError, match="cannot listen"):
        listen("no such host", 0)


def has_ipv6() -> bool:
    try:
        close(listen("::1", 0))
    except AddressError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")
def test_half_a_port_that_somebody_else_has_is_not_taken() -> None:
    taken = listen("::1", 0)
    try:
        with pytest.raises(AddressError, match="::1"):
            listen("localhost", taken[0].getsockname()[1])
    finally:
        close(taken)


def test_without_ipv6_localhost_is_one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def resolve(host: str, port: int, **how: int) -> object:
        if host == "::1":
            raise socket.gaierror(socket.EAI_NONAME, "no such address family")
        return real(host, port, **how)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    sockets = listen("localhost", 0)
    try:
        assert [each.getsockname()[0] for each in sockets] == ["127.0.0.1"]
    finally:
        close(sockets)
