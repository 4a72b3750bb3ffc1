//! Reading: our own files and those of others.

use super::{Case, Outcome, Suite};
use crate::error::{Error, Result};
use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use std::time::Duration;

/// Reads the suites of a file.
pub fn read(text: &str) -> Result<Vec<Suite>> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut builder = Builder::default();
    loop {
        match reader.read_event().map_err(bad)? {
            Event::Start(element) => builder.start(&element)?,
            Event::End(element) => builder.end(element.name().as_ref()),
            Event::Text(part) => builder.text.push_str(&part.into_inner()),
            Event::CData(part) => builder.text.push_str(&part.into_inner()),
            Event::GeneralRef(part) => {
                let name = part.into_inner();
                let entity = format!("&{name};");
                builder.text.push_str(&quick_xml::escape::unescape(&entity).map_err(bad)?);
            }
            Event::Eof => return builder.finish(),
            _ => {}
        }
    }
}

fn bad(error: impl std::fmt::Display) -> Error {
    Error::new(format!("not a JUnit file: {error}"))
}

#[derive(Default)]
struct Builder {
    suites: Vec<Suite>,
    case: Option<Case>,
    text: String,
    depth: usize,
}

impl Builder {
    fn start(&mut self, element: &BytesStart<'_>) -> Result<()> {
        self.depth += 1;
        self.text.clear();
        match element.name().as_ref() {
            "testsuite" => {
                let name = attribute(element, "name")?.unwrap_or_default();
                self.suites.push(Suite { name, passed: true, verdict: None, cases: Vec::new() });
            }
            "testcase" => {
                if self.suites.is_empty() {
                    return Err(bad("a testcase outside a testsuite"));
                }
                let name = attribute(element, "name")?.ok_or_else(|| bad("a testcase without a name"))?;
                let mut case = Case::new(name, "");
                case.assertions = attribute(element, "assertions")?.and_then(|a| a.parse().ok());
                case.time = attribute(element, "time")?.and_then(|t| time(&t));
                self.case = Some(case);
            }
            "property" => self.property(element)?,
            tag @ ("failure" | "error" | "skipped") => {
                let message = attribute(element, "message")?.unwrap_or_default();
                if let Some(case) = &mut self.case {
                    case.outcome = match tag {
                        "failure" => Outcome::Failed(message),
                        "error" => Outcome::Error(message),
                        _ => Outcome::Skipped(message),
                    };
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn property(&mut self, element: &BytesStart<'_>) -> Result<()> {
        let name = attribute(element, "name")?.unwrap_or_default();
        let value = attribute(element, "value")?.unwrap_or_default();
        match (&mut self.case, self.suites.last_mut(), name.as_str()) {
            (Some(case), _, "number") => case.number = value.parse().ok(),
            (Some(case), _, "description") => case.description = value,
            (None, Some(suite), "verdict") => suite.verdict = Some(value),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, tag: &str) {
        self.depth = self.depth.saturating_sub(1);
        match tag {
            "testcase" => {
                if let (Some(case), Some(suite)) = (self.case.take(), self.suites.last_mut()) {
                    suite.passed &= !case.outcome.is_bad();
                    suite.cases.push(case);
                }
            }
            "failure" | "error" | "skipped" | "system-out" => {
                if let Some(case) = &mut self.case {
                    let lines = self.text.lines().map(str::trim_end);
                    case.details.extend(lines.filter(|l| !l.is_empty()).map(str::to_owned));
                }
            }
            _ => {}
        }
        self.text.clear();
    }

    fn finish(self) -> Result<Vec<Suite>> {
        if self.depth != 0 {
            return Err(bad("it is cut short"));
        }
        if self.suites.is_empty() {
            return Err(bad("no testsuite in it"));
        }
        Ok(self.suites)
    }
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Result<Option<String>> {
    let Some(attribute) = element.try_get_attribute(name).map_err(bad)? else { return Ok(None) };
    let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(bad)?;
    Ok(Some(value.into_owned()))
}

fn time(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}
