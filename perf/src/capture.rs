//! Inner packets out of a capture: the IP packets of its Ethernet frames, as they are.
//!
//! What a gateway would not forward is left out and counted by reason, so that a drop in the bench
//! stays an error.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use dataplane::ip::is_plain_v4;
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::{Block, PcapNgReader};
use pcap_file::{DataLink, PcapError};
use wire::eth::{self, EtherType};
use wire::{ip4, ip6, vlan};

/// The packets of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    name: String,
    packets: Vec<Box<[u8]>>,
    left_out: BTreeMap<LeftOut, u64>,
}

/// Why a frame of a capture is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum LeftOut {
    /// The EtherType, or another medium than Ethernet.
    NotIp(u16),
    NotEthernet,
    CutShort,
    Malformed,
    Multicast,
    TtlOut,
    Unroutable,
    BeyondLimit,
}

/// Why a capture is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// It cannot be opened.
    #[error("{}: {cause}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// It is no capture, or a damaged one.
    #[error("{}: not a pcap or pcapng file, or damaged: {cause}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: PcapError,
    },
    /// Nothing in it can be forwarded.
    #[error("{}: no packet that a gateway would forward{left_out}", path.display())]
    NoPackets {
        /// The file.
        path: PathBuf,
        /// What was left out.
        left_out: String,
    },
}

/// Packets taken of a file: more would only wear out the caches, which traffic does not.
const PACKETS_MAX: usize = 1 << 16;
/// How a pcapng file begins, in either byte order.
const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// VLAN tags that a frame may have.
const TAGS_MAX: usize = 2;

impl Capture {
    /// Reads a file.
    ///
    /// # Errors
    /// [`CaptureError`].
    pub fn read(path: &Path) -> Result<Self, CaptureError> {
        let open = |cause| CaptureError::Open { path: path.to_owned(), cause };
        let mut file = File::open(path).map_err(open)?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let mut capture = Self { name, packets: Vec::new(), left_out: BTreeMap::new() };
        let mut magic = [0; 4];
        let read = file.read(&mut magic).map_err(open)?;
        file.rewind().map_err(open)?;
        let result = match magic == PCAPNG_MAGIC && read == magic.len() {
            true => capture.read_pcapng(file),
            false => capture.read_pcap(file),
        };
        result.map_err(|cause| CaptureError::Format { path: path.to_owned(), cause })?;
        if capture.packets.is_empty() {
            let left_out = capture.left_out_text();
            return Err(CaptureError::NoPackets { path: path.to_owned(), left_out });
        }
        Ok(capture)
    }

    /// The name of the file, without its folder.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The IP packets, in the order of the file; at least one.
    #[must_use]
    pub fn packets(&self) -> &[Box<[u8]>] {
        &self.packets
    }

    /// Octets of the largest packet.
    #[must_use]
    pub fn largest(&self) -> usize {
        self.packets.iter().map(|packet| packet.len()).max().unwrap_or(0)
    }

    /// Octets of a packet, on average.
    #[must_use]
    pub fn mean(&self) -> f64 {
        let octets: usize = self.packets.iter().map(|packet| packet.len()).sum();
        octets as f64 / self.packets.len().max(1) as f64
    }

    fn read_pcap(&mut self, file: File) -> Result<(), PcapError> {
        let mut reader = PcapReader::new(file)?;
        let link = reader.header().datalink;
        // Raw ones: the checked ones refuse packets that were longer than the snapshot length.
        while let Some(packet) = reader.next_raw_packet() {
            let packet = packet?;
            self.frame(link, &packet.data, packet.orig_len);
        }
        Ok(())
    }

