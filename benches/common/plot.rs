//! Pictures as plain SVG: bars for ratios, lines for what grows.

use std::fmt::Write as _;

const OURS: &str = "#c2185b";
const OTHERS: [&str; 4] = ["#546e7a", "#1565c0", "#ef6c00", "#2e7d32"];

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn page(width: f64, height: f64, title: &str, body: &str, note: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"12\" y=\"24\" font-size=\"15\">{}</text>\n{body}\
         <text x=\"12\" y=\"{:.0}\" fill=\"#546e7a\">{}</text>\n</svg>\n",
        escape(title),
        height - 10.0,
        escape(note)
    )
}

/// One bar of [`bars`].
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) value: f64,
    /// Drawn as a thin line across its end.
    pub(crate) spread: Option<(f64, f64)>,
    /// What is to be reached at most.
    pub(crate) reach: Option<f64>,
    pub(crate) is_ours: bool,
}

/// A bar for each ratio, and a dashed line at 1.
pub(crate) fn bars(title: &str, bars: &[Bar], note: &str) -> String {
    const LEFT: f64 = 300.0;
    const WIDTH: f64 = 420.0;
    const LINE: f64 = 30.0;
    let end = |bar: &Bar| bar.spread.map_or(bar.value, |(_, to)| to.max(bar.value));
    let most = bars.iter().map(end).fold(1.0, f64::max) * 1.05;
    let x = |ratio: f64| LEFT + ratio / most * WIDTH;
    let height = 76.0 + bars.len() as f64 * LINE;
    let mut body = String::new();
    for (number, bar) in bars.iter().enumerate() {
        let y = 44.0 + number as f64 * LINE;
        let _ = write!(
            body,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{LEFT}\" y=\"{y}\" width=\"{:.1}\" height=\"18\" fill=\"{}\"/>\n\
             <text x=\"{:.0}\" y=\"{:.0}\">{:.2}</text>\n",
            LEFT - 8.0,
            y + 14.0,
            escape(&bar.name),
            x(bar.value) - LEFT,
            if bar.is_ours { OURS } else { "#90a4ae" },
            x(end(bar)) + 6.0,
            y + 14.0,
            bar.value
        );
        if let Some((from, to)) = bar.spread {
            let (from, to, y) = (x(from), x(to), y + 9.0);
            let _ = writeln!(
                body,
                "<line x1=\"{from:.1}\" y1=\"{y:.0}\" x2=\"{to:.1}\" y2=\"{y:.0}\" stroke=\"black\"/>"
            );
        }
        if let Some(reach) = bar.reach {
            let (x, from, to) = (x(reach), y - 3.0, y + 21.0);
            let _ = writeln!(
                body,
                "<line x1=\"{x:.1}\" y1=\"{from:.0}\" x2=\"{x:.1}\" y2=\"{to:.0}\" stroke=\"#1565c0\" \
                 stroke-width=\"2\"/>"
            );
        }
    }
    let _ = writeln!(
        body,
        "<line x1=\"{0:.1}\" y1=\"36\" x2=\"{0:.1}\" y2=\"{1}\" stroke=\"#546e7a\" stroke-dasharray=\"4\"/>",
        x(1.0),
        height - 28.0
    );
    page(780.0, height, title, &body, note)
}

/// One line of [`lines`].
pub(crate) struct Line {
    pub(crate) name: String,
    /// For each step of the x axis; what is not finite is left out.
    pub(crate) values: Vec<f64>,
    pub(crate) is_ours: bool,
}

