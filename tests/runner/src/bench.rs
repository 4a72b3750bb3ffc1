//! Figures of benchmarks: read from a report, held against budgets, written as a table, as JSON and as a chart.

use crate::error::{Error, Result};
use crate::junit::{Case, Outcome, Suite};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A line of the file of budgets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The benchmark.
    pub name: String,
    /// What is counted.
    pub unit: String,
    /// The most that it may take.
    pub budget: Option<u64>,
    /// What the reference takes.
    pub reference: Option<u64>,
}

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// The first time.
    pub first: u64,
    /// The mean of the next times: what counts.
    pub steady: u64,
}

/// A benchmark, its figure if there is one, and its budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it may take.
    pub budget: Budget,
    /// What it takes.
    pub figure: Option<Figure>,
}

impl Row {
    /// Whether there is a figure and it is not above the budget.
    pub fn is_good(&self) -> bool {
        self.figure.is_some_and(|figure| self.budget.budget.is_none_or(|budget| figure.steady <= budget))
    }
}

/// Reads the file of budgets: NAME UNIT BUDGET REFERENCE, and a comment behind `#`.
pub fn read_budgets(text: &str) -> Result<Vec<Budget>> {
    let mut budgets = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [name, unit, budget, reference] => budgets.push(Budget {
                name: (*name).to_owned(),
                unit: (*unit).to_owned(),
                budget: number_or_none(budget, number)?,
                reference: number_or_none(reference, number)?,
            }),
            _ => {
                return Err(Error::new(format!(
                    "budgets, line {}: wanted NAME UNIT BUDGET REFERENCE",
                    number + 1
                )));
            }
        }
    }
    Ok(budgets)
}

fn number_or_none(word: &str, line: usize) -> Result<Option<u64>> {
    match word {
        "-" => Ok(None),
        word => word.parse().map(Some).map_err(|_| {
            Error::new(format!("budgets, line {}: {word} is no number and not \"-\"", line + 1))
        }),
    }
}

/// Finds the figures in a console: lines with `# NAME: first N, steady N UNIT`.
pub fn read_figures(console: &str) -> BTreeMap<String, Figure> {
    console.lines().filter_map(read_figure).collect()
}

fn read_figure(line: &str) -> Option<(String, Figure)> {
    let (_, rest) = line.split_once("# ")?;
    let (name, rest) = rest.split_once(": first ")?;
    let (first, rest) = rest.split_once(", steady ")?;
    let steady = rest.split_whitespace().next()?;
    Some((name.to_owned(), Figure { first: first.parse().ok()?, steady: steady.parse().ok()? }))
}

/// Puts each budget and its figure together, and says which figures have no budget.
pub fn rows(budgets: Vec<Budget>, figures: &BTreeMap<String, Figure>) -> (Vec<Row>, Vec<String>) {
    let unknown = figures.keys().filter(|name| budgets.iter().all(|budget| budget.name != **name)).cloned();
    let unknown = unknown.collect();
    let row = |budget: Budget| {
        let figure = figures.get(&budget.name).copied();
        Row { budget, figure }
    };
    (budgets.into_iter().map(row).collect(), unknown)
}

/// Makes a test case of each figure.
pub fn suite(rows: &[Row], unknown: &[String]) -> Suite {
    let known = rows.iter().map(|row| {
        let Budget { name, unit, budget, .. } = &row.budget;
        let mut case = Case::new(name.as_str(), "");
        case.outcome = match (row.figure, budget) {
            (None, _) => Outcome::Failed("it was not measured".into()),
            (Some(figure), Some(budget)) if figure.steady > *budget => {
                Outcome::Failed(format!("{} {unit} are more than {budget}", figure.steady))
            }
            (Some(_), _) => Outcome::Passed,
        };
        case
    });
    let others = unknown.iter().map(|name| {
        let mut case = Case::new(name.as_str(), "");
        case.outcome = Outcome::Failed("it has no line in the file of budgets".into());
        case
    });
    let cases: Vec<Case> = known.chain(others).collect();
    let passed = cases.iter().all(|case| !case.outcome.is_bad());
    Suite { name: "bench".into(), passed, verdict: None, cases }
}

