//! Traffic in the background.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dpdk::Eal;

use super::RATE;
use super::watch::{Figures, Recent, STEP, Sample, Watch};
use crate::case::Case;
use crate::drops::DropCounters;
use crate::error::Error;
use crate::gateway::Setup;
use crate::latency::{self, Latencies, lock};
use crate::report::LatencyReport;
use crate::{measure, proof, run_once};

/// What runs.
pub(super) struct Traffic {
    pub(super) case: Case,
    watch: Watch,
    first: Sample,
    recent: Arc<Mutex<Recent>>,
    latencies: Option<Arc<Mutex<Latencies>>>,
    stop: Arc<AtomicBool>,
    /// Runs the cores' threads.
    runner: JoinHandle<Result<(), Error>>,
    sampler: JoinHandle<()>,
}

/// Until it is stopped.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

impl Traffic {
    /// Proves that the case works, and starts it; at a load, measures first of what it is a share.
    pub(super) fn start(eal: &Eal, case: Case) -> Result<Self, Error> {
        proof::prove(eal, &case)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (watch, latencies, runner) = match case.load {
            None => start_full(eal, &case, &stop)?,
            Some(load) => {
                let mpps = run_once(eal, &case, RATE)?.mpps(eal.tsc_hz());
                start_at(eal, &case, load.share() * mpps * 1e6, &stop)?
            }
        };
        let first = watch.sample();
        let recent = Arc::new(Mutex::new(Recent::new(first.clone())));
        let sampler = thread::spawn({
            let (watch, recent, stop) = (watch.clone(), recent.clone(), stop.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    thread::sleep(STEP);
                    lock(&recent).add(watch.sample());
                }
            }
        });
        Ok(Self { case, watch, first, recent, latencies, stop, runner, sampler })
    }

    /// Stops it: the case, what it showed from start to end, and whether it was all right.
    pub(super) fn stop(self) -> (Case, Figures, Result<(), Error>) {
        self.stop.store(true, Ordering::Relaxed);
        let result = self.runner.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause));
        // It only sleeps and looks.
        let _ = self.sampler.join();
        let figures = self.watch.between(&self.first, &self.watch.sample());
        (self.case, figures, result)
    }

    /// What it showed in the last second.
    pub(super) fn now(&self) -> Figures {
        let recent = lock(&self.recent);
        let before = recent.oldest().unwrap_or(&self.first);
        self.watch.between(before, &self.watch.sample())
    }

    /// What was dropped.
    pub(super) fn drops(&self) -> String {
        let drops = self.watch.drops.read().0;
        if drops.is_empty() {
            return "none".to_owned();
        }
        let line = |((stage, reason), count)| format!("  {stage:<16}{reason:<24}{count:>12}\n");
        drops.into_iter().map(line).collect()
    }

    /// Percentiles so far; none without a load.
    pub(super) fn latency(&self) -> Option<String> {
        let latencies = lock(self.latencies.as_ref()?).clone();
        let found = LatencyReport::of(self.case.load?, &latencies);
        let mut text = format!(
            "{} at {}: {:.2} Mpps offered, {:.2} carried, {} frames\n",
            self.case.title(),
            found.load,
            found.offered_mpps,
            found.carried_mpps,
            found.frames
        );
        for (name, us) in found.percentiles() {
            text += &format!("  {name:<8}{us:>12.2} us\n");
        }
        Some(text)
    }
}

type Started = (Watch, Option<Arc<Mutex<Latencies>>>, JoinHandle<Result<(), Error>>);

/// As fast as it goes.
fn start_full(eal: &Eal, case: &Case, stop: &Arc<AtomicBool>) -> Result<Started, Error> {
    let mut setup = Setup::new(eal, case)?;
    let watch = Watch::new(eal.tsc_hz(), case, &setup, DropCounters::of(&setup));
    let (eal, case, stop) = (eal.clone(), case.clone(), stop.clone());
    let run = move || measure::measure_until(&eal, &case, &mut setup, FOR_EVER, &stop).map(drop);
    Ok((watch, None, thread::spawn(run)))
}

/// At so many packets a second.
fn start_at(eal: &Eal, case: &Case, pps: f64, stop: &Arc<AtomicBool>) -> Result<Started, Error> {
    let latencies = Arc::new(Mutex::new(Latencies::new(eal, pps)?));
    let mut bench = latency::Bench::new(eal, case, pps)?;
    let watch = Watch::new(eal.tsc_hz(), case, &bench.setup, bench.drops.clone());
    let (eal, case, stop) = (eal.clone(), case.clone(), stop.clone());
    let so_far = latencies.clone();
    let run = move || bench.run(&eal, &case, &so_far, FOR_EVER, &stop);
    Ok((watch, Some(latencies), thread::spawn(run)))
}
