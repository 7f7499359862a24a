//! Tests of the crate as a whole: published vectors, captured packets, properties, forgeries.

use crate::{Aad, ICV_LEN, IV_LEN, Key, OpenJob, SealJob};

mod api;
mod hostile;
mod properties;
mod records;
mod vectors;

/// Ciphertext and ICV of `text`.
fn sealed(key: &Key, iv: [u8; IV_LEN], aad: Aad, text: &[u8]) -> Vec<u8> {
    let mut buffer = [text, &[0xa5; ICV_LEN]].concat();
    crate::seal(&mut [SealJob::new(key, iv, aad, &mut buffer).unwrap()]);
    buffer
}

/// The plaintext if `packet` is genuine. Asserts that nothing remains if it is not.
fn opened(key: &Key, iv: [u8; IV_LEN], aad: Aad, packet: &[u8]) -> Option<Vec<u8>> {
    let mut buffer = packet.to_vec();
    let mut jobs = [OpenJob::new(key, iv, aad, &mut buffer)];
    crate::open(&mut jobs);
    if jobs[0].verified() {
        buffer.truncate(packet.len() - ICV_LEN);
        return Some(buffer);
    }
    assert_eq!(buffer, vec![0; packet.len()], "a packet that is not verified leaves zeros");
    None
}
