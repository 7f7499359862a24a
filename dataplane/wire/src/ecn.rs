//! ECN through tunnels (RFC 6040): what the outer header says going in, and the inner one coming
//! out; and of what came in fragments (RFC 3168).

/// The ECN field: the two low bits of the traffic class (RFC 3168 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Ecn {
    /// 00: the transport does not understand ECN.
    NotEct = 0b00,
    /// 01: ECN-capable, ECT(1).
    Ect1 = 0b01,
    /// 10: ECN-capable, ECT(0).
    Ect0 = 0b10,
    /// 11: congestion experienced.
    Ce = 0b11,
}

impl Ecn {
    /// The field of an IPv4 TOS octet or IPv6 traffic class.
    #[inline]
    pub const fn of(traffic_class: u8) -> Self {
        match traffic_class & 0b11 {
            0b00 => Self::NotEct,
            0b01 => Self::Ect1,
            0b10 => Self::Ect0,
            _ => Self::Ce,
        }
    }

    /// The traffic class with its ECN field replaced by this one.
    #[inline]
    pub const fn in_class(self, traffic_class: u8) -> u8 {
        traffic_class & !0b11 | self as u8
    }
}

/// The outer field on encapsulation, normal mode: a copy (RFC 6040 4.1).
#[inline]
pub const fn encapsulate(inner: Ecn) -> Ecn {
    inner
}

/// The inner field on decapsulation (RFC 6040 4.2, figure 4).
///
/// `None`: drop the packet, because the outer CE cannot be signalled to a transport without ECN.
#[inline]
pub const fn decapsulate(inner: Ecn, outer: Ecn) -> Option<Ecn> {
    match (inner, outer) {
        (Ecn::NotEct, Ecn::Ce) => None,
        (_, Ecn::Ce) => Some(Ecn::Ce),
        (Ecn::Ect0, Ecn::Ect1) => Some(Ecn::Ect1),
        (inner, _) => Some(inner),
    }
}

/// The field of a datagram that comes in such fragments, the first of them first (RFC 3168 5.3).
///
/// `None`: drop it, because one was marked, and another says that the transport knows no mark.
#[inline]
pub fn reassemble(fragments: impl Iterator<Item = Ecn> + Clone) -> Option<Ecn> {
    let has = |field| fragments.clone().any(|ecn| ecn == field);
    match (has(Ecn::Ce), has(Ecn::NotEct)) {
        (true, true) => None,
        (true, false) => Some(Ecn::Ce),
        (false, _) => fragments.clone().next(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6040 4.2, figure 4, cell by cell: rows are the inner field, columns the outer one, both
    /// in the figure's order.
    #[test]
    fn decapsulate_is_figure_4() {
        use Ecn::{Ce, Ect0, Ect1, NotEct};
        let order = [NotEct, Ect0, Ect1, Ce];
        let figure = [
            [Some(NotEct), Some(NotEct), Some(NotEct), None],
            [Some(Ect0), Some(Ect0), Some(Ect1), Some(Ce)],
            [Some(Ect1), Some(Ect1), Some(Ect1), Some(Ce)],
            [Some(Ce), Some(Ce), Some(Ce), Some(Ce)],
        ];
        for (inner, row) in order.iter().zip(figure) {
            for (outer, want) in order.iter().zip(row) {
                assert_eq!(decapsulate(*inner, *outer), want, "{inner:?} in {outer:?}");
            }
        }
    }

    #[test]
    fn encapsulate_copies_and_an_unmarked_path_changes_nothing() {
        for bits in 0..4 {
            let inner = Ecn::of(bits);
            assert_eq!(encapsulate(inner) as u8, bits);
            assert_eq!(decapsulate(inner, encapsulate(inner)), Some(inner));
        }
    }

    #[test]
    fn a_mark_on_any_fragment_is_one_on_the_datagram() {
        use Ecn::{Ce, Ect0, Ect1, NotEct};
        for (fragments, want) in [
            (&[Ect0, Ect0][..], Some(Ect0)),
            (&[Ect1, Ect0, NotEct], Some(Ect1)),
            (&[NotEct, NotEct], Some(NotEct)),
            (&[Ect0, Ect0, Ce], Some(Ce)),
            (&[Ce, Ect1], Some(Ce)),
            (&[Ect0, NotEct, Ce], None),
            (&[Ce, NotEct], None),
            (&[], None),
        ] {
            assert_eq!(reassemble(fragments.iter().copied()), want, "{fragments:?}");
        }
    }

    #[test]
    fn the_field_is_the_two_low_bits() {
        for class in 0..=255 {
            assert_eq!(Ecn::of(class) as u8, class & 3);
            assert_eq!(Ecn::Ce.in_class(class), class | 3);
            assert_eq!(Ecn::NotEct.in_class(class), class & 0xFC);
        }
    }
}
