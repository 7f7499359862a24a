#!/usr/bin/env python3
"""Many spokes of a hub at once.

    nhrp_storm.py DEVICE HUB_MAC HUB SPOKES KEY PASSWORD register ROUNDS
    nhrp_storm.py ... renew SECONDS     each once, evenly
    nhrp_storm.py ... purge             each takes its registration back
    nhrp_storm.py ... late COUNT        more of them, one after the other: how soon is each reached?

Who has no answer asks again after a second. Spoke number N has the NBMA address 100.64.0.0 + N + 1
and the tunnel address 10.255.1.0 + N + 2. Prints a line of figures a round.
"""

import os
import select
import statistics
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import nhrp

NBMA = 0x64400001
TUNNEL = 0x0AFF0102
# What is on its way at a time: as a hub's links let through after its restart.
WINDOW = 2000
AGAIN_S = 1.0
GIVE_UP_S = 60.0


def addresses_of(number):
    return struct.pack("!I", NBMA + number), struct.pack("!I", TUNNEL + number)


def registration(number, hub, request_id, password):
    """RFC 2332 5.2.3, with a CIE that takes its addresses from the header."""
    return nhrp.message(
        nhrp.REGISTRATION_REQUEST, (*addresses_of(number), hub), nhrp.cie(hold=600),
        nhrp.password(password) + nhrp.END, flags=nhrp.UNIQUE | nhrp.NAT_CAPABLE,
        request_id=request_id,
    )


def purge(number, hub, password):
    addresses = addresses_of(number)
    return nhrp.message(
        nhrp.PURGE_REQUEST, (*addresses, hub), nhrp.cie(protocol=addresses[1]),
        nhrp.password(password) + nhrp.END, hops=64,
    )


def answered(octets, kind):
    """The number of the spoke that a frame tells of its success."""
    packet = nhrp.payload(octets)
    if not packet or packet[17] != kind or nhrp.first_code(packet) != 0:
        return None
    return struct.unpack("!I", packet[32:36])[0] - TUNNEL


def play(link, frames, kind, seconds=0.0):
    """Sends them, evenly over some seconds or as many at once as WINDOW allows, until each has an
    answer of this kind; gives milliseconds, and how many were sent again."""
    waiting, sent_at, again = set(range(len(frames))), {}, 0
    queue = list(waiting)
    start = time.monotonic()
    while waiting:
        now = time.monotonic()
        if now - start > seconds + GIVE_UP_S:
            sys.exit(f"{len(waiting)} are not answered")
        if not queue:
            late = [number for number in waiting if now - sent_at.get(number, 0) > AGAIN_S]
            again += len(late)
            queue = late
        room = WINDOW - (len(waiting) - len(queue))
        if seconds:
            due = len(frames) * (now - start) / seconds
            room = min(room, int(due) - len(sent_at)) if len(sent_at) < len(frames) else room
        for number in queue[: max(room, 0)]:
            link.send(frames[number])
            sent_at[number] = now
        queue = queue[max(room, 0) :]
        while select.select([link], [], [], 0 if room > 0 and queue else 0.005)[0]:
            waiting.discard(answered(link.recv(2048), kind))
    return (time.monotonic() - start) * 1000, again


def echo(number, sequence):
    """A ping by spoke NUMBER of the host behind the hub."""
    icmp = struct.pack("!BBHHH", 8, 0, 0, number & 0xFFFF, sequence)
    icmp = nhrp.put16(icmp, 2, nhrp.checksum(icmp))
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(icmp), 0, 0, 64, 1, 0)
    head += addresses_of(number)[1] + nhrp.ip("10.1.0.10")
    return nhrp.put16(head, 10, nhrp.checksum(head)) + icmp


def reached(link, number, registering, pings):
    """Milliseconds from a registration to its reply, and to the first ping that is answered, of one
    a millisecond."""
    replied = flows = None
    start = time.monotonic()
    link.send(registering)
    for ping in pings:
        link.send(ping)
        end = time.monotonic() + 0.001
        while (left := end - time.monotonic()) > 0 and select.select([link], [], [], left)[0]:
            octets, now = link.recv(2048), time.monotonic()
            if answered(octets, nhrp.REGISTRATION_REPLY) == number:
                replied = replied or (now - start) * 1000
            # Behind Ethernet, IP, GRE with a key, and IP: an echo reply.
            if octets[23] == nhrp.GRE and octets[36:38] == b"\x08\x00" and octets[62] == 0:
                flows = flows or (now - start) * 1000
        if replied and flows:
            return replied, flows
    return sys.exit(f"reply: {replied} ms, ping: {flows} ms")


def late(link, frame, first, count, hub, password):
    times = []
    for number in range(first, first + count):
        pings = [frame(number, echo(number, at), protocol_type=0x0800) for at in range(2000)]
        registering = frame(number, registration(number, hub, 1, password))
        times.append(reached(link, number, registering, pings))
        time.sleep(0.05)
    replies, flows = zip(*times)
    print(f"{count} more: reply after {statistics.median(replies):.1f} ms, first ping answered"
          f" after {statistics.median(flows):.1f} ms, {max(flows):.1f} ms at most")


def main():
    device, hub_mac, hub, spokes, key, password, mode, *last = sys.argv[1:]
    link = nhrp.Link(device, hub_mac)
    nbma, tunnel, password = nhrp.ip(hub), nhrp.ip("10.255.0.1"), password.encode()
    spokes = range(int(spokes))

    def frame(number, packet, **more):
        source = addresses_of(number)[0]
        return nhrp.frame(link.ends, source, nbma, packet, int(key), **more)

    def registrations(request_id):
        return [frame(spoke, registration(spoke, tunnel, request_id, password)) for spoke in spokes]

    if mode == "late":
        return late(link.socket, frame, len(spokes), int(last[0]), tunnel, password)
    kind, seconds, did, rounds = nhrp.REGISTRATION_REPLY, 0.0, "registered", 1
    if mode == "renew":
        seconds, did = float(last[0]), "renewed"
    elif mode == "purge":
        kind, did = nhrp.PURGE_REPLY, "gone"
    else:
        rounds = int(last[0])
    for number in range(rounds):
        if mode == "purge":
            frames = [frame(spoke, purge(spoke, tunnel, password)) for spoke in spokes]
        else:
            frames = registrations(number + 1)
        took, again = play(link.socket, frames, kind, seconds)
        print(f"{len(spokes)} {did} in {took:.0f} ms, {again} sent again")
    return None


main()
