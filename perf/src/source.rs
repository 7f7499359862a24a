//! Where the packets come from: one source for each receive queue, on the thread of the worker
//! that polls it, and outside of what is measured.
//!
//! ```text
//! frames ------------------------------------------------> ring port of the gateway under test
//! frames -> ring port of the far gateway > encap, seal ---> ring port of the gateway under test
//! ```
//!
//! The far gateway is one more gateway of production stages. So what is decrypted is sealed
//! afresh, with sequence numbers that go on rising, and anti-replay is at work as in the field.

use std::sync::Arc;

use dataplane::counters::StageCounters;
use dataplane::engine::topology::{CoreId, PortId, PortSpec, run_to_completion};
use dataplane::engine::worker::Worker;
use dpdk::{Eal, Mbuf, Mempool, Port, TxQueue};

use crate::case::Case;
use crate::error::Error;
use crate::flows::Frames;
use crate::gateway::{Gateway, Pools, port_config, ring_pair};
use crate::mode::Way;
use crate::tables::{self, Ports};

/// Feeds one receive queue.
pub(crate) struct Source {
    /// The way that its packets take, by its number among those of the mode.
    pub(crate) way: usize,
    frames: Frames,
    pool: Mempool,
    queue: TxQueue,
    batch: Vec<Mbuf>,
    count: usize,
    far: Option<Far>,
    _port: Port,
}

/// What a source put in: packets, and octets of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Fed {
    pub(crate) packets: u64,
    pub(crate) octets: u64,
}

/// The far gateway.
struct Far {
    worker: Worker,
    counters: Vec<Arc<StageCounters>>,
    _ports: Vec<Port>,
}

impl Source {
    /// The source number `index` of `of` of its way, which sends by `port`; none if there is
    /// nothing for it to send.
    pub(crate) fn new(
        eal: &Eal,
        case: &Case,
        pools: &Pools,
        port: Port,
        (way_number, share): (usize, (usize, usize)),
    ) -> Result<Option<Self>, Error> {
        let way = case.mode.ways()[way_number];
        let frames = Frames::new(case, way, share).map_err(|_| Error::Setup("no such frame"))?;
        let frames = if case.load.is_some() { frames.stamped() } else { frames };
        if frames.is_empty() {
            return Ok(None);
        }
        let (mut port, far) = if way.leaves_tunnel() {
            let (near, far) = ring_pair(eal, case)?;
            (near, Some(Far::new(eal, case, pools, far, port)?))
        } else {
            (port, None)
        };
        let queues = port.start(&port_config(case, pools))?;
        let queue = queues.tx.into_iter().next().ok_or(Error::Setup("a port without queue"))?;
        let (pool, batch) = (pools.packets.clone(), Vec::with_capacity(case.feed()));
        let way = way_number;
        Ok(Some(Self { way, frames, pool, queue, batch, count: case.feed(), far, _port: port }))
    }

    /// Puts packets into the queue. They are fewer than usual only when the pool is empty, which
    /// the next call may find refilled.
    pub(crate) fn feed(&mut self) -> Fed {
        let octets = self.frames.make(&self.pool, self.count, &mut self.batch);
        let packets = self.queue.burst(&mut self.batch) as u64;
        Mbuf::free_bulk(&mut self.batch);
        if let Some(far) = &mut self.far {
            far.worker.turn();
        }
        Fed { packets, octets }
    }

    /// Octets of the packets that are fed next.
    pub(crate) fn next_sizes(&self) -> Vec<usize> {
        self.frames.next_sizes(self.count)
    }

    /// Counters of the far gateway's stages: whatever it drops never arrives.
    pub(crate) fn counters(&self) -> &[Arc<StageCounters>] {
        self.far.as_ref().map_or(&[], |far| &far.counters)
    }
}

impl Far {
    fn new(
        eal: &Eal,
        case: &Case,
        pools: &Pools,
        ingress: Port,
        egress: Port,
    ) -> Result<Self, Error> {
        let spec = |port: &Port, name: &str, underlay| PortSpec {
            id: PortId(port.id()),
            name: name.to_owned(),
            underlay,
            rx_queues_max: 1,
            tx_queues_max: 1,
        };
        let specs = [spec(&ingress, "in", false), spec(&egress, "out", true)];
        // The number does not matter: the source's thread turns it.
        let topology = run_to_completion(&[CoreId(0)], &specs);
        let ids = Ports { way: Way::Out, ingress: vec![ingress.id()], egress: egress.id() };
        let mut ports = vec![ingress, egress];
        let world = |_| tables::far(case, ids);
        let gateway = Gateway::new(eal, case, pools, &topology, &mut ports, world)?;
        let mut members = gateway.members.into_iter();
        let (worker, link) = members.next().ok_or(Error::Setup("a gateway without worker"))?;
        Ok(Self { worker, counters: link.stages, _ports: ports })
    }
}
