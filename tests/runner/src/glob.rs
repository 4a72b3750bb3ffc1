//! Patterns for one line: `*` stands for any text, everything else for itself.
//!
//! Verdicts are full of brackets, dots and parentheses, which would all need escaping in a
//! regular expression; and an escape forgotten makes a pattern match too much.

/// Tells whether the whole text matches the pattern.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part).and_then(|at| rest.get(at + part.len()..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text() {
        assert!(matches(
            "FAILED: panic in * (S-EL2)*[spmc] PANIC: *",
            "FAILED: panic in the SPMC (S-EL2) in scenario 2 ids: [spmc] PANIC: a.rs:1: x"
        ));
        assert!(matches("a*", "a"));
        assert!(matches("*", ""));
        assert!(matches("a*b*c", "a b b c"));
        assert!(matches("same", "same"));
    }

    #[test]
    fn the_whole_line_must_match() {
        for (pattern, text) in [
            ("same", "same."),
            ("same", " same"),
            ("a*b", "abc"),
            ("a*aa", "aa"),
            ("", "x"),
            ("a*b*c", "acb"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