    fn read_pcapng(&mut self, file: File) -> Result<(), PcapError> {
        let mut reader = PcapNgReader::new(file)?;
        let mut links = Vec::new();
        while let Some(block) = reader.next_block() {
            match block? {
                // Interfaces are numbered anew in each section.
                Block::SectionHeader(_) => links.clear(),
                Block::InterfaceDescription(interface) => links.push(interface.linktype),
                Block::EnhancedPacket(packet) => {
                    let link = links.get(packet.interface_id as usize);
                    let link = link.copied().unwrap_or(DataLink::NULL);
                    self.frame(link, &packet.data, packet.original_len);
                }
                Block::SimplePacket(packet) => {
                    let link = links.first().copied().unwrap_or(DataLink::NULL);
                    self.frame(link, &packet.data, packet.original_len);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn frame(&mut self, link: DataLink, frame: &[u8], original_len: u32) {
        let packet = match link {
            DataLink::ETHERNET => ip_packet(frame, original_len as usize),
            _ => Err(LeftOut::NotEthernet),
        };
        let packet = packet.and_then(|packet| match self.packets.len() < PACKETS_MAX {
            true => Ok(packet),
            false => Err(LeftOut::BeyondLimit),
        });
        match packet {
            Ok(packet) => self.packets.push(packet.into()),
            Err(reason) => *self.left_out.entry(reason).or_default() += 1,
        }
    }

    fn left_out_text(&self) -> String {
        let reasons = self.left_out.iter().map(|(reason, count)| format!("{count} {reason}"));
        let reasons: Vec<_> = reasons.collect();
        if reasons.is_empty() {
            String::new()
        } else {
            format!("; left out: {}", reasons.join(", "))
        }
    }
}

/// For people: how many packets, how large, and what was left out.
impl fmt::Display for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, mean, left_out) = (self.packets.len(), self.mean(), self.left_out_text());
        write!(f, "{} is {count} packets, on average {mean:.1} octets{left_out}", self.name)
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotIp(0x0806) => "ARP",
            Self::NotIp(ether_type) => return write!(f, "of EtherType {ether_type:#06x}"),
            Self::NotEthernet => "not Ethernet",
            Self::CutShort => "cut short by the capture",
            Self::Malformed => "malformed",
            Self::Multicast => "to a group or broadcast",
            Self::TtlOut => "with no hop left",
            Self::Unroutable => "between addresses that are not routed",
            Self::BeyondLimit => "beyond the first 65536",
        })
    }
}

/// The IP packet of an Ethernet frame, if a gateway would forward it.
fn ip_packet(frame: &[u8], original_len: usize) -> Result<&[u8], LeftOut> {
    let header = eth::Frame::new_checked(frame).map_err(|_| LeftOut::Malformed)?;
    let mut ether_type = header.ethertype();
    let mut packet = &frame[eth::HEADER_LEN..];
    for _ in 0..TAGS_MAX {
        if !matches!(ether_type, EtherType::VLAN | EtherType(0x88a8)) {
            break;
        }
        ether_type = vlan::Tag::new_checked(packet).map_err(|_| LeftOut::Malformed)?.ethertype();
        packet = &packet[vlan::TAG_LEN..];
    }
    let cut = frame.len() < original_len;
    match ether_type {
        EtherType::IPV4 => ipv4_packet(packet, cut),
        EtherType::IPV6 => ipv6_packet(packet, cut),
        EtherType(other) => Err(LeftOut::NotIp(other)),
    }
}

fn ipv4_packet(octets: &[u8], cut: bool) -> Result<&[u8], LeftOut> {
    let packet = ip4::Packet::new_checked(octets).map_err(|error| match error {
        ip4::Error::TotalLenBeyondBuffer(_) if cut => LeftOut::CutShort,
        _ => LeftOut::Malformed,
    })?;
    if !packet.verify_checksum() {
        return Err(LeftOut::Malformed);
    }
    let (src, dst) = (packet.src(), packet.dst());
    if dst.is_multicast() || dst.is_broadcast() {
        return Err(LeftOut::Multicast);
    }
    if !is_plain_v4(src.to_bits()) || !is_plain_v4(dst.to_bits()) {
        return Err(LeftOut::Unroutable);
    }
    if packet.ttl() < HOPS_MIN {
        return Err(LeftOut::TtlOut);
    }
    Ok(&octets[..packet.total_len().into()])
}

fn ipv6_packet(octets: &[u8], cut: bool) -> Result<&[u8], LeftOut> {
    let packet = ip6::Packet::new_checked(octets).map_err(|error| match error {
        ip6::Error::PayloadBeyondBuffer(_) if cut => LeftOut::CutShort,
        _ => LeftOut::Malformed,
    })?;
    ip6::ext::upper(packet.next_header(), packet.payload()).map_err(|_| LeftOut::Malformed)?;
    let (src, dst) = (packet.src(), packet.dst());
    if dst.is_multicast() {
        return Err(LeftOut::Multicast);
    }
    let unusable = |address: std::net::Ipv6Addr| {
        address.is_unspecified()
            || address.is_loopback()
            || address.is_multicast()
            || address.to_ipv4_mapped().is_some()
    };
    if unusable(src) || unusable(dst) || src.is_unicast_link_local() || dst.is_unicast_link_local()
    {
        return Err(LeftOut::Unroutable);
    }
    if packet.hop_limit() < HOPS_MIN {
        return Err(LeftOut::TtlOut);
    }
    Ok(&octets[..packet.total_len()])
}

