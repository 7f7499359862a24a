//! The report as a page: one file, with its plots in it, that needs no network and no script.

mod charts;
mod svg;
#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::fs;
use std::path::Path;

use self::svg::escape;
use super::table::{ROW_TOTAL, rows};
use super::{CaseReport, Report};
use crate::error::Error;

const STYLE: &str = include_str!("style.css");
const PAGE: &str = "index.html";

/// Makes the folder of a report, so that nothing is measured for a page that cannot be written.
pub(crate) fn make_folder(folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(|cause| Error::Write { path: folder.to_owned(), cause })
}

/// Writes the page of a report into its folder.
pub(crate) fn write(report: &Report, command: &str, folder: &Path) -> Result<(), Error> {
    let path = folder.join(PAGE);
    fs::write(&path, page(report, command)).map_err(|cause| Error::Write { path, cause })
}

/// The page of a report that `command` made.
fn page(report: &Report, command: &str) -> String {
    let groups: Vec<_> = report.cases.chunk_by(CaseReport::is_of_one_table_with).collect();
    let mut page = String::from("<!DOCTYPE html>\n<html lang=\"en\">\n");
    let _ = write!(
        page,
        "<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>greyhound bench</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
    );
    head(&mut page, report, command);
    throughput(&mut page, &groups);
    stack(&mut page, &groups);
    latency(&mut page, &groups);
    tables(&mut page, &groups);
    notes(&mut page, report);
    page.push_str("</body>\n</html>\n");
    page
}

fn head(page: &mut String, report: &Report, command: &str) {
    page.push_str("<h1>greyhound bench</h1>\n");
    let _ = writeln!(page, "<p>{}</p>", escape(report.machine.line()));
    if let Some(line) = report.settings_line() {
        let _ = writeln!(page, "<p>{}</p>", escape(line));
    }
    let _ = writeln!(page, "<p><code>{}</code></p>", escape(command));
    if !report.machine.optimized {
        page.push_str(
            "<p class=\"warning\">Not a release build: these figures mean nothing.</p>\n",
        );
    }
}

/// A plot with its name.
fn card(page: &mut String, name: &str, content: &str) {
    let _ = writeln!(page, "<div class=\"card\">\n<h3>{}</h3>\n{content}</div>", escape(name));
}

fn legend(entries: impl IntoIterator<Item = (String, String)>) -> String {
    let entries = entries
        .into_iter()
        .map(|(class, name)| format!("<span><i class=\"{class}\"></i>{}</span>", escape(name)));
    format!("<div class=\"legend\">{}</div>\n", entries.collect::<String>())
}

fn throughput(page: &mut String, groups: &[&[CaseReport]]) {
    page.push_str("<h2>Throughput</h2>\n");
    page.push_str(
        "<p>What the busiest core gets through. Bars are the sizes of inner packets.</p>\n",
    );
    page.push_str("<div class=\"cards\">\n");
    let mpps = charts::by_mode_and_size(groups, "Mpps", |case| case.mpps);
    card(page, "Millions of packets a second", &mpps);
    card(
        page,
        "Gbit/s of inner packets",
        &charts::by_mode_and_size(groups, "Gbit/s", |case| case.gbps),
    );
    page.push_str("</div>\n<h2>Cost</h2>\n");
    page.push_str("<p>TSC cycles of all cores for each packet put in; median of the runs.</p>\n");
    page.push_str("<div class=\"cards\">\n");
    let cycles = |case: &CaseReport| case.cycles_per_packet;
    card(page, "Cycles per packet", &charts::by_mode_and_size(groups, "cycles", cycles));
    let of_octet = |case: &CaseReport| case.cycles_per_packet / case.octets_per_packet;
    let of_octet = charts::by_mode_and_size(groups, "cycles per octet", of_octet);
    card(page, "Cycles per octet of the inner packet", &of_octet);
    page.push_str("</div>\n");
}

fn stack(page: &mut String, groups: &[&[CaseReport]]) {
    page.push_str("<h2>Where the cycles go</h2>\n");
    page.push_str("<p>By stage, in the order in which packets meet them. Scales differ.</p>\n");
    page.push_str("<div class=\"cards\">\n");
    for cases in groups {
        let names = charts::stage_names(cases);
        let names = names.iter().map(|name| ((*name).to_owned(), (*name).to_owned()));
        card(page, &title(cases), &(charts::stage_stack(cases) + &legend(names)));
    }
    page.push_str("</div>\n");
}

fn latency(page: &mut String, groups: &[&[CaseReport]]) {
    let found = groups.iter().copied().flatten().filter_map(|case| case.latency.as_ref());
    let found: Vec<_> = found.collect();
    let Some(first) = found.first() else { return };
    let least = found.iter().map(|latency| latency.min_us).fold(f64::INFINITY, f64::min);
    let most = found.iter().map(|latency| latency.max_us).fold(0.0, f64::max);
    let scale = (least.max(0.01), most.max(0.1));
    let _ = writeln!(
        page,
        "<h2>Latency at {}</h2>\n<p>Packets were offered at this share of the rates above; curves \
         show how many frames were not slower. A latency runs from when a packet was due, by a \
         schedule that nothing delays, to the end of the turn in which its frame was sent, without \
         what ports, buses and wires add.</p>",
        escape(first.load)
    );
    page.push_str("<div class=\"cards\">\n");
    for cases in groups.iter().filter(|cases| cases.iter().any(|case| case.latency.is_some())) {
        let legend = legend(charts::curves_legend(cases));
        card(page, &title(cases), &(charts::latency_distribution(cases, scale) + &legend));
    }
    page.push_str("</div>\n");
}

fn tables(page: &mut String, groups: &[&[CaseReport]]) {
    page.push_str("<h2>Figures</h2>\n<div class=\"cards\">\n");
    for cases in groups {
        let mut table = String::from("<table>\n");
        for (number, (name, cells)) in rows(cases).into_iter().enumerate() {
            let tag = if number == 0 { "th" } else { "td" };
            let class = if name == ROW_TOTAL { " class=\"total\"" } else { "" };
            let _ = write!(table, "<tr{class}><{tag}>{}</{tag}>", escape(name));
            for cell in cells {
                let _ = write!(table, "<{tag}>{}</{tag}>", escape(cell));
            }
            table.push_str("</tr>\n");
        }
        table.push_str("</table>\n");
        card(page, &title(cases), &table);
    }
    page.push_str("</div>\n");
}

fn notes(page: &mut String, report: &Report) {
    let notes = report.notes();
    if !notes.is_empty() {
        page.push_str("<h2>Notes</h2>\n");
    }
    for note in notes {
        let _ = writeln!(page, "<p>{}</p>", escape(note));
    }
}

fn title(cases: &[CaseReport]) -> String {
    cases.first().map(CaseReport::title).unwrap_or_default()
}
