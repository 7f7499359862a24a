#!/usr/bin/python3
"""Clients of the control socket that a gateway has to bear with.

    control_client.py SOCKET junk     lines that are no requests: each is answered with an error
    control_client.py SOCKET deep     arrays in arrays, as many as a line can hold
    control_client.py SOCKET binary   random octets
    control_client.py SOCKET long     a megabyte without an end
    control_client.py SOCKET many     more clients than there may be, who say nothing
    control_client.py SOCKET slow     an octet at a time
    control_client.py SOCKET deaf     requests without end, whose answers nobody reads
"""

import json
import random
import socket
import sys
import time

PING = b'{"version":1,"id":7,"command":{"ping":{}}}\n'
CLIENTS_MAX = 16
LINE_MAX = 64 * 1024


def connect(path, seconds=3.0):
    client = socket.socket(socket.AF_UNIX)
    # Waits for room in the queue of those that connect.
    client.connect(path)
    client.settimeout(seconds)
    return client


def fail(text):
    sys.exit(f"client: {text}")


def answer_to(client, line):
    client.sendall(line)
    return read_line(client)


def read_line(client):
    octets = b""
    while not octets.endswith(b"\n"):
        part = client.recv(65536)
        if not part:
            return None
        octets += part
    return json.loads(octets)


def is_pong(answer):
    return answer is not None and "pong" in answer.get("ok", {}) and answer["id"] == 7


def ends(client):
    """Whether the gateway closes the connection; what it still says is passed over."""
    try:
        while client.recv(65536):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


def junk(path):
    lines = {
        b"hello": "malformed",
        b"": "malformed",
        b"{}": "malformed",
        b'{"version":1,"id":7,"command":{"ping":{}}': "malformed",
        b'{"version":2,"id":7,"command":{"ping":{}}}': "unsupported_version",
        b'{"version":1,"id":7,"command":{"format_disk":{}}}': "unknown_command",
        b'{"version":1,"id":7,"command":{"sa_delete":{"direction":"up","spi":-1}}}':
            "invalid_arguments",
        b'{"version":1,"id":7,"command":{"ping":{},"reload":{}}}': None,
    }
    with connect(path) as client:
        for line, code in lines.items():
            answer = answer_to(client, line + b"\n")
            if answer is None or "error" not in answer:
                fail(f"{line} is answered with {answer}")
            if code and answer["error"]["code"] != code:
                fail(f"{line}: {answer['error']['code']} instead of {code}")
        if not is_pong(answer_to(client, PING)):
            fail("no answer to a sound request afterwards")
    print(f"{len(lines)} lines, each with its error; the connection stays")


def deep(path):
    for opening in (b"[", b'{"a":', b'{"version":1,"id":1,"command":{"ping":['):
        line = opening * (LINE_MAX // len(opening) - 1)
        with connect(path) as client:
            answer = answer_to(client, line + b"\n")
            if answer is None or answer.get("error", {}).get("code") != "malformed":
                fail(f"answered with {answer}")
    print("refused as malformed")


def binary(path):
    chance = random.Random(4711)
    for _ in range(50):
        with connect(path) as client:
            try:
                client.sendall(chance.randbytes(chance.randrange(1, 40_000)))
            except ConnectionError:
                pass
    print("50 clients")


def long(path):
    with connect(path) as client:
        try:
            client.sendall(b"x" * (1 << 20))
        except ConnectionError:
            pass
        if not ends(client):
            fail("the connection is not closed")
    print("the connection is closed")


def many(path):
    clients = [connect(path) for _ in range(CLIENTS_MAX)]
    time.sleep(0.1)
    with connect(path) as last:
        try:
            last.sendall(PING)
        except ConnectionError:
            pass
        answer = read_line(last)
    if answer is None or answer["error"]["code"] != "too_many_clients":
        fail(f"client {CLIENTS_MAX + 1} gets {answer}")
    if not is_pong(answer_to(clients[0], PING)):
        fail("the first client is not served any more")
    for client in clients:
        client.close()
    time.sleep(0.1)
    with connect(path) as client:
        if not is_pong(answer_to(client, PING)):
            fail("no room although the others have gone")
    print(f"client {CLIENTS_MAX + 1} is refused, the others are served")


def slow(path):
    with connect(path) as sluggard:
        for octet in PING:
            sluggard.sendall(bytes([octet]))
            time.sleep(0.02)
            with connect(path) as other:
                begin = time.monotonic()
                if not is_pong(answer_to(other, PING)) or time.monotonic() - begin > 0.5:
                    fail("others have to wait for the slow one")
        if not is_pong(read_line(sluggard)):
            fail("no answer to the slow one")
    print("answered at last; the others meanwhile")


def deaf(path):
    show = b'{"version":1,"id":7,"command":{"show":{"what":"drops","all":true}}}\n'
    sent = 0
    with connect(path, 1.0) as client:
        try:
            while sent < 100 << 20:
                sent += client.send(show * 100)
        except (TimeoutError, ConnectionError):
            pass
        if sent >= 100 << 20:
            fail("all of it was taken")
        with connect(path) as other:
            if not is_pong(answer_to(other, PING)):
                fail("others get no answer")
    print(f"stopped after {sent >> 10} KiB; the others are served")


def main():
    path, mode = sys.argv[1:]
    modes = {"junk": junk, "deep": deep, "binary": binary, "long": long, "many": many,
             "slow": slow, "deaf": deaf}
    modes[mode](path)


main()
