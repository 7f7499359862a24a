#!/usr/bin/python3
"""An ESP peer made by Scapy: pings the host behind the gateway through GRE under ESP.

    esp_peer.py COUNT KEY_IN KEY_OUT transport|tunnel esn|no-esn esp|udp

KEY_OUT (SPI 0x3002) is for packets to the gateway, KEY_IN (SPI 0x3001) for those from it.
"""

import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from esp import NAT_T_PORT, PROTO_ESP, association, esp_octets, open_esp, read_key, seal_esp
from peer import GATEWAY, PEER, Link, check_reply, echo_request, fail
from scapy.layers.inet import IP, UDP
from scapy.packet import Raw

SPI_IN, SPI_OUT = 0x3001, 0x3002
GRE_PROTO, IP_IN_IP, UDP_PROTO = 47, 4, 17
GRE_KEY = 7
PLAIN_GRE_WITH_KEY = struct.pack("!HHI", 0x2000, 0x0800, GRE_KEY)


class Peer:
    """One pair of SAs and the wire that they are used on."""

    def __init__(self, key_in, key_out, mode, esn, transport):
        self.link = Link()
        self.is_tunnel = mode == "tunnel"
        self.is_udp = transport == "udp"
        self.inbound = association(SPI_IN, read_key(key_in), esn == "esn")
        self.outbound = association(SPI_OUT, read_key(key_out), esn == "esn")
        self.last_seq = 0

    def send(self, inner, seq):
        """The inner packet behind GRE, sealed."""
        octets, proto = PLAIN_GRE_WITH_KEY + bytes(inner), GRE_PROTO
        if self.is_tunnel:
            octets = bytes(IP(src=PEER, dst=GATEWAY, proto=GRE_PROTO) / Raw(octets))
            proto = IP_IN_IP
        header = IP(src=PEER, dst=GATEWAY, proto=UDP_PROTO if self.is_udp else PROTO_ESP)
        if self.is_udp:
            header = header / UDP(sport=NAT_T_PORT, dport=NAT_T_PORT, chksum=0)
        packet = seal_esp(self.outbound, header, proto, octets, seq)
        self.link.send(IP(bytes(packet)))

    def receive(self):
        """The inner packet of the next ESP packet from the gateway."""
        outer = self.link.from_gateway(UDP_PROTO if self.is_udp else PROTO_ESP)
        if outer is None:
            fail("no ESP packet came back")
        if self.is_udp and outer[UDP].chksum != 0:
            fail("UDP encapsulation with a checksum (RFC 3948, section 2.1 wants zero)")
        seq = struct.unpack("!I", esp_octets(outer)[4:8])[0]
        if seq != self.last_seq + 1:
            fail(f"sequence number {seq} after {self.last_seq}")
        self.last_seq = seq
        next_header, octets = open_esp(self.inbound, outer)
        if self.is_tunnel:
            header = IP(octets)
            if (next_header, header.src, header.dst) != (IP_IN_IP, GATEWAY, PEER):
                fail(f"next header {next_header}, {header.summary()} in tunnel mode")
            next_header, octets = header.proto, bytes(header.payload)
        if next_header != GRE_PROTO or octets[:8] != PLAIN_GRE_WITH_KEY:
            fail(f"next header {next_header}, GRE {octets[:8].hex()}")
        return IP(octets[8:])


def main():
    count = int(sys.argv[1])
    peer = Peer(*sys.argv[2:])
    for number in range(1, count + 1):
        # Sizes that need each length of padding.
        request = echo_request(number, 56 + number % 4)
        peer.send(request, number)
        check_reply(peer.receive(), request)
    print(f"{count} answered, all verified")


main()
