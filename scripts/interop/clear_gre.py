#!/usr/bin/python3
"""Sends GRE in clear in the name of 198.51.100.2, a peer that has to protect it.

    clear_gre.py INTERFACE OWN_MAC GATEWAY_MAC COUNT
"""

import socket
import sys

from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import GRE, Ether

interface, own, gateway, count = sys.argv[1:]
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind((interface, 0))
for number in range(int(count)):
    inner = IP(src="10.2.0.66", dst="10.1.0.10") / ICMP(seq=number)
    outer = IP(src="198.51.100.2", dst="198.51.100.1") / GRE(proto=0x0800)
    link.send(bytes(Ether(src=own, dst=gateway) / outer / inner))
