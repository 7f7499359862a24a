use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use aead::Algorithm;
use clap::error::ErrorKind;
use tempfile::TempDir;

use super::args::parse_from;
use super::events::Selection;
use super::execute::{ClientCommand, ExecuteError, Order, execute};
use super::{Command, Exit, Keygen};
use crate::api::protocol::{
    self, Clear, ErrorCode, Failure, Outcome, Pong, Reply, Request, Response, SaDelete, Show,
};
use crate::api::report::Direction;

const TIME_OUT: Duration = Duration::from_secs(5);

/// `line` split at spaces, behind the name of the program.
fn parse(line: &str) -> Result<Command, ErrorKind> {
    let words = line.split_ascii_whitespace();
    parse_from(["greyhound"].into_iter().chain(words)).map_err(|error| error.kind())
}

fn client(line: &str) -> ClientCommand {
    match parse(line) {
        Ok(Command::Client(command)) => command,
        other => panic!("{other:?}"),
    }
}

fn sends(line: &str, command: protocol::Command) {
    assert_eq!(client(line).order, Order::Send(command), "{line}");
}

#[test]
fn commands_without_a_gateway() {
    assert_eq!(parse("run -c hub.toml"), Ok(Command::Run { config: "hub.toml".into() }));
    assert_eq!(parse("run --config hub.toml"), Ok(Command::Run { config: "hub.toml".into() }));
    assert_eq!(parse("check hub.toml"), Ok(Command::Check { file: "hub.toml".into() }));
    let keygen = |algorithm, output: Option<&str>| {
        Ok(Command::Keygen(Keygen { algorithm, output: output.map(PathBuf::from) }))
    };
    assert_eq!(parse("keygen"), keygen(Algorithm::Aes256Gcm16, None));
    let short = "keygen --esp aes128gcm16 -o a.key";
    assert_eq!(parse(short), keygen(Algorithm::Aes128Gcm16, Some("a.key")));
}

#[test]
fn commands_to_a_gateway() {
    use protocol::Command::{Clear as C, Ping, SaDelete as D, Show as S};
    sends("ping", Ping {});
    sends("show ports", S(Show::Ports {}));
    sends("show tunnels", S(Show::Tunnels {}));
    sends("show peers", S(Show::Peers {}));
    sends("show sa", S(Show::Sa {}));
    sends("show routes", S(Show::Routes {}));
    sends("show stages", S(Show::Stages {}));
    sends("show drops", S(Show::Drops { all: false }));
    sends("show drops --all", S(Show::Drops { all: true }));
    sends("show topology", S(Show::Topology {}));
    sends("show cores", S(Show::Cores {}));
    sends("show neighbors", S(Show::Neighbors {}));
    sends("show nhrp", S(Show::Nhrp {}));
    sends("show nhrp cache", S(Show::NhrpCache {}));
    sends("show nhrp nhs", S(Show::NhrpServers {}));
    sends("show nhrp shortcuts", S(Show::NhrpShortcuts {}));
    sends("show nhrp multicast", S(Show::NhrpMulticast {}));
    sends("show nhrp traffic", S(Show::NhrpTraffic {}));
    sends("clear counters", C(Clear::Counters {}));
    sends("clear drops", C(Clear::Drops {}));
    sends("clear neighbors", C(Clear::Neighbors { interface: None }));
    sends("clear neighbors lan", C(Clear::Neighbors { interface: Some("lan".into()) }));
    sends("clear reassembly", C(Clear::Reassembly {}));
    let deletion = SaDelete { direction: Direction::In, spi: 4097, remote: None };
    sends("sa del --direction in --spi 4097", D(deletion));
    let deletion = SaDelete { remote: Some("2001:db8::1".parse().unwrap()), ..deletion };
    sends("sa del --direction in --spi 0x1001 --remote 2001:db8::1", D(deletion));
    assert_eq!(client("reload").order, Order::Reload { file: None });
    assert_eq!(client("reload a.toml").order, Order::Reload { file: Some("a.toml".into()) });
}

#[test]
fn events_are_chosen() {
    let cases = [
        ("events", false, None),
        ("events -f", true, None),
        ("events --follow -n 0", true, Some(0)),
        ("events -n 20", false, Some(20)),
        ("events --count 20 --json", false, Some(20)),
    ];
    for (line, follow, count) in cases {
        let command = client(line);
        assert_eq!(command.order, Order::Events(Selection { follow, count }), "{line}");
        assert_eq!(command.json, line.contains("--json"));
    }
}

