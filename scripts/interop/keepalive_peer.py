#!/usr/bin/python3
"""A GRE peer that does keepalives as Cisco does; the tunnel has key 7.

    keepalive_peer.py bounce COUNT   sends back what is inside the gateway's keepalives
    keepalive_peer.py own COUNT      sends keepalives of its own; each has to be answered
    keepalive_peer.py source COUNT   the same from another address: none may be answered
    keepalive_peer.py key COUNT      with another key: none may be answered
    keepalive_peer.py victim COUNT   that ask for an answer to somebody else: likewise
    keepalive_peer.py flood COUNT    as fast as it can: at most some of them are answered
"""

import os
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from peer import GATEWAY, PEER, Link, fail
from scapy.layers.inet import IP
from scapy.packet import Raw

GRE_PROTO = 47
KEY = 7
STRANGER = "198.51.100.77"
KEY_PRESENT, ETHER_TYPE_IP4, KEEPALIVE = 0x2000, 0x0800, 0
# Answers that a flood may get: what the gateway gives at once, and one each half a second.
FLOOD_ANSWERS_MAX = 10


def gre(protocol, key=KEY):
    return struct.pack("!HHI", KEY_PRESENT, protocol, key)


def payload(packet):
    """What an IP packet carries, without what Ethernet padded."""
    return bytes(packet)[4 * packet.ihl : packet.len]


def check_inner(octets):
    """What is inside a keepalive: an empty GRE packet that looks like one from us, the peer."""
    inner = IP(octets)
    if (inner.src, inner.dst, inner.proto) != (PEER, GATEWAY, GRE_PROTO):
        fail(f"inside: {inner.summary()}")
    if inner.len != len(octets) or payload(inner) != gre(KEEPALIVE):
        fail(f"inside: {octets.hex()}")
    rebuilt = inner.copy()
    del rebuilt.chksum
    if IP(bytes(rebuilt)).chksum != inner.chksum:
        fail("the checksum of the inner header is wrong")
    return inner


def bounce(link, count):
    """A router that knows nothing of keepalives decapsulates and forwards."""
    gaps, last = [], None
    for _ in range(count):
        outer = link.from_gateway(GRE_PROTO)
        if outer is None:
            fail("no keepalive")
        now = time.monotonic()
        gaps += [now - last] if last else []
        last = now
        octets = payload(outer)
        if octets[:8] != gre(ETHER_TYPE_IP4):
            fail(f"GRE {octets[:8].hex()} instead of {gre(ETHER_TYPE_IP4).hex()}")
        inner = check_inner(octets[8:])
        inner.ttl -= 1
        del inner.chksum
        link.send(inner)
    if not all(0.8 < gap < 1.3 for gap in gaps):
        fail(f"seconds between keepalives: {gaps}")
    print(f"{count} came, one a second, and went back")


def keepalive(src=PEER, key=KEY, back_to=PEER):
    inside = IP(src=GATEWAY, dst=back_to, proto=GRE_PROTO, ttl=255) / Raw(gre(KEEPALIVE, key))
    outer = IP(src=src, dst=GATEWAY, proto=GRE_PROTO, ttl=255)
    return outer / Raw(gre(ETHER_TYPE_IP4, key) + bytes(inside))


def answers(link, seconds):
    """Answers that come in so long; the gateway's own keepalives are none."""
    end, count = time.monotonic() + seconds, 0

    def anything(frame):
        packet = frame.payload
        if not isinstance(packet, IP) or packet.src != GATEWAY or packet.proto == 1:
            return None
        return packet if payload(packet)[2:4] != struct.pack("!H", ETHER_TYPE_IP4) else None

    while (left := end - time.monotonic()) > 0:
        answer = link.receive(anything, left)
        if answer is None:
            break
        if answer.dst != PEER or payload(answer) != gre(KEEPALIVE):
            fail(f"not an answer: {answer.summary()} {payload(answer).hex()}")
        count += 1
    return count


def own(link, count):
    for number in range(count):
        link.send(keepalive())
        if (got := answers(link, 0.5)) != 1:
            fail(f"{got} answers to keepalive {number}")
    print(f"{count} answered: GRE with key {KEY}, protocol 0, empty")


def unanswered(link, count, **wrong):
    for _ in range(count):
        link.send(keepalive(**wrong))
    if got := answers(link, 0.5):
        fail(f"{got} answers")
    print(f"{count} sent, none answered")


def flood(link, count):
    for _ in range(count):
        link.send(keepalive())
    if not 1 <= (got := answers(link, 1.0)) <= FLOOD_ANSWERS_MAX:
        fail(f"{got} answers to {count}")
    print(f"{count} sent, {got} answered")


def main():
    mode, count, link = sys.argv[1], int(sys.argv[2]), Link()
    if mode == "source":
        unanswered(link, count, src=STRANGER)
    elif mode == "key":
        unanswered(link, count, key=KEY + 1)
    elif mode == "victim":
        unanswered(link, count, back_to=STRANGER)
    else:
        {"bounce": bounce, "own": own, "flood": flood}[mode](link, count)


main()
