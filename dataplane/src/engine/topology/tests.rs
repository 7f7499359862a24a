//! The canonical graph, as text.

use std::collections::BTreeSet;

use strum::VariantArray;

use super::*;

#[test]
fn names_are_those_of_the_cli() {
    let names = "rx classify reassemble esp_open gre_decap lookup replicate fragment gre_encap \
                 esp_seal fragment_outer tx punt cipher";
    let kinds: Vec<_> = StageKind::VARIANTS.iter().map(StageKind::to_string).collect();
    assert_eq!(kinds.join(" "), names);
    for name in names.split(' ') {
        assert_eq!(name.parse::<StageKind>().map(|kind| kind.to_string()), Ok(name.to_owned()));
    }
    assert!("RX".parse::<StageKind>().is_err());
}

#[test]
fn numbers_of_outputs_are_places_in_their_names() {
    assert_eq!(StageKind::Lookup.outputs()[output::lookup::ENCAP], "encap");
    assert_eq!(StageKind::Lookup.outputs()[output::lookup::PUNT], "punt");
    assert_eq!(StageKind::EspOpen.outputs()[output::esp_open::FRAGMENT], "fragment");
    assert_eq!(StageKind::GreEncap.outputs(), ["seal", "fragment", "tx"]);
}

#[test]
fn every_output_is_wired_once() {
    let wired: Vec<_> = GRAPH.iter().map(|edge| (edge.from, edge.output)).collect();
    let outputs = StageKind::VARIANTS.iter();
    let all: BTreeSet<_> =
        outputs.flat_map(|kind| (0..kind.outputs().len()).map(|output| (*kind, output))).collect();
    assert_eq!(wired.len(), all.len());
    assert_eq!(wired.into_iter().collect::<BTreeSet<_>>(), all);
}

/// Stages that own state get every packet by lane, or two cores would hold halves of it.
#[test]
fn state_has_one_owner() {
    let owners = [StageKind::Reassemble, StageKind::EspOpen, StageKind::GreEncap];
    for edge in GRAPH {
        assert_eq!(edge.steer == Steer::Lane, owners.contains(&edge.to), "{edge}");
    }
}

#[test]
fn edges_read_as_text() {
    let text: Vec<_> = GRAPH.iter().map(Edge::to_string).collect();
    assert!(text.contains(&"lookup.encap -> gre_encap".to_owned()));
    let back: Vec<_> = GRAPH.iter().filter(|edge| edge.back).map(Edge::to_string).collect();
    assert_eq!(back, ["esp_open.fragment -> reassemble"]);
}
