//! `[system]` and `[pipeline]`.

use std::path::{Path, PathBuf};

use dataplane::engine::topology::{CoreId, Placement, StageKind};
use strum::VariantArray;

use crate::config::reader::{Complaint, Item, Section};
use crate::config::scalar;
use crate::config::{Hugepages, Layout, LogLevel, Pipeline, Poll, System};

/// `sun_path` has 108 octets, the last of them a NUL.
const SOCKET_PATH_OCTETS_MAX: usize = 107;
/// Octets of memory for one mbuf: its data room of 2 KiB, headroom, header and pool bookkeeping.
const MBUF_OCTETS: u64 = 2560;
/// Least memory that an EAL without huge pages starts with, in octets.
const MEMORY_OCTETS_MIN: u64 = 64 << 20;

/// `[system]`.
pub(super) fn read_system(section: Section<'_>) -> Option<System> {
    let name = match section.take("name") {
        Some(item) => item.parse(|text| scalar::name(text, 63)),
        None => Some("greyhound".to_owned()),
    };
    let socket = match section.take("socket") {
        Some(item) => item.parse(socket_path),
        None => name.as_ref().map(|name| PathBuf::from(format!("/run/greyhound/{name}.sock"))),
    };
    let hugepages = section.or_default("hugepages", Hugepages::Auto, |item| {
        item.choice(&[
            ("auto", Hugepages::Auto),
            ("require", Hugepages::Require),
            ("off", Hugepages::Off),
        ])
    });
    let memory = section.take("memory");
    let memory_octets = match &memory {
        Some(item) => item.size_octets(MEMORY_OCTETS_MIN..=1 << 40),
        None => Some(512_000_000),
    };
    let mbufs = section.or_default("mbufs", 32_768, |item| item.integer(1024..=1 << 24));
    if let Some(octets) = memory_octets
        && hugepages != Hugepages::Require
        && u64::from(mbufs) * MBUF_OCTETS > octets
    {
        let most = octets / MBUF_OCTETS;
        section.error(format!("{mbufs} mbufs do not fit into the memory: at most {most} do"));
    }
    section.unsupported(&["metrics"]);
    let log = section.or_default("log", LogLevel::Info, |item| {
        item.choice(&[
            ("error", LogLevel::Error),
            ("warn", LogLevel::Warn),
            ("info", LogLevel::Info),
            ("debug", LogLevel::Debug),
            ("trace", LogLevel::Trace),
        ])
    });
    section.finish();
    let (name, socket, memory_octets) = (name?, socket?, memory_octets?);
    Some(System { name, socket, hugepages, memory_octets, mbufs, log })
}

fn socket_path(text: &str) -> Result<PathBuf, Complaint> {
    if !Path::new(text).is_absolute() || text.ends_with('/') || text.contains('\0') {
        return Err(Complaint::from(format!("{text:?} is not the absolute path of a socket"))
            .hint("as in \"/run/greyhound/hub.sock\""));
    }
    if text.len() > SOCKET_PATH_OCTETS_MAX {
        return Err(format!("longer than {SOCKET_PATH_OCTETS_MAX} octets").into());
    }
    Ok(PathBuf::from(text))
}

/// The presets, before their cores are known.
#[derive(Clone, Copy, PartialEq)]
enum Preset {
    RunToCompletion,
    Pipeline,
    Explicit,
    Elephant,
}

/// `[pipeline]`.
pub(super) fn read_pipeline(section: Section<'_>) -> Option<Pipeline> {
    let layout = read_layout(&section);
    let poll = section.or_default("poll", Poll::Adaptive, |item| {
        item.choice(&[("busy", Poll::Busy), ("adaptive", Poll::Adaptive)])
    });
    let burst = section.or_default("burst", 64, |item| item.integer(1..=256));
    let ring = section.or_default("ring", 1024, |item| {
        let slots: u32 = item.integer(2..=1 << 20)?;
        if slots.is_power_of_two() {
            Some(slots)
        } else {
            let hint =
                format!("{} or {}", slots.next_power_of_two() / 2, slots.next_power_of_two());
            item.error(Complaint::from(format!("{slots} is not a power of two")).hint(hint))
        }
    });
    if ring < u32::from(burst) {
        section.error(format!("a ring of {ring} does not hold a burst of {burst}"));
    }
    let crypto = match section.take("crypto") {
        Some(item) => item.parse(crypto_device).map(Some),
        None => Some(None),
    };
    section.finish();
    Some(Pipeline { layout: layout?, poll, burst, ring, crypto: crypto? })
}