/// Writes the figures as a JSON array of {name, unit, first, steady, budget, reference}.
pub fn json(rows: &[Row]) -> String {
    let value = |number: Option<u64>| number.map_or(Value::Null, Value::from);
    let entries = rows.iter().map(|row| {
        let mut entry = Map::new();
        entry.insert("name".into(), row.budget.name.clone().into());
        entry.insert("unit".into(), row.budget.unit.clone().into());
        entry.insert("first".into(), value(row.figure.map(|figure| figure.first)));
        entry.insert("steady".into(), value(row.figure.map(|figure| figure.steady)));
        entry.insert("budget".into(), value(row.budget.budget));
        entry.insert("reference".into(), value(row.budget.reference));
        Value::Object(entry)
    });
    let mut text = String::from("[\n");
    let lines: Vec<String> = entries.map(|entry| format!("  {entry}")).collect();
    text.push_str(&lines.join(",\n"));
    text.push_str("\n]\n");
    text
}

/// Writes the figures as a table.
pub fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.budget.name.len()).max().unwrap_or(0);
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{:<width$}  {:>9}  {:>9}  {:>9}  {:>9}  {:>6}  unit",
        "benchmark", "first", "steady", "budget", "reference", "ratio"
    );
    for row in rows {
        let steady = row.figure.map(|figure| figure.steady);
        let _ = writeln!(
            out,
            "{:<width$}  {:>9}  {:>9}  {:>9}  {:>9}  {:>6}  {}{}",
            row.budget.name,
            number(row.figure.map(|figure| figure.first)),
            number(steady),
            number(row.budget.budget),
            number(row.budget.reference),
            ratio(steady, row.budget.reference),
            row.budget.unit,
            if row.is_good() {
                ""
            } else if steady.is_none() {
                "  MISSING"
            } else {
                "  ABOVE ITS BUDGET"
            }
        );
    }
    out
}

/// Returns which part of the reference a figure is, in percent.
fn ratio(steady: Option<u64>, reference: Option<u64>) -> String {
    match (steady, reference) {
        (Some(steady), Some(reference)) if reference > 0 => {
            format!("{}%", steady.saturating_mul(100) / reference)
        }
        _ => String::new(),
    }
}

/// The width of a chart's names, of its longest bar, and the height of a line.
const NAMES: u64 = 260;
const BAR: u64 = 520;
const LINE: u64 = 34;

