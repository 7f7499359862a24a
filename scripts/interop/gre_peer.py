#!/usr/bin/python3
"""A GRE peer made by Scapy. The gateway's tunnel has key 7, checksums and order.

    gre_peer.py ping COUNT       echo requests with C, K and S; each answer is checked bit by bit
    gre_peer.py send WHAT COUNT  packets that the gateway has to drop, for WHAT
"""

import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from peer import GATEWAY, PEER, Link, check_reply, echo_request, fail
from scapy.layers.inet import IP
from scapy.layers.l2 import GRE
from scapy.packet import Raw

GRE_PROTO = 47
KEY = 7
CHECKSUM_KEY_SEQUENCE = 0xB000
ETHER_TYPE_IP4 = 0x0800


def outer():
    return IP(src=PEER, dst=GATEWAY, proto=GRE_PROTO, ttl=64)


def gre(sequence, inner, key=KEY):
    """Octets of a GRE packet with checksum, key and sequence number."""
    header = GRE(chksum_present=1, key_present=1, seqnum_present=1, proto=ETHER_TYPE_IP4,
                 key=key, sequence_number=sequence)
    return bytearray(bytes(header / inner))


def internet_checksum(octets):
    octets = bytes(octets) + bytes(len(octets) % 2)
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ping(count):
    """Sequence numbers of the gateway have to grow by one; its checksums have to be right."""
    link = Link()
    last = None
    for number in range(1, count + 1):
        request = echo_request(number)
        link.send(outer() / Raw(bytes(gre(number, request))))
        answer = link.from_gateway(GRE_PROTO)
        if answer is None:
            fail(f"no answer to request {number}")
        octets = bytes(answer.payload)[: answer.len - 4 * answer.ihl]
        flags, ether_type, _, _, key, sequence = struct.unpack("!HHHHII", octets[:16])
        if (flags, ether_type, key) != (CHECKSUM_KEY_SEQUENCE, ETHER_TYPE_IP4, KEY):
            fail(f"flags {flags:#06x} protocol {ether_type:#06x} key {key}")
        if internet_checksum(octets) != 0:
            fail("the GRE checksum does not verify")
        if last is not None and sequence != last + 1:
            fail(f"sequence number {sequence} after {last}")
        last = sequence
        check_reply(IP(octets[16:]), request)
    print(f"{count} answered; checksum, key, sequence and TTL as they should be")


def wrong(what, number):
    """A packet that is wrong in one thing; its sequence number is new but for "sequence"."""
    inner = echo_request(number)
    octets = gre(1 if what == "gre_sequence" else 1_000_000 + number, inner,
                 KEY + 1 if what == "gre_key_wrong" else KEY)
    if what == "gre_checksum":
        octets[-1] ^= 1
    elif what == "gre_key_missing":
        octets = GRE(proto=ETHER_TYPE_IP4) / inner
    elif what == "gre_version":
        octets[1] |= 3
    elif what == "gre_reserved":
        octets[0] |= 0x40
    elif what == "gre_truncated":
        octets = octets[:10]
    elif what == "gre_protocol":
        octets = gre(2_000_000 + number, inner)
        octets[2:6] = b"\x88\xb5\0\0"
        octets[4:6] = struct.pack("!H", internet_checksum(octets))
    return outer() / Raw(bytes(octets))


def send(what, count):
    link = Link()
    for number in range(count):
        link.send(wrong(what, number))
    if link.from_gateway(GRE_PROTO, 0.5) is not None:
        fail("the gateway answered")
    print(f"{count} sent, none answered")


def main():
    if sys.argv[1] == "ping":
        ping(int(sys.argv[2]))
    else:
        send(sys.argv[2], int(sys.argv[3]))


main()
