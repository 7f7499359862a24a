//! The round keys of a packet, as vectors.

use std::ptr;

use super::schedule::{ROUND_KEYS_MAX, Schedule};
use super::vector::Vector;

/// The round keys of one key, in all lanes, where vectors [have the registers](Vector::KEEPS_KEYS):
/// they stay there from packet to packet. A broadcast from memory takes its share of the units that
/// do AES: on Zen 4, without any, a group of four vectors takes 74 core cycles instead of 85.
pub(super) struct Kept<V> {
    of: *const Schedule,
    keys: [V; ROUND_KEYS_MAX],
}

impl<V: Vector> Kept<V> {
    /// Those of no key.
    #[inline(always)]
    pub(super) fn nothing(token: V::Token) -> Self {
        Self { of: ptr::null(), keys: [V::zero(token); _] }
    }

    /// Those of this key, for so many rounds.
    #[inline(always)]
    pub(super) fn of<'a, const ROUNDS: usize>(
        &'a mut self,
        token: V::Token,
        schedule: &'a Schedule,
    ) -> RoundKeys<'a, V, ROUNDS> {
        if V::KEEPS_KEYS && !ptr::eq(self.of, schedule) {
            self.of = schedule;
            for (round, key) in self.keys.iter_mut().take(ROUNDS + 1).enumerate() {
                // Pinned: else compilers broadcast again where they want the register.
                *key = V::broadcast(token, schedule.round_key(round)).pin();
            }
        }
        RoundKeys { token, schedule, kept: V::KEEPS_KEYS.then_some(&self.keys) }
    }
}

/// The round keys of a packet that is under way.
#[derive(Clone, Copy)]
pub(super) struct RoundKeys<'a, V: Vector, const ROUNDS: usize> {
    token: V::Token,
    schedule: &'a Schedule,
    /// None: they are broadcast from memory, each time.
    kept: Option<&'a [V; ROUND_KEYS_MAX]>,
}

impl<'a, V: Vector, const ROUNDS: usize> RoundKeys<'a, V, ROUNDS> {
    /// Not kept.
    #[inline(always)]
    pub(super) fn in_memory(token: V::Token, schedule: &'a Schedule) -> Self {
        Self { token, schedule, kept: None }
    }

    /// The key of a round, from 0, in all lanes.
    #[inline(always)]
    pub(super) fn key(self, round: usize) -> V {
        match self.kept {
            Some(kept) => kept[round],
            None => V::broadcast(self.token, self.schedule.round_key(round)),
        }
    }

    /// Two rounds of AES from `first` on, as far as they are neither the last nor beyond. Compilers
    /// leave a loop what it is, and its keys in memory.
    #[inline(always)]
    pub(super) fn two_rounds<const N: usize>(self, state: &mut [V; N], first: usize) {
        self.round(state, first);
        self.round(state, first + 1);
    }

    /// A round of AES, if it is neither the last nor beyond.
    #[inline(always)]
    pub(super) fn round<const N: usize>(self, state: &mut [V; N], round: usize) {
        if round < ROUNDS {
            let key = self.key(round);
            for state in state {
                *state = state.aes_round(key).pin();
            }
        }
    }
}
