#!/usr/bin/python3
"""Tagged hosts on both sides of a gateway, and the peer of its tunnel.

    vlan_hosts.py arp              requests with tags 10, 20 and 100, and without
    vlan_hosts.py ping COUNT       of the gateway's address on each of these
    vlan_hosts.py between COUNT    packets from VLAN 10 to a host on VLAN 20
    vlan_hosts.py tunnel COUNT     from VLAN 20 into the tunnel on VLAN 100, and back
    vlan_hosts.py unknown COUNT    tag 30 on the LAN, which no port has
    vlan_hosts.py underlay COUNT   tag 10 on the WAN, which is one of the LAN
    vlan_hosts.py priority COUNT   tag 0, priority 5
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from peer import Link, fail
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, GRE, Dot1Q, Ether
from scapy.packet import Raw

# By tag: the link, the host's address, the gateway's.
HOSTS = {
    None: ("lan", "10.1.0.10", "10.1.0.1"),
    10: ("lan", "10.10.0.10", "10.10.0.1"),
    20: ("lan", "10.20.0.10", "10.20.0.1"),
    100: ("wan", "198.51.100.2", "198.51.100.1"),
}
REMOTE = "10.2.0.10"
TEXT = bytes(range(64))


def tag_of(frame):
    """The VLAN of a frame; None if it is untagged."""
    return frame[Dot1Q].vlan if Dot1Q in frame else None


class Hosts:
    """All hosts on both links."""

    def __init__(self):
        self.links = {name: Link(name, gateway=None) for name in ("lan", "wan")}
        self.gateway_macs = {}

    def send(self, tag, packet, to=None, prio=0):
        link = self.links[HOSTS[tag][0] if tag in HOSTS else "lan"]
        frame = Ether(src=link.mac, dst=to or self.gateway_macs[tag])
        if tag is not None:
            frame = frame / Dot1Q(vlan=tag, prio=prio)
        link.socket.send(bytes(frame / packet))

    def receive(self, tag, wanted, seconds=2.0, link=None):
        """The first frame that `wanted` likes; fails if it comes with another tag than `tag`.
        Meanwhile the gateway is told the MAC addresses that it asks for."""

        def look(frame):
            if ARP in frame and frame[ARP].op == 1:
                self.answer_arp(frame)
            return frame if wanted(frame) else None

        frame = self.links[link or HOSTS[tag][0]].receive(look, seconds)
        if frame is not None and tag_of(frame) != tag:
            fail(f"tag {tag_of(frame)} instead of {tag}: {frame.summary()}")
        return frame

    def resolve(self, tag):
        """Asks the gateway for its MAC address."""
        link, host, gateway = HOSTS[tag]
        question = ARP(op=1, hwsrc=self.links[link].mac, psrc=host, pdst=gateway)
        self.send(tag, question, to="ff:ff:ff:ff:ff:ff")
        answer = self.receive(tag, lambda f: ARP in f and f[ARP].op == 2 and f[ARP].psrc == gateway)
        if answer is None:
            fail(f"no answer to ARP with tag {tag}")
        self.gateway_macs[tag] = answer[ARP].hwsrc

    def resolve_all(self):
        for tag in HOSTS:
            self.resolve(tag)

    def answer_arp(self, question):
        tag, asked = tag_of(question), question[ARP]
        if tag not in HOSTS or asked.pdst != HOSTS[tag][1]:
            return
        answer = ARP(op=2, hwsrc=self.links[HOSTS[tag][0]].mac, psrc=asked.pdst,
                     hwdst=asked.hwsrc, pdst=asked.psrc)
        self.send(tag, answer, to=asked.hwsrc)


def echo(src, dst, number, kind=8):
    return IP(src=src, dst=dst, id=number) / ICMP(type=kind, id=7, seq=number) / Raw(TEXT)


def is_echo(frame, kind, number):
    return ICMP in frame and (frame[ICMP].type, frame[ICMP].seq) == (kind, number)


def arp(hosts, _count):
    print("answered with tags " + ", ".join(map(str, hosts.gateway_macs)))


def ping(hosts, count, tags=tuple(HOSTS), prio=0, sent_tag=None):
    for tag in tags:
        _, host, gateway = HOSTS[tag]
        for number in range(1, count + 1):
            out = tag if sent_tag is None else sent_tag
            hosts.send(out, echo(host, gateway, number), hosts.gateway_macs[tag], prio)
            if hosts.receive(tag, lambda f, n=number: is_echo(f, 0, n)) is None:
                fail(f"no answer with tag {tag}")
    print(f"{count} answered on {len(tags)} interfaces")


def forwarded(frame, ttl):
    if frame[IP].ttl != ttl or bytes(frame[Raw])[:64] != TEXT:
        fail(f"not as it was sent: {frame.summary()}")


def between(hosts, count):
    (_, src, _), (_, dst, _) = HOSTS[10], HOSTS[20]
    for number in range(1, count + 1):
        hosts.send(10, echo(src, dst, number))
        frame = hosts.receive(20, lambda f, n=number: is_echo(f, 8, n))
        if frame is None:
            fail(f"packet {number} did not leave")
        forwarded(frame, 63)
    print(f"{count} came with tag 10 and left with tag 20")


def through_tunnel(hosts, count):
    _, src, _ = HOSTS[20]
    _, peer, gateway = HOSTS[100]
    for number in range(1, count + 1):
        hosts.send(20, echo(src, REMOTE, number))
        frame = hosts.receive(100, lambda f, n=number: GRE in f and is_echo(f, 8, n))
        if frame is None or (frame[IP].src, frame[IP].dst) != (gateway, peer):
            fail(f"packet {number} did not enter the tunnel")
        forwarded(frame[GRE], 63)
        answer = IP(src=peer, dst=gateway) / GRE(proto=0x0800) / echo(REMOTE, src, number, 0)
        hosts.send(100, answer)
        frame = hosts.receive(20, lambda f, n=number: is_echo(f, 0, n))
        if frame is None:
            fail(f"answer {number} did not come out of the tunnel")
        forwarded(frame, 63)
    print(f"{count} into the tunnel with tag 100, {count} out of it with tag 20")


def no_answer(hosts, count, tag, link, via):
    """Echo requests with a tag that is not the link's."""
    _, host, gateway = HOSTS[via]
    for number in range(1, count + 1):
        frame = Ether(src=hosts.links[link].mac, dst=hosts.gateway_macs[via]) / Dot1Q(vlan=tag)
        hosts.links[link].socket.send(bytes(frame / echo(host, gateway, number)))
    if hosts.receive(tag, lambda f: ICMP in f, 0.5, link) is not None:
        fail("answered")
    print(f"{count} sent, none answered")


MODES = {
    "arp": arp,
    "ping": ping,
    "between": between,
    "tunnel": through_tunnel,
    "unknown": lambda hosts, count: no_answer(hosts, count, 30, "lan", 10),
    "underlay": lambda hosts, count: no_answer(hosts, count, 10, "wan", 100),
    "priority": lambda hosts, count: ping(hosts, count, (None,), prio=5, sent_tag=0),
}


def main():
    hosts = Hosts()
    hosts.resolve_all()
    MODES[sys.argv[1]](hosts, int(sys.argv[2]) if len(sys.argv) > 2 else 0)


main()
