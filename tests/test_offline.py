"""The guard of every kernel under test (tests/offline) refuses what leaves this machine, and nothing else."""

import subprocess
import sys
from http.server import SimpleHTTPRequestHandler

import pytest
from local_server import serving


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize("address", ["192.0.2.1", "example.org", "2001:db8::1"])  # all reserved for documentation
@pytest.mark.parametrize("connect", ["connect", "connect_ex"])
def test_an_address_elsewhere_is_refused(address, connect):
    family = "AF_INET6" if ":" in address else "AF_INET"
    error = python(f"import socket; socket.socket(socket.{family}).{connect}(({address!r}, 80))")
    assert f"The course needs no network, yet something connects to {address}." in error


def test_this_machine_is_reached():
    with serving(SimpleHTTPRequestHandler) as server:
        assert not python(f"import socket; socket.create_connection(('127.0.0.1', {server.server_port})).close()")
