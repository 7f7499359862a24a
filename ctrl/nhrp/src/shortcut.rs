//! What was resolved: destinations and the peer they are reached through.
//!
//! ```text
//!           the way to the peer works
//! [ waits ] ------------------------> [ installed ]
//!           <------------------------
//!           it does not any more
//! ```
//!
//! Until it is installed packets go where routing says, so none is lost meanwhile. After two thirds
//! of its holding time a shortcut that is used is asked for again; one that is not ends. A shortcut
//! never outlives the binding of its peer, or the route that it is part of.

use std::net::IpAddr;
use std::time::Instant;

use wire::IpPrefix;

use crate::action::{Action, Overlay, Route};
use crate::limits::POLL_MAX;
use crate::machine::Nhrp;
use crate::path::Path;
use crate::timers::Timers;

/// Destinations and the peer that they are reached through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortcut {
    /// The destinations.
    pub prefix: IpPrefix,
    /// Protocol address of the peer.
    pub next_hop: IpAddr,
    /// How it is reached.
    pub path: Path,
    /// When it ends.
    pub expires: Instant,
}

/// A shortcut and what is known of its use.
#[derive(Debug)]
pub(crate) struct Entry {
    shortcut: Shortcut,
    /// What was asked for.
    destination: IpAddr,
    /// From when on it is asked for again, if it is used.
    refresh_at: Instant,
    used: bool,
    installed: bool,
}

impl Entry {
    /// What is resolved is the peer itself: the binding is all there is to use.
    fn is_peer(&self) -> bool {
        self.shortcut.next_hop == self.destination
    }
}

/// All shortcuts.
#[derive(Debug, Default)]
pub(crate) struct Shortcuts(Timers<IpPrefix, Entry>);

impl Shortcuts {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Those that do not wait for their peer.
    pub(crate) fn installed(&self) -> impl Iterator<Item = &Shortcut> {
        let installed = self.0.iter().filter(|(_, entry)| entry.installed);
        installed.map(|(_, entry)| &entry.shortcut)
    }

    pub(crate) fn find(&self, prefix: IpPrefix) -> Option<&Shortcut> {
        self.0.find(prefix).map(|entry| &entry.shortcut)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.0.next_deadline()
    }

    /// Whether a destination has a shortcut already.
    pub(crate) fn covers(&self, destination: IpAddr) -> bool {
        let width = IpPrefix::host(destination).len();
        let prefixes = (1..=width).filter_map(|len| IpPrefix::containing(destination, len).ok());
        prefixes.into_iter().any(|prefix| self.0.find(prefix).is_some())
    }

    /// Notes a use; returns what to ask for if it is time to renew it.
    pub(crate) fn used(&mut self, now: Instant, prefix: IpPrefix) -> Option<IpAddr> {
        let entry = self.0.find_mut(prefix)?;
        entry.used = true;
        (now >= entry.refresh_at).then_some(entry.destination)
    }
}

impl Nhrp {
    /// Enters a shortcut, whose peer has a binding, anew or again.
    pub(crate) fn enter_shortcut(
        &mut self,
        now: Instant,
        destination: IpAddr,
        shortcut: Shortcut,
        out: &mut Vec<Action>,
    ) {
        let refresh_at = now + (shortcut.expires - now) / 3 * 2;
        let old = self.shortcuts.0.remove(shortcut.prefix);
        let installed = old.as_ref().is_some_and(|old| {
            let (was, is) = (old.shortcut, shortcut);
            old.installed && (was.next_hop, was.path) == (is.next_hop, is.path)
        });
        if let Some(old) = old
            && old.installed
            && !installed
            && shortcut.next_hop == destination
        {
            out.push(Action::RemoveShortcut { prefix: shortcut.prefix });
        }
        let entry = Entry { shortcut, destination, refresh_at, used: false, installed };
        self.shortcuts.0.insert(shortcut.prefix, refresh_at, entry);
        self.apply_shortcuts(out);
    }

    /// Installs shortcuts whose peers can be used, or have moved, and takes away those whose peers
    /// cannot.
    pub(crate) fn apply_shortcuts(&mut self, out: &mut Vec<Action>) {
        for (prefix, entry) in self.shortcuts.0.iter_mut().filter(|(_, entry)| !entry.is_peer()) {
            let Some(peer) = self.cache.find(entry.shortcut.next_hop) else { continue };
            let moved = entry.shortcut.path != peer.path;
            entry.shortcut.path = peer.path;
            let usable = !self.config.protected || self.reachable.contains(&peer.path);
            if usable && (moved || !entry.installed) {
                out.push(Action::InstallShortcut(entry.shortcut));
            } else if !usable && entry.installed {
                out.push(Action::RemoveShortcut { prefix });
            }
            entry.installed = usable;
        }
    }

    /// Asks for shortcuts again that are used, and ends those that are over.
    pub(crate) fn poll_shortcuts(
        &mut self,
        now: Instant,
        overlay: &impl Overlay,
        out: &mut Vec<Action>,
    ) {
        for _ in 0..POLL_MAX {
            let Some((prefix, mut entry)) = self.shortcuts.0.pop(now) else { break };
            let expires = entry.shortcut.expires;
            if expires <= now {
                end(&entry, out);
                continue;
            }
            let (used, destination) = (std::mem::take(&mut entry.used), entry.destination);
            self.shortcuts.0.insert(prefix, expires, entry);
            if used {
                self.ask(now, destination, overlay, out);
            }
        }
    }

    /// Ends shortcuts through a peer.
    pub(crate) fn drop_shortcuts_via(&mut self, next_hop: IpAddr, out: &mut Vec<Action>) {
        self.drop_shortcuts(out, |_, entry| entry.shortcut.next_hop == next_hop);
    }

    /// Ends shortcuts through a peer for destinations that a purge names.
    pub(crate) fn purge_shortcuts(
        &mut self,
        purged: IpPrefix,
        next_hop: IpAddr,
        out: &mut Vec<Action>,
    ) {
        self.drop_shortcuts(out, |prefix, entry| {
            entry.shortcut.next_hop == next_hop && purged.overlaps(prefix)
        });
    }

    /// Ends all shortcuts.
    pub(crate) fn forget_shortcuts(&mut self, out: &mut Vec<Action>) {
        self.drop_shortcuts(out, |_, _| true);
    }

    /// Ends shortcuts that routing does not lead into the tunnel any more, or leads there by a
    /// longer prefix, or to their peer anyway.
    pub(crate) fn check_shortcuts(&mut self, overlay: &impl Overlay, out: &mut Vec<Action>) {
        self.drop_shortcuts(out, |shortcut, entry| match overlay.route(entry.destination) {
            Some(Route::Tunnel { prefix, next_hop }) => {
                !prefix.covers(shortcut) || next_hop == entry.shortcut.next_hop && !entry.is_peer()
            }
            _ => true,
        });
    }

    fn drop_shortcuts(&mut self, out: &mut Vec<Action>, ends: impl Fn(IpPrefix, &Entry) -> bool) {
        let ended = self.shortcuts.0.iter().filter(|(prefix, entry)| ends(*prefix, entry));
        for prefix in ended.map(|(prefix, _)| prefix).collect::<Vec<_>>() {
            if let Some(entry) = self.shortcuts.0.remove(prefix) {
                end(&entry, out);
            }
        }
    }
}

fn end(entry: &Entry, out: &mut Vec<Action>) {
    if entry.installed {
        out.push(Action::RemoveShortcut { prefix: entry.shortcut.prefix });
    }
}
