//! Octets of FRR 10.3, and what it makes of ours.

use super::*;

const REGISTRATION: &str = "00010800000000000001006c980100340103040004040002000000010a00\
    000b0aff000b0aff000b002000000000003c00000000800400008005000080030000000900140020000000000000\
    040004000a000001000000008007000c000000016c6162706173733180000000";
const REGISTERED: &str = "0001080000000000004000807a6600340104040004040002000000010a00000b0aff000b\
    0aff0001002000000000003c00000000800400008005000080030014000000000000003c040004000a0000010aff\
    0001000900140020000000000000040004000a000001000000008007000c000000016c6162706173733180000000";
/// The registration of another, with a wrong password; and FRR's own answer to it.
const WRONG: &str = "0001080000000000000100696d1a00340103040004040002000000010a00000c0aff\
    000c0aff000c002000000000003c00000000800400008005000080030000000900140020000000000000040004000a\
    00000100000000800700090000000177726f6e6780000000";
const ERROR: &str = "0001080000000000000000502f8f00000107040004040002000b00000a00000c0a\
    ff000c0aff000c0001080000000000000100696d1a00340103040004040002000000010a00000c0aff000c0aff000c";

fn locked(config: Config) -> Config {
    Config { authentication: Some(Secret::new(b"labpass1").unwrap()), ..config }
}

/// FRR's spoke > our hub: `nhs dynamic`, so the destination is its own address; the answer is,
/// octet by octet, what FRR's hub gave.
#[test]
fn a_registration_is_answered_as_frr_does() {
    let mut hub = Site::new(locked(hub()));
    hub.receive("10.0.0.11", &octets(REGISTRATION));
    assert_eq!(hub.sent_one("10.0.0.11"), octets(REGISTERED));
    let binding = hub.binding("10.255.0.11").unwrap();
    assert_eq!((binding.nbma, binding.claimed), (ip("10.0.0.11"), None));
    assert_eq!((binding.origin, binding.unique), (Origin::Registered, false));
}

/// Our spoke > FRR's hub: but for the request id and the checksum it is what FRR's spoke sends.
#[test]
fn a_registration_is_written_as_frr_does() {
    let mut spoke = Site::new(locked(spoke()));
    spoke.poll();
    let mut ours = spoke.sent_one("10.0.0.1");
    let mut frr = octets(REGISTRATION);
    let id = ours[24..28].to_vec();
    for packet in [&mut ours, &mut frr] {
        packet[12..14].fill(0);
        packet[24..28].fill(0);
    }
    assert_eq!(ours, frr);

    // FRR's hub > our spoke, with that id.
    let mut reply = octets(REGISTERED);
    reply[24..28].copy_from_slice(&id);
    reply[12..14].fill(0);
    let sum = wire::checksum::of(&reply);
    reply[12..14].copy_from_slice(&sum.to_be_bytes());
    spoke.receive("10.0.0.1", &reply);
    assert_eq!(spoke.state(0), ServerState::Registered);
    let nbma = ip("10.0.0.1");
    let up = Event::ServerUp { nbma, protocol: ip("10.255.0.1"), outside: None };
    assert_eq!(spoke.events(), [up]);
}

/// Two FRR with different passwords complain about each other's complaints without end.
#[test]
fn a_complaint_is_not_complained_about() {
    let mut hub = Site::new(locked(hub()));
    hub.receive("10.0.0.12", &octets(WRONG));
    let complaint = hub.sent_one("10.0.0.12");
    let packet = view(&complaint);
    assert_eq!(packet.error().map(|(code, _)| code), view(&octets(ERROR)).error().map(|e| e.0));
    assert!(packet.quoted().starts_with(view(&octets(ERROR)).quoted()));
    assert!(!complaint.windows(5).any(|octets| octets == b"wrong"), "no password comes back");
    assert!(hub.nhrp.bindings().next().is_none());
    hub.receive("10.0.0.12", &octets(ERROR));
    assert!(hub.sent().is_empty());
}
