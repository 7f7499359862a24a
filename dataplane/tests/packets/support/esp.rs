//! How packets between gateways are protected.

use aead::Algorithm;
use dataplane::tables::sa::{Lifetime, SaMode};

/// How ESP is done between two gateways.
#[derive(Debug, Clone, Copy)]
pub struct Esp {
    pub mode: SaMode,
    pub esn: bool,
    pub algorithm: Algorithm,
    pub udp: bool,
    /// Last sequence number already used, and the right edge of the windows.
    pub start: u64,
    pub window: u32,
    pub lifetime: Lifetime,
}

impl Esp {
    pub const TRANSPORT: Esp = Esp {
        mode: SaMode::Transport,
        esn: true,
        algorithm: Algorithm::Aes256Gcm16,
        udp: false,
        start: 0,
        window: 1024,
        lifetime: Lifetime { packets: 0, octets: 0, tsc: 0 },
    };
    pub const TUNNEL: Esp = Esp { mode: SaMode::Tunnel, ..Esp::TRANSPORT };

    /// One of the sixteen combinations of mode, ESN, cipher and UDP, by the low bits.
    pub fn combination(bits: u8) -> Esp {
        let bit = |n: u8| bits & 1 << n != 0;
        Esp {
            mode: if bit(0) { SaMode::Tunnel } else { SaMode::Transport },
            esn: bit(1),
            algorithm: if bit(2) { Algorithm::Aes128Gcm16 } else { Algorithm::Aes256Gcm16 },
            udp: bit(3),
            ..Esp::TRANSPORT
        }
    }
}