/// Two gateways take one each, and what reaches a host has one left.
const HOPS_MIN: u8 = 3;

#[cfg(test)]
pub(crate) mod tests {
    use std::borrow::Cow;
    use std::time::Duration;

    use pcap_file::pcap::{PcapPacket, PcapWriter};
    use pcap_file::pcapng::PcapNgWriter;
    use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
    use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionBlock;
    use wire::IpProto;

    use super::*;

    /// A file that goes when the test ends.
    pub(crate) struct TempFile(pub(crate) PathBuf);

    impl TempFile {
        pub(crate) fn new(name: &str, octets: &[u8]) -> Self {
            let path = std::env::temp_dir().join(format!("{}-{name}", std::process::id()));
            std::fs::write(&path, octets).unwrap();
            Self(path)
        }
    }

    impl Drop for TempFile {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8];
        frame.extend(ether_type.to_be_bytes());
        frame.extend(payload);
        frame
    }

    /// An IPv4 packet of so many octets.
    pub(crate) fn v4(dst: [u8; 4], ttl: u8, len: u16) -> Vec<u8> {
        let src = [192, 0, 2, 1];
        let mut ip = ip4::Repr::new(src.into(), dst.into(), IpProto::UDP, len - 20);
        ip.ttl = ttl;
        let mut packet = vec![0; len.into()];
        ip.emit(&mut packet).unwrap();
        packet
    }

    /// An IPv6 packet without payload.
    pub(crate) fn v6(dst: &str) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 0, 59, 64];
        packet.extend("2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
        packet.extend(dst.parse::<std::net::Ipv6Addr>().unwrap().octets());
        packet
    }

    /// A file of whole frames.
    pub(crate) fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
        records(frames.iter().map(|frame| (&frame[..], frame.len())))
    }

    /// A file of frames, each with the length that it had before it was captured.
    fn records<'a>(frames: impl IntoIterator<Item = (&'a [u8], usize)>) -> Vec<u8> {
        let mut writer = PcapWriter::new(Vec::new()).unwrap();
        for (frame, original_len) in frames {
            let original_len = original_len.try_into().unwrap();
            let packet = PcapPacket::new(Duration::ZERO, original_len, frame);
            writer.write_packet(&packet).unwrap();
        }
        writer.into_writer()
    }

    /// A capture of IPv4 and IPv6 packets with routable addresses.
    pub(crate) fn mixed() -> Vec<u8> {
        pcap(&[
            ethernet(0x0800, &v4([198, 51, 100, 1], 64, 40)),
            ethernet(0x86dd, &v6("2001:db8:1::1")),
            ethernet(0x0800, &v4([203, 0, 113, 7], 64, 1000)),
            ethernet(0x0806, &[0; 28]),
        ])
    }

    #[test]
    fn ip_packets_are_taken_as_they_are() {
        let mut padded = ethernet(0x0800, &v4([198, 51, 100, 1], 64, 28));
        padded.resize(60, 0xee);
        let mut tagged = ethernet(0x8100, &[0, 5, 0x86, 0xdd]);
        tagged.extend(v6("2001:db8::2"));
        let file = TempFile::new("taken.pcap", &pcap(&[padded, tagged]));
        let capture = Capture::read(&file.0).unwrap();
        assert_eq!(capture.packets()[0][..], v4([198, 51, 100, 1], 64, 28));
        assert_eq!(capture.packets()[1][..], v6("2001:db8::2"));
        assert_eq!(capture.largest(), 40);
        assert!(capture.to_string().ends_with("taken.pcap is 2 packets, on average 34.0 octets"));
    }

    #[test]
    fn what_is_not_forwarded_is_left_out_and_named() {
        let mut wrong_sum = v4([198, 51, 100, 1], 64, 28);
        wrong_sum[10] ^= 1;
        let frames = [
            ethernet(0x0800, &v4([198, 51, 100, 1], 64, 28)),
            ethernet(0x0806, &[0; 28]),
            ethernet(0x88cc, &[0; 28]),
            ethernet(0x0800, &v4([224, 0, 0, 5], 64, 28)),
            ethernet(0x0800, &v4([198, 51, 100, 1], 2, 28)),
            ethernet(0x0800, &v4([127, 0, 0, 1], 64, 28)),
            ethernet(0x0800, &wrong_sum),
            ethernet(0x86dd, &v6("fe80::1")),
            ethernet(0x86dd, &v6("ff02::1")),
            vec![2; 13],
        ];
        let long = ethernet(0x0800, &v4([198, 51, 100, 1], 64, 500));
        let whole = frames.iter().map(|frame| (&frame[..], frame.len()));
        let octets = records(whole.chain([(&long[..100], long.len())]));
        let file = TempFile::new("left.pcap", &octets);
        let capture = Capture::read(&file.0).unwrap();
        assert_eq!(capture.packets().len(), 1);
        let text = capture.to_string();
        let (_, left_out) = text.split_once("left out: ").unwrap();
        assert_eq!(
            left_out,
            "1 ARP, 1 of EtherType 0x88cc, 1 cut short by the capture, 2 malformed, \
             2 to a group or broadcast, 1 with no hop left, \
             2 between addresses that are not routed"
        );
    }

    /// The gateway takes them for martians, so in the bench they would be drops.
    #[test]
    fn mapped_addresses_are_left_out() {
        let frames =
            [ethernet(0x86dd, &v6("2001:db8::2")), ethernet(0x86dd, &v6("::ffff:1.2.3.4"))];
        let file = TempFile::new("mapped.pcap", &pcap(&frames));
        let capture = Capture::read(&file.0).unwrap();
        assert_eq!(capture.packets().len(), 1);
        assert!(capture.to_string().ends_with("1 between addresses that are not routed"));
    }

    #[test]
    fn the_newer_format_with_two_kinds_of_links() {
        let mut writer = PcapNgWriter::new(Vec::new()).unwrap();
        for linktype in [DataLink::IEEE802_11, DataLink::ETHERNET] {
            let interface = InterfaceDescriptionBlock { linktype, snaplen: 0, options: vec![] };
            writer.write_pcapng_block(interface).unwrap();
        }
        let frame = ethernet(0x0800, &v4([198, 51, 100, 1], 64, 100));
        for interface_id in [0, 1, 1] {
            let packet = EnhancedPacketBlock {
                interface_id,
                timestamp: Duration::ZERO,
                original_len: 114,
                data: Cow::Borrowed(&frame),
                options: vec![],
            };
            writer.write_pcapng_block(packet).unwrap();
        }
        let file = TempFile::new("newer.pcapng", &writer.into_inner());
        let capture = Capture::read(&file.0).unwrap();
        assert_eq!(capture.packets().len(), 2);
        assert!(capture.to_string().ends_with("; left out: 1 not Ethernet"));
    }

    #[test]
    fn errors_say_what_is_wrong_with_the_file() {
        let error = |path: &Path| Capture::read(path).unwrap_err().to_string();
        assert!(error(Path::new("/nowhere.pcap")).starts_with("/nowhere.pcap: No such file"));
        let text = TempFile::new("text.pcap", b"this is no capture, it is a text file");
        assert!(error(&text.0).contains("not a pcap or pcapng file, or damaged"));
        let empty = TempFile::new("empty.pcap", b"");
        assert!(error(&empty.0).contains("not a pcap or pcapng file, or damaged"));
        let arp = TempFile::new("arp.pcap", &pcap(&[ethernet(0x0806, &[0; 28])]));
        assert!(error(&arp.0).ends_with("no packet that a gateway would forward; left out: 1 ARP"));
        let mut short = mixed();
        short.truncate(short.len() - 3);
        let short = TempFile::new("short.pcap", &short);
        assert!(error(&short.0).contains("or damaged"), "{}", error(&short.0));
        let none = TempFile::new("none.pcap", &pcap(&[]));
        assert!(error(&none.0).ends_with("no packet that a gateway would forward"));
    }
}
