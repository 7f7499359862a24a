//! Writes packets into a buffer of the caller's.

use core::net::IpAddr;

use super::cie::{CIE_LEN, Cie};
use super::extension::{CLEARTEXT, HEAD_LEN, PASSWORD_MAX, Tag};
use super::header::{Families, Family, HEADER_LEN, Header, Packet, VERSION, field};
use crate::bytes::put;
use crate::checksum;
use crate::emit::EmitError;

/// A packet in the making: header, then CIEs or a quoted packet, then extensions, then
/// [`Self::finish`].
///
/// After an error the buffer holds a piece of a packet, to be thrown away. Each method fails with
/// [`EmitError::NoRoom`] if the buffer is full, and with [`EmitError::TooLong`] if a length does
/// not fit, or an address is of another family than the packet's.
#[derive(Debug)]
pub struct Builder<'a> {
    out: &'a mut [u8],
    len: usize,
    /// Where the extensions begin, if there are any.
    extensions: Option<usize>,
    families: Families,
}

impl<'a> Builder<'a> {
    /// Begins a packet with its header and addresses.
    ///
    /// # Errors
    /// [`EmitError`].
    pub fn new(out: &'a mut [u8], header: &Header) -> Result<Self, EmitError> {
        let families = Families::of(header.src_nbma, header.src_protocol);
        let mut builder = Self { out, len: 0, extensions: None, families };
        let mut fixed = [0; HEADER_LEN];
        let (family, protocol) = families.numbers();
        put(&mut fixed, field::FAMILY, &family.to_be_bytes());
        put(&mut fixed, field::PROTOCOL, &protocol.to_be_bytes());
        fixed[field::HOP_COUNT] = header.hop_count;
        fixed[field::VERSION] = VERSION;
        fixed[field::KIND] = header.kind as u8;
        fixed[field::NBMA_LEN] = len_octet(families.nbma());
        fixed[field::SRC_LEN] = len_octet(families.protocol());
        fixed[field::DST_LEN] = len_octet(families.protocol());
        put(&mut fixed, field::FLAGS, &header.flags.0.to_be_bytes());
        put(&mut fixed, field::REQUEST_ID, &header.request_id.to_be_bytes());
        builder.push(&fixed)?;
        builder.address(header.src_nbma, families.nbma())?;
        builder.address(header.src_protocol, families.protocol())?;
        builder.address(header.dst_protocol, families.protocol())?;
        Ok(builder)
    }

    /// Begins a packet that is passed on: the mandatory part of another, octet by octet, with
    /// another hop count.
    ///
    /// # Errors
    /// [`EmitError`].
    pub fn pass_on<T: AsRef<[u8]>>(
        out: &'a mut [u8],
        packet: &Packet<T>,
        hop_count: u8,
    ) -> Result<Self, EmitError> {
        let mut builder = Self { out, len: 0, extensions: None, families: packet.families() };
        builder.push(packet.mandatory_part())?;
        builder.out[field::HOP_COUNT] = hop_count;
        Ok(builder)
    }

    /// Adds a CIE to the mandatory part.
    ///
    /// # Errors
    /// [`EmitError`].
    pub fn cie(&mut self, cie: &Cie) -> Result<(), EmitError> {
        debug_assert!(self.extensions.is_none(), "extensions come last");
        self.push_cie(cie)
    }

    /// Adds the head of the packet that an error or a traffic indication is about.
    ///
    /// # Errors
    /// [`EmitError`].
    pub fn quote(&mut self, head: &[u8]) -> Result<(), EmitError> {
        debug_assert!(self.extensions.is_none(), "extensions come last");
        self.push(head)
    }

    /// Adds an extension.
    ///
    /// # Errors
    /// [`EmitError`].
    pub fn extension(&mut self, tag: Tag, value: &[u8]) -> Result<(), EmitError> {
        self.cie_extension(tag, value, &[])
    }