/// Draws every figure that has a reference as a bar beside the reference's, each pair on its own scale, with a mark at the
/// budget.
pub fn chart(rows: &[Row]) -> String {
    let shown: Vec<(&Row, Figure, u64)> = rows
        .iter()
        .filter_map(|row| Some((row, row.figure?, row.budget.reference.filter(|reference| *reference > 0)?)))
        .collect();
    let height = 60 + LINE * shown.len() as u64;
    let width = NAMES + BAR + 180;
    let mut out = String::new();
    let _ = writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="sans-serif" font-size="12">"#
    );
    let _ = writeln!(out, r#"<rect width="{width}" height="{height}" fill="white"/>"#);
    let _ = writeln!(
        out,
        r#"<text x="10" y="22" font-size="15">Tantalum (blue) beside the reference SPMC (grey), shorter is better; the line is the budget</text>"#
    );
    for (index, (row, figure, reference)) in shown.iter().enumerate() {
        let top = 44 + LINE * index as u64;
        let largest = (*reference).max(figure.steady).max(1);
        let bar = |value: u64| value.saturating_mul(BAR) / largest;
        let _ = writeln!(
            out,
            r#"<text x="{}" y="{}" text-anchor="end">{} ({})</text>"#,
            NAMES - 10,
            top + 17,
            row.budget.name,
            row.budget.unit
        );
        for (offset, value, colour) in [(0, figure.steady, "#2f6fb7"), (12, *reference, "#b8b8b8")] {
            let y = top + offset;
            let _ = writeln!(
                out,
                r#"<rect x="{NAMES}" y="{y}" width="{}" height="11" fill="{colour}"/>"#,
                bar(value)
            );
            let _ = writeln!(out, r#"<text x="{}" y="{}">{value}</text>"#, NAMES + bar(value) + 6, y + 10);
        }
        if let Some(budget) = row.budget.budget.filter(|budget| *budget <= largest) {
            let x = NAMES + bar(budget);
            let _ = writeln!(
                out,
                r##"<line x1="{x}" y1="{}" x2="{x}" y2="{}" stroke="#c02020" stroke-width="2"/>"##,
                top - 3,
                top + 26
            );
        }
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGETS: &str =
        "# comment\n\nfast instructions 10 40 # more\nslow instructions 10 -\nabsent bytes - 5\n";
    const CONSOLE: &str = "normal | [    0.1] # fast: first 12, steady 10 instructions\n\
                           normal | [    0.2] # slow: first 9, steady 11 instructions\n\
                           normal | [    0.3] # other: first 1, steady 2 instructions\n\
                           normal | [    0.4] # slow: benchmarks.rs:1: no figure\n";

    fn judged() -> (Vec<Row>, Vec<String>) {
        rows(read_budgets(BUDGETS).unwrap(), &read_figures(CONSOLE))
    }

    #[test]
    fn a_figure_is_good_up_to_its_budget() {
        let (rows, unknown) = judged();
        assert_eq!(rows.iter().map(Row::is_good).collect::<Vec<_>>(), [true, false, false]);
        assert_eq!(rows[0].figure, Some(Figure { first: 12, steady: 10 }));
        assert_eq!(unknown, ["other"]);
    }

    #[test]
    fn what_is_above_missing_or_unknown_fails() {
        let (rows, unknown) = judged();
        let suite = suite(&rows, &unknown);
        let bad: Vec<_> =
            suite.cases.iter().filter(|case| case.outcome.is_bad()).map(|case| case.name.as_str()).collect();
        assert_eq!(bad, ["slow", "absent", "other"]);
        assert!(!suite.passed);
    }

    #[test]
    fn a_line_that_is_no_budget_is_named() {
        for (text, part) in [("a b 1", "line 1"), ("\na b x 1", "line 2"), ("a b 1 -1", "-1 is no number")] {
            let error = read_budgets(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn json_has_all_six_fields() {
        let (rows, _) = judged();
        let value: Value = serde_json::from_str(&json(&rows)).unwrap();
        assert_eq!(value[0]["name"], "fast");
        assert_eq!(value[0]["unit"], "instructions");
        assert_eq!((&value[0]["first"], &value[0]["steady"]), (&12.into(), &10.into()));
        assert_eq!((&value[0]["budget"], &value[0]["reference"]), (&10.into(), &40.into()));
        assert_eq!(value[2]["steady"], Value::Null);
    }

    #[test]
    fn the_table_says_what_is_wrong() {
        let (rows, _) = judged();
        let table = table(&rows);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[1].contains("25%") && lines[1].ends_with("instructions"), "{table}");
        assert!(lines[2].ends_with("ABOVE ITS BUDGET"), "{table}");
        assert!(lines[3].ends_with("MISSING"), "{table}");
    }

    #[test]
    fn the_chart_has_a_pair_for_each_reference() {
        let (rows, _) = judged();
        let chart = chart(&rows);
        assert_eq!(chart.matches("#2f6fb7").count(), 1);
        assert!(chart.contains(">fast (instructions)<") && chart.ends_with("</svg>\n"), "{chart}");
    }
}
