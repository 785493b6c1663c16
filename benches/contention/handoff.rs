//! What passing a lock on takes, by the number of waiters.

use crate::common::prelude::*;
use crate::contender;

const CONTENDERS: [usize; 4] = [2, 10, 50, 200];

/// How long the bench measures each.
const TIME: Duration = Duration::from_secs(6);

/// A way to wait: threads of one process, processes, and, where the library knows the option,
/// processes that do without the line.
struct Way {
    name: &'static str,
    in_one_process: bool,
    options: &'static [&'static str],
}

const THREADS: Way = Way {
    name: "threads of one process",
    in_one_process: true,
    options: &[],
};
const PROCESSES: Way = Way {
    name: "processes",
    in_one_process: false,
    options: &[],
};
const UNFAIR: Way = Way {
    name: "processes, fair=false",
    in_one_process: false,
    options: &["fair=false"],
};

/// Whether this library has the option that does without the line.
pub(crate) fn knows_fair() -> bool {
    let mut options = consul_lock::options::Options::new();
    options.set("fair", "false").is_ok()
}

/// The table of what the bench has measured so far.
pub(crate) struct Measured {
    table: Table,
}

impl Measured {
    pub(crate) fn new() -> Measured {
        let table = Table::new(
            "handoff",
            &["server", "contenders", "number"],
            &[
                ("median", "ms"),
                ("p99", "ms"),
                ("median × that of 2", ""),
                ("Raft writes per handoff", ""),
                ("Raft writes to come and wait", ""),
                ("handoffs", ""),
                ("served", ""),
                ("longest wait", "ms"),
                ("failed acquires", ""),
            ],
        );
        Measured { table }
    }

    pub(crate) fn measure(&mut self, servers: &Servers) {
        let is_three = matches!(servers, Servers::Three(..));
        let mut ways = vec![THREADS, PROCESSES];
        // On a disk, writes cost; there the two ways of waiting are compared.
        if is_three && knows_fair() {
            ways.push(UNFAIR);
        }
        for way in ways {
            let figures: Vec<Handoffs> = CONTENDERS.map(|count| one(servers, &way, count)).into();
            for (count, figure) in CONTENDERS.iter().zip(&figures) {
                self.table.row(
                    &[servers.name(), way.name, &count.to_string()],
                    vec![
                        Cell::new(figure.median, 2),
                        Cell::new(figure.p99, 1),
                        Cell::new(figure.median / figures[0].median, 2),
                        Cell::new(figure.writes, 2),
                        Cell::new(figure.writes_to_join, 2),
                        Cell::new(figure.count as f64, 0),
                        Cell::new(figure.served as f64, 0),
                        Cell::new(figure.longest_wait, 0),
                        Cell::new(figure.failures as f64, 0),
                    ],
                );
            }
        }
    }

    pub(crate) fn tell(self, report: &mut Report) {
        report.table(self.table);
    }
}

fn one(servers: &Servers, way: &Way, count: usize) -> Handoffs {
    let (processes, threads) = if way.in_one_process {
        (1, count)
    } else {
        (count, 1)
    };
    let program = contender::program(way.name, threads, way.options);
    let key = format!("bench/handoff-{processes}-{threads}-{}", way.options.len());
    let address = servers.consul().address();
    let mut crowd = Crowd::gather(&program, address, &key, processes, threads);
    let figures = contest::handoffs(servers, &mut crowd, &key, TIME);
    drop(crowd);
    servers.sweep();
    eprintln!(
        "{}, {}, {count}: {:.2} ms",
        servers.name(),
        way.name,
        figures.median
    );
    figures
}
