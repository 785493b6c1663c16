//! The figures as tables for people, as JSON for programs, and with UPDATE_DOCS=1 as a part of
//! docs/benchmarks.md.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value as Json, json};

/// One table: rows with names of one or more parts, columns with units.
pub(crate) struct Table {
    name: String,
    heads: Vec<&'static str>,
    columns: Vec<(&'static str, &'static str)>,
    rows: Vec<(Vec<String>, Vec<Cell>)>,
}

/// One figure, or some words where none can stand.
#[derive(Clone)]
pub(crate) struct Cell {
    value: Option<f64>,
    text: String,
    /// Where it is not that of the column.
    unit: Option<&'static str>,
}

impl Cell {
    /// With that many digits after the point.
    pub(crate) fn new(value: f64, digits: usize) -> Cell {
        if !value.is_finite() {
            return Cell::text("-");
        }
        let text = format!("{value:.digits$}");
        Cell {
            value: Some(value),
            text,
            unit: None,
        }
    }

    /// With a unit of its own.
    pub(crate) fn in_unit(mut self, unit: &'static str) -> Cell {
        if !unit.is_empty() {
            let _ = write!(self.text, " {unit}");
            self.unit = Some(unit);
        }
        self
    }

    /// A value that spreads from one to the other.
    pub(crate) fn spread(value: f64, from: f64, to: f64) -> Cell {
        let mut cell = Cell::new(value, 2);
        let _ = write!(cell.text, " ({from:.2} to {to:.2})");
        cell
    }

    pub(crate) fn text(text: &str) -> Cell {
        Cell {
            value: None,
            text: text.to_owned(),
            unit: None,
        }
    }
}

impl Table {
    /// `heads` name the parts of a row's name; `columns` are names and units.
    pub(crate) fn new(
        name: &str,
        heads: &[&'static str],
        columns: &[(&'static str, &'static str)],
    ) -> Table {
        Table {
            name: name.to_owned(),
            heads: heads.to_vec(),
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, name: &[&str], cells: Vec<Cell>) {
        assert_eq!(
            (name.len(), cells.len()),
            (self.heads.len(), self.columns.len())
        );
        let name = name.iter().map(|&part| part.to_owned()).collect();
        self.rows.push((name, cells));
    }

    fn markdown(&self) -> String {
        let units = self.columns.iter().map(|&(name, unit)| match unit {
            "" => name.to_owned(),
            unit => format!("{name} {unit}"),
        });
        let heads = self.heads.iter().map(|&head| head.to_owned());
        let heads: Vec<String> = heads.chain(units).collect();
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut text = format!("**{}**\n\n", self.name);
        text += &line(&heads);
        let dashes = |dash: &str, count| vec![dash.to_owned(); count];
        text += &line(
            &[
                dashes("---", self.heads.len()),
                dashes("---:", self.columns.len()),
            ]
            .concat(),
        );
        for (name, cells) in &self.rows {
            let cells = cells.iter().map(|cell| cell.text.clone());
            text += &line(&name.iter().cloned().chain(cells).collect::<Vec<_>>());
        }
        text
    }

    fn json(&self) -> Vec<Json> {
        let mut all = Vec::new();
        for (name, cells) in &self.rows {
            for (cell, (column, unit)) in cells.iter().zip(&self.columns) {
                let (table, row) = (&self.name, name.join(", "));
                let unit = cell.unit.unwrap_or(unit);
                all.extend(cell.value.map(|value| {
                    json!({"table": table, "row": row, "column": column, "value": value, "unit": unit})
                }));
            }
        }
        all
    }
}

/// All that one bench has to say.
pub(crate) struct Report {
    bench: &'static str,
    tables: Vec<Table>,
}

impl Report {
    pub(crate) fn new(bench: &'static str) -> Report {
        Report {
            bench,
            tables: Vec::new(),
        }
    }

    /// Also tells it at once: a bench takes minutes.
    pub(crate) fn table(&mut self, table: Table) {
        println!("{}", table.markdown());
        self.tables.push(table);
    }

    /// Writes the tables to target/bench, and the figures into its results.json; with UPDATE_DOCS=1 the
    /// tables go to docs, too. `scripts/plots` draws what the tables say.
    pub(crate) fn write(&self, root: &Path, consul: &str) {
        let folder = folder(root);
        let mut text = format!("{}:\n", conditions(consul));
        for table in &self.tables {
            let _ = write!(text, "\n{}", table.markdown());
        }
        fs::write(folder.join(format!("{}.md", self.bench)), &text).expect("written");
        self.merge(&folder.join("results.json"));
        println!("also: {}", folder.display());
        if std::env::var_os("UPDATE_DOCS").is_some_and(|it| it == "1") {
            self.update(&root.join("docs/benchmarks.md"), &text);
        }
    }

    /// Puts this bench's figures in the place of those that it left there before.
    fn merge(&self, file: &Path) {
        let found = fs::read_to_string(file).unwrap_or_default();
        let mut all: Vec<Json> = serde_json::from_str(&found).unwrap_or_default();
        all.retain(|figure| {
            self.tables
                .iter()
                .all(|table| figure["table"] != table.name)
        });
        all.extend(self.tables.iter().flat_map(Table::json));
        let text = serde_json::to_string_pretty(&all).expect("JSON");
        fs::write(file, text + "\n").expect("written");
    }

    /// Puts `text` between the marks of this bench in the document.
    fn update(&self, document: &Path, text: &str) {
        let found = fs::read_to_string(document).expect("the document");
        let begin = format!("<!-- make bench: {} -->\n", self.bench);
        let end = format!("<!-- end: {} -->\n", self.bench);
        let (before, rest) = found.split_once(&begin).expect("the mark of the bench");
        let (_, after) = rest.split_once(&end).expect("the end of the bench");
        let text = format!("{before}{begin}{text}{end}{after}");
        fs::write(document, text).expect("written");
    }
}

/// Where the benches leave what they make.
pub(crate) fn folder(root: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), Into::into);
    let folder = target.join("bench");
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// The date, the machine and the server.
fn conditions(consul: &str) -> String {
    let date = Command::new("date")
        .arg("+%Y-%m-%d")
        .output()
        .expect("date");
    let date = String::from_utf8_lossy(&date.stdout).trim().to_owned();
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = cpus.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split(':').nth(1));
        value.unwrap_or("unknown").trim().to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let machine = if field("flags").contains("hypervisor") {
        "virtual machine"
    } else {
        "machine"
    };
    let (model, arch) = (field("model name"), std::env::consts::ARCH);
    format!(
        "{date}, {cores} cores of a {machine} ({model}, {arch}), shared by the servers and the clients; \
         Linux, Consul {consul}, loopback"
    )
}
