//! Totals over any number of `JUnit` files, and one report shown again.

use crate::error::{Error, Result};
use crate::junit::{self, Case, Suite, Totals};
use crate::style::Style;
use crate::table;
use std::fs;
use std::path::{Path, PathBuf};

/// Sums files. A file that is missing, broken or empty counts as one failure and is named in
/// the second result, so that a check that fell over can never look like a success.
pub fn sum(files: &[PathBuf]) -> (Totals, Vec<String>) {
    let mut totals = Totals::default();
    let mut problems = Vec::new();
    for file in files {
        match cases(file) {
            Ok(cases) => {
                let part = Totals::of(&cases);
                totals.passed += part.passed;
                totals.failed += part.failed;
                totals.skipped += part.skipped;
            }
            Err(problem) => {
                totals.failed += 1;
                problems.push(problem.to_string());
            }
        }
    }
    (totals, problems)
}

fn cases(file: &Path) -> Result<Vec<Case>> {
    let cases: Vec<Case> = read(file)?.into_iter().flat_map(|suite| suite.cases).collect();
    if cases.is_empty() {
        return Err(Error::new(format!("{}: no test case in it", file.display())));
    }
    Ok(cases)
}

/// Reads a `JUnit` file; a folder stands for the `junit.xml` in it.
pub fn read(path: &Path) -> Result<Vec<Suite>> {
    let file = if path.is_dir() { path.join("junit.xml") } else { path.to_owned() };
    let text = fs::read_to_string(&file)
        .map_err(|error| Error::new(format!("cannot read {}: {error}", file.display())))?;
    junit::read(&text).map_err(|error| Error::new(format!("{}: {error}", file.display())))
}

/// Gives the tables of a report, and whether all of it passed.
pub fn show(path: &Path, style: Style) -> Result<(String, bool)> {
    let suites = read(path)?;
    let good = suites.iter().all(|suite| Totals::of(&suite.cases).good());
    let tables: Vec<String> = suites.iter().map(|suite| table::render(suite, style)).collect();
    Ok((tables.join("\n"), good))
}
