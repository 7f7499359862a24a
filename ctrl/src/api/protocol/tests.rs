use std::num::NonZeroU16;

use aead::Algorithm;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::key::KeyHex;
use crate::api::report::{Direction, Event};

pub(crate) fn key() -> impl Strategy<Value = KeyHex> {
    vec(any::<u8>(), 1..40).prop_map(|octets| KeyHex::from_octets(&octets))
}

pub(crate) fn algorithm() -> impl Strategy<Value = Option<Algorithm>> {
    proptest::option::of(proptest::sample::select(&Algorithm::ALL[..]))
}

/// JSON as the engine makes it: whole numbers, so that nothing is rounded.
pub(crate) fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|members| Value::from(serde_json::Map::from_iter(members))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_request_comes_back_as_it_was(id: u64, command: Command) {
        let request = Request { version: VERSION, id, command };
        let line = serde_json::to_vec(&request).unwrap();
        prop_assert!(!line.contains(&b'\n'));
        prop_assert_eq!(Request::parse(&line).unwrap(), request);
    }

    #[test]
    fn every_command_has_its_name_in_the_list(command: Command) {
        let value = serde_json::to_value(&command).unwrap();
        let names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        prop_assert!(matches!(names[..], [name] if Command::NAMES.contains(&name)));
    }

    #[test]
    fn no_line_is_too_strange(line in vec(any::<u8>(), 0..200)) {
        prop_assert!(Request::parse(&line).is_err());
    }

    #[test]
    fn a_cut_request_is_malformed(id: u64, command: Command, cut: prop::sample::Index) {
        let line = serde_json::to_vec(&Request { version: VERSION, id, command }).unwrap();
        let response = Request::parse(&line[..cut.index(line.len())]).unwrap_err();
        prop_assert_eq!(code(&response), ErrorCode::Malformed);
    }
}

proptest! {
    // Reports are long: a few of them have every field.
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_response_comes_back_as_it_was(response: Response) {
        let line = serde_json::to_string(&response).unwrap();
        prop_assert!(!line.contains('\n'));
        prop_assert_eq!(serde_json::from_str::<Response>(&line).unwrap(), response);
    }
}

fn code(response: &Response) -> ErrorCode {
    match &response.outcome {
        Outcome::Error(failure) => failure.code,
        Outcome::Ok(reply) => panic!("{reply:?}"),
    }
}

fn parse(request: &Value) -> Result<Request, (Option<u64>, ErrorCode)> {
    Request::parse(request.to_string().as_bytes())
        .map_err(|response| (response.id, code(&response)))
}

fn command(command: Value) -> Result<Command, ErrorCode> {
    let request = json!({"version": 1, "id": 3, "command": command});
    parse(&request).map(|request| request.command).map_err(|(_, code)| code)
}

#[test]
fn reads_what_the_documentation_says() {
    assert_eq!(command(json!({"ping": {}})), Ok(Command::Ping {}));
    let events = |after, wait| Ok(Command::Events { after, wait });
    assert_eq!(command(json!({"events": {}})), events(None, false));
    assert_eq!(command(json!({"events": {"after": 3, "wait": true}})), events(Some(3), true));
    let show = |show| Ok(Command::Show(show));
    assert_eq!(command(json!({"show": {"what": "ports"}})), show(Show::Ports {}));
    assert_eq!(command(json!({"show": {"what": "drops"}})), show(Show::Drops { all: false }));
    assert_eq!(
        command(json!({"show": {"what": "drops", "all": true}})),
        show(Show::Drops { all: true })
    );
    assert_eq!(
        command(json!({"clear": {"what": "neighbors", "interface": "lan"}})),
        Ok(Command::Clear(Clear::Neighbors { interface: Some("lan".into()) }))
    );
    assert_eq!(command(json!({"reload": {}})), Ok(Command::Reload { path: None }));
    let sa = json!({
        "profile": "corp", "direction": "out", "remote": "2001:db8::2", "spi": 4097,
        "key": "00ff", "esp": "aes128gcm16", "udp": {"local": 4500, "remote": 61000},
    });
    let expected = SaAdd {
        profile: "corp".into(),
        direction: Direction::Out,
        remote: "2001:db8::2".parse().unwrap(),
        local: None,
        spi: 4097,
        key: KeyHex::from_octets(&[0, 255]),
        esp: Some(Algorithm::Aes128Gcm16),
        udp: Some(UdpPorts {
            local: NonZeroU16::new(4500).unwrap(),
            remote: NonZeroU16::new(61000).unwrap(),
        }),
    };
    assert_eq!(command(json!({"sa_add": sa})), Ok(Command::SaAdd(expected)));
}

#[test]
fn writes_what_the_documentation_says() {
    let response = Response::new(7, Outcome::Ok(Reply::Cleared { entries: 2 }));
    assert_eq!(
        serde_json::to_string(&response).unwrap(),
        r#"{"version":1,"id":7,"ok":{"cleared":{"entries":2}}}"#
    );
    let failure = Failure::new(ErrorCode::NotFound, "no port is named lam");
    assert_eq!(
        serde_json::to_string(&Response::failure(None, failure)).unwrap(),
        r#"{"version":1,"id":null,"error":{"code":"not_found","message":"no port is named lam"}}"#
    );
}