#[test]
fn socket_and_json_stand_anywhere() {
    for line in ["--socket /s show ports", "show --socket /s ports", "show ports --socket /s"] {
        let command = client(line);
        assert_eq!(command.socket.as_deref(), Some(Path::new("/s")));
        assert!(!command.json);
    }
    assert!(client("show --json ports").json);
    assert!(client("show ports --json").json);
}

#[test]
fn sa_add_takes_a_key_file() {
    let line = "sa add --profile corp --direction out --remote 198.51.100.2 --spi 0x1001 \
                --key-file a.key --esp aes128gcm16 --udp-port 61000 --local 198.51.100.1";
    let Order::SaAdd(addition) = client(line).order else { panic!("{line}") };
    assert_eq!(addition.profile, "corp");
    assert_eq!(addition.direction, Direction::Out);
    assert_eq!(addition.spi, 0x1001);
    assert_eq!(addition.key_file, Path::new("a.key"));
    assert_eq!(addition.esp, Some(Algorithm::Aes128Gcm16));
    assert_eq!(addition.udp_port.unwrap().get(), 61000);
    let with_key = line.replace("--key-file a.key", "--key 00112233");
    assert_eq!(parse(&with_key), Err(ErrorKind::UnknownArgument), "{with_key}");
}

#[test]
fn mistakes_are_usage_errors() {
    use ErrorKind::{
        ArgumentConflict, DisplayHelpOnMissingArgumentOrSubcommand, InvalidSubcommand,
        InvalidValue, MissingRequiredArgument, UnknownArgument, ValueValidation,
    };
    let cases = [
        ("", DisplayHelpOnMissingArgumentOrSubcommand),
        ("show", DisplayHelpOnMissingArgumentOrSubcommand),
        ("shwo ports", InvalidSubcommand),
        ("show porst", InvalidSubcommand),
        ("show ports --all", UnknownArgument),
        ("show nhrp servers", InvalidValue),
        ("clear sa", InvalidSubcommand),
        ("run", MissingRequiredArgument),
        ("check", MissingRequiredArgument),
        ("sa del --direction in", MissingRequiredArgument),
        ("sa del --direction up --spi 256", InvalidValue),
        ("sa del --direction in --spi 255", ValueValidation),
        ("sa del --direction in --spi 0x+100", ValueValidation),
        ("sa del --direction in --spi 0x100000000", ValueValidation),
        ("sa del --direction in --spi 256 --remote hub", ValueValidation),
        ("keygen --esp 3des", InvalidValue),
        ("--socket /s run -c hub.toml", ArgumentConflict),
        ("events -n -1", UnknownArgument),
        ("events dmvpn", UnknownArgument),
        ("check hub.toml --socket /s", ArgumentConflict),
        ("keygen --socket /s", ArgumentConflict),
    ];
    for (line, kind) in cases {
        assert_eq!(parse(line), Err(kind), "{line:?}");
        let words = line.split_ascii_whitespace();
        let error = parse_from(["greyhound"].into_iter().chain(words)).unwrap_err();
        assert_eq!(error.exit_code(), Exit::Usage as i32, "{line:?}");
    }
    for line in ["--help", "--version", "show --help", "sa add --help"] {
        let words = line.split_ascii_whitespace();
        let error = parse_from(["greyhound"].into_iter().chain(words)).unwrap_err();
        assert_eq!(error.exit_code(), Exit::Done as i32, "{line:?}");
    }
}

#[test]
fn help_documents_the_exit_codes() {
    let help = parse_from(["greyhound", "--help"]).unwrap_err().to_string();
    for code in [Exit::Done, Exit::Failed, Exit::Usage, Exit::NoGateway] {
        assert!(help.contains(&format!("\n  {}  ", code as u8)), "{help}");
    }
}

/// A gateway that answers one client with a line that `answer` makes of its request.
struct Gateway {
    folder: TempDir,
    thread: JoinHandle<Option<protocol::Command>>,
}

