//! Writing.

use super::{Case, Outcome, Suite, Totals};
use std::fmt::Write as _;

impl Suite {
    /// Writes the suite as a `JUnit` file.
    pub fn to_xml(&self) -> String {
        let totals = Totals::of(&self.cases);
        let errors = self.cases.iter().filter(|c| matches!(c.outcome, Outcome::Error(_))).count();
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let _ = writeln!(
            xml,
            "<testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{errors}\" skipped=\"{}\">",
            escape(&self.name),
            self.cases.len(),
            totals.failed - errors,
            totals.skipped
        );
        if let Some(verdict) = &self.verdict {
            let _ = writeln!(xml, "  <properties>");
            let _ = writeln!(xml, "    <property name=\"verdict\" value=\"{}\"/>", escape(verdict));
            let _ = writeln!(xml, "  </properties>");
        }
        for case in &self.cases {
            write_case(&mut xml, &self.name, case);
        }
        xml.push_str("</testsuite>\n");
        xml
    }
}

fn write_case(xml: &mut String, suite: &str, case: &Case) {
    let _ = write!(xml, "  <testcase classname=\"{}\" name=\"{}\"", escape(suite), escape(&case.name));
    if let Some(assertions) = case.assertions {
        let _ = write!(xml, " assertions=\"{assertions}\"");
    }
    if let Some(time) = case.time {
        let _ = write!(xml, " time=\"{:.6}\"", time.as_secs_f64());
    }
    xml.push_str(">\n");
    if case.number.is_some() || !case.description.is_empty() {
        xml.push_str("    <properties>\n");
        if let Some(number) = case.number {
            let _ = writeln!(xml, "      <property name=\"number\" value=\"{number}\"/>");
        }
        if !case.description.is_empty() {
            let value = escape(&case.description);
            let _ = writeln!(xml, "      <property name=\"description\" value=\"{value}\"/>");
        }
        xml.push_str("    </properties>\n");
    }
    let tag = match case.outcome {
        Outcome::Passed => None,
        Outcome::Skipped(_) => Some("skipped"),
        Outcome::Failed(_) => Some("failure"),
        Outcome::Error(_) => Some("error"),
    };
    let details = escape(&case.details.join("\n"));
    match (tag, case.outcome.message()) {
        (Some(tag), message) => {
            let message = escape(message.unwrap_or_default());
            let _ = writeln!(xml, "    <{tag} message=\"{message}\">{details}</{tag}>");
        }
        (None, _) if !details.is_empty() => {
            let _ = writeln!(xml, "    <system-out>{details}</system-out>");
        }
        (None, _) => {}
    }
    xml.push_str("  </testcase>\n");
}

/// Escapes text for an attribute or an element. Characters that XML 1.0 has no way to write
/// become a question mark.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\r' => out.push_str("&#13;"),
            '\u{fffe}' | '\u{ffff}' => out.push('?'),
            c if c.is_control() => out.push('?'),
            c => out.push(c),
        }
    }
    out
}
