"""A raw peer of a gateway: frames by AF_PACKET, packets by Scapy."""

import socket
import sys
import time

from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

PEER, GATEWAY = "198.51.100.2", "198.51.100.1"
REMOTE_HOST, LOCAL_HOST = "10.2.0.10", "10.1.0.10"
ETH_P_ALL = 3


class Link:
    """The wire between the peer and the gateway."""

    def __init__(self, interface="eth0"):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.bind((interface, 0))
        self.mac = self.socket.getsockname()[4]
        self.gateway_mac = None
        self.gateway_mac = self._resolve()

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
                octets, address = self.socket.recvfrom(65535)
            except TimeoutError:
                break
            if address[2] == socket.PACKET_OUTGOING:
                continue
            found = wanted(Ether(octets))
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

    def _resolve(self):
        question = ARP(op=1, hwsrc=self.mac, psrc=PEER, pdst=GATEWAY)
        broadcast = Ether(src=self.mac, dst="ff:ff:ff:ff:ff:ff")

        def answer(frame):
            return frame[ARP].hwsrc if ARP in frame and frame[ARP].psrc == GATEWAY else None

        for _ in range(5):
            self.socket.send(bytes(broadcast / question))
            if mac := self.receive(answer, 0.5):
                return mac
        fail("the gateway does not answer ARP")


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
