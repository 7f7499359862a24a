#!/usr/bin/python3
"""A next hop server that a spoke is registered with, and that means it ill.

    nhrp_false_server.py DEVICE SPOKE_MAC GROUP

Prints, as JSON, how many of what was sent the spoke is to drop for which reason, then in words what
happened. "joins" waits for the spoke's registration and grants it.

The spoke is 198.51.100.11, 10.255.0.11; the server 198.51.100.66, 10.255.0.66, and 10.64.0.0/12 is
behind it; 10.1.0.0/24 is behind another server of the spoke's, 198.51.100.1, 10.255.0.1.
"""

import json
import os
import select
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import nhrp
from nhrp import cie, ip

NBMA, STRANGER, HUB_NBMA = ip("198.51.100.66"), ip("198.51.100.67"), ip("198.51.100.1")
SPOKE_NBMA, SPOKE, OWN = ip("198.51.100.11"), ip("10.255.0.11"), ip("10.255.0.66")
OTHER, HUB, BEHIND_SPOKE = ip("10.255.0.67"), ip("10.255.0.1"), ip("10.11.0.10")
TAIL = nhrp.password(b"s3cret") + nhrp.END
QUESTIONS_MAX = 1024
FIRST = ip("10.64.0.1")
MANY = 1_000_000
# More than the spoke's cores leave to its NHRP.
MANY_PER_SECOND = 60_000


