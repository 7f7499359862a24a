//! Every state with every event, against a table written from RFC 4861 7.2.3, 7.2.5, 7.3.3 and
//! appendix C.

use super::super::state::{Event, Need, Seen, State, Step, step};

use Need::{Nobody, Pinned, Young};
use Seen::{Absent, Different, Same};
use State::{Failed, Incomplete, Probe, Reachable, Stale};
use Step::{Adopt, Ask, Enter, Keep, Remove};

const LEARN: Step = Adopt(Reachable);
const MOVE: Step = Adopt(Stale);
const CONFIRM: Step = Enter(Reachable);
const DOUBT: Step = Enter(Stale);
const FAIL: Step = Enter(Failed);
const VERIFY: Step = Enter(Probe);
const AGAIN: Step = Enter(Incomplete);

/// What is told (address, solicited, override), and what it means when
/// incomplete, reachable, stale, probing, failed.
#[rustfmt::skip]
const TOLD: [(Seen, bool, bool, [Step; 5]); 12] = [
    (Absent,    false, false, [Keep,    Keep,    Keep,    Keep,    Keep]),
    (Absent,    false, true,  [Keep,    Keep,    Keep,    Keep,    Keep]),
    (Absent,    true,  false, [Keep,    CONFIRM, CONFIRM, CONFIRM, Keep]),
    (Absent,    true,  true,  [Keep,    CONFIRM, CONFIRM, CONFIRM, Keep]),
    (Same,      false, false, [MOVE,    Keep,    Keep,    Keep,    MOVE]),
    (Same,      false, true,  [MOVE,    Keep,    Keep,    Keep,    MOVE]),
    (Same,      true,  false, [LEARN,   CONFIRM, CONFIRM, CONFIRM, LEARN]),
    (Same,      true,  true,  [LEARN,   CONFIRM, CONFIRM, CONFIRM, LEARN]),
    (Different, false, false, [MOVE,    DOUBT,   Keep,    Keep,    MOVE]),
    (Different, false, true,  [MOVE,    MOVE,    MOVE,    MOVE,    MOVE]),
    (Different, true,  false, [LEARN,   DOUBT,   Keep,    Keep,    LEARN]),
    (Different, true,  true,  [LEARN,   LEARN,   LEARN,   LEARN,   LEARN]),
];

/// Who needs it, whether a question may be repeated, and what the end of the time means in the same
/// order of states.
#[rustfmt::skip]
const TIMEOUT: [(Need, bool, [Step; 5]); 6] = [
    (Pinned, true,  [Ask,     VERIFY,  VERIFY,  Ask,     AGAIN]),
    (Pinned, false, [FAIL,    VERIFY,  VERIFY,  AGAIN,   AGAIN]),
    (Young,  true,  [Ask,     VERIFY,  VERIFY,  Ask,     Remove]),
    (Young,  false, [FAIL,    VERIFY,  VERIFY,  Remove,  Remove]),
    (Nobody, true,  [Ask,     DOUBT,   Remove,  Ask,     Remove]),
    (Nobody, false, [FAIL,    DOUBT,   Remove,  Remove,  Remove]),
];

#[test]
fn exhaustive_transitions() {
    assert_eq!(State::ALL, [Incomplete, Reachable, Stale, Probe, Failed]);
    let mut seen = std::collections::HashSet::new();
    for (mac, solicited, overrides, steps) in TOLD {
        for (state, expected) in State::ALL.into_iter().zip(steps) {
            let event = Event::Told { mac, solicited, overrides };
            assert_eq!(step(state, event), expected, "{state:?} {event:?}");
            assert!(seen.insert((state, event)));
        }
    }
    for (need, retry, steps) in TIMEOUT {
        for (state, expected) in State::ALL.into_iter().zip(steps) {
            let event = Event::Timeout { need, retry };
            assert_eq!(step(state, event), expected, "{state:?} {event:?}");
            assert!(seen.insert((state, event)));
        }
    }
    assert_eq!(seen.len(), 5 * (3 * 2 * 2 + 3 * 2));
}

#[test]
fn an_address_is_adopted_only_where_packets_can_be_sent() {
    for state in State::ALL {
        for (mac, solicited, overrides, _) in TOLD {
            let next = step(state, Event::Told { mac, solicited, overrides });
            if let Adopt(next) | Enter(next) = next {
                assert!(next.is_usable(), "{state:?}");
            }
        }
    }
}
