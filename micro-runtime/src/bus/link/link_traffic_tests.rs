//! Unit tests of `link_traffic.rs`.

use super::*;

fn info(id: &str, cluster: &[&str]) -> ServerInfo {
    ServerInfo {
        server_id: id.to_owned(),
        connect_urls: cluster.iter().map(|&url| url.to_owned()).collect(),
        ..ServerInfo::default()
    }
}

#[test]
fn a_loss_is_suspect_behind_bytes_that_came_since_the_look_before_the_last() {
    let traffic = LinkTraffic::default();
    let is_suspect = |received| traffic.loss(info("a", &[]), received).is_suspect();
    assert!(is_suspect(100), "nothing was looked at");
    traffic.look(100);
    assert!(is_suspect(100));
    traffic.look(100);
    assert!(!is_suspect(100));
    assert!(is_suspect(101));
    traffic.explain();
    assert!(!is_suspect(101));
}

#[test]
fn a_server_is_there_by_its_id_or_by_its_cluster() {
    let lost = |cluster| LinkTraffic::default().loss(info("a", cluster), 1);
    for (cluster, id, announced, expected) in [
        (&[][..], "a", &[][..], true),
        (&[], "b", &[], false),
        (&["a:1", "b:1"], "b", &["b:1", "a:1"], true),
        (&["a:1", "b:1"], "b", &["b:1"], false),
    ] {
        let found = lost(cluster).is_server_there(&info(id, announced));
        assert_eq!(found, expected, "{cluster:?} {id} {announced:?}");
    }
}
