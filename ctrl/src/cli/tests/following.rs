//! `greyhound events`, with a gateway that ends when it has answered enough.

use super::*;
use crate::api::report::{Entry, Event, Events};

fn entry(serial: u64) -> Entry {
    let event = Event::LinkUp { port: "wan".into() };
    Entry { serial, time: format!("2026-11-26T14:41:{serial:02}.000Z"), event }
}

fn report(serials: impl IntoIterator<Item = u64>, last: u64, lost: u64) -> Events {
    Events { events: serials.into_iter().map(entry).collect(), last, lost }
}

struct Run {
    result: Result<(), ExecuteError>,
    output: String,
    /// `after` and `wait` of each request.
    asked: Vec<(Option<u64>, bool)>,
}

/// Runs a command against a gateway that gives these answers and is gone then.
fn run(line: &str, answers: Vec<Events>) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("hub.sock")).unwrap();
    let gateway = std::thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut asked = Vec::new();
        for events in answers {
            let mut request = String::new();
            stream.read_line(&mut request).unwrap();
            let request = Request::parse(request.as_bytes()).unwrap();
            let protocol::Command::Events { after, wait } = request.command else { panic!() };
            asked.push((after, wait));
            let answer = Response::new(request.id, Outcome::Ok(Reply::Events(events)));
            stream.get_mut().write_all(&super::line(&answer)).unwrap();
        }
        asked
    });
    let mut output = Vec::new();
    let result = execute(client(line), folder.path(), TIME_OUT, &mut output);
    Run { result, output: String::from_utf8(output).unwrap(), asked: gateway.join().unwrap() }
}

#[test]
fn prints_what_has_happened_and_ends() {
    let Run { result, output, asked } = run("events", vec![report(1..=2, 2, 0)]);
    assert!(result.is_ok());
    assert_eq!(
        output,
        "\
2026-11-26T14:41:01.000Z  link_up                link of wan is up
2026-11-26T14:41:02.000Z  link_up                link of wan is up
"
    );
    assert_eq!(asked, [(None, false)]);
    let Run { output, .. } = run("events -n 1 --json", vec![report(1..=3, 3, 0)]);
    let object = r#"{"serial":3,"time":"2026-11-26T14:41:03.000Z","kind":"link_up","port":"wan"}"#;
    assert_eq!(output, format!("{object}\n"));
}

#[test]
fn follows_until_the_gateway_ends() {
    let answers = vec![report(1..=3, 3, 0), report([], 3, 0), report([9], 9, 5)];
    let Run { result, output, asked } = run("events -f -n 1", answers);
    assert_eq!(asked, [(None, false), (Some(3), true), (Some(3), true)]);
    assert_eq!(
        output,
        "\
2026-11-26T14:41:03.000Z  link_up                link of wan is up
5 events since the last one were not kept
2026-11-26T14:41:09.000Z  link_up                link of wan is up
"
    );
    let error = result.unwrap_err();
    assert_eq!(error.exit(), Exit::NoGateway);
    assert!(error.to_string().ends_with("hub.sock has ended"), "{error}");
}

#[test]
fn a_reader_that_has_seen_enough_ends_it() {
    let answer = Outcome::Ok(Reply::Events(report([1], 1, 0)));
    let gateway = Gateway::answering(answer);
    let result = execute(client("events -f"), gateway.folder.path(), TIME_OUT, &mut Closed);
    gateway.thread.join().unwrap();
    assert!(result.is_ok(), "{result:?}");
}
