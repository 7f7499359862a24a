//! Before anything is measured: one burst through a gateway whose frames can be looked at.

use dpdk::{Eal, Mbuf, Port, RxQueue};

use crate::case::Case;
use crate::drops::Drops;
use crate::error::Error;
use crate::gateway::{Pools, Setup, receive_from, ring_pair};
use crate::mode::Way;
use crate::source::Fed;

/// Sends one burst from each source, and checks that what leaves by each way are as many frames as
/// should, each of the length that it should have.
pub(crate) fn prove(eal: &Eal, case: &Case) -> Result<(), Error> {
    let mut watched = Watched::new(eal, case)?;
    let mut expected = watched.expected(case);
    let (_, frames) = watched.burst();
    Drops::of(&watched.setup).refuse(case)?;
    for (expected, frames) in expected.iter_mut().zip(&frames) {
        let mut found: Vec<_> = frames.iter().map(Mbuf::len).collect();
        if found.len() != expected.len() || found.is_empty() {
            let (expected, received) = (expected.len() as u64, found.len() as u64);
            return Err(Error::Lost { case: case.title(), expected, received });
        }
        expected.sort_unstable();
        found.sort_unstable();
        let mut differ = expected.iter().zip(&found).filter(|(expected, found)| expected != found);
        if let Some(first) = differ.next() {
            let (expected, found) = std::iter::once(first).chain(differ.next_back()).unzip();
            return Err(Error::FrameLength { case: case.title(), expected, found });
        }
    }
    Ok(())
}

/// A gateway, and who receives what it sends.
pub(crate) struct Watched {
    pub(crate) setup: Setup,
    /// By way.
    seen: Vec<(RxQueue, Port)>,
}

/// Turns of each worker after which all packets have come out of the longest pipeline.
const TURNS: usize = 100;

impl Watched {
    pub(crate) fn new(eal: &Eal, case: &Case) -> Result<Self, Error> {
        let pairs = case.mode.ways().iter().map(|_| ring_pair(eal, case));
        let pairs: Vec<_> = pairs.collect::<Result<_, _>>()?;
        let (egress, ports): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let setup = Setup::with_egress(eal, case, Pools::new(eal, case, 0)?, egress)?;
        let start = |mut port: Port| Ok((receive_from(&mut port, case, &setup.pools)?, port));
        let seen = ports.into_iter().map(start).collect::<Result<_, Error>>()?;
        Ok(Self { setup, seen })
    }

    /// Lengths of the frames that should leave of the next burst, by way.
    fn expected(&self, case: &Case) -> Vec<Vec<usize>> {
        let (path_mtu, peers) = (case.path_mtu().into(), case.peers as usize);
        let of_way = |(number, way): (usize, &Way)| {
            let sources = self.setup.sources.iter().flatten();
            let sources = sources.filter(|source| source.way == number);
            let sizes = sources.flat_map(|source| source.next_sizes());
            sizes.flat_map(|size| case.mode.frames(*way, size, path_mtu, peers)).collect()
        };
        case.mode.ways().iter().enumerate().map(of_way).collect()
    }

    /// A burst of each source: what went in, and the frames that came out, by way.
    pub(crate) fn burst(&mut self) -> (Fed, Vec<Vec<Mbuf>>) {
        let Setup { gateway, sources, .. } = &mut self.setup;
        let mut sum = Fed::default();
        for source in sources.iter_mut().flatten() {
            let fed = source.feed();
            sum.packets += fed.packets;
            sum.octets += fed.octets;
        }
        let mut frames: Vec<Vec<Mbuf>> = self.seen.iter().map(|_| Vec::new()).collect();
        for _ in 0..TURNS {
            gateway.members.iter_mut().for_each(|(worker, _)| {
                worker.turn();
            });
            for ((seen, _), frames) in self.seen.iter_mut().zip(&mut frames) {
                seen.burst(frames, u16::MAX.into());
            }
        }
        (sum, frames)
    }
}
