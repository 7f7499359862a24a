//! The crypto device of `[pipeline] crypto`.

use dataplane::engine::plan::Plan;
use dpdk::Eal;
use dpdk::crypto::{CryptoConfig, CryptoDevice, CryptoQueue};

use crate::config::Config;

use super::ports::SettingError;

/// Most SAs that can have the device do their work; of more, software does it. Enough for a
/// thousand peers with an SA each way, twice during a rekey. Each takes up to 2 KiB.
const SESSIONS: u32 = 4095;
/// Ops that a queue holds: several batches.
const DESCRIPTORS: u16 = 1023;
/// Queues that a virtual device has without an argument that says otherwise.
const VIRTUAL_QUEUES: u16 = 8;

/// The name of the device, without its arguments.
pub(super) fn name(config: &Config) -> Option<&str> {
    config.pipeline.crypto.as_ref()?.split(',').next()
}

/// Attaches the device, if there is to be one, with a queue for each stage that can use it.
pub(super) fn attach(
    eal: &Eal,
    config: &Config,
    plan: &Plan,
) -> Result<(Option<CryptoDevice>, Vec<CryptoQueue>), SettingError> {
    let Some(device) = &config.pipeline.crypto else { return Ok((None, Vec::new())) };
    let queues = u16::try_from(plan.dealers()).unwrap_or(u16::MAX);
    // A plan in which no core has ESP has no queues, and a device needs one.
    let queues = queues.max(1);
    let wanted = CryptoConfig { queues, descriptors: DESCRIPTORS, sessions: SESSIONS };
    let (attached, queues) = CryptoDevice::attach(eal, &with_queues(device, queues), &wanted)
        .map_err(|error| SettingError {
            diagnostic: config.error_at("pipeline.crypto", error.to_string()),
        })?;
    let info = attached.info();
    log::info!("crypto device {device}: driver {}, {} queues", info.driver, queues.len());
    Ok((Some(attached), queues))
}

/// The device with so many queues. Those of a virtual one are an argument.
fn with_queues(device: &str, queues: u16) -> String {
    const KEY: &str = "max_nb_queue_pairs=";
    let is_set = device.split(',').any(|argument| argument.starts_with(KEY));
    if device.starts_with("crypto_") && queues > VIRTUAL_QUEUES && !is_set {
        format!("{device},{KEY}{queues}")
    } else {
        device.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::with_queues;

    #[test]
    fn virtual_devices_get_the_queues_that_they_need() {
        let gcm = "crypto_aesni_gcm0";
        assert_eq!(with_queues(gcm, 8), gcm);
        assert_eq!(with_queues(gcm, 24), "crypto_aesni_gcm0,max_nb_queue_pairs=24");
        let set = "crypto_aesni_gcm0,max_nb_queue_pairs=16";
        assert_eq!(with_queues(set, 24), set);
        assert_eq!(with_queues("0000:3d:01.0", 24), "0000:3d:01.0");
    }
}
