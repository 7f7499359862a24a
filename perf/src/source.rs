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
use dataplane::engine::topology::{CoreId, PortSpec, run_to_completion};
use dataplane::engine::worker::Worker;
use dpdk::{Eal, Mbuf, Mempool, Port, PortConfig, TxQueue};

use crate::args::Case;
use crate::error::Error;
use crate::flows::{Flow, Frames};
use crate::gateway::{Gateway, Pools, ring_pair};
use crate::tables::{self, Ports};

/// Feeds one receive queue.
pub(crate) struct Source {
    frames: Frames,
    pool: Mempool,
    queue: TxQueue,
    batch: Vec<Mbuf>,
    burst: u32,
    far: Option<Far>,
    _port: Port,
}

/// The far gateway.
struct Far {
    worker: Worker,
    counters: Vec<Arc<StageCounters>>,
    _ports: Vec<Port>,
}

impl Source {
    /// The source number `index` of `of`, which sends by `port`; none if there is nothing for it
    /// to send. Whole peers are dealt to the sources if packets come from peers, as RSS deals them
    /// by outer addresses; else flows are.
    pub(crate) fn new(
        eal: &Eal,
        case: &Case,
        pools: &Pools,
        port: Port,
        (index, of): (usize, usize),
    ) -> Result<Option<Self>, Error> {
        let inbound = case.mode.is_inbound();
        let mine = |flow: &Flow| {
            let dealt_by = if inbound { flow.peer } else { flow.peer + flow.of_peer };
            dealt_by as usize % of == index
        };
        let flows = Flow::all(case.flows, case.peers).filter(mine);
        let frames = Frames::new(flows, case.size).map_err(|_| Error::Setup("no such frame"))?;
        if frames.is_empty() {
            return Ok(None);
        }
        let (mut port, far) = if inbound {
            let (near, far) = ring_pair(eal, case)?;
            (near, Some(Far::new(eal, case, pools, far, port)?))
        } else {
            (port, None)
        };
        let queues = port.start(&PortConfig::new(&pools.packets))?;
        let queue = queues.tx.into_iter().next().ok_or(Error::Setup("a port without queue"))?;
        let burst = u32::try_from(case.burst).unwrap_or(u32::MAX);
        let (pool, batch) = (pools.packets.clone(), Vec::with_capacity(case.burst));
        Ok(Some(Self { frames, pool, queue, batch, burst, far, _port: port }))
    }

    /// Puts a burst into the queue; returns how many packets that is. Fewer than a burst only when
    /// the pool is empty, which the next call may find refilled.
    pub(crate) fn feed(&mut self) -> usize {
        self.frames.make(&self.pool, self.burst, &mut self.batch);
        let sent = self.queue.burst(&mut self.batch);
        Mbuf::free_bulk(&mut self.batch);
        if let Some(far) = &mut self.far {
            far.worker.turn();
        }
        sent
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
            id: dataplane::engine::topology::PortId(port.id()),
            name: name.to_owned(),
            underlay,
            rx_queues_max: 1,
            tx_queues_max: 1,
        };
        let specs = [spec(&ingress, "in", false), spec(&egress, "out", true)];
        // The number does not matter: the source's thread turns it.
        let topology = run_to_completion(&[CoreId(0)], &specs);
        let ids = Ports { ingress: vec![ingress.id()], egress: egress.id() };
        let mut ports = vec![ingress, egress];
        let world = |_| tables::far(case, &ids);
        let gateway = Gateway::new(eal, case, pools, &topology, &mut ports, world)?;
        let mut members = gateway.members.into_iter();
        let (worker, link) = members.next().ok_or(Error::Setup("a gateway without worker"))?;
        Ok(Self { worker, counters: link.stages, _ports: ports })
    }
}
