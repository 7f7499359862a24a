#!/usr/bin/python3
"""What a stranger with the password tries on a hub, by NHRP in clear GRE.

    nhrp_hostile.py DEVICE HUB_MAC GROUP

Prints, as JSON, how many of what was sent the hub is to drop for which reason, then in words how
many there were, and how it answered. Fails if the answers are not those that are due.

The hub is 198.51.100.1, 10.255.0.1/16; a spoke of it 198.51.100.11, 10.255.0.11, with
10.11.0.0/24 behind it; the stranger 198.51.100.66, registered as 10.255.0.66.
"""

import collections
import json
import os
import select
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import nhrp
from nhrp import cie, extension, ip, put16, summed

HUB_NBMA, SPOKE_NBMA, NBMA = ip("198.51.100.1"), ip("198.51.100.11"), ip("198.51.100.66")
HUB, SPOKE, OWN = ip("10.255.0.1"), ip("10.255.0.11"), ip("10.255.0.66")
BEHIND_SPOKE = ip("10.11.0.10")
PASSWORD = nhrp.password(b"s3cret")
UNKNOWN = 0x3FFF
# Error codes (RFC 2332 5.2.7), and those of a CIE.
LOOP, TOO_LARGE, HOPS_OVER = 3, 8, 15
PROHIBITED, RESOURCES, TAKEN = 4, 5, 14
# So many may one NBMA address register.
SHARE = 256


def request(kind, protocol=OWN, to=HUB, body=None, extensions=PASSWORD + nhrp.END, **more):
    body = cie(hold=600) if body is None else body
    return nhrp.message(kind, (NBMA, protocol, to), body, extensions, **more)


def registration(protocol=OWN, body=None, extensions=PASSWORD + nhrp.END, **more):
    return request(nhrp.REGISTRATION_REQUEST, protocol, HUB, body, extensions, **more)


def question(extensions=b"", **more):
    extensions = extensions + PASSWORD + nhrp.END
    return request(nhrp.RESOLUTION_REQUEST, OWN, BEHIND_SPOKE, extensions=extensions, **more)


def octet(packet, at, value):
    return summed(packet[:at] + bytes([value]) + packet[at + 1 :])


def word(packet, at, value):
    return summed(put16(packet, at, value))


# Groups: of each packet the reason for which it is to be dropped, None, or "any" for whatever; the
# packet; and how its frame is another than usual.


def joins():
    yield None, registration(flags=nhrp.UNIQUE | nhrp.NAT_CAPABLE)


def truncated():
    """At every octet: first as it is cut off, then with a size and a checksum to it."""
    good = registration()
    extensions = int.from_bytes(good[nhrp.OFFSET : nhrp.OFFSET + 2], "big")
    password = extensions + len(PASSWORD)
    for end in range(len(good)):
        yield "truncated" if end < nhrp.FIXED_LEN else "size_beyond_buffer", good[:end]
    for end in range(nhrp.FIXED_LEN, len(good)):
        if end < nhrp.ADDRESSED_LEN:
            reason = "addresses_beyond_packet"
        elif end < extensions:
            reason = "extension_offset"
        elif end in (extensions, password):
            reason = "extension_end"
        else:
            reason = "extension_truncated"
        yield reason, word(good[:end], nhrp.SIZE, end)


def fields():
    good = registration()
    size = len(good)
    for version in 0, 2, 255:
        yield "version", octet(good, 16, version)
    for kind in 0, 9, 128, 255:
        yield "type", octet(good, 17, kind)
    for short in 0, 20, nhrp.FIXED_LEN - 1:
        yield "size_below_header", word(good, nhrp.SIZE, short)
    for long in size + 1, 0xFFFF:
        yield "size_beyond_buffer", word(good, nhrp.SIZE, long)
    for offset in 1, nhrp.FIXED_LEN - 1, nhrp.ADDRESSED_LEN - 1, size + 1, 0xFFFF:
        yield "extension_offset", word(good, nhrp.OFFSET, offset)
    # The password is taken for a CIE then.
    yield "address_type", word(good, nhrp.OFFSET, size)
    yield "cie_truncated", word(good, nhrp.OFFSET, nhrp.ADDRESSED_LEN + 5)
    for length in 0, 3, 5, 63:
        yield "address_length", octet(good, 18, length)
    for length in 0xFF, 0x44, 0x84:
        yield "address_type", octet(good, 18, length)
    yield "address_type", octet(good, 19, 4)
    for at in 20, 21:
        for length in 0, 3, 5, 16, 63, 255:
            yield "address_length", octet(good, at, length)
    yield "address_length", word(good, 0, 2)
    yield "address_length", word(good, 2, 0x86DD)
    yield "address_family", word(good, 0, 3)
    yield "protocol_type", word(good, 2, 0x0806)
    yield "checksum", put16(good, nhrp.CHECKSUM, good[nhrp.CHECKSUM] ^ 1)


