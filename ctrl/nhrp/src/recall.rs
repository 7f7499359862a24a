//! Answers of ours that are taken back when routes change (RFC 2332 5.2.5, 5.2.6).
//!
//! ```text
//! egress > hub .. asker   Purge Request  prefix that the answer was for
//! asker .. hub > egress   Purge Reply    the same id
//! ```
//!
//! A request is sent three times at most, with the same id, at 0, 1 and 3 s: FRR never answers one,
//! and who misses all of them learns from routing. At a shutdown it is sent once, asks for no
//! reply, and is for our own address, too: nobody is there any more.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use wire::IpPrefix;
use wire::nhrp::{Cie, Flags, Header, Kind};

use crate::action::{Action, Overlay, Route};
use crate::client::next_id;
use crate::counters::DropReason;
use crate::limits::{HOPS, POLL_MAX, RECALL_AGAIN, RECALLS_MAX};
use crate::machine::Nhrp;
use crate::message::{View, request_extensions};
use crate::path::Path;
use crate::timers::Timers;

/// What an answer was for, and who asked.
pub(crate) type Key = (IpPrefix, IpAddr);

/// A request that is not answered yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recall {
    id: u32,
    /// Where it goes.
    to: Path,
    /// Sent so often.
    tries: usize,
}

/// All of them. They wait for a reply, or to be sent again.
pub(crate) type Recalls = Timers<Key, Recall>;

impl Nhrp {
    /// Takes back answers that our routes do not bear out any more.
    pub(crate) fn check_answers(
        &mut self,
        now: Instant,
        overlay: &impl Overlay,
        out: &mut Vec<Action>,
    ) {
        let wrong = self.answers.iter().filter(|(_, answer)| {
            overlay.route(answer.destination) != Some(Route::Local(answer.route))
        });
        for key in wrong.map(|(key, _)| key).collect::<Vec<_>>() {
            if let Some(answer) = self.answers.remove(key) {
                let id = next_id(&mut self.request_id);
                self.recall(now, key, Recall { id, to: answer.to, tries: 0 }, out);
            }
        }
    }

    /// Takes back all answers.
    pub(crate) fn take_back_answers(&mut self, out: &mut Vec<Action>) {
        let answers = std::mem::take(&mut self.answers);
        let mut all: BTreeMap<Key, Path> = BTreeMap::new();
        for ((prefix, asker), answer) in answers.iter() {
            all.insert((prefix, asker), answer.to);
            if let Some(own) = self.config.source_for(asker) {
                all.insert((IpPrefix::host(own), asker), answer.to);
            }
        }
        for (key, to) in all {
            let id = next_id(&mut self.request_id);
            self.send_purge(key, (to, id), Flags::NO_REPLY, out);
        }
    }

    /// Sends requests again that nobody has answered.
    pub(crate) fn poll_recalls(&mut self, now: Instant, out: &mut Vec<Action>) {
        for _ in 0..POLL_MAX {
            let Some((key, recall)) = self.recalls.pop(now) else { break };
            self.recall(now, key, recall, out);
        }
    }

    /// Takes a Purge Reply, or passes it on.
    pub(crate) fn purged(
        &mut self,
        (now, from, packet): (Instant, Path, &View<'_>),
        overlay: &impl Overlay,
        out: &mut Vec<Action>,
    ) -> Result<(), DropReason> {
        let header = packet.header();
        if !self.config.is_own(header.src_protocol) {
            return self.pass_on((now, from, packet), header.src_protocol, overlay, out);
        }
        let asked = |(key, recall): &(Key, &Recall)| {
            key.1 == header.dst_protocol && recall.id == header.request_id
        };
        let key = self.recalls.iter().find(asked).map(|(key, _)| key);
        self.recalls.remove(key.ok_or(DropReason::Unsolicited)?);
        Ok(())
    }

    /// Sends a request, and waits for the reply unless there are too many that wait, or it was sent
    /// often enough.
    fn recall(&mut self, now: Instant, key: Key, recall: Recall, out: &mut Vec<Action>) {
        let Recall { id, to, tries } = recall;
        let Some(&pause) = RECALL_AGAIN.get(tries) else { return };
        if self.recalls.len() >= RECALLS_MAX {
            return self.send_purge(key, (to, id), Flags::NO_REPLY, out);
        }
        self.send_purge(key, (to, id), Flags::default(), out);
        let recall = Recall { tries: tries + 1, ..recall };
        self.recalls.insert(key, now + Duration::from_secs(pause), recall);
    }

    /// Asks somebody to forget a prefix that he knows from us.
    pub(crate) fn send_purge(
        &mut self,
        (prefix, asker): Key,
        (to, request_id): (Path, u32),
        flags: Flags,
        out: &mut Vec<Action>,
    ) {
        let Some(own) = self.config.source_for(asker) else { return };
        let header = Header {
            kind: Kind::PurgeRequest,
            hop_count: HOPS,
            flags: flags.with(Flags::NAT),
            request_id,
            src_nbma: self.config.nbma,
            src_protocol: own,
            dst_protocol: asker,
        };
        let network = Some(prefix.network());
        let cie = Cie { prefix_len: prefix.len(), protocol: network, ..Cie::default() };
        self.send(to, &header, out, |config, builder| {
            builder.cie(&cie)?;
            request_extensions(config, builder, &[])
        });
    }
}
