//! Random numbers from a seed, the same on every run, and told when a test fails.

/// xorshift64* (Vigna 2016).
pub struct Rng {
    seed: u64,
    state: u64,
}

impl Rng {
    pub fn new(seed: u64) -> Self {
        // Zero is the one state it never leaves.
        Rng { seed, state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    pub fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end
    }

    pub fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    /// A small change of the kind that breaks parsers: bits, lengths, cuts, growth, repetition.
    pub fn mutate(&mut self, data: &mut Vec<u8>) {
        if data.is_empty() {
            return data.extend(self.bytes(4));
        }
        let at = self.below(data.len());
        match self.below(8) {
            0 | 1 => data[at] ^= 1 << self.below(8),
            2 => data[at] = *self.pick(&[0, 1, 4, 0x7f, 0x80, 0xfe, 0xff]),
            3 if at + 1 < data.len() => {
                let value = *self.pick(&[0u16, 1, 7, 8, 20, 40, 0x1fff, 0x2000, 0x7fff, 0xffff]);
                data[at..at + 2].copy_from_slice(&value.to_be_bytes());
            }
            4 => data.truncate(at),
            5 => {
                let count = self.below(40);
                let tail = self.bytes(count);
                data.extend(tail);
            }
            6 => {
                let repeated = data[at..(at + 8).min(data.len())].to_vec();
                data.splice(at..at, repeated);
            }
            _ => data[at] = self.next() as u8,
        }
    }
}

impl Drop for Rng {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {}", self.seed);
        }
    }
}
