//! "Did you mean …?"

/// Fewest octets of a word that may stand for all of a longer one.
const BEGINNING_OCTETS_MIN: usize = 3;

/// The candidate that `word` was probably meant to be, as a hint: one that is few edits away, or
/// else one that begins with it, or that it begins with.
pub(super) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let limit = (word.chars().count() / 3).clamp(1, 3);
    let rank = |candidate: &str| match distance(word, candidate, limit) {
        distance if distance <= limit => Some(distance),
        _ if is_beginning(word, candidate) || is_beginning(candidate, word) => Some(limit + 1),
        _ => None,
    };
    let ranked = candidates.into_iter().filter_map(|candidate| Some((rank(candidate)?, candidate)));
    let (_, best) = ranked.min_by_key(|(rank, _)| *rank)?;
    Some(format!("did you mean {best:?}?"))
}

fn is_beginning(beginning: &str, whole: &str) -> bool {
    beginning.len() >= BEGINNING_OCTETS_MIN && whole.starts_with(beginning)
}

/// Edits (insert, delete, replace, swap of neighbours) between two words, case ignored; more
/// than `limit` if the lengths alone differ by more.
fn distance(a: &str, b: &str, limit: usize) -> usize {
    let [a, b] = [a, b].map(|word| word.to_lowercase().chars().collect::<Vec<_>>());
    if a.len().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_typo() {
        let keys = ["source", "remote", "protection", "mtu"];
        assert_eq!(did_you_mean("sourc", keys).as_deref(), Some(r#"did you mean "source"?"#));
        assert_eq!(did_you_mean("Remtoe", keys).as_deref(), Some(r#"did you mean "remote"?"#));
        assert_eq!(did_you_mean("mut", keys).as_deref(), Some(r#"did you mean "mtu"?"#));
        assert_eq!(did_you_mean("prot", keys).as_deref(), Some(r#"did you mean "protection"?"#));
        assert_eq!(did_you_mean("mtu_v4", keys).as_deref(), Some(r#"did you mean "mtu"?"#));
        assert_eq!(did_you_mean("x", keys), None);
        assert_eq!(did_you_mean("banana", keys), None);
        assert_eq!(did_you_mean("", []), None);
    }

    #[test]
    fn counts_edits() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("ab", "ba", 1),
            ("wan", "WAN", 0),
            ("lifetime", "life_time", 1),
        ] {
            assert_eq!(distance(a, b, 9), expected, "{a} {b}");
            assert_eq!(distance(b, a, 9), expected, "{b} {a}");
        }
    }
}
