//! The man pages. clap_mangen lays out the name and the options; what follows the options in a help text becomes
//! sections with names.
//!
//! A help text (`long_about`, `after_long_help`) is laid out so:
//!
//! ```text
//! A paragraph: lines of text, up to an empty line.
//!
//! Heading:
//!   75   An entry: two spaces or more follow its tag,
//!        and deeper lines go on with it.
//!
//! Examples:
//!   # Lines that stay as they are
//!   consul-lock who report
//! ```

use std::io::Error;

use clap::{Arg, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// The names of the files, and the pages: one for the command, and one for each subcommand that the help lists.
pub fn all(command: &Command) -> Result<Vec<(String, Vec<u8>)>, Error> {
    // The subcommand `help` shows what the pages say.
    let mut command = command.clone().disable_help_subcommand(true);
    command.build();
    let shown = command.get_subcommands().filter(|one| !one.is_hide_set());
    let documented: Vec<&Command> = std::iter::once(&command).chain(shown).collect();
    let names: Vec<String> = documented.iter().map(|one| title(one)).collect();
    let version = command.get_version().unwrap_or_default();
    documented
        .iter()
        .map(|one| Ok((format!("{}.1", title(one)), page(one, version, &names)?)))
        .collect()
}

fn title(command: &Command) -> String {
    let name = command.get_display_name().unwrap_or(command.get_name());
    name.to_string()
}

fn page(command: &Command, version: &str, names: &[String]) -> Result<Vec<u8>, Error> {
    // No date, so that each build writes the same page; an empty argument would be none.
    let man = Man::new(command.clone().mut_args(described))
        .date(" ")
        .source(format!("libconsul_lock {version}"))
        .manual("Locks on Consul");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    synopsis(command).to_writer(&mut page)?;
    let about = command.get_long_about().or(command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    let mut description = Roff::new();
    description.control("SH", ["DESCRIPTION"]);
    text(&mut description, &about);
    description.to_writer(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.get_subcommands().any(|one| !one.is_hide_set()) {
        man.render_subcommands_section(&mut page)?;
    }
    let after = command.get_after_long_help().or(command.get_after_help());
    let mut last = Roff::new();
    text(
        &mut last,
        &after.map(ToString::to_string).unwrap_or_default(),
    );
    last.control("SH", ["SEE ALSO"]);
    let others = names.iter().filter(|name| **name != title(command));
    last.text([roman(
        others
            .map(|name| format!("{name}(1)"))
            .collect::<Vec<_>>()
            .join(", "),
    )]);
    last.to_writer(&mut page)?;
    Ok(in_ascii(&String::from_utf8_lossy(&page)).into_bytes())
}

/// Other characters by their numbers: groff reads a page as Latin-1, unless `man` has told it better.
fn in_ascii(page: &str) -> String {
    let mut ascii = String::new();
    for character in page.chars() {
        if character.is_ascii() {
            ascii.push(character);
        } else {
            ascii += &format!("\\[u{:04X}]", u32::from(character));
        }
    }
    ascii
}

/// The option with its text also where `-h` does not list it: clap_mangen would leave it out.
fn described(option: Arg) -> Arg {
    match (option.get_long_help(), option.get_help().cloned()) {
        (None, Some(help)) => option.long_help(help),
        _ => option,
    }
}

/// The usage line of the help: with each of the options by its name, the line would be too long to read.
fn synopsis(command: &Command) -> Roff {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    for (index, form) in usage.lines().map(str::trim).enumerate() {
        if index > 0 {
            roff.control("br", []);
        }
        match form.strip_prefix(name) {
            Some(rest) => roff.text([bold(name), roman(rest)]),
            None => roff.text([roman(form)]),
        };
    }
    roff
}

/// Lays out a help text.
fn text(roff: &mut Roff, text: &str) {
    // The column of the last entry's tag, while deeper lines belong to that entry.
    let mut entry = None;
    let mut between = true;
    let mut verbatim = false;
    for line in text.lines() {
        let words = line.trim();
        let column = line.len() - line.trim_start().len();
        if let Some(heading) = words.strip_suffix(':').filter(|_| column == 0) {
            if verbatim {
                roff.control("fi", []);
            }
            roff.control("SH", [heading.to_uppercase().as_str()]);
            entry = None;
            between = false;
            verbatim = heading == "Examples";
            if verbatim {
                roff.control("nf", []);
            }
            continue;
        }
        if verbatim {
            roff.text([roman(words)]);
            continue;
        }
        if words.is_empty() {
            between = true;
            continue;
        }
        let is_tag = column > 0 && entry.is_none_or(|at| column <= at);
        if let Some((tag, rest)) = tagged(words).filter(|_| is_tag) {
            roff.control("TP", []);
            roff.text([bold(tag)]);
            roff.text([roman(rest)]);
            entry = Some(column);
        } else {
            if entry.is_some_and(|at| column <= at) {
                entry = None;
                between = true;
            }
            if between {
                roff.control(if entry.is_some() { "sp" } else { "PP" }, []);
            }
            roff.text([roman(words)]);
        }
        between = false;
    }
    if verbatim {
        roff.control("fi", []);
    }
}

/// The tag of an entry, and the first line of its text.
fn tagged(line: &str) -> Option<(&str, &str)> {
    let (tag, rest) = line.split_once("  ")?;
    Some((tag, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(help: &str) -> String {
        let mut roff = Roff::new();
        text(&mut roff, help);
        roff.render()
    }

    #[test]
    fn a_heading_begins_a_section_and_an_entry_keeps_its_lines() {
        let page = rendered(
            "Exit status:\n  75   Not acquired:\n       another holder\n  127  Not found\n",
        );
        let wanted = ".SH \"EXIT STATUS\"\n.TP\n\\fB75\\fR\nNot acquired:\nanother holder\n.TP\n\\fB127\\fR\nNot found\n";
        assert!(page.ends_with(wanted), "{page}");
    }

    #[test]
    fn an_empty_line_ends_a_paragraph_and_text_after_an_entry_is_one_of_its_own() {
        let page = rendered("One\ntwo\n\nthree\nList:\n  a  b\n\n  four\n  five\n");
        let wanted = ".PP\nOne\ntwo\n.PP\nthree\n.SH LIST\n.TP\n\\fBa\\fR\nb\n.PP\nfour\nfive\n";
        assert!(page.ends_with(wanted), "{page}");
    }

    #[test]
    fn examples_keep_their_lines() {
        let page = rendered("Examples:\n  # Guards a job\n  consul-lock run a  -- b\n\n  # Next\n");
        let wanted = ".nf\n# Guards a job\nconsul\\-lock run a  \\-\\- b\n\n# Next\n.fi\n";
        assert!(page.ends_with(wanted), "{page}");
    }

    #[test]
    fn an_option_that_the_short_help_hides_keeps_its_text() {
        let option = Arg::new("ssl")
            .long("ssl")
            .help("Speak TLS")
            .hide_short_help(true);
        let page = page(&Command::new("run").arg(option), "1", &[]).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains("\\-\\-ssl\\fR\nSpeak TLS\n"), "{page}");
        assert!(
            page.contains(".TH run 1 \" \" \"libconsul_lock 1\""),
            "{page}"
        );
    }

    #[test]
    fn a_page_is_in_ascii() {
        let page = page(&Command::new("run").about("Runs… a – b"), "1", &[]).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains("Runs\\[u2026] a \\[u2013] b\n"), "{page}");
        assert!(page.is_ascii());
    }

    #[test]
    fn every_subcommand_of_the_help_has_a_page_that_names_the_others() {
        let command = crate::command();
        let pages = all(&command).unwrap();
        let listed = command
            .get_subcommands()
            .filter(|one| !one.is_hide_set())
            .count();
        assert_eq!(pages.len(), listed + 1);
        for (name, page) in &pages {
            let page = String::from_utf8(page.clone()).unwrap();
            assert!(
                page.contains(".SH SYNOPSIS\n\\fBconsul\\-lock"),
                "{name}: {page}"
            );
            assert!(!page.contains("generate"), "{name}: {page}");
        }
    }
}
