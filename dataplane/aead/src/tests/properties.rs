//! Back ends agree with each other, and a burst with its jobs done one by one.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{back_ends, opened, sealed};
use crate::{Aad, Algorithm, Backend, ICV_LEN, IV_LEN, Key, OpenJob, SealJob};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn back_ends_agree(sa in sa(), packet in packet(), forged in any::<bool>()) {
        let Packet { iv, aad, text, flip, .. } = packet;
        let keys: Vec<Key> = back_ends().into_iter().map(|backend| sa.key(backend)).collect();
        let mut buffer = sealed(&keys[0], iv, aad, &text);
        for key in &keys {
            prop_assert_eq!(&buffer, &sealed(key, iv, aad, &text));
        }
        if forged {
            flip_bit(&mut buffer, flip);
        }
        let expected = (!forged).then_some(text);
        for key in &keys {
            prop_assert_eq!(&opened(key, iv, aad, &buffer), &expected);
        }
    }

    #[test]
    fn a_burst_is_its_jobs_one_by_one(sas in vec(sa(), 1..8), packets in vec(packet(), 0..80)) {
        let keys: Vec<Key> = sas.iter().map(|sa| sa.key(sa.backend)).collect();
        let oracles: Vec<Key> = sas.iter().map(|sa| sa.key(Backend::Portable)).collect();
        let sa_of = |packet: &Packet| packet.sa % sas.len();
        let room = |packet: &Packet| [&packet.text[..], &[0xee; ICV_LEN]].concat();
        let mut buffers: Vec<_> = packets.iter().map(room).collect();

        let jobs = packets.iter().zip(&mut buffers);
        let mut jobs: Vec<_> = jobs
            .map(|(packet, buffer)| {
                SealJob::new(&keys[sa_of(packet)], packet.iv, packet.aad, buffer).unwrap()
            })
            .collect();
        crate::seal(&mut jobs);
        for (packet, buffer) in packets.iter().zip(&mut buffers) {
            let alone = sealed(&oracles[sa_of(packet)], packet.iv, packet.aad, &packet.text);
            prop_assert_eq!(&*buffer, &alone);
            if packet.forged {
                flip_bit(buffer, packet.flip);
            }
        }

        let jobs = packets.iter().zip(&mut buffers);
        let mut jobs: Vec<_> = jobs
            .map(|(packet, buffer)| {
                OpenJob::new(&keys[sa_of(packet)], packet.iv, packet.aad, buffer)
            })
            .collect();
        crate::open(&mut jobs);
        let verified: Vec<bool> = jobs.iter().map(OpenJob::verified).collect();
        for ((packet, buffer), verified) in packets.iter().zip(&buffers).zip(verified) {
            prop_assert_eq!(verified, !packet.forged);
            if verified {
                prop_assert_eq!(&buffer[..packet.text.len()], &packet.text[..]);
            } else {
                prop_assert!(buffer.iter().all(|&octet| octet == 0));
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Sa {
    algorithm: Algorithm,
    backend: Backend,
    material: Vec<u8>,
}

impl Sa {
    fn key(&self, backend: Backend) -> Key {
        Key::new(self.algorithm, backend, &self.material).unwrap()
    }
}

#[derive(Clone, Debug)]
struct Packet {
    /// Index into the SAs, modulo their number.
    sa: usize,
    iv: [u8; IV_LEN],
    aad: Aad,
    text: Vec<u8>,
    forged: bool,
    /// Bit to flip, modulo the number of bits.
    flip: usize,
}

fn sa() -> impl Strategy<Value = Sa> {
    (select(&Algorithm::ALL[..]), select(back_ends())).prop_flat_map(|(algorithm, backend)| {
        vec(any::<u8>(), algorithm.material_len()).prop_map(move |material| Sa {
            algorithm,
            backend,
            material,
        })
    })
}

fn packet() -> impl Strategy<Value = Packet> {
    let aad = prop_oneof![
        any::<(u32, u32)>().prop_map(|(spi, seq)| Aad::esp(spi, seq)),
        any::<(u32, u32, u32)>().prop_map(|(spi, hi, lo)| Aad::esn(spi, hi, lo)),
    ];
    let text = prop_oneof![
        4 => vec(any::<u8>(), 0..=160),
        2 => vec(any::<u8>(), 0..=1500),
        1 => vec(any::<u8>(), 0..=9000),
    ];
    (any::<usize>(), any::<[u8; IV_LEN]>(), aad, text, any::<bool>(), any::<usize>())
        .prop_map(|(sa, iv, aad, text, forged, flip)| Packet { sa, iv, aad, text, forged, flip })
}

fn flip_bit(buffer: &mut [u8], flip: usize) {
    let bit = flip % (buffer.len() * 8);
    buffer[bit / 8] ^= 1 << (bit % 8);
}
