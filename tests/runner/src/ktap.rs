//! The test protocol on the console: KTAP lines of the in-kernel test module.

/// What a scenario came to, by its own line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// `ok`
    Passed,
    /// `not ok`
    Failed,
    /// `ok ... # SKIP`
    Skipped,
}

/// One line of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ktap<'a> {
    /// `KTAP version 1`
    Version,
    /// `1..N`
    Plan(u32),
    /// `# begin NAME`
    Begin(&'a str),
    /// `# NAME: text`
    Diagnostic {
        /// The scenario that speaks.
        name: &'a str,
        /// What it says.
        text: &'a str,
    },
    /// `ok N - NAME # assertions=K` or `not ok ...`
    Result {
        /// Passed, failed or skipped.
        status: Status,
        /// The place in the plan, from 1.
        index: u32,
        /// The scenario.
        name: &'a str,
        /// How many assertions it made, if it says so.
        assertions: Option<u32>,
        /// Why it was skipped, or empty.
        reason: &'a str,
    },
    /// `# tantalum: done`
    Done,
}

/// Reads one line, without printk's stamp. Lines that are not of the protocol give `None`.
pub fn parse(line: &str) -> Option<Ktap<'_>> {
    if let Some(rest) = line.strip_prefix("# ") {
        return parse_comment(rest);
    }
    if line == "KTAP version 1" {
        return Some(Ktap::Version);
    }
    if let Some(count) = line.strip_prefix("1..") {
        return count.trim_end().parse().ok().map(Ktap::Plan);
    }
    if let Some(rest) = line.strip_prefix("not ok ") {
        return parse_result(Status::Failed, rest);
    }
    parse_result(Status::Passed, line.strip_prefix("ok ")?)
}

fn parse_comment(rest: &str) -> Option<Ktap<'_>> {
    if rest == "tantalum: done" {
        return Some(Ktap::Done);
    }
    if let Some(name) = rest.strip_prefix("begin ") {
        return is_name(name).then_some(Ktap::Begin(name));
    }
    let (name, text) = rest.split_once(": ")?;
    is_name(name).then_some(Ktap::Diagnostic { name, text })
}

fn parse_result(status: Status, rest: &str) -> Option<Ktap<'_>> {
    let (index, rest) = rest.split_once(' ')?;
    let index = index.parse().ok()?;
    let rest = rest.strip_prefix("- ").unwrap_or(rest);
    let (name, directive) = match rest.split_once(" # ") {
        Some((name, directive)) => (name, directive),
        None => (rest, ""),
    };
    let name = name.trim();
    if !is_name(name) {
        return None;
    }
    let mut result = Ktap::Result { status, index, name, assertions: None, reason: "" };
    if let Ktap::Result { status, assertions, reason, .. } = &mut result {
        if let Some(count) = directive.strip_prefix("assertions=") {
            *assertions = count.trim_end().parse().ok();
        } else if let Some(why) = directive.strip_prefix("SKIP") {
            *reason = why.trim();
            if *status == Status::Passed {
                *status = Status::Skipped;
            }
        }
    }
    Some(result)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Tells whether a diagnostic is a failed assertion: it starts with `FILE:LINE: `.
pub fn is_assertion(text: &str) -> bool {
    let mut parts = text.splitn(3, ':');
    let file = parts.next().unwrap_or_default();
    let line = parts.next().unwrap_or_default();
    parts.next().is_some()
        && !file.is_empty()
        && !file.contains(' ')
        && !line.is_empty()
        && line.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_kind_of_line() {
        assert_eq!(parse("KTAP version 1"), Some(Ktap::Version));
        assert_eq!(parse("1..12"), Some(Ktap::Plan(12)));
        assert_eq!(parse("# begin ids"), Some(Ktap::Begin("ids")));
        assert_eq!(parse("# tantalum: done"), Some(Ktap::Done));
        assert_eq!(
            parse("# ids: ids.c:12: expected 0, got 1"),
            Some(Ktap::Diagnostic { name: "ids", text: "ids.c:12: expected 0, got 1" })
        );
        assert_eq!(
            parse("not ok 2 - ids # assertions=7"),
            Some(Ktap::Result {
                status: Status::Failed,
                index: 2,
                name: "ids",
                assertions: Some(7),
                reason: ""
            })
        );
        assert_eq!(
            parse("ok 3 features # SKIP not today"),
            Some(Ktap::Result {
                status: Status::Skipped,
                index: 3,
                name: "features",
                assertions: None,
                reason: "not today"
            })
        );
    }

    #[test]
    fn other_lines_are_none_of_it() {
        for line in ["ok", "ok then", "okay 1 - x", "1..x", "# two words: x", "not ok 1 - a b", ""] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn a_failed_skip_stays_failed() {
        let Some(Ktap::Result { status, .. }) = parse("not ok 1 - ids # SKIP x") else {
            panic!("not a result");
        };
        assert_eq!(status, Status::Failed);
    }

    #[test]
    fn assertions_name_file_and_line() {
        assert!(is_assertion("direct.c:88: expected 0"));
        assert!(is_assertion("scenarios/a-b.c:8:x"));
        assert!(!is_assertion("note: took 3 tries"));
        assert!(!is_assertion("sent 4:5 messages: fine"));
        assert!(!is_assertion(""));
    }
}
