//! Before anything is measured: one burst through a gateway whose frames can be looked at.

use dpdk::{Eal, Mbuf, Port, PortConfig, RxQueue};

use crate::args::Case;
use crate::drops::Drops;
use crate::error::Error;
use crate::gateway::{Setup, ring_pair};
use crate::source::Source;

/// Sends one burst from each source, and checks that as many frames leave as went in, each of the
/// length that it should have.
pub(crate) fn prove(eal: &Eal, case: &Case) -> Result<(), Error> {
    let (mode, size) = (case.mode, case.size);
    let mut watched = Watched::new(eal, case)?;
    let (sent, frames) = watched.burst();
    Drops::of(&watched.setup).refuse(case)?;
    let received = frames.len() as u64;
    if sent != received || sent == 0 {
        return Err(Error::Lost { mode, size, sent, received });
    }
    let expected = mode.frame_len(size);
    match frames.iter().map(Mbuf::len).find(|found| *found != expected) {
        Some(found) => Err(Error::FrameLength { mode, size, expected, found }),
        None => Ok(()),
    }
}

/// A gateway, and who receives what it sends.
pub(crate) struct Watched {
    setup: Setup,
    seen: RxQueue,
    _port: Port,
}

/// Turns of each worker after which all packets have come out of the longest pipeline.
const TURNS: usize = 100;

impl Watched {
    pub(crate) fn new(eal: &Eal, case: &Case) -> Result<Self, Error> {
        let (egress, mut port) = ring_pair(eal, case)?;
        let setup = Setup::with_egress(eal, case, egress)?;
        let queues = port.start(&PortConfig::new(&setup.pools.packets))?;
        let seen = queues.rx.into_iter().next().ok_or(Error::Setup("a port without queue"))?;
        Ok(Self { setup, seen, _port: port })
    }

    /// A burst of each source: how many packets went in, and the frames that came out.
    pub(crate) fn burst(&mut self) -> (u64, Vec<Mbuf>) {
        let Setup { gateway, sources, .. } = &mut self.setup;
        let sent: usize = sources.iter_mut().flatten().map(Source::feed).sum();
        let mut frames = Vec::new();
        for _ in 0..TURNS {
            gateway.members.iter_mut().for_each(|(worker, _)| {
                worker.turn();
            });
            self.seen.burst(&mut frames, sent);
        }
        (sent as u64, frames)
    }
}