#[test]
fn each_mistake_has_its_code() {
    use ErrorCode::{InvalidArguments, Malformed, UnknownCommand, UnsupportedVersion};
    let cases = [
        (json!([]), None, Malformed),
        (json!({"id": 3, "command": {"ping": {}}}), None, Malformed),
        (json!({"version": 1, "command": {"ping": {}}}), None, Malformed),
        (json!({"version": 1, "id": -1, "command": {"ping": {}}}), None, Malformed),
        (json!({"version": 2, "id": 3, "order": "ping"}), Some(3), UnsupportedVersion),
        (json!({"version": 1, "id": 3}), Some(3), Malformed),
        (json!({"version": 1, "id": 3, "command": "ping"}), Some(3), Malformed),
        (json!({"version": 1, "id": 3, "command": {}}), Some(3), Malformed),
        (json!({"version": 1, "id": 3, "command": {"ping": {}}, "x": 1}), Some(3), Malformed),
        (json!({"version": 1, "id": 3, "command": {"ping": {}, "reload": {}}}), Some(3), Malformed),
        (json!({"version": 1, "id": 3, "command": {"pnig": {}}}), Some(3), UnknownCommand),
    ];
    for (request, id, code) in cases {
        assert_eq!(parse(&request), Err((id, code)), "{request}");
    }
    for wrong in [
        json!({"ping": {"x": 1}}),
        json!({"show": {}}),
        json!({"show": {"what": "porst"}}),
        json!({"show": {"what": "ports", "all": true}}),
        json!({"clear": {"what": "counters", "interface": "lan"}}),
        json!({"reload": {"path": 1}}),
        json!({"sa_delete": {"direction": "out"}}),
        json!({"sa_delete": {"direction": "up", "spi": 256}}),
        json!({"sa_delete": {"direction": "out", "spi": 4_294_967_296_u64}}),
    ] {
        assert_eq!(command(wrong.clone()), Err(InvalidArguments), "{wrong}");
    }
}

#[test]
fn secrets_in_no_error() {
    let secret = "5ec4e75ec4e75ec4e7";
    let sa = |field: &str, value: Value| {
        let mut sa = json!({"profile": "corp", "direction": "in", "remote": "192.0.2.1",
            "spi": 256, "key": "00"});
        sa[field] = value;
        json!({"version": 1, "id": 3, "command": {"sa_add": sa}}).to_string()
    };
    for line in [
        sa("key", json!(format!("{secret}x"))),
        sa("key", json!([secret])),
        sa("spi", json!(secret)),
        sa("direction", json!(secret)),
        sa(secret, json!(1)),
    ] {
        let response = Request::parse(line.as_bytes()).unwrap_err();
        assert_eq!(code(&response), ErrorCode::InvalidArguments);
        let shown = format!("{response:?} {}", serde_json::to_string(&response).unwrap());
        assert!(!shown.contains(secret), "{shown}");
    }
    let good = Request::parse(sa("key", json!(secret)).as_bytes()).unwrap();
    assert!(!format!("{good:?}").contains(secret));
}

#[test]
fn repeats_little_of_a_long_mistake() {
    let name = "ä".repeat(10_000);
    let line = json!({"version": 1, "id": 3, "command": {name: {}}}).to_string();
    let response = Request::parse(line.as_bytes()).unwrap_err();
    assert_eq!(code(&response), ErrorCode::UnknownCommand);
    assert!(serde_json::to_string(&response).unwrap().chars().count() < 400);
}

const DOCUMENTATION: &str = include_str!("../../../../docs/control-socket.md");

#[test]
fn the_examples_of_the_documentation_are_true() {
    let with = |sign: &'static str| DOCUMENTATION.lines().filter_map(move |l| l.strip_prefix(sign));
    for line in with("> {").map(|rest| format!("{{{rest}")) {
        let request = Request::parse(line.as_bytes()).unwrap();
        assert_eq!(serde_json::to_value(&request).unwrap(), value(&line), "{line}");
    }
    for line in with("< {").map(|rest| format!("{{{rest}")) {
        let response: Response = serde_json::from_str(&line).unwrap();
        assert_eq!(serde_json::to_value(&response).unwrap(), value(&line), "{line}");
    }
    assert_eq!((with("> {").count(), with("< {").count()), (9, 23));
}

fn value(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

proptest! {
    #[test]
    fn the_documentation_names_every_command_and_code(command: Command, code: ErrorCode) {
        let command = serde_json::to_value(&command).unwrap();
        let command = command.as_object().unwrap().keys().next().unwrap().clone();
        let code = serde_json::to_value(code).unwrap();
        for name in [command.as_str(), code.as_str().unwrap()] {
            prop_assert!(DOCUMENTATION.contains(&format!("\n| `{name}` |")), "{}", name);
        }
    }

    #[test]
    fn the_documentation_names_every_event_and_what_it_has(event: Event) {
        let kind = format!("`{}`", event.kind());
        let is_row = |line: &&str| line.starts_with("| `") && line.contains(&kind);
        let (_, section) = DOCUMENTATION.split_once("\n## Events\n").unwrap();
        let row = section.lines().find(is_row).unwrap_or_default();
        for member in serde_json::to_value(&event).unwrap().as_object().unwrap().keys() {
            let is_said = member == "kind" || row.contains(&format!("`{member}`"));
            prop_assert!(is_said, "{} of {}: {}", member, kind, row);
        }
    }
}