/// The name of a crypto device as DPDK takes it. Whether it exists, only the start can tell.
fn crypto_device(text: &str) -> Result<String, Complaint> {
    let is_printable = text.chars().all(|c| c.is_ascii_graphic());
    let name = text.split_once(',').map_or(text, |(name, _)| name);
    let is_pci = name.contains(':') && name.contains('.');
    let is_virtual = name.strip_prefix("crypto_").is_some_and(|driver| !driver.is_empty());
    if is_printable && (is_pci || is_virtual) {
        return Ok(text.to_owned());
    }
    Err(Complaint::from(format!("{text:?} is not a crypto device of DPDK"))
        .hint("as in \"crypto_aesni_gcm0\", or a PCI address, as in \"0000:3d:01.0\""))
}

fn read_layout(section: &Section<'_>) -> Option<Layout> {
    let preset = section.take("preset");
    let names = [
        ("run-to-completion", Preset::RunToCompletion),
        ("pipeline", Preset::Pipeline),
        ("explicit", Preset::Explicit),
        ("elephant", Preset::Elephant),
    ];
    let chosen = match &preset {
        Some(item) => item.choice(&names),
        None => Some(Preset::RunToCompletion),
    };
    if chosen == Some(Preset::Explicit) {
        section.refuse("cores", "each [[pipeline.stage]] names its own cores");
        let stages = section.sections("stage", StageKind::VARIANTS.len());
        if stages.is_empty() {
            section.error("preset = \"explicit\" needs [[pipeline.stage]] sections");
            return None;
        }
        return read_stages(section, stages);
    }
    if chosen.is_some() {
        section.refuse("stage", "only preset = \"explicit\" has [[pipeline.stage]] sections");
    }
    section.take("stage");
    let cores = section.take("cores").map(|item| read_cores(&item));
    let cores = cores.map_or(Some(None), |cores| cores.map(Some))?;
    match chosen? {
        Preset::Pipeline => Some(Layout::Pipeline { cores }),
        Preset::Elephant => Some(Layout::Elephant { cores }),
        Preset::RunToCompletion | Preset::Explicit => Some(Layout::RunToCompletion { cores }),
    }
}

fn read_stages(pipeline: &Section<'_>, sections: Vec<Section<'_>>) -> Option<Layout> {
    let names: Vec<(&str, StageKind)> =
        StageKind::VARIANTS.iter().map(|stage| ((*stage).into(), *stage)).collect();
    let mut stages: Vec<Placement> = Vec::new();
    let mut is_whole = true;
    for section in sections {
        let item = section.require("stage");
        let stage = item.as_ref().and_then(|item| item.choice(&names));
        let cores = section.require("cores").and_then(|item| read_cores(&item));
        section.finish();
        if let (Some(item), Some(stage)) = (item, stage)
            && stages.iter().any(|placement| placement.stage == stage)
        {
            item.error::<()>("this stage is there twice");
        }
        match (stage, cores) {
            (Some(stage), Some(cores)) => stages.push(Placement { stage, cores }),
            _ => is_whole = false,
        }
    }
    for (name, stage) in [("rx", StageKind::Rx), ("tx", StageKind::Tx)] {
        if is_whole && !stages.iter().any(|placement| placement.stage == stage) {
            pipeline.error(format!("no [[pipeline.stage]] places {name:?}"));
            is_whole = false;
        }
    }
    is_whole.then_some(Layout::Explicit { stages })
}

fn read_cores(item: &Item<'_>) -> Option<Vec<CoreId>> {
    if !item.is_list() {
        return item.wrong_type("a list of cores, as in [2, 3]");
    }
    let mut cores = Vec::new();
    let mut is_whole = true;
    for element in item.list() {
        match element.integer(0..=1023).map(CoreId) {
            Some(core) if cores.contains(&core) => {
                element.error::<()>(format!("core {} is there twice", core.0));
            }
            Some(core) => cores.push(core),
            None => is_whole = false,
        }
    }
    if is_whole && cores.is_empty() {
        return item.error("the list has no core");
    }
    is_whole.then_some(cores)
}
