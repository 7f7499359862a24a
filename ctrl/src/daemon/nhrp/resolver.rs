//! Names of next hop servers, resolved by the host, as /etc/nsswitch.conf says. That may take many
//! seconds, so a thread of its own waits for it, one name after the other.
//!
//! ```text
//! machine > LookUp > questions > [ resolver ] > answers > looked_up > machine
//! ```

use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use log::error;

use super::super::control::Gateway;
use crate::config::TunnelId;

/// The name of a server, and whose it is.
struct Question {
    /// Name of the tunnel: its number may change while the answer is awaited.
    tunnel: String,
    name: Arc<str>,
}

/// What a name has turned out to be.
struct Answer {
    question: Question,
    found: io::Result<Vec<IpAddr>>,
}

/// The thread that resolves names, seen from the control thread. It ends with this.
pub(in super::super) struct Resolver {
    questions: Sender<Question>,
    answers: Receiver<Answer>,
}

impl Resolver {
    /// Starts the thread. `resolve` finds the addresses of a name; it may block.
    pub(in super::super) fn start(
        resolve: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + 'static,
    ) -> io::Result<Self> {
        let (ask, questions) = channel::<Question>();
        let (answer, answers) = channel();
        let answer_all = move || {
            for question in questions {
                let found = resolve(&question.name);
                if answer.send(Answer { question, found }).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("resolver".to_owned()).spawn(answer_all)?;
        Ok(Self { questions: ask, answers })
    }
}

/// By the resolver of the host. The port is of no use here, but must be one.
pub(in super::super) fn by_host(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

impl Gateway {
    /// Has a name resolved.
    pub(super) fn look_up(&self, id: TunnelId, name: Arc<str>) {
        let tunnel = self.config.tunnels[id.index()].name.clone();
        if self.resolver.questions.send(Question { tunnel, name }).is_err() {
            error!("names are not resolved any more: their thread has ended");
        }
    }

    /// Tells the machines what has been resolved.
    pub(super) fn take_names(&mut self, now: Instant) {
        while let Ok(Answer { question, found }) = self.resolver.answers.try_recv() {
            let mut tunnels = (0..).map(TunnelId).zip(&self.config.tunnels);
            let Some((id, _)) = tunnels.find(|(_, tunnel)| tunnel.name == question.tunnel) else {
                continue;
            };
            self.ask_nhrp(id, |machine, overlay, out| {
                let found = found.as_deref().map_err(ToString::to_string);
                machine.looked_up(now, &question.name, found, overlay, out);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    fn question(name: &str) -> Question {
        Question { tunnel: "dmvpn".to_owned(), name: name.into() }
    }

    /// A slow name holds nobody up who asks, and the next is answered after it.
    #[test]
    fn answers_come_in_order_and_nobody_waits() {
        let (go, wait) = channel::<()>();
        let resolver = Resolver::start(move |name| match name {
            "slow" => {
                wait.recv().map_err(io::Error::other)?;
                Ok(vec![IpAddr::from([192, 0, 2, 1])])
            }
            _ => Err(io::Error::other("no such name")),
        })
        .unwrap();
        for name in ["slow", "wrong"] {
            resolver.questions.send(question(name)).unwrap();
        }
        assert!(resolver.answers.try_recv().is_err());
        go.send(()).unwrap();
        let first = resolver.answers.recv_timeout(SOON).unwrap();
        assert_eq!((&*first.question.name, first.question.tunnel.as_str()), ("slow", "dmvpn"));
        assert_eq!(first.found.unwrap(), [IpAddr::from([192, 0, 2, 1])]);
        let second = resolver.answers.recv_timeout(SOON).unwrap();
        assert_eq!(second.found.unwrap_err().to_string(), "no such name");
    }

    #[test]
    fn the_host_knows_itself() {
        assert!(by_host("localhost").unwrap().iter().all(|address| address.is_loopback()));
    }
}
