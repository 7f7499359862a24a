//! Tests of the crate as a whole: published vectors, captured packets, properties, forgeries.

use std::io::{Write, stderr};
use std::sync::Once;

use crate::{Aad, Algorithm, Backend, ICV_LEN, IV_LEN, Key, OpenJob, SealJob};

mod api;
mod bursts;
mod fuzz;
mod hostile;
mod lengths;
mod memory;
mod properties;
mod records;
mod rng;
mod vectors;

/// The back ends that this machine can test. Says which it cannot, past the test harness, which
/// keeps to itself what a test prints.
pub(crate) fn back_ends() -> Vec<Backend> {
    static SAID: Once = Once::new();
    let (available, missing): (Vec<_>, Vec<_>) =
        Backend::ALL.into_iter().partition(|backend| backend.is_available());
    SAID.call_once(|| {
        for backend in missing {
            writeln!(stderr(), "SKIPPED: all tests of {backend}: this CPU cannot run it").unwrap();
        }
    });
    available
}

/// Each algorithm with each back end that this machine can test.
fn kinds() -> impl Iterator<Item = (Algorithm, Backend)> {
    let backends = |algorithm| back_ends().into_iter().map(move |backend| (algorithm, backend));
    Algorithm::ALL.into_iter().flat_map(backends)
}

/// A key of each kind.
fn keys() -> impl Iterator<Item = Key> {
    kinds().map(|(algorithm, backend)| {
        Key::new(algorithm, backend, &vec![0x42; algorithm.material_len()]).unwrap()
    })
}

/// Ciphertext and ICV of `text`.
fn sealed(key: &Key, iv: [u8; IV_LEN], aad: Aad, text: &[u8]) -> Vec<u8> {
    let mut buffer = [text, &[0xa5; ICV_LEN]].concat();
    crate::seal(&mut [SealJob::new(key, iv, aad, &mut buffer).unwrap()]);
    buffer
}

/// The plaintext if `packet` is genuine. Asserts that nothing remains if it is not, and the ICV if
/// it is.
fn opened(key: &Key, iv: [u8; IV_LEN], aad: Aad, packet: &[u8]) -> Option<Vec<u8>> {
    let mut buffer = packet.to_vec();
    let mut jobs = [OpenJob::new(key, iv, aad, &mut buffer)];
    crate::open(&mut jobs);
    if jobs[0].verified() {
        let icv = buffer.split_off(packet.len() - ICV_LEN);
        assert_eq!(icv, packet[packet.len() - ICV_LEN..], "the ICV stays behind the text");
        return Some(buffer);
    }
    assert_eq!(buffer, vec![0; packet.len()], "a packet that is not verified leaves zeros");
    None
}
