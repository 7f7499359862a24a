//! NHRP networks: which packets between tunnels are sampled for a redirect.

use super::*;

/// An mGRE tunnel with one peer.
fn tunnel(number: u16, nhrp: &str) -> String {
    format!(
        "[[tunnel]]\nname = \"dm{number}\"\nmode = \"mgre\"\nsource = \"wan\"\n\
         key = {number}\naddresses = [\"10.25{number}.0.1/24\"]\n[tunnel.nhrp]\n\
         authentication = \"s3cret\"\n{nhrp}\n\
         map = [{{ protocol = \"10.25{number}.0.2\", nbma = \"203.0.113.{number}\" }}]\n"
    )
}

#[test]
fn tunnels_of_one_network_are_known_by_the_first() {
    let scene = Scene::new(
        &[
            PORTS,
            &tunnel(1, "redirect = true"),
            &tunnel(2, "network_id = 7\nredirect = true"),
            &tunnel(3, "network_id = 7"),
            &tunnel(4, "network_id = 8"),
            &tunnel(5, ""),
        ]
        .concat(),
    );
    let from = |number: u16| {
        let name = format!("dm{number}");
        let tunnel = scene.compiled.tables.tunnels.by_interface(scene.tunnel(&name)).unwrap();
        let encap = scene.encap(&name, &format!("203.0.113.{number}"));
        (tunnel.redirect, encap.redirect_from)
    };
    let (first, second) = (scene.tunnel("dm1"), scene.tunnel("dm2"));
    assert_eq!(from(1), (Some(first), first));
    assert_eq!(from(2), (Some(second), second));
    assert_eq!(from(3), (None, second), "its own peers are told nothing");
    for number in [4, 5] {
        assert_eq!(from(number), (None, dataplane::tables::encap::NO_INTERFACE));
    }
}
