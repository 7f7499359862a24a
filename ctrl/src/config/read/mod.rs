//! From tables of TOML to the model, one file per kind of section.

mod draft;
mod ipsec;
mod multicast;
mod names;
mod nhrp;
mod port;
mod process;
mod route;
mod sa;
mod tunnel;

use toml::de::DeTable;

use super::reader::{Reports, Section};
use super::{KeyReader, PortId};
pub(super) use draft::Draft;
use names::Names;

/// Most ports, tunnels and profiles: their indices have 16 bits, and checks compare each of them
/// with each other.
const INTERFACES_MAX: usize = 4096;
/// Most policies: a packet that none of them selects is compared with each.
const POLICIES_MAX: usize = 4096;
/// Most manually keyed SAs: nobody writes more by hand.
const SAS_MAX: usize = 65_536;
/// Most static routes: what a file of [`super::FILE_OCTETS_MAX`] has room for.
const ROUTES_MAX: usize = 1 << 19;
/// Most multicast rules: checks compare each of them with each other.
const MULTICAST_MAX: usize = 256;

/// Reads a whole document. What has no place in the result has been reported.
pub(super) fn document(root: &DeTable<'_>, reports: &Reports<'_>, keys: &KeyReader) -> Draft {
    let root = Section::root(root, reports);
    let ipsec = root.section("ipsec");
    let [ports, tunnels] = ["port", "tunnel"].map(|key| root.sections(key, INTERFACES_MAX));
    let profiles = ipsec.sections("profile", INTERFACES_MAX);
    let names = Names::of(&ports, &tunnels, &profiles);

    // Each step may look at what the steps before it have put into the draft.
    let mut draft = Draft {
        system: process::read_system(root.section("system")),
        pipeline: process::read_pipeline(root.section("pipeline")),
        profiles: profiles.into_iter().map(ipsec::read_profile).collect(),
        ..Draft::default()
    };
    for (id, section) in (0..).map(PortId).zip(ports) {
        let port = port::read(section, id, &names, &mut draft.routes);
        draft.ports.push(port);
    }
    for section in tunnels {
        draft.tunnels.push(tunnel::read(section, &names, &draft));
    }
    for section in ipsec.sections("policy", POLICIES_MAX) {
        draft.policies.push(ipsec::read_policy(section, &names));
    }
    for section in ipsec.sections("sa", SAS_MAX) {
        draft.sas.push(sa::read(section, &names, &draft, keys));
    }
    for section in root.sections("route", ROUTES_MAX) {
        let entries = route::read(section, &names, &draft);
        draft.routes.extend(entries);
    }
    for section in root.sections("multicast", MULTICAST_MAX) {
        draft.multicast.push(multicast::read(section, &names, &draft));
    }
    root.unsupported(&["host"]);
    ipsec.finish();
    root.finish();
    draft
}