impl Gateway {
    fn new(answer: impl FnOnce(Request) -> Vec<u8> + Send + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("hub.sock")).unwrap();
        let thread = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            let request = Request::parse(line.as_bytes()).ok()?;
            let command = request.command.clone();
            (&stream).write_all(&answer(request)).unwrap();
            Some(command)
        });
        Self { folder, thread }
    }

    fn answering(outcome: Outcome) -> Self {
        Self::new(|request| line(&Response::new(request.id, outcome)))
    }

    fn execute(self, line: &str) -> (Result<String, ExecuteError>, Option<protocol::Command>) {
        let mut output = Vec::new();
        let result = execute(client(line), self.folder.path(), TIME_OUT, &mut output);
        let command = self.thread.join().unwrap();
        (result.map(|()| String::from_utf8(output).unwrap()), command)
    }
}

fn line(response: &Response) -> Vec<u8> {
    let mut line = serde_json::to_vec(response).unwrap();
    line.push(b'\n');
    line
}

fn pong() -> Outcome {
    Outcome::Ok(Reply::Pong(Pong {
        name: "hub".into(),
        version: "0.1.0".into(),
        pid: 7,
        uptime_seconds: 3700,
        config: "/etc/hub.toml".into(),
    }))
}

mod following;

#[test]
fn prints_what_the_gateway_answers() {
    let (output, command) = Gateway::answering(pong()).execute("ping");
    let expected = "hub: greyhound 0.1.0, process 7, up 1h 1m, configuration /etc/hub.toml\n";
    assert_eq!(output.unwrap(), expected);
    assert_eq!(command, Some(protocol::Command::Ping {}));
}

#[test]
fn prints_json() {
    let answer = Outcome::Ok(Reply::Cores(Vec::new()));
    assert_eq!(Gateway::answering(answer).execute("show cores --json").0.unwrap(), "[]\n");
}

#[test]
fn a_no_of_the_gateway_is_exit_code_1() {
    let codes = [
        (ErrorCode::NotFound, Exit::Failed),
        (ErrorCode::Conflict, Exit::Failed),
        (ErrorCode::Forbidden, Exit::Failed),
        (ErrorCode::InvalidArguments, Exit::Usage),
        (ErrorCode::InvalidConfiguration, Exit::Usage),
    ];
    for (code, exit) in codes {
        let answer = Outcome::Error(Failure::new(code, "no such thing"));
        let error = Gateway::answering(answer).execute("ping").0.unwrap_err();
        assert_eq!(error.to_string(), "no such thing");
        assert_eq!(error.exit(), exit, "{code:?}");
    }
}

#[test]
fn a_refusal_before_the_request_is_read_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("hub.sock")).unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let failure = Failure::new(ErrorCode::TooManyClients, "16 clients are connected");
        stream.write_all(&line(&Response::failure(None, failure))).unwrap();
    });
    std::thread::sleep(Duration::from_millis(20));
    let error = execute(client("ping"), folder.path(), TIME_OUT, &mut io::sink()).unwrap_err();
    thread.join().unwrap();
    assert_eq!(error.to_string(), "16 clients are connected");
    assert_eq!(error.exit(), Exit::Failed);
}

#[test]
fn no_gateway_is_exit_code_3() {
    let folder = tempfile::tempdir().unwrap();
    let ask =
        |line: &str| execute(client(line), folder.path(), TIME_OUT, &mut io::sink()).unwrap_err();
    let error = ask("ping");
    assert_eq!(error.exit(), Exit::NoGateway);
    assert!(error.to_string().contains("--socket PATH"), "{error}");

    let error = ask("ping --socket /nonexistent/hub.sock");
    assert_eq!(error.exit(), Exit::NoGateway);
    assert_eq!(
        error.to_string(),
        "no gateway runs at /nonexistent/hub.sock; --socket PATH names another one"
    );

    drop(UnixListener::bind(folder.path().join("hub.sock")).unwrap());
    let error = ask("ping");
    assert_eq!(error.exit(), Exit::NoGateway);
    assert!(error.to_string().contains("ended without removing its socket"), "{error}");
}

