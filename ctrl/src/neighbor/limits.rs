//! How long and how many, and why.

use std::time::Duration;

/// RETRANS_TIMER, MAX_MULTICAST_SOLICIT and MAX_UNICAST_SOLICIT of RFC 4861 10.
pub(super) const RETRANSMIT: Duration = Duration::from_secs(1);
pub(super) const TRIES: u8 = 3;
/// REACHABLE_TIME of RFC 4861 10, which is varied by half (6.3.2).
pub(super) const REACHABLE: Duration = Duration::from_secs(30);
/// DELAY_FIRST_PROBE_TIME of RFC 4861 10.
pub(super) const DELAY: Duration = Duration::from_secs(5);
/// An entry that nobody asked for stays so long: as long as Linux' gc_stale_time.
pub(super) const STALE: Duration = Duration::from_secs(60);
/// A next hop that did not answer is not asked again for so long. It bounds the questions about an
/// absent host to 3 in 8 s, and the delay for one that comes up.
pub(super) const HOLD_DOWN: Duration = Duration::from_secs(5);
/// An entry is probed for so long after a packet asked for it. Packets do not ask again while the
/// adjacency exists; at the end a busy flow waits for one question.
pub(super) const YOUNG: Duration = Duration::from_secs(1200);

/// Neighbours in all: as many hosts as a /16 has, in some 20 MB.
pub(super) const ENTRIES_MAX: usize = 65_536;
/// Pins: leaves half of the table to packets.
pub(super) const PINS_MAX: usize = ENTRIES_MAX / 2;
/// With so many entries nothing more is learnt from questions to us.
pub(super) const LEARNING_MAX: usize = ENTRIES_MAX / 2;
/// Learnt from questions to us, per interface: the hosts of a /21. More have to be asked for by a
/// packet, so that no neighbour can fill the table with invented ones.
pub(super) const LEARNT_MAX: usize = 2048;
/// Unanswered next hops per interface, and in all. The oldest gives way, so that a scan of a subnet
/// neither fills the memory nor keeps a live host, which answers within milliseconds, out.
pub(super) const UNRESOLVED_MAX: usize = 256;
pub(super) const UNRESOLVED_TOTAL_MAX: usize = 1024;
/// Packets that wait for one next hop: enough for the first flight of a few flows.
pub(super) const QUEUE_MAX: usize = 8;
/// Packets that wait in all: they may hold mbufs, of which a port has some 10 000.
pub(super) const QUEUED_MAX: usize = 2048;
/// Timers that one poll serves, so that it never holds up the control thread.
pub(super) const POLL_MAX: usize = 512;
/// A link-layer address that was just learnt is not changed for so long: of two stations that claim
/// an address, or of a forger's flood, adjacencies see one change a second.
pub(super) const CHANGE_INTERVAL: Duration = Duration::from_secs(1);
