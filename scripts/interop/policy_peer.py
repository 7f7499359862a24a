#!/usr/bin/python3
"""Hosts on two LANs and the peer of four tunnels, who look at what the gateway makes of packets.

    policy_peer.py outbound | inbound | ecmp | directed | not-directed | limited |
                   fragment-after | reassemble
"""

import collections
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from peer import GATEWAY, LOCAL_HOST, PEER, Link, fail
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.l2 import GRE, Ether
from scapy.packet import Raw

GRE_PROTO = 47
DEFAULT, FIXED, NEVER_DF, AFTER = 20, 21, 22, 23
BROADCAST_MAC = "ff:ff:ff:ff:ff:ff"
NOT_ECT, ECT1, ECT0, CE = range(4)
# RFC 6040, figure 4: what comes out, by inner and outer mark; None: dropped.
DECAPSULATED = {
    NOT_ECT: {NOT_ECT: NOT_ECT, ECT0: NOT_ECT, ECT1: NOT_ECT, CE: None},
    ECT0: {NOT_ECT: ECT0, ECT0: ECT0, ECT1: ECT1, CE: CE},
    ECT1: {NOT_ECT: ECT1, ECT0: ECT1, ECT1: ECT1, CE: CE},
    CE: {NOT_ECT: CE, ECT0: CE, ECT1: CE, CE: CE},
}


class Wires:
    """The peer's link and those of the hosts."""

    def __init__(self):
        self.wan = Link("wan", PEER, GATEWAY)
        self.lan = Link("lan", LOCAL_HOST, "10.1.0.1")
        self.lan2 = Link("lan2", "10.5.0.10", "10.5.0.1")

    def outer(self, text, seconds=2.0):
        """The GRE packet, or a fragment of one, in which this text starts the inner payload."""

        def wanted(frame):
            packet = frame.payload
            is_ours = isinstance(packet, IP) and packet.proto == GRE_PROTO
            return packet if is_ours and text in bytes(packet) else None

        return self.wan.receive(wanted, seconds)


def datagram(src, dst, text, size=0, sport=4000, **header):
    """A UDP datagram whose payload starts with `text`, filled to an IP packet of `size`."""
    payload = text + bytes(max(0, size - 28 - len(text)))
    return IP(src=src, dst=dst, **header) / UDP(sport=sport, dport=5000) / Raw(payload)


def in_gre(key, inner, **header):
    outer = IP(src=PEER, dst=GATEWAY, **header)
    return outer / GRE(key_present=1, key=key, proto=0x0800) / Raw(bytes(inner))


def arrived(link, text, seconds=2.0):
    """The frame on a host's link with this text."""
    return link.receive(lambda frame: frame if text in bytes(frame) else None, seconds)


def outbound(wires):
    count = 0
    for third, key in ((20, DEFAULT), (21, FIXED), (22, NEVER_DF)):
        for tos in (0, 1, 2, 3, 46 << 2, 10 << 2 | 2, 255):
            for df in (0, 2):
                text = b"out %d %d %d." % (third, tos, df)
                sent = datagram(LOCAL_HOST, f"10.{third}.0.1", text, tos=tos, flags=df, ttl=9)
                wires.lan.send(sent)
                outer = wires.outer(text)
                if outer is None:
                    fail(f"{text} did not come")
                dscp, ttl = (46, 17) if key == FIXED else (tos >> 2, 64)
                outer_df = {DEFAULT: df, FIXED: 2, NEVER_DF: 0}[key]
                wanted = (dscp << 2 | tos & 3, ttl, outer_df, key)
                found = (outer.tos, outer.ttl, int(outer.flags), outer[GRE].key)
                if found != wanted:
                    fail(f"{text}: TOS, TTL, DF, key are {found} instead of {wanted}")
                inner = outer[GRE].payload
                if (inner.tos, inner.ttl, int(inner.flags)) != (tos, 8, df):
                    fail(f"{text}: inner {inner.summary()}")
                count += 1
    print(f"{count} packets")


def inbound(wires):
    for inner_mark, by_outer in DECAPSULATED.items():
        for outer_mark, result in by_outer.items():
            text = b"in %d %d." % (inner_mark, outer_mark)
            inner = datagram("10.20.0.1", LOCAL_HOST, text, tos=10 << 2 | inner_mark)
            # The outer DSCP is of the underlay: it goes no further.
            wires.wan.send(in_gre(DEFAULT, inner, tos=46 << 2 | outer_mark))
            frame = arrived(wires.lan, text, 0.5 if result is None else 2.0)
            found = None if frame is None else frame[IP].tos
            wanted = None if result is None else 10 << 2 | result
            if found != wanted:
                fail(f"inner {inner_mark}, outer {outer_mark}: TOS {found} instead of {wanted}")
    print("as in its figure 4; congestion that cannot be told is a drop")


