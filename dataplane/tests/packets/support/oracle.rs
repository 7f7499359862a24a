//! ESP as another implementation reads and writes it: RFC 4303 and RFC 4106 over the aes-gcm
//! crate, sharing no code with the gateway's AEAD or its ESP parser.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes128Gcm, Aes256Gcm};

/// Keying material of one SA: key and salt.
#[derive(Debug, Clone)]
pub struct Sa {
    pub material: Vec<u8>,
    pub spi: u32,
    pub esn: bool,
}

/// What an ESP packet held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    pub sequence: u64,
    pub iv: u64,
    pub payload: Vec<u8>,
    pub padding: usize,
    pub next_header: u8,
}

impl Sa {
    fn nonce(&self, iv: &[u8]) -> [u8; 12] {
        let salt = &self.material[self.material.len() - 4..];
        [salt, iv].concat().try_into().unwrap()
    }

    fn aad(&self, sequence: u64) -> Vec<u8> {
        let mut aad = self.spi.to_be_bytes().to_vec();
        if self.esn {
            aad.extend(sequence.to_be_bytes());
        } else {
            aad.extend((sequence as u32).to_be_bytes());
        }
        aad
    }

    fn key(&self) -> &[u8] {
        &self.material[..self.material.len() - 4]
    }

    /// Seals plaintext that already has its trailer.
    pub fn seal_raw(&self, sequence: u64, plaintext: &[u8]) -> Vec<u8> {
        let iv = sequence.to_be_bytes();
        let aad = self.aad(sequence);
        let payload = Payload { msg: plaintext, aad: &aad };
        let nonce = self.nonce(&iv);
        let sealed = match self.key().len() {
            16 => Aes128Gcm::new_from_slice(self.key()).unwrap().encrypt(&nonce.into(), payload),
            _ => Aes256Gcm::new_from_slice(self.key()).unwrap().encrypt(&nonce.into(), payload),
        };
        let mut esp = self.spi.to_be_bytes().to_vec();
        esp.extend((sequence as u32).to_be_bytes());
        esp.extend(iv);
        esp.extend(sealed.unwrap());
        esp
    }

    /// Seals a payload, with the padding that RFC 4303 section 2.4 asks for.
    pub fn seal(&self, sequence: u64, next_header: u8, payload: &[u8]) -> Vec<u8> {
        let pad = (4 - (payload.len() + 2) % 4) % 4;
        let mut plaintext = payload.to_vec();
        plaintext.extend((1..).take(pad));
        plaintext.extend([pad as u8, next_header]);
        self.seal_raw(sequence, &plaintext)
    }

    /// Opens an ESP packet; panics with what is wrong with it. The high half of the sequence number
    /// is the caller's to know.
    pub fn open(&self, high: u32, esp: &[u8]) -> Opened {
        assert_eq!(esp[..4], self.spi.to_be_bytes(), "SPI");
        assert_eq!(esp.len() % 4, 0, "alignment");
        let low = u32::from_be_bytes(esp[4..8].try_into().unwrap());
        let sequence = u64::from(high) << 32 | u64::from(low);
        let aad = self.aad(sequence);
        let payload = Payload { msg: &esp[16..], aad: &aad };
        let nonce = self.nonce(&esp[8..16]);
        let opened = match self.key().len() {
            16 => Aes128Gcm::new_from_slice(self.key()).unwrap().decrypt(&nonce.into(), payload),
            _ => Aes256Gcm::new_from_slice(self.key()).unwrap().decrypt(&nonce.into(), payload),
        };
        let mut payload = opened.expect("the ICV verifies");
        let next_header = payload.pop().unwrap();
        let padding = usize::from(payload.pop().unwrap());
        let pad = payload.split_off(payload.len() - padding);
        assert!(pad.iter().copied().eq((1..).take(padding)), "padding octets are 1, 2, 3: {pad:?}");
        assert!(padding < 4, "no more padding than it takes");
        let iv = u64::from_be_bytes(esp[8..16].try_into().unwrap());
        Opened { sequence, iv, payload, padding, next_header }
    }
}
