//! The page: whole, self-contained, and with bars as long as their values.

use super::*;
use crate::report::tests::{latency, report};

fn with_latency() -> Report {
    let mut report = report();
    report.cases[1].latency = Some(latency());
    report
}

/// Every tag is closed in turn, but for those that HTML does not close.
fn assert_well_formed(page: &str) {
    let mut open = Vec::new();
    let body = page.split_once("</style>").unwrap().1;
    open.push("head");
    open.insert(0, "html");
    for tag in body.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').unwrap();
        let name = tag.split_whitespace().next().unwrap();
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert_eq!(open, [""; 0]);
}

#[test]
fn the_page_is_whole_and_needs_nothing_else() {
    let page = page(&with_latency(), "greyhound bench --mode 'x' --size a&b.pcap");
    assert_well_formed(&page);
    for absent in ["<script", "http:", "https:", "src=", "@import", "url(", "href="] {
        assert!(!page.contains(absent), "{absent}");
    }
    for present in [
        "<code>greyhound bench --mode &#39;x&#39; --size a&amp;b.pcap</code>",
        "Processor 1, TSC 2000 MHz, no hugepages",
        "run-to-completion on core 3, bursts of 256, median of 1 run",
        "Millions of packets a second",
        "Gbit/s of inner packets",
        "Cycles per packet",
        "<h2>Latency at 50%</h2>",
        "<title>esp_open: 72.0 cycles, 100 packets per call</title>",
        "<title>decrypt, aes256gcm16 by ring, 1 peer, 64 flows, 512: 6.25 Mpps</title>",
        "<tr class=\"total\"><td>total</td><td>320.0</td><td>200.0</td></tr>",
    ] {
        assert!(page.contains(present), "{present}\n{page}");
    }
    // Two of throughput, two of cost; two of stages; one of latency.
    assert_eq!(page.matches("<svg").count(), 7);
    assert_eq!(page.matches("<polyline").count(), 1);
}

#[test]
fn without_latency_there_is_no_plot_of_it() {
    let page = page(&report(), "greyhound bench");
    assert!(!page.contains("Latency at") && !page.contains("<polyline"));
    assert_well_formed(&page);
}

/// Widths of the bars whose tip ends so.
fn widths(svg: &str, tip: &str) -> Vec<f64> {
    let bars = svg.split("<rect ").skip(1).filter(|bar| bar.contains(tip));
    let width = |bar: &str| bar.split("width=\"").nth(1)?.split('"').next()?.parse().ok();
    bars.filter_map(width).collect()
}

#[test]
fn bars_are_as_long_as_their_values() {
    let report = report();
    let groups: Vec<_> = report.cases.chunk_by(CaseReport::is_of_one_table_with).collect();
    let svg = charts::by_mode_and_size(&groups, "cycles", |case| case.cycles_per_packet);
    let [forward, slow, fast] = widths(&svg, " cycles</title>")[..] else { panic!("{svg}") };
    // 100, 320 and 200 cycles.
    assert!((slow / forward - 3.2).abs() < 0.01 && (fast / forward - 2.0).abs() < 0.01);

    let svg = charts::stage_stack(groups[1]);
    let esp_open = widths(&svg, "esp_open: ");
    let all: f64 = ["rx: ", "classify: ", "esp_open: ", "tx: ", "loop: "]
        .iter()
        .map(|stage| widths(&svg, stage)[0])
        .sum();
    assert!((esp_open[0] / all - 72.0 / 320.0).abs() < 0.01, "{svg}");
    assert_eq!(charts::stage_names(groups[1]), ["rx", "classify", "esp_open", "tx", "loop"]);
}

#[test]
fn a_report_is_a_file_in_a_folder() {
    let folder = std::env::temp_dir().join(format!("bench-page-{}", std::process::id()));
    let below = folder.join("a/b");
    make_folder(&below).unwrap();
    write(&report(), "greyhound bench", &below).unwrap();
    let text = std::fs::read_to_string(below.join("index.html")).unwrap();
    assert_eq!(text, page(&report(), "greyhound bench"));
    std::fs::remove_dir_all(&folder).unwrap();

    let file = std::env::temp_dir().join(format!("bench-file-{}", std::process::id()));
    std::fs::write(&file, "").unwrap();
    for error in [make_folder(&file), write(&report(), "greyhound bench", &file)] {
        let error = error.unwrap_err();
        assert!(error.to_string().contains("bench-file-") && !error.is_usage(), "{error}");
    }
    std::fs::remove_file(&file).unwrap();
}
