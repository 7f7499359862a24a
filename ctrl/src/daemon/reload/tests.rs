use zeroize::Zeroizing;

use super::*;

const HUB: &str = r#"
[system]
name = "hub"

[[port]]
name = "wan"
device = "net_null0"
role = "underlay"
addresses = ["198.51.100.1/24"]
gateway = "198.51.100.254"

[[port]]
name = "lan"
device = "net_null1"
role = "overlay"
addresses = ["10.1.0.1/24"]

[[tunnel]]
name = "branch"
mode = "gre"
source = "wan"
remote = "203.0.113.7"

[[ipsec.profile]]
name = "corp"
mode = "tunnel"
esp = ["aes128gcm16"]

[[ipsec.sa]]
profile = "corp"
direction = "out"
remote = "203.0.113.9"
spi = 0x1001
key_file = "a"

[[ipsec.policy]]
port = "wan"
select = { src = "10.1.0.0/16", dst = "10.3.0.0/16", proto = "tcp" }
action = "protect"
profile = "corp"
remote = "203.0.113.9"

[[ipsec.policy]]
port = "wan"
select = { src = "10.1.0.0/16", dst = "10.3.0.0/16", proto = "udp" }
action = "discard"

[[route]]
prefix = "10.2.0.0/16"
via = "branch"

[[multicast]]
groups = ["239.0.0.0/8", "255.255.255.255"]
interfaces = ["lan", "branch"]
"#;

const VLAN: &str = "[[port]]\nname = \"lan.10\"\nparent = \"lan\"\nvlan = 10\nrole = \"overlay\"\n\
     addresses = [\"10.1.10.1/24\"]\n";

fn config(text: &str) -> Config {
    let key = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        Ok(Zeroizing::new(format!("key {name:.>12}salt").into_bytes()))
    };
    Config::parse(text, Path::new("/hub.toml"), &key).unwrap_or_else(|found| {
        panic!("{:?}", found.iter().map(ToString::to_string).collect::<Vec<_>>())
    })
}

/// The keys that are refused when `old` becomes `new`.
fn refused(old: &str, new: &str) -> Vec<String> {
    let found = needs_restart(&config(old), &config(new));
    assert!(found.iter().all(|diagnostic| diagnostic.message.contains("restart")));
    found.into_iter().map(|diagnostic| diagnostic.key).collect()
}

#[test]
fn process_cores_and_devices_need_a_restart() {
    let of = |from: &str, to: &str| {
        assert!(HUB.contains(from));
        refused(HUB, &HUB.replacen(from, to, 1))
    };
    assert_eq!(of("name = \"hub\"", "name = \"hub2\""), ["system"]);
    assert_eq!(of("[system]", "[pipeline]\npoll = \"busy\"\n[system]"), ["pipeline"]);
    let crypto = "[pipeline]\ncrypto = \"crypto_aesni_gcm0\"\n[system]";
    assert_eq!(of("[system]", crypto), ["pipeline"]);
    assert_eq!(of("net_null1", "net_null2"), ["port[1]"]);
    assert_eq!(of("name = \"wan\"\n", "name = \"wan\"\nmtu = 9000\n"), ["port[0]"]);
    assert_eq!(of("\"net_null1\"\n", "\"net_null1\"\nrx_queues = 2\n"), ["port[1]"]);
    let device = "[[port]]\nname = \"third\"\ndevice = \"net_null3\"\nrole = \"overlay\"\n";
    assert_eq!(refused(HUB, &[HUB, device].concat()), ["port[2]"]);
    assert_eq!(refused(&[HUB, device].concat(), HUB), ["port"]);
    let with_vlan = [HUB, VLAN].concat();
    assert_eq!(refused(&with_vlan, HUB), ["port"]);
    assert_eq!(refused(&with_vlan, &with_vlan.replace("vlan = 10", "vlan = 11")), ["port[2]"]);
}

#[test]
fn a_refusal_says_where() {
    let new = HUB.replace("net_null1", "net_null2");
    let [found] = needs_restart(&config(HUB), &config(&new)).try_into().unwrap();
    let line = 1 + new.lines().position(|line| line == "name = \"lan\"").unwrap();
    let line = u32::try_from(line).unwrap();
    let position = found.position.unwrap();
    assert!((line - 1..=line).contains(&position.line), "{found}");
}

#[test]
fn everything_else_takes_effect_at_once() {
    for (from, to) in [
        ("10.1.0.1/24", "10.1.0.2/24"),
        ("gateway = \"198.51.100.254\"\n", ""),
        ("role = \"overlay\"\n", "role = \"overlay\"\ndirected_broadcast = true\n"),
        ("name = \"branch\"\n", "name = \"branch\"\nkey = 7\n"),
        ("spi = 0x1001", "spi = 0x1002"),
    ] {
        assert!(HUB.contains(from));
        assert!(refused(HUB, &HUB.replacen(from, to, 1)).is_empty(), "{to}");
    }
    assert!(refused(HUB, &[HUB, VLAN].concat()).is_empty());
    assert!(refused(HUB, HUB).is_empty());
}

/// Added, removed and changed when `old` becomes `new`.
fn changes(old: &str, new: &str) -> [Vec<String>; 3] {
    let Reload { added, removed, changed, .. } = difference(&config(old), &config(new));
    [added, removed, changed]
}

