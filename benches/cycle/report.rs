//! The figures as a table, as JSON and as a picture.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::json;

/// One variant against one server.
pub(crate) struct Row {
    pub(crate) table: String,
    pub(crate) name: String,
    /// Microseconds.
    pub(crate) median: f64,
    pub(crate) p99: f64,
    /// Median of the ratios of the rounds, and their 10th and 90th percentile.
    pub(crate) ratio: f64,
    pub(crate) spread: (f64, f64),
    pub(crate) writes: f64,
    pub(crate) reach: Option<f64>,
}

#[derive(Default)]
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    figures: Vec<(String, String, f64, String, String)>,
}

impl Report {
    /// A figure of its own, and what it is meant to reach at most.
    pub(crate) fn figure(&mut self, table: &str, name: &str, value: f64, unit: &str, reach: &str) {
        let (table, name) = (table.to_owned(), name.to_owned());
        self.figures
            .push((table, name, value, unit.to_owned(), reach.to_owned()));
    }

    /// Prints the tables, and writes target/bench/{results.json,tables.md,cycle.svg}.
    pub(crate) fn write(&self, root: &Path) {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), Into::into);
        let folder = target.join("bench");
        fs::create_dir_all(&folder).expect("a folder");
        let tables = self.tables();
        println!("{tables}");
        fs::write(folder.join("tables.md"), tables).expect("written");
        let json = serde_json::to_string_pretty(&self.json()).expect("JSON");
        fs::write(folder.join("results.json"), json + "\n").expect("written");
        fs::write(folder.join("cycle.svg"), self.svg()).expect("written");
        println!(
            "also: {}/{{tables.md,results.json,cycle.svg}}",
            folder.display()
        );
    }

    fn tables(&self) -> String {
        let mut text = String::from(
            "| server | variant | median µs | p99 µs | × the 2-write floor (10th to 90th percentile \
             of the rounds) | reach | Raft writes per cycle |\n\
             | --- | --- | ---: | ---: | --- | --- | ---: |\n",
        );
        for row in &self.rows {
            let reach = row
                .reach
                .map(|reach| format!("{reach}"))
                .unwrap_or_default();
            let _ = writeln!(
                text,
                "| {} | {} | {:.0} | {:.0} | {:.2} ({:.2} to {:.2}) | {reach} | {:.2} |",
                row.table,
                row.name,
                row.median,
                row.p99,
                row.ratio,
                row.spread.0,
                row.spread.1,
                row.writes
            );
        }
        text.push_str("\n| what | figure | value | reach |\n| --- | --- | ---: | --- |\n");
        for (table, name, value, unit, reach) in &self.figures {
            let value = if value.fract() == 0.0 {
                format!("{value}")
            } else {
                format!("{value:.2}")
            };
            let _ = writeln!(text, "| {table} | {name} | {value} {unit} | {reach} |");
        }
        text
    }

    fn json(&self) -> Vec<serde_json::Value> {
        let mut all = Vec::new();
        for row in &self.rows {
            for (column, value, unit) in [
                ("median", row.median, "us"),
                ("p99", row.p99, "us"),
                ("ratio to the 2-write floor", row.ratio, "ratio"),
                ("Raft writes per cycle", row.writes, "writes"),
            ] {
                all.push(
                    json!({"table": row.table, "row": row.name, "column": column,
                    "value": value, "unit": unit}),
                );
            }
        }
        for (table, name, value, unit, _) in &self.figures {
            all.push(
                json!({"table": table, "row": name, "column": "value", "value": value,
                "unit": unit}),
            );
        }
        all
    }

    /// A bar for each ratio, with the spread of the rounds, a line at the floor and one at the reach.
    fn svg(&self) -> String {
        const LEFT: f64 = 300.0;
        const WIDTH: f64 = 420.0;
        const LINE: f64 = 30.0;
        let most = self.rows.iter().map(|row| row.spread.1).fold(1.0, f64::max) * 1.05;
        let x = |ratio: f64| LEFT + ratio / most * WIDTH;
        let height = 70.0 + self.rows.len() as f64 * LINE;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"780\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"12\" y=\"24\" font-size=\"15\">One uncontended cycle (take and give back a lock), × the \
             2-write floor of raw sockets</text>\n"
        );
        for (number, row) in self.rows.iter().enumerate() {
            let y = 44.0 + number as f64 * LINE;
            let colour = if row.reach.is_some() {
                "#c2185b"
            } else {
                "#90a4ae"
            };
            let _ = write!(
                svg,
                "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}: {}</text>\n\
                 <rect x=\"{LEFT}\" y=\"{y}\" width=\"{:.1}\" height=\"18\" fill=\"{colour}\"/>\n\
                 <line x1=\"{:.1}\" y1=\"{:.0}\" x2=\"{:.1}\" y2=\"{:.0}\" stroke=\"black\"/>\n\
                 <text x=\"{:.0}\" y=\"{:.0}\">{:.2}</text>\n",
                LEFT - 8.0,
                y + 14.0,
                row.table,
                row.name,
                x(row.ratio) - LEFT,
                x(row.spread.0),
                y + 9.0,
                x(row.spread.1),
                y + 9.0,
                x(row.spread.1) + 6.0,
                y + 14.0,
                row.ratio
            );
            if let Some(reach) = row.reach {
                let _ = writeln!(
                    svg,
                    "<line x1=\"{0:.1}\" y1=\"{1:.0}\" x2=\"{0:.1}\" y2=\"{2:.0}\" stroke=\"#1565c0\" \
                     stroke-width=\"2\"/>",
                    x(reach),
                    y - 3.0,
                    y + 21.0
                );
            }
        }
        let bottom = height - 22.0;
        let _ = write!(
            svg,
            "<line x1=\"{0:.1}\" y1=\"36\" x2=\"{0:.1}\" y2=\"{bottom}\" stroke=\"#546e7a\" \
             stroke-dasharray=\"4\"/>\n\
             <text x=\"12\" y=\"{1:.0}\" fill=\"#546e7a\">thin line: 10th to 90th percentile of the rounds; \
             blue: what is to be reached; dashed: the floor</text>\n</svg>\n",
            x(1.0),
            height - 8.0
        );
        svg
    }
}
