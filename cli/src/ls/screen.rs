//! Where --watch shows its lists: the whole screen of a terminal, or one list after the other.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use terminal_size::{Height, Width, terminal_size};

use super::listing::Listing;
use crate::exit::Exit;
use crate::output;
use crate::paint::Paint;

/// The other screen of a terminal, without a cursor; and back to the first, as it was.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// A copy leaves the same screen.
#[derive(Clone, Debug)]
pub struct Screen {
    is_on: bool,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    entered: bool,
    /// The process is about to end: nothing more is drawn.
    left: bool,
    appended: bool,
}

impl Screen {
    /// The screen of the terminal, unless the output goes elsewhere.
    pub fn new(as_json: bool) -> Screen {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Screen {
            is_on: !as_json && !dumb && std::io::stdout().is_terminal(),
            state: Arc::default(),
        }
    }

    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// Draws the list over the one before, with the outcomes of [`output::print`].
    pub fn draw(&self, listing: &Listing, trouble: Option<&str>) -> Result<bool, Exit> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.left {
            return Ok(true);
        }
        let size = terminal_size();
        let (Width(columns), Height(lines)) = size.unwrap_or((Width(80), Height(24)));
        let (columns, lines) = (usize::from(columns), usize::from(lines).max(3));
        let mut text = String::new();
        if !std::mem::replace(&mut state.entered, true) {
            text += ENTER;
        }
        text += "\x1b[H";
        let mut rows = match listing.rows.is_empty() {
            true => vec![listing.nothing()],
            false => listing.fitted(columns, Paint::new()),
        };
        let room = lines - 1 - usize::from(trouble.is_some());
        if rows.len() > room {
            let more = rows.len() - room + 1;
            rows.truncate(room.saturating_sub(1));
            rows.push(format!("… and {more} more"));
        }
        rows.extend(trouble.map(|why| why.chars().take(columns).collect()));
        for row in rows {
            let _ = write!(text, "{row}\x1b[K\r\n");
        }
        text += "\x1b[J";
        let mut out = std::io::stdout().lock();
        let outcome = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        output::written("", outcome)
    }

    /// Prints the list below those before, with the outcomes of [`output::print`].
    pub fn append(&self, listing: &Listing) -> Result<bool, Exit> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut state.appended, true);
        let rows = match listing.rows.is_empty() {
            true => listing.nothing(),
            false => listing.text(Paint::new()).join("\n"),
        };
        output::print(if before { format!("\n{rows}") } else { rows })
    }

    /// Shows the terminal as it was before.
    pub fn leave(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.left = true;
        if std::mem::take(&mut state.entered) {
            let mut out = std::io::stdout();
            let _ = out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush());
        }
    }
}
