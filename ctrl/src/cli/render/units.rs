//! Numbers as people read them.

/// Decimal prefixes, each a thousand times the one before.
const PREFIXES: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
/// Below it a number is shown as it is.
const EXACT_BELOW: u64 = 10_000;

/// A count: `9999`, `12.3 k`, `1.2 M`.
pub(super) fn count(value: u64) -> String {
    scaled(value).map_or_else(|| value.to_string(), |(number, prefix)| format!("{number} {prefix}"))
}

/// Octets: `9999 B`, `12.3 kB`, `3.4 GB`.
pub(super) fn octets(value: u64) -> String {
    scaled(value)
        .map_or_else(|| format!("{value} B"), |(number, prefix)| format!("{number} {prefix}B"))
}

/// A duration in its two largest units: `45s`, `59m 12s`, `3d 4h`.
pub(super) fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    if days > 0 {
        format!("{days}d {}h", hours % 24)
    } else if hours > 0 {
        format!("{hours}h {}m", minutes % 60)
    } else if minutes > 0 {
        format!("{minutes}m {}s", seconds % 60)
    } else {
        format!("{seconds}s")
    }
}

/// A security parameter index: `0x00001001`.
pub(super) fn spi(spi: u32) -> String {
    format!("{spi:#010x}")
}

/// A mean or a percentage with one decimal; a dash if there is none.
pub(super) fn decimal(value: Option<f64>) -> String {
    super::or_dash(value.map(|value| format!("{value:.1}")))
}

/// With one decimal and a prefix; `None` for what is shown as it is.
fn scaled(value: u64) -> Option<(String, &'static str)> {
    if value < EXACT_BELOW {
        return None;
    }
    let mut unit = 1_u128;
    for prefix in PREFIXES {
        unit *= 1000;
        let tenths = (u128::from(value) * 10 + unit / 2) / unit;
        if tenths < 10_000 {
            return Some((format!("{}.{}", tenths / 10, tenths % 10), prefix));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_octets() {
        let counts = [
            (0, "0"),
            (9_999, "9999"),
            (10_000, "10.0 k"),
            (12_345, "12.3 k"),
            (12_350, "12.4 k"),
            (999_949, "999.9 k"),
            (999_950, "1.0 M"),
            (1_234_567, "1.2 M"),
            (4_000_000_000, "4.0 G"),
            (u64::MAX, "18.4 E"),
        ];
        for (value, text) in counts {
            assert_eq!(count(value), text);
        }
        assert_eq!(octets(9_999), "9999 B");
        assert_eq!(octets(12_345), "12.3 kB");
        assert_eq!(octets(3_400_000_000), "3.4 GB");
    }

    #[test]
    fn durations() {
        let durations = [
            (0, "0s"),
            (59, "59s"),
            (60, "1m 0s"),
            (3_552, "59m 12s"),
            (3_600, "1h 0m"),
            (86_399, "23h 59m"),
            (273_600, "3d 4h"),
        ];
        for (seconds, text) in durations {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn others() {
        assert_eq!(spi(0x1001), "0x00001001");
        assert_eq!(decimal(Some(31.96)), "32.0");
        assert_eq!(decimal(None), "-");
    }
}
