//! The states of a neighbour: RFC 4861 7.3 and appendix C, as a pure function.
//!
//! ```text
//!   Incomplete -- answer -----> Reachable       3 questions, no answer --> Failed
//!   Reachable --- time -------> Probe if wanted, else Stale
//!   Stale ------- time -------> Probe if wanted, else gone
//!   Probe ------- answer -----> Reachable       3 questions, no answer --> Incomplete, or gone
//!   Failed ------ hold-down --> Incomplete if pinned, else gone
//!   any --------- told anew --> Stale: known, to be confirmed
//! ```
//!
//! DELAY of the RFC is the `Stale` that ends in a probe: nobody reports the use of an entry, so a
//! neighbour which is wanted is probed when it gets old, used or not.

/// What is known of a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Asked for, not known; packets wait.
    Incomplete,
    /// Known, and confirmed lately.
    Reachable,
    /// Known, not confirmed; used all the same.
    Stale,
    /// Known, and being asked for confirmation.
    Probe,
    /// Has not answered: not asked again for a while.
    Failed,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Incomplete, Self::Reachable, Self::Stale, Self::Probe, Self::Failed];

    /// Whether the link-layer address is known, so that packets can be sent.
    #[must_use]
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::Reachable | Self::Stale | Self::Probe)
    }

    /// Whether the neighbour has been asked and may still answer.
    #[must_use]
    pub const fn is_asked(self) -> bool {
        matches!(self, Self::Incomplete | Self::Probe | Self::Failed)
    }
}

/// The link-layer address in a message, compared with the known one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seen {
    /// There is none.
    Absent,
    /// The known one.
    Same,
    /// Another, or the first.
    Different,
}

/// Who needs a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    /// A route or tunnel: it is to be resolved at all times.
    Pinned,
    /// A packet did, lately.
    Young,
    /// Nobody, as far as is known.
    Nobody,
}

/// What happens to a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// It says where it is: an advertisement, an ARP reply, or a question to us, which counts as
    /// not solicited and overriding (RFC 4861 7.2.3).
    Told {
        /// Its link-layer address.
        mac: Seen,
        /// As the answer to a question of ours.
        solicited: bool,
        /// It overrides what is known.
        overrides: bool,
    },
    /// The time of the state is over.
    Timeout {
        /// Who needs it.
        need: Need,
        /// Whether a question may be repeated.
        retry: bool,
    },
}

/// What follows from an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Nothing changes; a timer keeps running.
    Keep,
    /// Enter the state, with the known link-layer address; its timer starts again.
    Enter(State),
    /// Enter the state with the link-layer address that was told.
    Adopt(State),
    /// Ask again, in the same state.
    Ask,
    /// Forget the neighbour.
    Remove,
}

/// What an event means in a state.
#[must_use]
pub const fn step(state: State, event: Event) -> Step {
    match event {
        Event::Told { mac, solicited, overrides } => told(state, mac, solicited, overrides),
        Event::Timeout { need, retry } => timeout(state, need, retry),
    }
}

/// RFC 4861 7.2.5, and 7.2.3 for questions.
const fn told(state: State, mac: Seen, solicited: bool, overrides: bool) -> Step {
    let confirmed = if solicited { State::Reachable } else { State::Stale };
    match (state, mac) {
        // Without an address nothing is resolved, whatever the flags say.
        (State::Incomplete | State::Failed, Seen::Absent) => Step::Keep,
        (State::Incomplete | State::Failed, Seen::Same | Seen::Different) => Step::Adopt(confirmed),
        (State::Reachable, Seen::Different) if !overrides => Step::Enter(State::Stale),
        (State::Stale | State::Probe, Seen::Different) if !overrides => Step::Keep,
        (_, Seen::Different) => Step::Adopt(confirmed),
        (_, Seen::Absent | Seen::Same) if solicited => Step::Enter(State::Reachable),
        (_, Seen::Absent | Seen::Same) => Step::Keep,
    }
}

const fn timeout(state: State, need: Need, retry: bool) -> Step {
    match (state, need) {
        (State::Incomplete | State::Probe, _) if retry => Step::Ask,
        (State::Incomplete, _) => Step::Enter(State::Failed),
        (State::Failed | State::Probe, Need::Pinned) => Step::Enter(State::Incomplete),
        (State::Failed | State::Probe, Need::Young | Need::Nobody) => Step::Remove,
        (State::Reachable, Need::Nobody) => Step::Enter(State::Stale),
        (State::Stale, Need::Nobody) => Step::Remove,
        (State::Reachable | State::Stale, Need::Pinned | Need::Young) => Step::Enter(State::Probe),
    }
}
