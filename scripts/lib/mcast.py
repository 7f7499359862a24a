#!/usr/bin/python3
"""A numbered multicast stream, to count what arrives of it.

    mcast.py send GROUP PORT OWN_ADDRESS COUNT PER_SECOND
    mcast.py receive GROUP PORT OWN_ADDRESS COUNT SECONDS

`receive` prints "ready" once it has joined, ends when all have come or after SECONDS, prints how
many have come and how many twice, and fails unless each came once, in order.
"""

import socket
import struct
import sys
import time

TTL = 8


def send(group, port, own, count, per_second):
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, TTL)
    out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
    start = time.monotonic()
    for number in range(count):
        out.sendto(struct.pack("!I", number) + bytes(196), (group, port))
        time.sleep(max(0.0, start + (number + 1) / per_second - time.monotonic()))
    print(f"{count} sent")


def receive(group, port, own, count, seconds):
    into = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    into.bind((group, port))
    membership = socket.inet_aton(group) + socket.inet_aton(own)
    into.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    print("ready", flush=True)
    numbers = []
    end = time.monotonic() + seconds
    while len(numbers) < count and (left := end - time.monotonic()) > 0:
        into.settimeout(left)
        try:
            numbers.append(struct.unpack("!I", into.recv(2048)[:4])[0])
        except TimeoutError:
            break
    # A little longer: a copy too many comes after the last one.
    into.settimeout(0.3)
    try:
        while True:
            numbers.append(struct.unpack("!I", into.recv(2048)[:4])[0])
    except TimeoutError:
        pass
    twice = len(numbers) - len(set(numbers))
    print(f"{len(set(numbers))} of {count}, {twice} twice")
    sys.exit(numbers != list(range(count)))


def main():
    mode, group, port, own, count, last = sys.argv[1:]
    {"send": send, "receive": receive}[mode](group, int(port), own, int(count), float(last))


main()
