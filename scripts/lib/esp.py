"""ESP security associations by Scapy, an implementation that shares nothing with Greyhound."""

import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import ESP, SecurityAssociation, _ESPPlain
from scapy.packet import Raw

PROTO_ESP = 50
NAT_T_PORT = 4500


def read_key(path):
    """Key and salt of a key file: hexadecimal digits, or the octets themselves."""
    with open(path, "rb") as file:
        octets = file.read()
    try:
        return bytes.fromhex(octets.decode("ascii").strip().removeprefix("0x"))
    except (UnicodeDecodeError, ValueError):
        return octets


def association(spi, key, esn, **more):
    """An AES-GCM SA with a 16-octet ICV; `esn`: extended sequence numbers, upper half 0."""
    return SecurityAssociation(
        ESP, spi=spi, crypt_algo="AES-GCM", crypt_key=key, esn_en=esn, esn=0, **more
    )


def esp_octets(packet):
    """The ESP packet in an IP packet, behind UDP 4500 or not; None if there is none."""
    if isinstance(packet, IP) and packet.proto == PROTO_ESP:
        return bytes(packet.payload)
    if isinstance(packet, IPv6) and packet.nh == PROTO_ESP:
        return bytes(packet.payload)
    if UDP in packet and NAT_T_PORT in (packet[UDP].sport, packet[UDP].dport):
        octets = bytes(packet[UDP].payload)
        return octets if octets[:4] != bytes(4) and len(octets) > 8 else None
    return None


def open_esp(sa, outer):
    """The decrypted packet: (next header, octets). Raises IPSecIntegrityError, ValueError."""
    esp = ESP(esp_octets(outer))
    sa.check_spi(esp)
    plain = sa.crypt_algo.decrypt(
        sa, esp, sa.crypt_key, sa.crypt_algo.icv_size, esn_en=sa.esn_en, esn=sa.esn
    )
    _check_padding(sa, bytes(esp))
    return plain.nh, bytes(plain.data)


def _check_padding(sa, esp):
    """Scapy does not look at the octets of the padding, so they are decrypted once more."""
    high = struct.pack("!I", sa.esn) if sa.esn_en else b""
    cipher = AESGCM(sa.crypt_key)
    text = cipher.decrypt(sa.crypt_salt + esp[8:16], esp[16:], esp[:4] + high + esp[4:8])
    length = text[-2]
    padding = text[len(text) - 2 - length : -2]
    if padding != bytes(range(1, length + 1)):
        raise ValueError(f"wrong padding: {padding.hex()}")


def seal_esp(sa, outer, next_header, octets, seq):
    """ESP of `octets` behind the IP (and UDP) header `outer`."""
    plain = _ESPPlain(spi=sa.spi, seq=seq, iv=sa.crypt_algo.generate_iv())
    plain.data, plain.nh = octets, next_header
    sealed = sa.crypt_algo.encrypt(
        sa, sa.crypt_algo.pad(plain), sa.crypt_key, sa.crypt_algo.icv_size,
        esn_en=sa.esn_en, esn=sa.esn,
    )
    return outer / Raw(bytes(sealed))