def bodies():
    """CIEs and extensions."""
    one = cie(hold=600)
    yield "cie_truncated", registration(body=one[:8] + b"\4" + one[9:])
    yield "cie_address", registration(body=one[:8] + b"\3" + one[9:] + b"abc")
    yield "address_type", registration(body=one[:8] + b"\xff" + one[9:])
    for count in 33, 100:
        yield "cie_count", registration(body=one * count)
    yield "cie_missing", registration(body=b"")
    yield "extension_truncated", registration(extensions=PASSWORD + extension(9, b"")[:3])
    yield "extension_truncated", registration(extensions=PASSWORD + b"\0\x09\xff\xff")
    yield "extension_end", registration(extensions=PASSWORD)
    yield "extension_trailing", registration(extensions=PASSWORD + nhrp.END + b"\0")
    yield "extension_count", registration(extensions=extension(UNKNOWN) * 1000 + nhrp.END)
    yield "extension_duplicate", registration(extensions=PASSWORD * 2 + nhrp.END)
    for value in b"", b"abc", b"\0\0\0\1", b"\0\0\0\1ninechars":
        tag = nhrp.COMPULSORY | nhrp.AUTHENTICATION
        yield "extension_value", registration(extensions=extension(tag, value) + nhrp.END)
    for others in b"", nhrp.password(b"guessed"), extension(0x8007, b"\0\0\0\2s3cret"):
        yield "authentication", registration(extensions=others + nhrp.END)
    # An unknown one that may be ignored; an odd length.
    odd = PASSWORD + extension(UNKNOWN, b"odd") + nhrp.END
    yield None, registration(extensions=odd, flags=nhrp.UNIQUE | nhrp.NAT_CAPABLE)


def errors():
    """A thousand complaints are due, and few are made; none about a complaint."""
    for _ in range(1000):
        unknown = extension(nhrp.COMPULSORY | UNKNOWN)
        yield "extension", registration(extensions=PASSWORD + unknown + nhrp.END)
    for quoted in registration(), registration()[:9], b"":
        yield None, nhrp.message(nhrp.ERROR, (NBMA, OWN, HUB), quoted, request_id=LOOP << 16)


def few_errors(answers, seconds):
    due = answers[nhrp.ERROR, None]
    return 10 <= due <= 11 + 10 * seconds and set(answers) == {(nhrp.ERROR, None)}


def loops():
    record = cie(hold=600, nbma=HUB_NBMA, protocol=HUB)
    yield "loop", question(extension(0x8004, record), hops=64)
    answer = request(nhrp.RESOLUTION_REPLY, SPOKE, BEHIND_SPOKE, hops=64,
                     extensions=extension(0x8005, record) + PASSWORD + nhrp.END)
    yield "loop", answer
    yield "hop_count", question(hops=0)
    # More than a piece takes, once the hub has added itself.
    filled = extension(0x8004) + extension(nhrp.VENDOR, bytes(1200))
    yield "too_large", question(filled, hops=64)
    # Of a question it is none, but the spoke's answer has it as well.
    yield "loop", question(extension(0x8005, record), hops=64)
    # These are none: the spoke answers by the hub.
    yield None, question(extension(0x8003, record), hops=64)
    yield None, question(hops=255)


def answers_of_loops(answers, _):
    return answers[nhrp.ERROR, None] == 4 and answers[nhrp.RESOLUTION_REPLY, 0] == 2


def replies():
    for kind in nhrp.REGISTRATION_REPLY, nhrp.RESOLUTION_REPLY, nhrp.PURGE_REPLY:
        body = cie(hold=600, prefix=0, nbma=NBMA, protocol=OWN)
        tail = PASSWORD + nhrp.END
        unasked = nhrp.message(kind, (HUB_NBMA, HUB, BEHIND_SPOKE), body, tail, hops=64)
        yield "unsolicited", unasked
        yield "unsolicited", unasked
    stolen = (NBMA, HUB, BEHIND_SPOKE)
    yield "not_for_us", nhrp.message(nhrp.RESOLUTION_REPLY, stolen, body, tail, hops=64)
    yield "not_for_us", request(nhrp.REGISTRATION_REQUEST, OWN, ip("10.255.0.2"))
    # A question in the hub's own name, and an indication for one who takes none.
    yield "source", request(nhrp.RESOLUTION_REQUEST, HUB, BEHIND_SPOKE, hops=64)
    yield "kind", nhrp.message(nhrp.INDICATION, (NBMA, OWN, HUB), bytes(28), tail)