def ecmp(wires):
    flows, each = 64, 3
    paths = collections.defaultdict(set)
    for number in range(flows * each):
        flow = number % flows
        text = b"flow %d." % flow
        wires.lan.send(datagram(LOCAL_HOST, "10.30.0.1", text, sport=1000 + flow))
        outer = wires.outer(text)
        if outer is None:
            fail(f"{text} did not come")
        paths[flow].add(outer[GRE].key)
    if any(len(keys) != 1 for keys in paths.values()):
        fail("a flow changed its path")
    shares = collections.Counter(next(iter(keys)) for keys in paths.values())
    if set(shares) != {DEFAULT, NEVER_DF} or min(shares.values()) < flows // 4:
        fail(f"shares: {dict(shares)}")
    print(f"{flows} flows: " + " and ".join(str(n) for n in shares.values()))


def directed(wires, link="lan", address="10.1.0.255"):
    text = b"directed " + link.encode()
    wires.wan.send(in_gre(DEFAULT, datagram("10.20.0.1", address, text)))
    frame = arrived(getattr(wires, link), text, 0.5 if link == "lan2" else 2.0)
    if link == "lan2":
        if frame is not None:
            fail("it was forwarded")
        print("not forwarded")
        return
    if frame is None or frame[Ether].dst != BROADCAST_MAC:
        fail("it did not come, or not as a broadcast")
    print(f"{address} goes out to {frame[Ether].dst}")


def limited(wires):
    text = b"limited out"
    packet = datagram(LOCAL_HOST, "255.255.255.255", text)
    wires.lan.socket.send(bytes(Ether(src=wires.lan.mac, dst=BROADCAST_MAC) / packet))
    outer = wires.outer(text)
    if outer is None or outer[GRE].key != DEFAULT:
        fail("it did not come through the tunnel")
    inner = outer[GRE].payload
    if (inner.src, inner.dst) != (LOCAL_HOST, "255.255.255.255"):
        fail(inner.summary())
    text = b"limited in"
    wires.wan.send(in_gre(DEFAULT, datagram("10.20.0.1", "255.255.255.255", text)))
    frame = arrived(wires.lan, text)
    if frame is None or (frame[Ether].dst, frame[IP].dst) != (BROADCAST_MAC, "255.255.255.255"):
        fail("it did not come out of the tunnel")
    if arrived(wires.lan2, text, 0.3) is not None:
        fail("it came to a LAN without a rule, too")
    print("once each way")


def fragment_after(wires):
    text = b"whole"
    sent = datagram(LOCAL_HOST, "10.23.0.1", text, size=1500, ttl=9)
    wires.lan.send(sent)
    first = wires.outer(text)
    if first is None or not first.flags.MF or first.frag != 0:
        fail(f"the first fragment did not come: {first and first.summary()}")

    def rest(frame):
        packet = frame.payload
        is_it = isinstance(packet, IP) and packet.id == first.id and packet.frag
        return packet if is_it else None

    second = wires.wan.receive(rest)
    if second is None or second.flags.MF or first.len > 1500 or first[GRE].key != AFTER:
        fail("the last fragment did not come, or they are not as they should be")
    octets = bytes(first)[20 : first.len] + bytes(second)[20 : second.len]
    if len(octets) - (second.len - 20) != 8 * second.frag:
        fail(f"{first.len} octets, then an offset of {8 * second.frag}")
    sent.ttl -= 1
    if bytes(GRE(octets).payload) != bytes(sent):
        fail("what is inside is not what was sent")
    print(f"a packet of 1500 octets in fragments of {first.len} and {second.len}")


def reassemble(wires):
    text = b"pieces"
    inner = datagram("10.23.0.1", LOCAL_HOST, text, size=1480)
    for part in reversed(fragment(in_gre(AFTER, inner, id=99), 600)):
        wires.wan.send(part)
    frame = arrived(wires.lan, text)
    inner.ttl -= 1
    if frame is None or bytes(frame[IP])[: frame[IP].len] != bytes(inner):
        fail("it did not come, or not as it was")
    print("3 pieces, the last one first; the kernel under net_af_packet does it")


MODES = {
    "outbound": outbound,
    "inbound": inbound,
    "ecmp": ecmp,
    "directed": directed,
    "not-directed": lambda wires: directed(wires, "lan2", "10.5.0.255"),
    "limited": limited,
    "fragment-after": fragment_after,
    "reassemble": reassemble,
}

MODES[sys.argv[1]](Wires())