/// Lines over a few named steps, on a logarithmic scale: what grows tenfold must not hide what does
/// not.
pub(crate) fn lines(
    title: &str,
    steps: &[String],
    unit: &str,
    lines: &[Line],
    note: &str,
) -> String {
    const LEFT: f64 = 70.0;
    const TOP: f64 = 50.0;
    const WIDTH: f64 = 430.0;
    const HEIGHT: f64 = 260.0;
    let values = || {
        let all = lines.iter().flat_map(|line| &line.values);
        all.copied()
            .filter(|value| value.is_finite() && *value > 0.0)
    };
    let low = values().fold(f64::MAX, f64::min).min(1e9).log10().floor();
    let high = values()
        .fold(f64::MIN_POSITIVE, f64::max)
        .log10()
        .ceil()
        .max(low + 1.0);
    let x =
        |step: usize| LEFT + 30.0 + step as f64 * (WIDTH - 60.0) / (steps.len().max(2) - 1) as f64;
    let y = |value: f64| TOP + HEIGHT * (high - value.log10()) / (high - low);
    let mut body = String::new();
    for power in low as i32..=high as i32 {
        for factor in [1.0, 2.0, 5.0] {
            let value = factor * 10_f64.powi(power);
            if value.log10() > high {
                continue;
            }
            let _ = write!(
                body,
                "<line x1=\"{LEFT}\" y1=\"{0:.1}\" x2=\"{1}\" y2=\"{0:.1}\" stroke=\"#eceff1\"/>\n\
                 <text x=\"{2}\" y=\"{3:.1}\" text-anchor=\"end\">{value}</text>\n",
                y(value),
                LEFT + WIDTH,
                LEFT - 6.0,
                y(value) + 4.0
            );
        }
    }
    let _ = writeln!(
        body,
        "<text x=\"12\" y=\"{}\">{}</text>",
        TOP - 8.0,
        escape(unit)
    );
    for (step, name) in steps.iter().enumerate() {
        let (x, y) = (x(step), TOP + HEIGHT + 18.0);
        let name = escape(name);
        let _ = writeln!(
            body,
            "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"middle\">{name}</text>"
        );
    }
    let mut others = OTHERS.iter().cycle();
    for (number, line) in lines.iter().enumerate() {
        let colour = if line.is_ours {
            OURS
        } else {
            others.next().unwrap_or(&OURS)
        };
        let points = line.values.iter().enumerate();
        let points: Vec<(f64, f64)> = points
            .filter(|(_, value)| value.is_finite() && **value > 0.0)
            .map(|(step, &value)| (x(step), y(value)))
            .collect();
        let path: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let _ = writeln!(
            body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for (x, y) in &points {
            let _ = writeln!(
                body,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
            );
        }
        let (left, top) = (LEFT + WIDTH + 16.0, TOP + 10.0 + number as f64 * 20.0);
        let _ = write!(
            body,
            "<rect x=\"{left}\" y=\"{:.0}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\n\
             <text x=\"{:.0}\" y=\"{top:.0}\">{}</text>\n",
            top - 10.0,
            left + 18.0,
            escape(&line.name)
        );
    }
    page(860.0, TOP + HEIGHT + 60.0, title, &body, note)
}

/// One line of [`dots`]: a name, and a value for each series that has one.
pub(crate) struct Dots {
    pub(crate) name: String,
    pub(crate) values: Vec<f64>,
}

/// A dot for each series on each line, on a logarithmic scale around 1, which is the first series.
pub(crate) fn dots(title: &str, series: &[&str], rows: &[Dots], note: &str) -> String {
    const LEFT: f64 = 250.0;
    const WIDTH: f64 = 520.0;
    const LINE: f64 = 30.0;
    const TOP: f64 = 60.0;
    let values = || rows.iter().flat_map(|row| &row.values).copied();
    let values = || values().filter(|value| value.is_finite() && *value > 0.0);
    let low = values().fold(1.0, f64::min).log10() - 0.1;
    let high = values().fold(10.0, f64::max).log10() + 0.1;
    let x = |value: f64| LEFT + WIDTH * (value.log10() - low) / (high - low);
    let bottom = TOP + rows.len() as f64 * LINE;
    let mut body = String::new();
    for power in -2..=5 {
        for factor in [1.0, 3.0] {
            let value = factor * 10_f64.powi(power);
            if (low..=high).contains(&value.log10()) {
                let (x, top) = (x(value), TOP - 8.0);
                let _ = write!(
                    body,
                    "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#eceff1\"/>\n\
                     <text x=\"{x:.1}\" y=\"{top}\" text-anchor=\"middle\">{value}</text>\n"
                );
            }
        }
    }
    let colours = || {
        [OURS]
            .into_iter()
            .chain(OTHERS)
            .chain(["#6a1b9a", "#6d4c41"])
    };
    for (number, row) in rows.iter().enumerate() {
        let y = TOP + (number as f64 + 0.5) * LINE;
        let (right, below, name) = (LEFT - 8.0, y + 4.0, escape(&row.name));
        let _ = write!(
            body,
            "<text x=\"{right}\" y=\"{below}\" text-anchor=\"end\">{name}</text>\n\
             <line x1=\"{LEFT}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\" stroke=\"#eceff1\"/>\n",
            LEFT + WIDTH
        );
        for (value, colour) in row.values.iter().zip(colours().cycle()) {
            if value.is_finite() && *value > 0.0 {
                let x = x(*value);
                let _ = writeln!(
                    body,
                    "<circle cx=\"{x:.1}\" cy=\"{y}\" r=\"5\" fill=\"{colour}\"/>"
                );
            }
        }
    }
    for (number, (name, colour)) in series.iter().zip(colours().cycle()).enumerate() {
        let (x, y) = (
            30.0 + (number % 3) as f64 * 260.0,
            bottom + 22.0 + (number / 3) as f64 * 20.0,
        );
        let _ = write!(
            body,
            "<circle cx=\"{x}\" cy=\"{:.0}\" r=\"5\" fill=\"{colour}\"/>\n\
             <text x=\"{:.0}\" y=\"{y:.0}\">{}</text>\n",
            y - 4.0,
            x + 10.0,
            escape(name)
        );
    }
    let legend = series.len().div_ceil(3) as f64 * 20.0;
    page(
        LEFT + WIDTH + 40.0,
        bottom + 40.0 + legend,
        title,
        &body,
        note,
    )
}