def claims():
    never = ("10.255.0.1", "198.51.100.1", "198.51.100.66", "0.0.0.0", "0.1.2.3", "224.0.0.5",
             "255.255.255.255", "240.0.0.1", "127.0.0.1", "10.255.255.255", "10.255.0.0",
             "10.11.0.10", "10.9.9.9")
    for protocol in never:
        yield "refused", registration(body=cie(hold=600, protocol=ip(protocol)))
    for prefix in 1, 8, 24, 31, 33:
        yield "refused", registration(body=cie(hold=600, prefix=prefix))
    # One bad address among good ones.
    both = cie(hold=600, protocol=ip("10.255.0.77")) + cie(hold=600, protocol=HUB)
    yield "refused", registration(body=both)
    yield "refused", registration(SPOKE)
    yield "refused", registration(body=cie(hold=600, protocol=SPOKE, nbma=SPOKE_NBMA))


def answers_of_claims(answers, _):
    reply = nhrp.REGISTRATION_REPLY
    return answers == {(reply, PROHIBITED): 19, (reply, TAKEN): 2}


def purges():
    for purger, protocol, prefix in ((OWN, SPOKE, 32), (SPOKE, SPOKE, 32), (OWN, ip("0.0.0.0"), 0),
                                     (OWN, ip("10.0.0.0"), 7)):
        body = cie(prefix=prefix, protocol=protocol)
        yield "third_party", request(nhrp.PURGE_REQUEST, purger, HUB, body)
    # In the spoke's name to somebody else.
    yield "third_party", request(nhrp.PURGE_REQUEST, SPOKE, OWN, cie(protocol=SPOKE), hops=64)


def addresses():
    return [ip(f"10.255.{number // 200 + 1}.{number % 200 + 1}") for number in range(300)]


def greed():
    for number, protocol in enumerate(addresses()):
        yield None if number < SHARE - 1 else "refused", registration(protocol)


def answers_of_greed(answers, _):
    reply = nhrp.REGISTRATION_REPLY
    return answers == {(reply, 0): SHARE - 1, (reply, RESOURCES): 301 - SHARE}


def back():
    """Takes them back; those that it has not got are none of its business, and harm nobody."""
    for protocol in addresses():
        yield None, request(nhrp.PURGE_REQUEST, protocol, HUB, cie(protocol=protocol))


def wire():
    """Past the tunnel: in clear on a protected one, by keys of none, without GRE."""
    for _ in range(10):
        yield "cleartext_from_protected", registration(), {"key": 43}
        yield "gre_key_wrong", registration(), {"key": 44}
        yield "gre_key_missing", registration(), {"key": None}
        yield "underlay_protocol", registration(), {"protocol": 54}


def octets():
    """Each octet of a good packet is another, and the checksum fits."""
    good = question(hops=64)
    for at in range(len(good)):
        for value in 0, 0x7F, 0xFF:
            if at // 2 != nhrp.CHECKSUM // 2:
                yield "any", octet(good, at, value)


GROUPS = {
    "joins": (joins, lambda answers, _: answers == {(nhrp.REGISTRATION_REPLY, 0): 1}),
    "truncated": (truncated, lambda answers, _: not answers),
    "fields": (fields, lambda answers, _: not answers),
    "bodies": (bodies, lambda answers, _: answers[nhrp.REGISTRATION_REPLY, 0] == 1),
    "errors": (errors, few_errors),
    "loops": (loops, answers_of_loops),
    "replies": (replies, lambda answers, _: not answers),
    "claims": (claims, answers_of_claims),
    "purges": (purges, lambda answers, _: not answers),
    "greed": (greed, answers_of_greed),
    "back": (back, lambda answers, _: answers[nhrp.PURGE_REPLY, 0] == 300),
    "wire": (wire, lambda answers, _: not answers),
    "octets": (octets, lambda *_: True),
}


def listen(link, answers, seconds):
    """Counts what the hub says: kind, and the code of its first CIE if it has CIEs."""
    while select.select([link], [], [], seconds)[0]:
        packet = nhrp.payload(link.recv(2048))
        if packet and packet[28:32] != SPOKE_NBMA:
            kind = packet[17]
            answers[kind, None if kind >= nhrp.ERROR else nhrp.first_code(packet)] += 1


def main():
    device, hub_mac, group = sys.argv[1:]
    link = nhrp.Link(device, hub_mac)
    packets, is_good = GROUPS[group]
    answers, drops, count = collections.Counter(), collections.Counter(), 0
    start = time.monotonic()
    for reason, packet, *outer in packets():
        drops[reason] += 1
        count += 1
        for frame in nhrp.fragments(link.ends, NBMA, HUB_NBMA, packet, **dict(*outer)):
            link.socket.send(frame)
        if count % 20 == 0:
            listen(link.socket, answers, 0.002)
    listen(link.socket, answers, 0.4)
    del drops[None]
    print(json.dumps(drops))
    said = ", ".join(f"{number} of kind {kind}" + (f" code {code}" if code else "")
                     for (kind, code), number in sorted(answers.items(), key=str))
    print(f"{count} sent; answers: {said or 'none'}")
    if not is_good(answers, time.monotonic() - start):
        sys.exit("not the answers that are due")


main()
