"""NHRP (RFC 2332) in GRE, octet by octet, so that each can be wrong. Addresses are octets."""

import socket
import struct

RESOLUTION_REQUEST, RESOLUTION_REPLY, REGISTRATION_REQUEST, REGISTRATION_REPLY = 1, 2, 3, 4
PURGE_REQUEST, PURGE_REPLY, ERROR, INDICATION = 5, 6, 7, 8
RESPONDER, FORWARD_RECORD, REVERSE_RECORD, AUTHENTICATION, VENDOR, NAT = 3, 4, 5, 7, 8, 9
COMPULSORY = 0x8000

UNIQUE, NAT_CAPABLE, NO_REPLY = 0x8000, 0x0002, 0x8000
SIZE, CHECKSUM, OFFSET = 10, 12, 14
FIXED_LEN, ADDRESSED_LEN = 28, 40

GRE, ETHER_IP4, NHRP_TYPE = 47, b"\x08\x00", 0x2001
# Of a frame without VLAN, IP without options, GRE with a key.
PAYLOAD_AT = 14 + 20 + 8


def ip(text):
    return socket.inet_aton(text)


def checksum(octets):
    if len(octets) % 2:
        octets += b"\0"
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def put16(octets, at, value):
    """The same octets with another number at one place."""
    return octets[:at] + struct.pack("!H", value) + octets[at + 2 :]


def summed(octets):
    """With the right checksum."""
    return put16(octets, CHECKSUM, checksum(put16(octets, CHECKSUM, 0)))


def cie(code=0, prefix=32, hold=0, nbma=b"", protocol=b"", mtu=0):
    fixed = struct.pack("!BBHHHBBBB", code, prefix, 0, mtu, hold, len(nbma), 0, len(protocol), 0)
    return fixed + nbma + protocol


def extension(tag, value=b""):
    return struct.pack("!HH", tag, len(value)) + value


def password(secret):
    return extension(COMPULSORY | AUTHENTICATION, b"\0\0\0\1" + secret)


END = extension(COMPULSORY)


def message(kind, addresses, body=b"", extensions=b"", hops=1, flags=NAT_CAPABLE, request_id=1):
    """`addresses`: NBMA and protocol address of the source, protocol address of the destination.
    Without extensions there is no offset, and no end of them."""
    mandatory = struct.pack("!BBHI", 4, 4, flags, request_id) + b"".join(addresses) + body
    offset = 20 + len(mandatory) if extensions else 0
    size = 20 + len(mandatory) + len(extensions)
    fixed = struct.pack("!HH5xBHHHBBBB", 1, 0x0800, hops, size, 0, offset, 1, kind, 4, 0)
    return summed(fixed + mandatory + extensions)


def frame(ends, source, destination, payload, key=42, protocol=GRE, protocol_type=NHRP_TYPE):
    """An Ethernet frame; `ends` are its MAC addresses. Not in GRE, if the protocol is another."""
    if protocol == GRE and key is None:
        payload = struct.pack("!HH", 0, protocol_type) + payload
    elif protocol == GRE:
        payload = struct.pack("!HHI", 0x2000, protocol_type, key) + payload
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0)
    header += source + destination
    return ends + ETHER_IP4 + put16(header, 10, checksum(header)) + payload


def fragments(ends, source, destination, payload, size=1480, **more):
    """The same as frames that an Ethernet takes: one, or fragments of a packet that is larger."""
    whole = frame(ends, source, destination, payload, **more)
    header, body = whole[14:34], whole[34:]
    for at in range(0, len(body), size):
        piece = body[at : at + size]
        place = at // 8 | (0x2000 if at + size < len(body) else 0)
        head = put16(put16(put16(header, 2, 20 + len(piece)), 6, place), 10, 0)
        yield ends + ETHER_IP4 + put16(head, 10, checksum(head)) + piece


def payload(octets):
    """The NHRP packet in a frame with a GRE key, or None."""
    is_nhrp = octets[12:14] == ETHER_IP4 and octets[23] == GRE and octets[36:38] == b"\x20\x01"
    return octets[PAYLOAD_AT:] if is_nhrp else None


def first_code(packet):
    """The code of the first CIE, behind header and addresses of IPv4."""
    return packet[ADDRESSED_LEN]


class Link:
    """Frames to and from a gateway by a device of this namespace."""

    def __init__(self, device, gateway_mac):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE
        self.socket.bind((device, 0))
        own = self.socket.getsockname()[4]
        self.ends = bytes.fromhex(gateway_mac.replace(":", "")) + own
