//! The commands.

use std::time::Duration;

use crate::args::Options;

/// What a line asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Command {
    Nothing,
    Start,
    Stop,
    Show(Subject),
    Set(Box<Options>),
    Wait(Duration),
    Help,
    Quit,
}

/// What can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Stages,
    Drops,
    Config,
    Latency,
}

pub(super) const HELP: &str = "\
Commands:
  start                   send packets in the background
  stop                    stop, and say what it was
  show stages             cycles, bursts and rates of the last second
  show drops              what was dropped since the start
  show config             what is measured
  show latency            percentiles since the start, if there is a load
  set NAME VALUE …        an option of the command line: set burst 32, set mode encrypt,
                          set size 512, set peers 1000, set load 50; what runs is started again
  wait SECONDS            do nothing, for scripts
  help                    this
  quit                    stop and end; so does the end of the input";

/// A script that waits for longer has a mistake.
const WAIT_MAX: f64 = 3600.0;

impl Command {
    /// Reads a line. What follows a # is a comment.
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            [] => Ok(Self::Nothing),
            ["start"] => Ok(Self::Start),
            ["stop"] => Ok(Self::Stop),
            ["help" | "?"] => Ok(Self::Help),
            ["quit" | "exit"] => Ok(Self::Quit),
            ["show", subject] => Subject::parse(subject).map(Self::Show),
            ["show", ..] => Err("show stages, drops, config or latency".to_owned()),
            ["set", ref settings @ ..] => set(settings).map(Self::Set),
            ["wait", seconds] => wait(seconds).map(Self::Wait),
            [unknown, ..] => Err(format!("{unknown} is no command; help lists them")),
        }
    }
}

impl Subject {
    fn parse(word: &str) -> Result<Self, String> {
        Ok(match word {
            "stages" => Self::Stages,
            "drops" => Self::Drops,
            "config" => Self::Config,
            "latency" => Self::Latency,
            other => return Err(format!("show {other}: there are stages, drops, config, latency")),
        })
    }
}

fn set(settings: &[&str]) -> Result<Box<Options>, String> {
    if settings.is_empty() || !settings.len().is_multiple_of(2) {
        return Err("set NAME VALUE, and so on: each needs both".to_owned());
    }
    let names = settings.chunks(2).map(|pair| format!("--{}", pair[0]));
    let names: Vec<_> = names.collect();
    let words = names.iter().zip(settings.chunks(2)).flat_map(|(name, pair)| [name, pair[1]]);
    Options::parse(words).map(Box::new)
}

fn wait(seconds: &str) -> Result<Duration, String> {
    match seconds.parse::<f64>() {
        Ok(seconds) if (0.0..=WAIT_MAX).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("wait {seconds}: 0 to 3600 seconds are possible")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands() {
        let parse = |line| Command::parse(line).unwrap();
        assert_eq!(parse("  # a comment"), Command::Nothing);
        assert_eq!(parse("start"), Command::Start);
        assert_eq!(parse(" stop # now"), Command::Stop);
        assert_eq!(parse("show stages"), Command::Show(Subject::Stages));
        assert_eq!(parse("wait 0.5"), Command::Wait(Duration::from_millis(500)));
        assert_eq!(parse("exit"), Command::Quit);
        let Command::Set(options) = parse("set burst 32 size 64,imix peers 10") else { panic!() };
        assert_eq!((options.burst, &options.peers[..]), (Some(32), &[10][..]));
        assert_eq!(options.size.len(), 2);
    }

    #[test]
    fn others_are_refused_with_a_reason() {
        let refused = |line| Command::parse(line).unwrap_err();
        assert_eq!(refused("go"), "go is no command; help lists them");
        assert_eq!(refused("start now"), "start is no command; help lists them");
        assert_eq!(refused("show"), "show stages, drops, config or latency");
        assert!(refused("show tunnels").starts_with("show tunnels: there are"));
        assert_eq!(refused("set burst"), "set NAME VALUE, and so on: each needs both");
        assert!(refused("set burst 0").starts_with("invalid value '0' for '--burst"));
        assert!(refused("set colour red").starts_with("unexpected argument '--colour'"));
        assert!(refused("wait -1").contains("0 to 3600"));
    }
}
