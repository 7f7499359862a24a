#!/usr/bin/python3
"""GRE packets in a file, and what a gateway has made of them in another.

    replay.py write FILE    100 GRE packets for the gateway 198.51.100.1; of each tenth, fragments
    replay.py check FILE    whether they are there, decapsulated, for the next host
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from peer import GATEWAY, PEER, echo_request, fail
from scapy.layers.inet import ICMP, IP, fragment
from scapy.layers.l2 import GRE, Ether
from scapy.utils import PcapReader, PcapWriter

COUNT = 100
# DPDK numbers its pcap ports like this.
GATEWAY_MAC, HOST_MAC, PEER_MAC = "02:70:63:61:70:00", "02:00:00:00:01:0a", "02:00:00:00:02:01"


def size(number):
    return 20 + 2 * number


def write(path):
    with PcapWriter(path, linktype=1) as file:
        for number in range(1, COUNT + 1):
            outer = IP(src=PEER, dst=GATEWAY, ttl=64, id=number) / GRE(proto=0x0800)
            packet = outer / echo_request(number, size(number))
            # The last one first: the gateway puts them together itself, here without a kernel.
            for part in reversed(fragment(packet, 64) if number % 10 == 0 else [packet]):
                file.write(Ether(src=PEER_MAC, dst=GATEWAY_MAC) / part)
    print(f"{COUNT} packets")


def check(path):
    with PcapReader(path) as packets:
        found = [packet for packet in packets if ICMP in packet and packet[ICMP].type == 8]
    if len(found) != COUNT:
        fail(f"{len(found)} packets instead of {COUNT}")
    # Those that came in fragments may be overtaken by those behind them.
    for number, frame in enumerate(sorted(found, key=lambda frame: frame[ICMP].seq), 1):
        wanted = echo_request(number, size(number))
        wanted.ttl -= 1
        if frame.dst != HOST_MAC:
            fail(f"to {frame.dst}")
        if bytes(frame[IP]) != bytes(wanted):
            fail(f"packet {number}: {bytes(frame[IP]).hex()} instead of {bytes(wanted).hex()}")
    print(f"{COUNT} packets, each octet as it should be")


def main():
    {"write": write, "check": check}[sys.argv[1]](sys.argv[2])


main()
