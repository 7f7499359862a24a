//! What happened so far.

use wire::nhrp::{Error, Kind};

/// Why a packet was not acted upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// The password is missing or wrong, or of an unknown method.
    Authentication,
    /// It is for somebody else.
    NotForUs,
    /// Its source is no host's address, or ours.
    Source,
    /// A reply to no question of ours: a wrong id, a wrong source, or it came before.
    Unsolicited,
    /// A compulsory extension that is not known here (RFC 2332 5.3).
    Extension,
    /// Its kind is not acted upon here.
    Kind,
    /// A registration was refused; the reply says why.
    Refused,
    /// A purge of what is not the sender's, or of more than one address.
    ThirdParty,
    /// A traffic indication about no packet of ours, or not on its way.
    Indication,
    /// It has been here before.
    Loop,
    /// Its hop count is used up.
    HopCount,
    /// There is no peer to pass it on to, but the one that it came from.
    NoRoute,
    /// There are too many questions or shortcuts.
    Full,
    /// The answer could not be written: it would be too large.
    TooLarge,
}

impl DropReason {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Authentication,
        Self::NotForUs,
        Self::Source,
        Self::Unsolicited,
        Self::Extension,
        Self::Kind,
        Self::Refused,
        Self::ThirdParty,
        Self::Indication,
        Self::Loop,
        Self::HopCount,
        Self::NoRoute,
        Self::Full,
        Self::TooLarge,
    ];

    /// A short name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::NotForUs => "not_for_us",
            Self::Source => "source",
            Self::Unsolicited => "unsolicited",
            Self::Extension => "extension",
            Self::Kind => "kind",
            Self::Refused => "refused",
            Self::ThirdParty => "third_party",
            Self::Indication => "indication",
            Self::Loop => "loop",
            Self::HopCount => "hop_count",
            Self::NoRoute => "no_route",
            Self::Full => "full",
            Self::TooLarge => "too_large",
        }
    }
}

/// Counts of packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    received: [u64; Kind::ALL.len()],
    sent: [u64; Kind::ALL.len()],
    malformed: [u64; Error::ALL.len()],
    dropped: [u64; DropReason::ALL.len()],
    /// Errors that were not sent because there were too many.
    pub errors_suppressed: u64,
}

impl Counters {
    /// Well-formed packets received of a kind.
    #[must_use]
    pub const fn received(&self, kind: Kind) -> u64 {
        self.received[kind as usize - 1]
    }

    /// Packets sent of a kind.
    #[must_use]
    pub const fn sent(&self, kind: Kind) -> u64 {
        self.sent[kind as usize - 1]
    }

    /// Packets that were malformed in this way.
    #[must_use]
    pub const fn malformed(&self, error: Error) -> u64 {
        self.malformed[error as usize]
    }

    /// Well-formed packets dropped for this reason.
    #[must_use]
    pub const fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    pub(crate) const fn receive(&mut self, kind: Kind) {
        self.received[kind as usize - 1] += 1;
    }

    pub(crate) const fn send(&mut self, kind: Kind) {
        self.sent[kind as usize - 1] += 1;
    }

    pub(crate) const fn malform(&mut self, error: Error) {
        self.malformed[error as usize] += 1;
    }

    pub(crate) const fn drop(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
    }
}