class Server:
    def __init__(self, device, mac):
        self.link = nhrp.Link(device, mac)
        self.drops = {}
        self.said = []

    def send(self, packet, reason=None, source=NBMA):
        self.link.socket.send(nhrp.frame(self.link.ends, source, SPOKE_NBMA, packet))
        if reason:
            self.drops[reason] = self.drops.get(reason, 0) + 1

    def take(self, kind, seconds):
        """The next packet of a kind from the spoke, or None."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.link.socket], [], [], left)[0]:
                return None
            packet = nhrp.payload(self.link.socket.recv(2048))
            if packet and packet[17] == kind and packet[28:32] == SPOKE_NBMA:
                return packet
        return None

    def joins(self):
        """Around the one reply that is due: a wrong id, a wrong source, and the same again."""
        asked = self.take(nhrp.REGISTRATION_REQUEST, 10) or sys.exit("the spoke does not register")
        (number,) = struct.unpack("!I", asked[24:28])

        def reply(request_id):
            return nhrp.message(nhrp.REGISTRATION_REPLY, (SPOKE_NBMA, SPOKE, OWN), cie(hold=600),
                                TAIL, hops=64, request_id=request_id)

        self.send(reply(number + 1), "unsolicited")
        self.send(reply(number), "unsolicited", STRANGER)
        self.send(reply(number))
        self.send(reply(number), "unsolicited")
        self.said.append("registered")

    def answer(self, request_id, destination, next_hop, nbma, prefix, reason=None):
        body = cie(prefix=prefix, hold=60, nbma=nbma, protocol=next_hop)
        addresses = (SPOKE_NBMA, SPOKE, destination)
        self.send(nhrp.message(nhrp.RESOLUTION_REPLY, addresses, body, TAIL, hops=64,
                               request_id=request_id), reason)

    def answers(self):
        """To no question: for all there is, for the underlay, for the other server and its host."""
        for destination, prefix in (("0.0.0.0", 0), ("10.1.0.10", 8), ("10.1.0.10", 32),
                                    ("198.51.100.1", 24), ("10.255.0.1", 32), ("10.66.0.9", 32)):
            for number in 0, 1, 0xFFFFFFFF:
                self.answer(number, ip(destination), OTHER, STRANGER, prefix, "unsolicited")

    def indication(self, quoted, source=NBMA, protocol=OWN):
        return nhrp.message(nhrp.INDICATION, (source, protocol, BEHIND_SPOKE), quoted, TAIL,
                            flags=0, request_id=0)

    def indicate(self, quoted, reason=None, source=NBMA, protocol=OWN):
        self.send(self.indication(quoted, source, protocol), reason, source)

    def indications(self):
        good = head(BEHIND_SPOKE, ip("10.66.0.1"))
        self.indicate(good, "source", STRANGER, OTHER)
        self.indicate(good, "source", STRANGER, OWN)
        self.indicate(good, "source", NBMA, HUB)
        # Nobody's packets, another server's, for a group, for nobody; broken ones.
        wrong = [head(ip("10.9.9.9"), ip("10.66.0.1")), head(BEHIND_SPOKE, ip("10.1.0.10")),
                 head(BEHIND_SPOKE, ip("224.0.0.5")), head(BEHIND_SPOKE, ip("0.0.0.0")),
                 head(BEHIND_SPOKE, HUB), head(BEHIND_SPOKE, BEHIND_SPOKE),
                 b"", b"\x45", good[:10], good[:19], b"\x55" + good[1:], b"\x41" + good[1:]]
        for quoted in wrong:
            self.indicate(quoted, "indication")

    def flood(self):
        """Indications for very many destinations; then the first question gets bad answers."""
        self.indicate(head(BEHIND_SPOKE, FIRST))
        asked = self.take(nhrp.RESOLUTION_REQUEST, 2) or sys.exit("the spoke does not ask")
        start = time.monotonic()
        for number, frame in enumerate(self.many_indications(), 1):
            if number % 64 == 0:
                time.sleep(max(0, start + number / MANY_PER_SECOND - time.monotonic()))
            self.link.socket.send(frame)
        took = time.monotonic() - start
        self.drops["full|punt_rate"] = MANY - QUESTIONS_MAX
        # What a core leaves to NHRP is for these again.
        time.sleep(0.1)
        self.bad_answers(struct.unpack("!I", asked[24:28])[0], asked[36:40])
        self.said.append(f"{MANY} destinations in {took:.1f} s")

    def many_indications(self):
        """Frames for all but the first. The IPv4 header that each quotes has a right checksum, so
        it adds nothing to that of the NHRP packet, which is the same in all."""
        packet = self.indication(head(BEHIND_SPOKE, FIRST))
        frame = bytearray(nhrp.frame(self.link.ends, NBMA, SPOKE_NBMA, packet))
        at = nhrp.PAYLOAD_AT + nhrp.ADDRESSED_LEN
        base = nhrp.put16(head(BEHIND_SPOKE, bytes(4))[:20], 10, 0)
        total = 0xFFFF - nhrp.checksum(base)
        (first,) = struct.unpack("!I", FIRST)
        for number in range(first + 1, first + MANY):
            folded = total + (number >> 16) + (number & 0xFFFF)
            folded = (folded & 0xFFFF) + (folded >> 16)
            struct.pack_into("!H", frame, at + 10, 0xFFFF - folded)
            struct.pack_into("!I", frame, at + 16, number)
            yield frame

    def bad_answers(self, number, destination):
        """From nowhere, and then one that says it is for half of all there is."""
        for next_hop, nbma in ((SPOKE, STRANGER), (ip("224.0.0.5"), STRANGER), (OTHER, SPOKE_NBMA),
                               (OTHER, ip("224.0.0.5")), (OTHER, ip("0.0.0.0"))):
            self.answer(number, destination, next_hop, nbma, 32, "source")
        self.answer(number + 1, destination, OTHER, STRANGER, 32, "unsolicited")
        self.answer(number, destination, OTHER, STRANGER, 1)
        self.answer(number, destination, OTHER, STRANGER, 1, "unsolicited")


def head(source, destination):
    """An IPv4 header and eight octets."""
    fixed = struct.pack("!BBHHHBBH", 0x45, 0, 84, 0, 0, 64, 1, 0) + source + destination
    return nhrp.put16(fixed, 10, nhrp.checksum(fixed)) + bytes(8)


def main():
    device, mac, group = sys.argv[1:]
    server = Server(device, mac)
    getattr(server, group)()
    time.sleep(0.4)
    print(json.dumps(server.drops))
    print(", ".join(server.said + [f"{sum(server.drops.values())} to be dropped"]))


main()
