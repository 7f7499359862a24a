//! Two ports in one process, connected through rings: tests push frames into a gateway with them.

use std::sync::Arc;

use dpdk_sys as sys;

use super::{Port, claim};
use crate::error::c_name;
use crate::ring::Ring;
use crate::{Eal, Error};

pub(super) fn connected_pair(eal: &Eal, name: &str, capacity: u32) -> Result<(Port, Port), Error> {
    let (name_a, name_b) = (format!("{name}a"), format!("{name}b"));
    c_name(&name_a, NAME_SIZE)?;
    let to_a = Arc::new(Ring::new(eal, &name_a, capacity)?);
    let to_b = Arc::new(Ring::new(eal, &name_b, capacity)?);
    let a = port(eal, name_a, &to_a, &to_b)?;
    let b = port(eal, name_b, &to_b, &to_a)?;
    Ok((a, b))
}

fn port(eal: &Eal, name: String, rx: &Arc<Ring>, tx: &Arc<Ring>) -> Result<Port, Error> {
    let c_name = c_name(&name, NAME_SIZE)?;
    let (rx_ring, tx_ring) = (rx.raw(), tx.raw());
    let control = eal.control();
    // SAFETY: the name is copied; the rings live as long as the device does, and each has one
    // queue that puts in and one that takes out.
    let id = unsafe {
        sys::rte_eth_from_rings(c_name.as_ptr(), &raw const rx_ring, 1, &raw const tx_ring, 1, 0)
    };
    let id = u16::try_from(id).map_err(|_| Error::last("rte_eth_from_rings", &name))?;
    let claimed = claim(id, &name)?;
    drop(control);
    Ok(Port::new(eal, id, name, claimed, vec![Arc::clone(rx), Arc::clone(tx)]))
}

/// The driver names the device "net_ring_" and this, in 29 octets with NUL.
const NAME_SIZE: usize = 20;
