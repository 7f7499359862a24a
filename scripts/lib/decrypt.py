#!/usr/bin/python3
"""Decrypts every ESP packet of a capture with Scapy and says what is in it.

    decrypt.py CAPTURE [--key N] [--expect NAME]... [--mtu N] SPI=KEY_FILE...

Fails on: a packet of no SA given, an ICV that does not verify, wrong padding, an IV used twice, a
sequence number that does not grow, something else than GRE with --key (or, without it, than an IP
packet), an inner packet above --mtu, or when one of --expect (icmp, tcp, udp, fragment, …) is
missing. ESN is on; --no-esn says otherwise.
"""

import argparse
import collections
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from esp import association, esp_octets, open_esp, read_key
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.utils import PcapReader

PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 47: "gre", 58: "icmpv6"}
GRE = 47
GRE_KEY_PRESENT = 0x2000
NHRP = 0x2001
NHRP_VERSION_AT = 16
INNER_ETHER_TYPES = {0x0800: 4, 0x86DD: 6}


class Wrong(Exception):
    """Something that must not be on the wire."""


def inner_of(next_header, octets, key):
    """The inner packet, behind GRE with `key` or as it is, and whether it is NHRP."""
    if key is None:
        if next_header not in (4, 41):
            raise Wrong(f"next header {next_header} instead of an IP packet")
        return octets, False
    if next_header != GRE:
        raise Wrong(f"next header {next_header} instead of GRE")
    flags, ether_type, gre_key = struct.unpack("!HHI", octets[:8])
    if flags != GRE_KEY_PRESENT or gre_key != key:
        raise Wrong(f"GRE flags {flags:#06x} key {gre_key} instead of 0x2000 {key}")
    if ether_type == NHRP:
        if octets[8 + NHRP_VERSION_AT] != 1:
            raise Wrong(f"NHRP version {octets[8 + NHRP_VERSION_AT]}")
        return octets[8:], True
    if ether_type not in INNER_ETHER_TYPES or INNER_ETHER_TYPES[ether_type] != octets[8] >> 4:
        raise Wrong(f"GRE protocol type {ether_type:#06x} before {octets[8:9].hex()}")
    return octets[8:], False


def names_of(inner, is_nhrp):
    """What an inner packet counts as."""
    if is_nhrp:
        return ["nhrp"]
    packet = IP(inner) if inner[0] >> 4 == 4 else IPv6(inner)
    number = packet.proto if isinstance(packet, IP) else packet.nh
    names = [PROTOCOLS.get(number, f"protocol {number}")]
    if isinstance(packet, IP) and (packet.frag or packet.flags.MF):
        names.append("fragment")
    if isinstance(packet, IP) and packet.dst.startswith(("224.", "239.")):
        names.append("multicast")
    return names


class Census:
    """What was found in the packets so far."""

    def __init__(self, sas, key, mtu):
        self.sas, self.key, self.mtu = sas, key, mtu
        self.counts = collections.Counter()
        self.seen_ivs = set()
        self.last_seq = {}
        self.largest = 0

    def take(self, packet):
        """One captured frame; what is not ESP is not looked at."""
        network = packet.payload
        octets = esp_octets(network) if isinstance(network, (IP, IPv6)) else None
        if octets is None:
            return
        spi, seq = struct.unpack("!II", octets[:8])
        if spi not in self.sas:
            raise Wrong(f"an SPI that none of the gateways has: {spi:#x}")
        if isinstance(network, IP) and (network.frag or network.flags.MF):
            raise Wrong("a fragmented ESP packet: fragments belong inside")
        if (spi, octets[8:16]) in self.seen_ivs:
            raise Wrong(f"SPI {spi:#x} used an IV twice")
        self.seen_ivs.add((spi, octets[8:16]))
        if seq <= self.last_seq.get(spi, 0):
            raise Wrong(f"SPI {spi:#x}: sequence number {seq} after {self.last_seq[spi]}")
        self.last_seq[spi] = seq
        inner, is_nhrp = inner_of(*open_esp(self.sas[spi], network), self.key)
        self.largest = max(self.largest, len(inner))
        if self.mtu and len(inner) > self.mtu:
            raise Wrong(f"an inner packet of {len(inner)} octets")
        self.counts["esp"] += 1
        self.counts.update(names_of(inner, is_nhrp))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("capture")
    parser.add_argument("sas", nargs="+", metavar="SPI=KEY_FILE")
    parser.add_argument("--key", type=int, help="GRE key; without it there is no GRE")
    parser.add_argument("--expect", action="append", default=[])
    parser.add_argument("--mtu", type=int)
    parser.add_argument("--no-esn", action="store_true")
    return parser.parse_args()


def main():
    args = arguments()
    sas = {}
    for entry in args.sas:
        spi, path = entry.split("=", 1)
        sas[int(spi, 0)] = association(int(spi, 0), read_key(path), not args.no_esn)
    census = Census(sas, args.key, args.mtu)
    with PcapReader(args.capture) as capture:
        for number, packet in enumerate(capture, 1):
            try:
                census.take(packet)
            except Exception as wrong:
                sys.exit(f"packet {number} of the capture: {str(wrong) or type(wrong).__name__}")
    counts = census.counts
    total = counts.pop("esp", 0)
    kinds = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    print(f"{total} ESP packets of {len(census.last_seq)} SAs verified; inside: "
          f"{kinds or 'nothing'}; largest {census.largest} octets")
    missing = [name for name in args.expect if not counts[name]]
    if missing or not total:
        sys.exit(f"not found: {', '.join(missing) or 'ESP'}")


main()
