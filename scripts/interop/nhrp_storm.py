#!/usr/bin/env python3
"""Many spokes at once: each registers with a hub, and asks again after a second without an answer.

    nhrp_storm.py DEVICE HUB_MAC HUB SPOKES KEY PASSWORD ROUNDS

Spoke number N has the NBMA address 100.64.0.0 + N + 1 and the tunnel address 10.255.0.0 + N + 2.
Prints of each round "ROUND: SPOKES registered in MS ms, AGAIN sent again".
"""

import select
import socket
import struct
import sys
import time

NHRP = 0x2001
GRE = 47
REGISTRATION_REPLY = 4
NBMA = 0x64400001
TUNNEL = 0x0AFF0002
# What is on its way at a time: as a hub's links let through after its restart.
WINDOW = 2000
AGAIN_S = 1.0
GIVE_UP_S = 60.0


def checksum(octets):
    if len(octets) % 2:
        octets += b"\0"
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def registration(number, hub, request_id, password):
    """RFC 2332 5.2.3, with a CIE that takes its addresses from the header."""
    addresses = struct.pack("!II4s", NBMA + number, TUNNEL + number, hub)
    mandatory = struct.pack("!BBHI", 4, 4, 0x8002, request_id) + addresses
    mandatory += struct.pack("!BBHHHBBBB", 0, 32, 0, 0, 600, 0, 0, 0, 0)
    extensions = struct.pack("!HHI", 0x8007, 4 + len(password), 1) + password
    extensions += struct.pack("!HH", 0x8000, 0)
    offset = 20 + len(mandatory)

    def fixed(check):
        size = offset + len(extensions)
        return struct.pack("!HH5xBHHHBBBB", 1, 0x0800, 1, size, check, offset, 1, 3, 4, 0)

    check = checksum(fixed(0) + mandatory + extensions)
    return fixed(check) + mandatory + extensions


def frame(ends, number, hub_nbma, key, payload):
    gre = struct.pack("!HHI", 0x2000, NHRP, key) + payload
    header = struct.pack("!BBHHHBBHI4s", 0x45, 0, 20 + len(gre), 0, 0, 64, GRE, 0,
                         NBMA + number, hub_nbma)
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    return ends + b"\x08\x00" + header + gre


def accepted(packet):
    """The number of the spoke that a frame tells of its registration."""
    if packet[12:14] != b"\x08\x00" or packet[23] != GRE or packet[36:38] != b"\x20\x01":
        return None
    nhrp = packet[42:]
    # The code of its only CIE, behind header and addresses of IPv4.
    if nhrp[17] != REGISTRATION_REPLY or nhrp[40] != 0:
        return None
    return struct.unpack("!I", nhrp[32:36])[0] - TUNNEL


def play(link, frames):
    """Sends them until each is answered; gives milliseconds, and how many were sent again."""
    waiting, sent_at, again = set(range(len(frames))), {}, 0
    queue = list(waiting)
    start = time.monotonic()
    while waiting:
        now = time.monotonic()
        if now - start > GIVE_UP_S:
            sys.exit(f"{len(waiting)} are not answered")
        if not queue:
            late = [number for number in waiting if now - sent_at.get(number, 0) > AGAIN_S]
            again += len(late)
            queue = late
        room = WINDOW - (len(waiting) - len(queue))
        for number in queue[: max(room, 0)]:
            link.send(frames[number])
            sent_at[number] = now
        queue = queue[max(room, 0) :]
        while select.select([link], [], [], 0 if queue else 0.01)[0]:
            number = accepted(link.recv(2048))
            waiting.discard(number)
    return (time.monotonic() - start) * 1000, again


def main():
    device, hub_mac, hub, spokes, key, password, rounds = sys.argv[1:]
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    link.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE
    link.bind((device, 0))
    own = link.getsockname()[4]
    ends = bytes.fromhex(hub_mac.replace(":", "")) + own
    nbma, tunnel = socket.inet_aton(hub), socket.inet_aton("10.255.0.1")
    for number in range(int(rounds)):
        frames = [
            frame(ends, spoke, nbma, int(key),
                  registration(spoke, tunnel, number + 1, password.encode()))
            for spoke in range(int(spokes))
        ]
        took, again = play(link, frames)
        print(f"{number + 1}: {spokes} registered in {took:.0f} ms, {again} sent again")


main()
