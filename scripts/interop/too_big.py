#!/usr/bin/python3
"""Sends ICMP fragmentation-needed to a gateway, about a packet that it may have sent.

    too_big.py INTERFACE GATEWAY_MAC MTU SPI|gre LOCAL PEER COUNT

LOCAL and PEER are the addresses of the packet that is quoted, which has 1480 octets.
"""

import socket
import struct
import sys

from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

ESP, GRE = 50, 47
GRE_WITH_KEY = struct.pack("!HHI", 0x2000, 0x0800, 42)

interface, mac, mtu, spi, local, peer, count = sys.argv[1:]
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind((interface, 0))
is_gre = spi == "gre"
payload = GRE_WITH_KEY if is_gre else struct.pack("!II", int(spi, 0), 1)
quoted = IP(src=local, dst=peer, len=1480, proto=GRE if is_gre else ESP, flags="DF") / Raw(payload)
error = IP(src="198.51.100.254", dst=local) / ICMP(type=3, code=4, nexthopmtu=int(mtu)) / quoted
for _ in range(int(count)):
    link.send(bytes(Ether(dst=mac) / error))
