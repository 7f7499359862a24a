//! What loads with a warning.

use super::{PORTS, parse};

/// The warnings of the two ports and `text`, which loads.
fn warnings(text: &str) -> Vec<String> {
    let config = parse(&format!("{PORTS}{text}"))
        .unwrap_or_else(|found| panic!("{:#?}", super::shown(&found)));
    config.warnings.iter().map(ToString::to_string).collect()
}

fn assert_one(text: &str, expected: &str) {
    let found = warnings(text);
    assert!(found.len() == 1 && found[0].contains(expected), "{expected:?} in {found:#?}");
    assert!(found[0].contains(" warning: "));
}

const GRE: &str = "[[tunnel]]\nname = \"t\"\nmode = \"gre\"\nsource = \"wan\"\n\
                   remote = \"203.0.113.7\"\naddresses = [\"10.254.0.1/30\"]\n";
const MGRE: &str = "[[tunnel]]\nname = \"m\"\nmode = \"mgre\"\nsource = \"wan\"\n\
                    addresses = [\"10.255.0.1/24\"]\n";
const NHRP: &str = "[tunnel.nhrp]\nauthentication = \"s3cret\"\n";
const PROFILE: &str = "[[ipsec.profile]]\nname = \"corp\"\nesp = \"aes128gcm16\"\n";
const SA: &str = "[[ipsec.sa]]\nprofile = \"corp\"\ndirection = \"out\"\n\
                  remote = \"203.0.113.7\"\nspi = 0x1000\nkey_file = \"a-128.key\"\n";

#[test]
fn a_profile_that_protects_nothing() {
    assert_one(&format!("{GRE}{PROFILE}"), "nothing is protected by this profile");
}

#[test]
fn a_profile_without_sas() {
    let text = format!("{GRE}protection = \"corp\"\n{PROFILE}");
    assert_one(&text, "no [[ipsec.sa]] has this profile: what it protects is dropped");
}

#[test]
fn a_peer_with_half_an_sa_pair() {
    let text = format!("{GRE}protection = \"corp\"\n{PROFILE}{SA}");
    assert_one(&text, "tunnel[0].remote: there is no inbound [[ipsec.sa]] for 203.0.113.7");
}

#[test]
fn a_peer_that_the_underlay_does_not_reach() {
    let text = format!("{}{GRE}", PORTS.replace("gateway = \"198.51.100.254\"\n", ""));
    let config = parse(&text).unwrap();
    assert_eq!(config.warnings.len(), 1);
    assert_eq!(config.warnings[0].message, "the underlay has no route to 203.0.113.7");
}

#[test]
fn a_mapped_address_outside_of_the_tunnel() {
    let map = "map = [{ protocol = \"10.25.0.2\", nbma = \"203.0.113.2\" }]\n";
    assert_one(&format!("{MGRE}{NHRP}{map}"), "10.25.0.2 is in no prefix of this tunnel");
}

#[test]
fn a_multicast_peer_that_is_not_mapped() {
    let listed = "multicast = [\"203.0.113.2\"]\n";
    assert_one(
        &format!("{MGRE}{NHRP}{listed}"),
        "203.0.113.2 is the NBMA address of no mapped peer",
    );
}

#[test]
fn a_tunnel_that_anybody_can_register_at() {
    let expected = "tunnel[0].nhrp: anybody who reaches 198.51.100.1 can register as a peer";
    assert_one(MGRE, expected);
    assert!(warnings(&format!("{MGRE}{NHRP}")).is_empty());
}

#[test]
fn priorities_of_servers_that_are_all_used() {
    let nhs = "nhs = [{ nbma = \"198.51.100.7\" }, { nbma = \"198.51.100.8\", priority = 1 }]\n";
    assert_one(&format!("{MGRE}{NHRP}{nhs}"), "tunnel[0].nhrp.nhs: priorities have no effect");
    assert!(warnings(&format!("{MGRE}{NHRP}{nhs}active = 1\n")).is_empty());
}

#[test]
fn multicast_to_a_tunnel_without_multicast_peers() {
    let rule = "[[multicast]]\ngroups = [\"239.0.0.0/8\"]\ninterfaces = [\"lan\", \"m\"]\n";
    assert_one(&format!("{MGRE}{NHRP}{rule}"), "no peer of this tunnel gets multicast");
}

#[test]
fn a_route_to_an_mgre_tunnel_without_a_peer() {
    let route = "[[route]]\nprefix = \"10.9.0.0/16\"\nvia = \"m\"\n";
    assert_one(&format!("{MGRE}{NHRP}{route}"), "an mGRE tunnel has many peers");
}

#[test]
fn a_policy_that_never_matches() {
    let policy = |src: &str, proto: &str| {
        format!(
            "[[ipsec.policy]]\nport = \"wan\"\naction = \"discard\"\n\
             select = {{ src = \"{src}\", dst = \"0.0.0.0/0\", {proto} }}\n"
        )
    };
    let ports = "proto = \"tcp\", dst_port = 80";
    let wide = policy("10.0.0.0/8", "proto = \"tcp\"");
    let expected = "ipsec.policy[1]: never matches: ipsec.policy[0] before it takes all";
    assert_one(&format!("{wide}{}", policy("10.1.0.0/16", ports)), expected);
    assert_eq!(warnings(&format!("{wide}{}", policy("0.0.0.0/0", ports))), [""; 0]);
    assert_eq!(warnings(&format!("{wide}{}", policy("10.1.0.0/16", "proto = \"udp\""))), [""; 0]);
    assert_eq!(warnings(&format!("{}{wide}", policy("10.0.0.0/8", ports))), [""; 0]);
}

#[test]
fn a_port_without_addresses() {
    let port = "[[port]]\nname = \"p\"\ndevice = \"net_null9\"\nrole = \"overlay\"\n";
    assert_one(port, "a port without addresses receives nothing");
    let vlan = "[[port]]\nname = \"v\"\nparent = \"p\"\nvlan = 7\nrole = \"overlay\"\n\
                addresses = [\"10.7.0.1/24\"]\n";
    assert_eq!(warnings(&format!("{port}{vlan}")), [""; 0]);
}

#[test]
fn the_same_prefix_on_both_sides() {
    let port = "[[port]]\nname = \"p\"\ndevice = \"net_null9\"\nrole = \"overlay\"\n\
                addresses = [\"198.51.100.129/25\"]\n";
    assert_one(port, "overlaps with 198.51.100.0/24 of \"wan\", on the other side");
}
