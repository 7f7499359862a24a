#!/usr/bin/python3
"""Sends ESP packets of a capture again, as they are or forged.

    inject.py replay|forge CAPTURE INTERFACE SPI COUNT

`forge` flips one bit of the ciphertext of each and gives it a sequence number that has not been
used yet, so that the replay window lets it pass and only the ICV is left to refuse it.
"""

import os
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from esp import esp_octets
from scapy.layers.inet import IP
from scapy.utils import PcapReader

AHEAD = 100_000
CIPHERTEXT = 16


def frames_of(capture, spi):
    """Frames with ESP of this SPI: (frame, offset of the ESP header)."""
    with PcapReader(capture) as packets:
        for packet in packets:
            octets = esp_octets(packet[IP]) if IP in packet else None
            if octets and struct.unpack("!I", octets[:4])[0] == spi:
                frame = bytes(packet)
                yield frame, frame.index(octets[:CIPHERTEXT])


def forged(frame, at, number):
    """The frame with another sequence number and one bit of the ciphertext flipped."""
    octets = bytearray(frame)
    (seq,) = struct.unpack_from("!I", octets, at + 4)
    struct.pack_into("!I", octets, at + 4, seq + AHEAD + number)
    octets[at + CIPHERTEXT + number % 8] ^= 1 << number % 8
    return bytes(octets)


def main():
    mode, capture, interface, spi, count = sys.argv[1:]
    found = list(frames_of(capture, int(spi, 0)))
    if mode not in ("replay", "forge") or not found:
        sys.exit(f"no ESP packet with SPI {spi} in {capture}" if not found else __doc__)
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    link.bind((interface, 0))
    for number in range(int(count)):
        frame, at = found[number % len(found)]
        link.send(frame if mode == "replay" else forged(frame, at, number))
    print(f"{count} packets sent")


main()
