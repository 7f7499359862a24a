//! `--interactive`: a prompt, as testpmd has one. Traffic runs in the background between `start`
//! and `stop`.

mod command;
mod input;
#[cfg(test)]
mod tests;
mod traffic;
mod watch;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use dpdk::Eal;

use self::command::{Command, HELP, Subject};
use self::input::Input;
use self::traffic::Traffic;
use self::watch::Figures;
use crate::args::{Args, Options};
use crate::case::{Case, available_cores};
use crate::error::Error;
use crate::report::count;

/// Reads commands from standard input until it ends or one says so.
///
/// # Errors
/// [`Error::PromptFailed`] if traffic failed; when nobody sits before it, [`Error::PromptRefused`]
/// if a command was refused; what is wrong with input or output.
pub(crate) fn run(eal: &Eal, args: &Args, out: &mut dyn Write) -> Result<(), Error> {
    let is_terminal = std::io::stdin().is_terminal();
    let input =
        if is_terminal { Input::terminal()? } else { Input::piped(std::io::stdin().lock()) };
    let (failed, refused) = Session::new(eal, args, out).run(input)?;
    match () {
        () if failed > 0 => Err(Error::PromptFailed(failed)),
        () if refused > 0 && !is_terminal => Err(Error::PromptRefused(refused)),
        () => Ok(()),
    }
}

struct Session<'a> {
    eal: &'a Eal,
    out: &'a mut dyn Write,
    options: Options,
    traffic: Option<Traffic>,
    /// What the last traffic showed, from its start to its end.
    last: Option<(Case, Figures)>,
    failed: u32,
    refused: u32,
}

impl<'a> Session<'a> {
    fn new(eal: &'a Eal, args: &Args, out: &'a mut dyn Write) -> Self {
        let options = args.options.clone();
        Self { eal, out, options, traffic: None, last: None, failed: 0, refused: 0 }
    }

    /// Returns how often traffic failed, and how many commands were refused.
    fn run(mut self, mut input: Input<'_>) -> Result<(u32, u32), Error> {
        while let Some(line) = input.next()? {
            match Command::parse(&line) {
                Ok(Command::Quit) => break,
                Ok(command) => self.execute(command)?,
                Err(reason) => self.refuse(&reason)?,
            }
        }
        if self.traffic.is_some() {
            self.stop()?;
        }
        Ok((self.failed, self.refused))
    }

    fn execute(&mut self, command: Command) -> Result<(), Error> {
        match command {
            Command::Nothing | Command::Quit => Ok(()),
            Command::Help => self.say(HELP),
            Command::Start if self.traffic.is_some() => self.refuse("it runs already"),
            Command::Start => self.start(),
            Command::Stop if self.traffic.is_none() => self.refuse("nothing runs"),
            Command::Stop => self.stop(),
            Command::Wait(duration) => {
                std::thread::sleep(duration);
                Ok(())
            }
            Command::Set(options) => self.set(&options),
            Command::Show(subject) => self.show(subject),
        }
    }

    fn say(&mut self, text: &str) -> Result<(), Error> {
        let written = writeln!(self.out, "{}", text.trim_end()).and_then(|()| self.out.flush());
        written.map_err(|cause| Error::Write { path: "standard output".into(), cause })
    }

    fn refuse(&mut self, reason: &str) -> Result<(), Error> {
        self.refused += 1;
        self.say(&format!("no: {reason}"))
    }

    fn fail(&mut self, error: &Error) -> Result<(), Error> {
        self.failed += 1;
        self.say(&format!("failed: {error}"))
    }

    /// The first case of the options: one at a time is run here.
    fn case(&self) -> Result<Case, Error> {
        let mut cases = self.options.cases(&available_cores())?;
        if cases.is_empty() { Err(Error::Setup("no case")) } else { Ok(cases.remove(0)) }
    }

    fn start(&mut self) -> Result<(), Error> {
        let case = match self.case() {
            Ok(case) => case,
            Err(error) => return self.refuse(&error.to_string()),
        };
        let title = case.title();
        if let Some(load) = case.load {
            self.say(&format!("{title}: finding the rate of which {load} is offered"))?;
        }
        match Traffic::start(self.eal, case) {
            Ok(traffic) => {
                self.traffic = Some(traffic);
                self.say(&format!("{title}: started"))
            }
            Err(error) => self.fail(&error),
        }
    }

    fn stop(&mut self) -> Result<(), Error> {
        let Some(traffic) = self.traffic.take() else { return Ok(()) };
        let (case, figures, result) = traffic.stop();
        if let Err(error) = result {
            return self.fail(&error);
        }
        let text = format!("{}: stopped after {}", case.title(), figures.summary());
        self.last = Some((case, figures));
        self.say(&text)
    }

    /// Options that do not suit are not taken. What runs goes on with those that do.
    fn set(&mut self, options: &Options) -> Result<(), Error> {
        let merged = options.over(&self.options);
        let before = std::mem::replace(&mut self.options, merged);
        if let Err(error) = self.case() {
            self.options = before;
            return self.refuse(&error.to_string());
        }
        if self.traffic.is_some() {
            self.stop()?;
            self.start()?;
        }
        Ok(())
    }

    fn show(&mut self, subject: Subject) -> Result<(), Error> {
        let text = match (subject, &self.traffic) {
            (Subject::Config, Some(traffic)) => config(&traffic.case),
            (Subject::Config, None) => match self.case() {
                Ok(case) => config(&case),
                Err(error) => return self.refuse(&error.to_string()),
            },
            (Subject::Stages, Some(traffic)) => traffic.now().table(&traffic.case),
            (Subject::Stages, None) => match &self.last {
                Some((case, figures)) => figures.table(case),
                None => return self.refuse("nothing has run"),
            },
            (Subject::Drops, Some(traffic)) => traffic.drops(),
            (Subject::Drops, None) => {
                "nothing runs; drops end what is started with an error".into()
            }
            (Subject::Latency, Some(traffic)) => match traffic.latency() {
                Some(text) => text,
                None => return self.refuse("latency is measured at a load: set load 50"),
            },
            (Subject::Latency, None) => return self.refuse("nothing runs"),
        };
        self.say(&text)
    }
}

/// What a case is made of.
fn config(case: &Case) -> String {
    let cores: Vec<_> = case.cores.iter().map(ToString::to_string).collect();
    let protection = match case.mode.is_protected() {
        true => format!("{} by {}", case.aead, case.backend),
        false => "none".to_owned(),
    };
    let load = case.load.map_or_else(|| "as much as possible".to_owned(), |load| load.to_string());
    let rows = [
        ("mode", case.mode.name().to_owned()),
        ("size", case.size.note().unwrap_or_else(|| case.size.to_string())),
        ("peers", count(case.peers, "peer")),
        ("flows", count(case.flows, "flow")),
        ("protection", protection),
        ("preset", case.preset.name().to_owned()),
        ("cores", cores.join(",")),
        ("burst", case.burst.to_string()),
        ("links", format!("{} octets", case.mtu)),
        ("load", load),
    ];
    rows.map(|(name, value)| format!("  {name:<12}{value}\n")).concat()
}

/// For how long the rate is measured of which a load is a share.
const RATE: Duration = Duration::from_millis(200);
