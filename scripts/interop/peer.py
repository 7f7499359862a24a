"""A raw peer of a gateway: frames by AF_PACKET, packets by Scapy."""

import socket
import struct
import sys
import time

from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

PEER, GATEWAY = "198.51.100.2", "198.51.100.1"
REMOTE_HOST, LOCAL_HOST = "10.2.0.10", "10.1.0.10"
ETH_P_ALL = 3
# From linux/if_packet.h: the kernel takes VLAN tags off, and says so beside the frame.
SOL_PACKET, PACKET_AUXDATA = 263, 8
AUXDATA = struct.Struct("IIIHHHH")
VLAN_VALID = 1 << 4


class Link:
    """The wire between the peer and the gateway, which is asked for its MAC address
    unless `gateway` is None."""

    def __init__(self, interface="eth0", own=PEER, gateway=GATEWAY):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.socket.bind((interface, 0))
        self.mac = self.socket.getsockname()[4]
        self.gateway_mac = None
        self.gateway_mac = self._resolve(own, gateway) if gateway else None

    def send(self, packet):
        """An IP packet to the gateway."""
        frame = Ether(src=self.mac, dst=self.gateway_mac) / packet
        self.socket.send(bytes(frame))

    def receive(self, wanted, seconds=2.0):
        """What `wanted` makes of the first frame that it does not answer with None."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                octets, beside, _, address = self.socket.recvmsg(65535, 256)
            except TimeoutError:
                break
            if address[2] == socket.PACKET_OUTGOING:
                continue
            found = wanted(Ether(with_tag(octets, beside)))
            if found is not None:
                return found
        return None

    def from_gateway(self, proto, seconds=2.0):
        """The next IP packet from the gateway with this protocol."""

        def wanted(frame):
            packet = frame.payload
            is_it = isinstance(packet, IP) and packet.src == GATEWAY and packet.proto == proto
            return packet if is_it else None

        return self.receive(wanted, seconds)

    def _resolve(self, own, gateway):
        question = ARP(op=1, hwsrc=self.mac, psrc=own, pdst=gateway)
        broadcast = Ether(src=self.mac, dst="ff:ff:ff:ff:ff:ff")

        def answer(frame):
            return frame[ARP].hwsrc if ARP in frame and frame[ARP].psrc == gateway else None

        for _ in range(5):
            self.socket.send(bytes(broadcast / question))
            if mac := self.receive(answer, 0.5):
                return mac
        fail("the gateway does not answer ARP")


def with_tag(octets, beside):
    """The frame as it was on the wire, with its VLAN tag if it had one."""
    for level, kind, data in beside:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tci, tpid = AUXDATA.unpack(data[: AUXDATA.size])
            if status & VLAN_VALID:
                return octets[:12] + struct.pack("!HH", tpid, tci) + octets[12:]
    return octets


def echo_request(number, size=56):
    """An echo request from the host behind the peer to the host behind the gateway."""
    header = IP(src=REMOTE_HOST, dst=LOCAL_HOST, ttl=64, id=number)
    return header / ICMP(type=8, id=0x6768, seq=number) / Raw(bytes(range(size)))


def check_reply(inner, request):
    """Ends the program unless `inner` is the answer to `request`, forwarded once."""
    wanted = (LOCAL_HOST, REMOTE_HOST, 0, request[ICMP].seq, bytes(request[Raw]))
    if ICMP not in inner or Raw not in inner:
        fail(f"not an echo reply: {inner.summary()}")
    found = (inner.src, inner.dst, inner[ICMP].type, inner[ICMP].seq, bytes(inner[Raw]))
    if found != wanted:
        fail(f"got {found} instead of {wanted}")
    if inner.ttl != 63:
        fail(f"the TTL of the inner packet is {inner.ttl}, not 63")
    rebuilt = inner.copy()
    del rebuilt.chksum
    if IP(bytes(rebuilt)).chksum != inner.chksum:
        fail("the checksum of the inner header is wrong")


def fail(text):
    """Ends the program with a reason."""
    sys.exit(f"peer: {text}")
