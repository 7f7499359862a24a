//! Additional authenticated data of an ESP packet.

/// Room for additional authenticated data: one GHASH block, so that a kernel absorbs it in one
/// multiplication. ESP needs at most 12 octets of it.
const AAD_LEN_MAX: usize = 16;

/// Additional authenticated data of one packet, held inline (RFC 4106, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aad {
    /// Zero beyond `len`, as GHASH pads it.
    block: [u8; AAD_LEN_MAX],
    len: u8,
}

impl Aad {
    /// SPI and 32-bit sequence number: 8 octets, of an SA without extended sequence numbers.
    #[must_use]
    #[inline]
    pub const fn esp(spi: u32, seq: u32) -> Self {
        let ([s0, s1, s2, s3], [q0, q1, q2, q3]) = (spi.to_be_bytes(), seq.to_be_bytes());
        Self { block: [s0, s1, s2, s3, q0, q1, q2, q3, 0, 0, 0, 0, 0, 0, 0, 0], len: 8 }
    }

    /// SPI and both halves of the 64-bit sequence number: 12 octets, of an SA with extended
    /// sequence numbers. The high half never crosses the wire.
    #[must_use]
    #[inline]
    pub const fn esn(spi: u32, seq_hi: u32, seq_lo: u32) -> Self {
        let ([s0, s1, s2, s3], [h0, h1, h2, h3]) = (spi.to_be_bytes(), seq_hi.to_be_bytes());
        let [l0, l1, l2, l3] = seq_lo.to_be_bytes();
        Self { block: [s0, s1, s2, s3, h0, h1, h2, h3, l0, l1, l2, l3, 0, 0, 0, 0], len: 12 }
    }

    /// [`Aad::esn`] if there is a high half of the sequence number, else [`Aad::esp`].
    #[must_use]
    #[inline]
    pub const fn new(spi: u32, seq_hi: Option<u32>, seq_lo: u32) -> Self {
        match seq_hi {
            Some(seq_hi) => Self::esn(spi, seq_hi, seq_lo),
            None => Self::esp(spi, seq_lo),
        }
    }

    /// The octets in the order in which they are authenticated.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.block[..usize::from(self.len)]
    }

    /// The octets, and zeros up to a whole block.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn padded(&self) -> &[u8; AAD_LEN_MAX] {
        &self.block
    }

    /// Any octets that fit, for vectors that are not of ESP.
    #[cfg(test)]
    pub(crate) fn from_octets(octets: &[u8]) -> Option<Self> {
        let mut block = [0; AAD_LEN_MAX];
        block.get_mut(..octets.len())?.copy_from_slice(octets);
        Some(Self { block, len: u8::try_from(octets.len()).ok()? })
    }
}
