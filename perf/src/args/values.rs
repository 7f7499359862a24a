//! Values on the command line.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use aead::{Algorithm, Backend};
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// A share of the rate that a gateway gets through, in parts of a million: at least 1000, at most
/// all of them. Serialized as the share, 0.001 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(into = "f64")]
pub struct Load(u32);

impl Load {
    /// The share, 0.001 to 1.
    #[must_use]
    pub fn share(self) -> f64 {
        f64::from(self.0) / PARTS
    }
}

impl From<Load> for f64 {
    fn from(load: Load) -> Self {
        load.share()
    }
}

/// With a percent sign or above 1, it is percent; else it is the share itself.
impl FromStr for Load {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, percent) = match text.strip_suffix('%') {
            Some(number) => (number, true),
            None => (text, false),
        };
        let number: f64 = number.trim().parse().map_err(|_| "not a number".to_owned())?;
        let share = if percent || number > 1.0 { number / 100.0 } else { number };
        if !(LOAD_MIN..=1.0).contains(&share) {
            return Err("0.1 to 100 percent are possible".to_owned());
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 1")]
        Ok(Self((share * PARTS).round() as u32))
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / PARTS * 100.0)
    }
}

const PARTS: f64 = 1e6;
/// Below this, a run has too few packets for percentiles.
const LOAD_MIN: f64 = 0.001;

/// 1 to `max`.
pub(super) fn counts(max: u32) -> clap::builder::RangedI64ValueParser<u32> {
    let range: RangeInclusive<i64> = 1..=i64::from(max);
    clap::value_parser!(u32).range(range)
}

pub(super) fn algorithms() -> impl TypedValueParser<Value = Algorithm> {
    let names = Algorithm::ALL.map(Algorithm::name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Algorithm>())
}

pub(super) fn backends() -> impl TypedValueParser<Value = Backend> {
    let names = Backend::ALL.map(Backend::name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Backend>())
}

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if (DURATION_MIN..=DURATION_MAX).contains(&duration) => Ok(duration),
        _ => Err("0.001 to 3600 seconds are possible".to_owned()),
    }
}

/// Below this, starting and draining would be measured more than the packets.
const DURATION_MIN: Duration = Duration::from_millis(1);
const DURATION_MAX: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_a_share_or_percent() {
        let share = |text: &str| text.parse::<Load>().map(Load::share);
        for text in ["50", "50%", "0.5", "50.0 %"] {
            assert_eq!(share(text), Ok(0.5), "{text}");
        }
        assert_eq!(share("1"), Ok(1.0));
        assert_eq!(share("1%"), Ok(0.01));
        assert_eq!(share("100"), Ok(1.0));
        for text in ["0", "101", "0.05%", "-5", "NaN", "inf", "half", ""] {
            assert!(share(text).is_err(), "{text}");
        }
        assert_eq!("0.5".parse::<Load>().unwrap().to_string(), "50%");
        assert_eq!("12.5".parse::<Load>().unwrap().to_string(), "12.5%");
    }
}
