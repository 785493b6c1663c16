//! Each program among its like, as two and as fifty processes.

use crate::common::prelude::*;

const CONTENDERS: [usize; 2] = [2, 50];

/// How long each is measured; three times as long, where there are few handoffs.
const TIME: Duration = Duration::from_secs(5);

pub(crate) fn table() -> Table {
    Table::new(
        "peers: handoff",
        &["server", "processes", "program"],
        &[
            ("median", "ms"),
            ("p99", "ms"),
            ("ratio to ours", ""),
            ("Raft writes per handoff", ""),
            ("handoffs", ""),
            ("served", ""),
            ("longest wait", "ms"),
        ],
    )
}

/// Ours first among the programs.
pub(crate) fn measure(table: &mut Table, servers: &Servers, programs: &[Program]) {
    for count in CONTENDERS {
        let figures: Vec<Handoffs> = programs
            .iter()
            .map(|it| measures::handoffs(servers, it, count, TIME))
            .collect();
        for (program, figure) in programs.iter().zip(&figures) {
            table.row(
                &[servers.name(), &count.to_string(), &program.name],
                vec![
                    Cell::new(figure.median, 2),
                    Cell::new(figure.p99, 1),
                    Cell::new(figure.median / figures[0].median, 2),
                    Cell::new(figure.writes, 2),
                    Cell::new(figure.count as f64, 0),
                    Cell::new(figure.served as f64, 0),
                    Cell::new(figure.longest_wait, 0),
                ],
            );
        }
    }
}
