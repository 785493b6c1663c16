//! The outcomes of the checks, one line for each.

use std::fmt::Display;

use serde_json::{Value as Json, json};

use crate::exit::Exit;
use crate::output;
use crate::paint::Paint;

/// Prints each outcome as soon as it is known.
#[derive(Debug)]
pub struct Report {
    as_json: bool,
    paint: Paint,
    failed: usize,
    warned: usize,
    /// The output cannot be written: the checks go on, because the trial gives back what it has taken.
    unwritten: Option<Exit>,
}

/// The column of the texts.
const COLUMN: usize = 20;

impl Report {
    pub fn new(as_json: bool) -> Report {
        Report {
            as_json,
            paint: Paint::new(),
            failed: 0,
            warned: 0,
            unwritten: None,
        }
    }

    /// All is well. `facts`: members for the object of --json.
    pub fn ok(&mut self, check: &str, text: &str, facts: Json) {
        self.line(check, "ok", text, None, facts);
    }

    /// Locks work, but not in every way.
    pub fn warn(&mut self, check: &str, text: &str, advice: &str, facts: Json) {
        self.warned += 1;
        self.line(check, "warn", text, Some(advice), facts);
    }

    /// Locks cannot work.
    pub fn fail(&mut self, check: &str, text: &str, advice: &str, facts: Json) {
        self.failed += 1;
        self.line(check, "fail", text, Some(advice), facts);
    }

    fn line(&mut self, check: &str, verdict: &str, text: &str, advice: Option<&str>, facts: Json) {
        let advice = advice.filter(|advice| !advice.is_empty());
        if self.as_json {
            let mut object =
                json!({"check": check, "verdict": verdict, "text": text, "advice": advice});
            if let (Some(object), Json::Object(facts)) = (object.as_object_mut(), facts) {
                object.extend(facts);
            }
            self.print(object);
            return;
        }
        let mark = format!("{verdict:<5}");
        let mark = match verdict {
            "ok" => self.paint.green(mark),
            "warn" => self.paint.yellow(mark),
            _ => self.paint.red(mark.to_uppercase()),
        };
        let mut line = format!("{mark} {check:<14}{text}");
        if let Some(advice) = advice {
            line += &format!("\n{:COLUMN$}{} {advice}", "", self.paint.dim("->"));
        }
        self.print(line);
    }

    /// One message about a lost output is enough.
    fn print(&mut self, text: impl Display) {
        if self.unwritten.is_none() {
            self.unwritten = output::print(text).err();
        }
    }

    /// The last line, and the exit status.
    pub fn end(mut self) -> Exit {
        let exit = if self.failed > 0 { Exit::No } else { Exit::Ok };
        if !self.as_json {
            let count = |number, what| match number {
                1 => format!("1 {what}"),
                _ => format!("{number} {what}s"),
            };
            self.print(match (self.failed, self.warned) {
                (0, 0) => "\nAll is well.".to_owned(),
                (0, warned) => format!("\nLocks work, with {}.", count(warned, "warning")),
                (failed, _) => format!("\nLocks do not work: {} failed.", count(failed, "check")),
            });
        }
        self.unwritten.unwrap_or(exit)
    }
}