fn replaced(from: &str, to: &str) -> [Vec<String>; 3] {
    assert!(HUB.contains(from));
    changes(HUB, &HUB.replacen(from, to, 1))
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_is_different_from_itself() {
    assert_eq!(changes(HUB, HUB), <[Vec<String>; 3]>::default());
    // Comments, and the order of what has none.
    let (head, tail) = HUB.split_once("[[route]]").unwrap();
    let moved = format!("{head}[[multicast]]{}", tail.split_once("[[multicast]]").unwrap().1);
    let moved =
        format!("# a comment\n{moved}[[route]]\nprefix = \"10.2.0.0/16\"\nvia = \"branch\"\n");
    assert_eq!(changes(HUB, &moved), <[Vec<String>; 3]>::default());
}

#[test]
fn what_has_changed_is_named() {
    let changed = |from, to| {
        let [added, removed, changed] = replaced(from, to);
        assert!(added.is_empty() && removed.is_empty());
        changed
    };
    assert_eq!(changed("10.1.0.1/24", "10.1.0.2/24"), ["port lan"]);
    assert_eq!(changed("\"203.0.113.7\"", "\"203.0.113.8\""), ["tunnel branch"]);
    assert_eq!(
        changed("mode = \"tunnel\"\n", "mode = \"tunnel\"\nesn = false\n"),
        ["profile corp"]
    );
    assert_eq!(
        changed("key_file = \"a\"", "key_file = \"b\""),
        ["outbound SA 0x1001 to 203.0.113.9"]
    );
    assert_eq!(changed("\"udp\"", "\"icmp\""), ["policy 10.1.0.0/16 to 10.3.0.0/16"]);
    assert_eq!(changed("via = \"branch\"", "via = \"lan\""), ["route 10.2.0.0/16"]);
    assert_eq!(changed("100.254\"", "100.253\""), ["underlay route 0.0.0.0/0"]);
}

#[test]
fn what_came_and_went_is_named() {
    let [added, removed, changed] =
        replaced("prefix = \"10.2.0.0/16\"", "prefix = \"10.4.0.0/16\"");
    assert_eq!((added, removed), (names(&["route 10.4.0.0/16"]), names(&["route 10.2.0.0/16"])));
    assert!(changed.is_empty());

    let [added, removed, _] = replaced("spi = 0x1001", "spi = 0x1002");
    assert_eq!(added, ["outbound SA 0x1002 to 203.0.113.9"]);
    assert_eq!(removed, ["outbound SA 0x1001 to 203.0.113.9"]);

    let without = HUB.split_once("[[multicast]]").unwrap().0;
    let multicast = names(&["multicast 239.0.0.0/8, 255.255.255.255"]);
    assert_eq!(changes(HUB, without), [vec![], multicast.clone(), vec![]]);
    assert_eq!(changes(without, HUB), [multicast, vec![], vec![]]);

    let both = "gateway = \"198.51.100.254\"\n";
    assert_eq!(replaced(both, ""), [vec![], names(&["underlay route 0.0.0.0/0"]), vec![]]);
    let overlay = [HUB, "[[route]]\nprefix = \"0.0.0.0/0\"\nvia = \"lan\"\n"].concat();
    assert_eq!(changes(HUB, &overlay)[0], ["route 0.0.0.0/0"], "not the underlay's");
}

/// Policies may have the same name, and their order matters.
#[test]
fn policies_with_one_name_are_counted() {
    let name = "policy 10.1.0.0/16 to 10.3.0.0/16";
    let policy = "[[ipsec.policy]]\nport = \"wan\"\naction = \"discard\"\n\
         select = { src = \"10.1.0.0/16\", dst = \"10.3.0.0/16\", proto = \"icmp\" }\n";
    let more = [HUB, policy].concat();
    assert_eq!(changes(HUB, &more), [names(&[name]), vec![], vec![]]);
    assert_eq!(changes(&more, HUB), [vec![], names(&[name]), vec![]]);
    let (head, tail) = HUB.split_once("[[ipsec.policy]]").unwrap();
    let first = [head, policy, "[[ipsec.policy]]", tail].concat();
    assert_eq!(changes(&first, &more), [vec![], vec![], names(&["order of policies"])]);
    assert_eq!(changes(HUB, &first), [names(&[name]), vec![], vec![]]);
}

#[test]
fn warnings_of_the_new_configuration_come_along() {
    let new = HUB.replace("10.3.0.0/16\", proto = \"tcp\"", "10.3.0.0/16\"");
    let reload = difference(&config(HUB), &config(&new));
    assert!(reload.warnings.iter().any(|warning| warning.contains("never matches")));
}

/// A reload names what is different in less time than it takes to build the tables.
#[test]
fn many_routes_are_compared_in_no_time() {
    let mut old = config(HUB);
    let first = old.routes[1].clone();
    let route = |n: u32| Route {
        prefix: wire::IpPrefix::new(std::net::Ipv4Addr::from(0x2000_0000 + (n << 8)).into(), 24)
            .unwrap(),
        ..first.clone()
    };
    old.routes = (0..50_000).map(route).collect();
    let mut new = old.clone();
    new.routes.push(route(60_000));
    let start = Instant::now();
    let reload = difference(&old, &new);
    assert_eq!((reload.added.len(), reload.removed.len(), reload.changed.len()), (1, 0, 0));
    assert!(start.elapsed() < std::time::Duration::from_secs(2));
}