    /// Adds an extension of CIEs: those that a packet brought, as they are, and more.
    ///
    /// # Errors
    /// [`EmitError`].
    pub fn cie_extension(
        &mut self,
        tag: Tag,
        brought: &[u8],
        more: &[Cie],
    ) -> Result<(), EmitError> {
        let len = brought.len() + more.iter().map(Cie::wire_len).sum::<usize>();
        self.extension_head(tag, len)?;
        self.push(brought)?;
        more.iter().try_for_each(|cie| self.push_cie(cie))
    }

    /// Adds authentication by a password of 1 to [`PASSWORD_MAX`] octets in cleartext.
    ///
    /// # Errors
    /// [`EmitError`].
    pub fn authentication(&mut self, password: &[u8]) -> Result<(), EmitError> {
        if !(1..=PASSWORD_MAX).contains(&password.len()) {
            return Err(EmitError::TooLong);
        }
        let method = CLEARTEXT.to_be_bytes();
        self.extension_head(Tag::compulsory(Tag::AUTHENTICATION), method.len() + password.len())?;
        self.push(&method)?;
        self.push(password)
    }

    /// Ends the extensions, if there are any, and fills in size, offset and checksum; returns the
    /// packet's length.
    ///
    /// # Errors
    /// [`EmitError`].
    pub fn finish(mut self) -> Result<usize, EmitError> {
        let offset = self.extensions.unwrap_or(0);
        if self.extensions.is_some() {
            self.extension_head(Tag::compulsory(Tag::END), 0)?;
        }
        let size = u16::try_from(self.len).map_err(|_| EmitError::TooLong)?;
        let offset = u16::try_from(offset).map_err(|_| EmitError::TooLong)?;
        let packet = &mut self.out[..self.len];
        put(packet, field::SIZE, &size.to_be_bytes());
        put(packet, field::EXTENSIONS, &offset.to_be_bytes());
        put(packet, field::CHECKSUM, &[0; 2]);
        let sum = checksum::of(packet);
        put(packet, field::CHECKSUM, &sum.to_be_bytes());
        Ok(self.len)
    }

    fn extension_head(&mut self, tag: Tag, len: usize) -> Result<(), EmitError> {
        let len = u16::try_from(len).map_err(|_| EmitError::TooLong)?;
        self.extensions.get_or_insert(self.len);
        let mut head = [0; HEAD_LEN];
        put(&mut head, 0..2, &tag.0.to_be_bytes());
        put(&mut head, 2..4, &len.to_be_bytes());
        self.push(&head)
    }

    fn push_cie(&mut self, cie: &Cie) -> Result<(), EmitError> {
        let (nbma, protocol) = (self.families.nbma(), self.families.protocol());
        let mut fixed = [0; CIE_LEN];
        fixed[0] = cie.code.0;
        fixed[1] = cie.prefix_len;
        put(&mut fixed, 4..6, &cie.mtu.to_be_bytes());
        put(&mut fixed, 6..8, &cie.holding_time.to_be_bytes());
        fixed[8] = cie.nbma.map_or(0, |_| len_octet(nbma));
        fixed[10] = cie.protocol.map_or(0, |_| len_octet(protocol));
        fixed[11] = cie.preference;
        self.push(&fixed)?;
        cie.nbma.map_or(Ok(()), |address| self.address(address, nbma))?;
        cie.protocol.map_or(Ok(()), |address| self.address(address, protocol))
    }

    fn address(&mut self, address: IpAddr, family: Family) -> Result<(), EmitError> {
        match address {
            IpAddr::V4(v4) if family == Family::V4 => self.push(&v4.octets()),
            IpAddr::V6(v6) if family == Family::V6 => self.push(&v6.octets()),
            _ => Err(EmitError::TooLong),
        }
    }

    fn push(&mut self, octets: &[u8]) -> Result<(), EmitError> {
        let end = self.len + octets.len();
        let room = self.out.get_mut(self.len..end).ok_or(EmitError::NoRoom)?;
        room.copy_from_slice(octets);
        self.len = end;
        Ok(())
    }
}

const fn len_octet(family: Family) -> u8 {
    match family {
        Family::V4 => 4,
        Family::V6 => 16,
    }
}
