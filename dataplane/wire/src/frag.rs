//! Fragmentation as arithmetic: where each fragment lies and what its header is (RFC 791 3.2, RFC
//! 8200 4.5), and which fragments are never to be reassembled (RFC 1858, 3128). No buffer is owned
//! here, and no payload is moved.

use core::fmt;
use core::ops::Range;

use crate::emit::{EmitError, room};
use crate::ip4::{self, options};
use crate::ip6::{self, ext};
use crate::ipproto::IpProto;

/// Fragments lie on multiples of this many octets.
const UNIT: usize = 8;
/// Octets of the largest datagram.
const DATAGRAM_MAX: usize = 65535;
/// Octets that a first fragment of TCP holds at least, so that its flags can be seen (RFC 3128 3).
const FIRST_TCP_MIN: usize = 16;
/// Octets of fixed IPv6 header and fragment header.
pub const IP6_HEADERS_LEN: usize = ip6::HEADER_LEN + ext::FRAGMENT_LEN;

/// Why a packet is not fragmented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// DF is set: answer with fragmentation needed.
    DontFragment,
    /// The MTU has no room for the header and eight octets.
    Mtu,
    /// The options are malformed, so one cannot know which to copy.
    Options(options::Error),
    /// The fragments would end beyond the largest datagram.
    BeyondEnd,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DontFragment => f.write_str("packet exceeds the MTU and has DF set"),
            Self::Mtu => f.write_str("MTU too small to fragment"),
            Self::Options(error) => error.fmt(f),
            Self::BeyondEnd => f.write_str("fragments exceed the largest datagram"),
        }
    }
}

impl core::error::Error for Error {}

/// One fragment of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// What of the packet's payload it carries.
    pub payload: Range<usize>,
    /// Its offset in the original datagram, in octets: a multiple of 8.
    pub offset: u16,
    /// Whether another one follows it, in this packet or, if that is a fragment, in a later one.
    pub more: bool,
}

/// The fragments of a payload, in order; none of an empty one.
#[derive(Clone, Debug)]
pub struct Fragments {
    /// Octets of payload.
    len: usize,
    /// Octets of payload already given.
    at: usize,
    /// Where the payload lies in the original datagram.
    base: u16,
    more_after: bool,
    room_first: usize,
    room_later: usize,
}

impl Fragments {
    /// Fragments of an IPv4 packet, itself perhaps a fragment, each at most `mtu` octets with the
    /// header that [`write_ip4_header`] makes.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn ip4<T: AsRef<[u8]> + ?Sized>(
        packet: &ip4::Packet<&T>,
        mtu: usize,
    ) -> Result<Self, Error> {
        let len = packet.payload().len();
        if packet.header_len() + len > mtu && packet.dont_fragment() {
            return Err(Error::DontFragment);
        }
        let later_len = later_header_len(packet).map_err(Error::Options)?;
        Self {
            len,
            at: 0,
            base: packet.fragment_offset(),
            more_after: packet.more_fragments(),
            room_first: mtu.saturating_sub(packet.header_len()),
            room_later: mtu.saturating_sub(later_len),
        }
        .checked()
    }

    /// Fragments of an IPv6 payload of `len` octets, each at most `mtu` octets with the headers
    /// that [`write_ip6_headers`] makes. Only a source may do this (RFC 8200 4.5): here, for the
    /// outer packets of a tunnel, which have no extension headers.
    ///
    /// # Errors
    /// [`Error::Mtu`], [`Error::BeyondEnd`].
    pub fn ip6(len: usize, mtu: usize) -> Result<Self, Error> {
        let room = mtu.saturating_sub(IP6_HEADERS_LEN);
        Self { len, at: 0, base: 0, more_after: false, room_first: room, room_later: room }
            .checked()
    }

    /// Each fragment but the last has at least one unit. Later headers are never longer than the
    /// first, so its room decides.
    fn checked(self) -> Result<Self, Error> {
        if self.room_first < self.len.min(UNIT) {
            return Err(Error::Mtu);
        }
        if usize::from(self.base) + self.len > DATAGRAM_MAX {
            return Err(Error::BeyondEnd);
        }
        Ok(self)
    }
}

impl Iterator for Fragments {
    type Item = Fragment;

    fn next(&mut self) -> Option<Fragment> {
        let rest = self.len - self.at;
        if rest == 0 {
            return None;
        }
        let room = if self.at == 0 { self.room_first } else { self.room_later };
        let len = if rest <= room { rest } else { room / UNIT * UNIT };
        let payload = self.at..self.at + len;
        let offset = u16::try_from(usize::from(self.base) + self.at).ok()?;
        let last = payload.end == self.len;
        self.at = payload.end;
        Some(Fragment { payload, offset, more: !last || self.more_after })
    }
}

