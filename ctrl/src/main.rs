//! greyhound: a DMVPN gateway.

mod api;
mod config;
mod daemon;
mod icmp;
mod keepalive;
mod neighbor;
mod policy;
mod sas;

fn main() {
    env_logger::Builder::new().filter_level(log::LevelFilter::Info).init();
    let file = std::env::args().nth(3).unwrap();
    if let Err(e) = daemon::run(std::path::Path::new(&file)) {
        if let daemon::DaemonError::Config(d) = &e { for d in d { eprintln!("{d}"); } }
        eprintln!("{e}");
    }
}