#[test]
fn a_gateway_that_answers_nothing_or_nonsense_is_exit_code_3() {
    let told = |answer: fn(Request) -> Vec<u8>| {
        let error = Gateway::new(answer).execute("ping").0.unwrap_err();
        assert_eq!(error.exit(), Exit::NoGateway);
        error.to_string()
    };
    assert!(told(|_| Vec::new()).contains("closed the connection before it answered"));
    assert!(told(|_| b"{\"version\":1".to_vec()).contains("closed the connection"));
    assert!(told(|_| b"HTTP/1.1 400 Bad Request\r\n".to_vec()).contains("not a gateway"));
    let other_version =
        |request: Request| line(&Response { version: 2, ..Response::new(request.id, pong()) });
    assert!(told(other_version).contains("it speaks version 2"));
    let other_id = |request: Request| line(&Response::new(request.id + 1, pong()));
    assert!(told(other_id).contains("what was not asked"));
}

#[test]
fn a_gateway_that_hangs_does_not_hang_us() {
    let folder = tempfile::tempdir().unwrap();
    let _listener = UnixListener::bind(folder.path().join("hub.sock")).unwrap();
    let time_out = Duration::from_millis(50);
    let error = execute(client("ping"), folder.path(), time_out, &mut io::sink()).unwrap_err();
    assert_eq!(error.exit(), Exit::NoGateway);
    assert!(error.to_string().ends_with("has not answered in 0.05 s"), "{error}");
}

/// A reader that has seen enough.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    for line in ["show cores", "show cores --json"] {
        let gateway = Gateway::answering(Outcome::Ok(Reply::Cores(Vec::new())));
        let result = execute(client(line), gateway.folder.path(), TIME_OUT, &mut Closed);
        gateway.thread.join().unwrap();
        assert!(result.is_ok(), "{line}: {result:?}");
    }
}

#[test]
fn reload_names_the_file_absolutely() {
    let (_, command) = Gateway::answering(pong()).execute("reload hub.toml");
    let expected = std::env::current_dir().unwrap().join("hub.toml");
    let path = Some(expected.to_str().unwrap().to_owned());
    assert_eq!(command, Some(protocol::Command::Reload { path }));
}

const SA_ADD: &str =
    "sa add --profile corp --direction out --remote 198.51.100.2 --spi 0x1001 --key-file";

fn key_file(folder: &TempDir, contents: &[u8], mode: u32) -> String {
    let path = folder.path().join("a.key");
    std::fs::write(&path, contents).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn sa_add_sends_the_key_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    for contents in [&b"0xA5a5a5a5 a5a5a5a5 a5a5a5a5 a5a5a5a5 a5a5a5a5\n"[..], &[0xa5; 20]] {
        let file = key_file(&folder, contents, 0o600);
        let (_, command) = Gateway::answering(pong()).execute(&format!("{SA_ADD} {file}"));
        let Some(protocol::Command::SaAdd(sa)) = command else { panic!("{command:?}") };
        assert_eq!(sa.key.digits(), "a5".repeat(20));
        assert_eq!((sa.spi, sa.esp, sa.udp), (0x1001, None, None));
    }
    let file = key_file(&folder, &[0xa5; 20], 0o600);
    let (_, command) =
        Gateway::answering(pong()).execute(&format!("{SA_ADD} {file} --udp-port 61000"));
    let Some(protocol::Command::SaAdd(sa)) = command else { panic!("{command:?}") };
    let udp = sa.udp.unwrap();
    assert_eq!((udp.local.get(), udp.remote.get()), (4500, 61000));
}

#[test]
fn a_bad_key_file_is_exit_code_2_and_shows_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |file: &str, more: &str| {
        let command = client(&format!("{SA_ADD} {file} {more}"));
        let error = execute(command, folder.path(), TIME_OUT, &mut io::sink()).unwrap_err();
        assert_eq!(error.exit(), Exit::Usage);
        let text = error.to_string();
        assert!(!text.contains("5ec4e7"), "{text}");
        text
    };
    let digits = b"5ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4";
    let open = key_file(&folder, digits, 0o644);
    assert!(refused(&open, "").contains("chmod 600"));
    let private = key_file(&folder, digits, 0o600);
    assert!(refused(&private, "--esp aes256gcm16").contains("aes256gcm16 takes 36"));
    let short = key_file(&folder, &digits[..10], 0o600);
    let text = refused(&short, "");
    assert!(text.contains("aes128gcm16 takes 20") && text.contains("aes256gcm16 takes 36"));
    assert!(refused("/nonexistent/a.key", "").contains("cannot read /nonexistent/a.key"));
}