/// Writes the header of a fragment of `packet`, with its checksum, at the start of `out`; returns
/// its length. The first fragment has all options, the others those with the copy bit (RFC 791
/// 3.1).
///
/// # Errors
/// [`EmitError::NoRoom`]; [`EmitError::TooLong`] for a fragment of another packet.
pub fn write_ip4_header<T: AsRef<[u8]> + ?Sized>(
    packet: &ip4::Packet<&T>,
    fragment: &Fragment,
    out: &mut [u8],
) -> Result<usize, EmitError> {
    let first = fragment.payload.start == 0;
    let len = if first {
        packet.header_len()
    } else {
        later_header_len(packet).map_err(|_| EmitError::TooLong)?
    };
    let total_len = u16::try_from(len + fragment.payload.len()).map_err(|_| EmitError::TooLong)?;
    let out = room(out, len)?;
    let header = &packet.as_bytes()[..packet.header_len()];
    if first {
        out.copy_from_slice(header);
    } else {
        let (fixed, copied) = out.split_at_mut(ip4::HEADER_LEN);
        fixed.copy_from_slice(&header[..ip4::HEADER_LEN]);
        copied.fill(options::END);
        let mut at = 0;
        for option in copied_options(packet).map_while(Result::ok) {
            copied[at..at + option.len()].copy_from_slice(option);
            at += option.len();
        }
    }
    let mut view = ip4::Packet::with_header_len(out, len);
    view.set_total_len(total_len);
    view.set_fragment(packet.dont_fragment(), fragment.more, fragment.offset);
    view.fill_checksum();
    Ok(len)
}

/// Writes the fixed header and the fragment header of a fragment of `packet`, which has no
/// extension headers, at the start of `out`; returns [`IP6_HEADERS_LEN`]. All fragments of a packet
/// have the same `ident`, and no other packet between the two addresses has it at that time.
///
/// # Errors
/// [`EmitError::NoRoom`]; [`EmitError::TooLong`] for a fragment of another packet.
pub fn write_ip6_headers<T: AsRef<[u8]>>(
    packet: &ip6::Packet<T>,
    fragment: &Fragment,
    ident: u32,
    out: &mut [u8],
) -> Result<usize, EmitError> {
    let payload_len = ext::FRAGMENT_LEN + fragment.payload.len();
    let payload_len = u16::try_from(payload_len).map_err(|_| EmitError::TooLong)?;
    let fixed =
        ip6::Repr { next_header: IpProto::FRAGMENT, payload_len, ..ip6::Repr::parse(packet) };
    let header = ext::Fragment {
        next_header: packet.next_header(),
        offset: fragment.offset,
        more: fragment.more,
        ident,
    };
    let out = room(out, IP6_HEADERS_LEN)?;
    let at = fixed.emit(out)?;
    Ok(at + header.emit(&mut out[at..])?)
}

/// Why a received fragment is dropped before reassembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// It carries nothing.
    Empty,
    /// More fragments follow, yet its length is no multiple of 8.
    Unaligned,
    /// The datagram would be longer than 65535 octets.
    BeyondEnd,
    /// A first fragment too short to show ports or flags, or a second one that overwrites them.
    Tiny,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "empty fragment",
            Self::Unaligned => "fragment length is no multiple of 8",
            Self::BeyondEnd => "fragment ends beyond the largest datagram",
            Self::Tiny => "fragment too small to show its upper layer",
        })
    }
}

impl core::error::Error for Refused {}

/// Whether a fragment of an IPv4 packet may enter reassembly, for what it alone can tell.
///
/// # Errors
/// See [`Refused`].
#[inline]
pub fn check_ip4<T: AsRef<[u8]> + ?Sized>(packet: &ip4::Packet<&T>) -> Result<(), Refused> {
    let fragment = ext::Fragment {
        next_header: packet.protocol(),
        offset: packet.fragment_offset(),
        more: packet.more_fragments(),
        ident: packet.ident().into(),
    };
    check(&fragment, packet.payload().len(), DATAGRAM_MAX - packet.header_len())
}

/// Whether a fragment with this header and `len` octets behind it may enter reassembly, for what it
/// alone can tell.
///
/// # Errors
/// See [`Refused`].
#[inline]
pub fn check_ip6(fragment: &ext::Fragment, len: usize) -> Result<(), Refused> {
    check(fragment, len, DATAGRAM_MAX)
}

#[inline]
fn check(fragment: &ext::Fragment, len: usize, end_max: usize) -> Result<(), Refused> {
    let tcp = fragment.next_header == IpProto::TCP;
    let offset = usize::from(fragment.offset);
    if len == 0 {
        return Err(Refused::Empty);
    }
    if fragment.more && !len.is_multiple_of(UNIT) {
        return Err(Refused::Unaligned);
    }
    if offset + len > end_max {
        return Err(Refused::BeyondEnd);
    }
    // RFC 1858 3.2.2: nothing of TCP starts within its first 16 octets but the first fragment. That
    // one holds a unit at least, by the alignment above: enough for ports and SPIs.
    let tiny_first = offset == 0 && fragment.more && len < FIRST_TCP_MIN;
    if tcp && (tiny_first || offset == UNIT) {
        return Err(Refused::Tiny);
    }
    Ok(())
}

/// Octets of the header of a fragment other than the first.
fn later_header_len<T: AsRef<[u8]> + ?Sized>(
    packet: &ip4::Packet<&T>,
) -> Result<usize, options::Error> {
    let mut copied = 0;
    for option in copied_options(packet) {
        copied += option?.len();
    }
    Ok(ip4::HEADER_LEN + copied.next_multiple_of(4))
}

fn copied_options<'p, T: AsRef<[u8]> + ?Sized>(
    packet: &'p ip4::Packet<&T>,
) -> impl Iterator<Item = Result<&'p [u8], options::Error>> {
    options::Options::new(packet.options())
        .filter(|option| option.is_err() || option.is_ok_and(|option| option.is_copied()))
        .map(|option| option.map(|option| option.as_bytes()))
}

#[cfg(test)]
mod tests;
