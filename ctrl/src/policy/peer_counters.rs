//! Counters of tunnel peers, which go on from one compilation to the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataplane::counters::{Traffic, total, traffic};
use dataplane::tables::tunnel::LastSequence;
use wire::IpPrefix;

/// Counters of one tunnel peer.
pub struct PeerCounters {
    /// Sent to it, but not by a shortcut.
    pub own: Arc<[Traffic]>,
    /// Sent to it by shortcuts. Those of a shortcut that is over stay, so that nothing that was
    /// sent is forgotten, and the next one goes on with them.
    shortcuts: BTreeMap<IpPrefix, Arc<[Traffic]>>,
    /// Received from it.
    pub received: Arc<[Traffic]>,
    /// GRE sequence number last accepted from it.
    pub sequence: Arc<LastSequence>,
}

impl PeerCounters {
    /// Of a new peer.
    pub(super) fn new(cores: usize) -> Self {
        PeerCounters {
            own: traffic(cores),
            shortcuts: BTreeMap::new(),
            received: traffic(cores),
            sequence: Arc::default(),
        }
    }

    /// Packets and octets sent to it, whichever way.
    #[must_use]
    pub fn sent(&self) -> (u64, u64) {
        let of_shortcuts = self.shortcuts.values().map(|sent| total(sent));
        of_shortcuts.fold(total(&self.own), |sum, of| (sum.0 + of.0, sum.1 + of.1))
    }

    /// Packets sent by the shortcut for `prefix`.
    #[must_use]
    pub fn sent_by(&self, prefix: IpPrefix) -> Option<u64> {
        self.shortcuts.get(&prefix).map(|sent| total(sent).0)
    }

    /// The counters of the shortcut for `prefix`: its own, those of one that is no shortcut to this
    /// peer any more, or new ones.
    pub(super) fn of_shortcut(
        &mut self,
        prefix: IpPrefix,
        is_shortcut: impl Fn(IpPrefix) -> bool,
        cores: usize,
    ) -> Arc<[Traffic]> {
        let shortcuts = &mut self.shortcuts;
        if let Some(sent) = shortcuts.get(&prefix) {
            return sent.clone();
        }
        let over = shortcuts.keys().copied().find(|of| !is_shortcut(*of));
        let sent = over.and_then(|of| shortcuts.remove(&of)).unwrap_or_else(|| traffic(cores));
        shortcuts.insert(prefix, sent.clone());
        sent
    }
}
