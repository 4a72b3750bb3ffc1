//! Virtual machines on the one console of the hypervisor: whose line it is.

/// Splits the hypervisor's prefix `[vm NAME] ` off a line. A line without one is of the machine itself, whose name
/// is empty; so is all that a VM says which has the terminal for itself.
pub fn split_vm(line: &str) -> (&str, &str) {
    split(line).unwrap_or(("", line))
}

fn split(line: &str) -> Option<(&str, &str)> {
    let (name, text) = line.strip_prefix("[vm ")?.split_once(']')?;
    // A second console of a VM, `[vm NAME hvc0] `, is not where it says how it is.
    is_name(name).then_some((name, text.strip_prefix(' ').unwrap_or(text)))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// The name that something of a VM has in a run with several: `VM.NAME`.
pub fn qualified(vm: &str, name: &str) -> String {
    if vm.is_empty() { name.to_owned() } else { format!("{vm}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_belong_to_the_vm_that_is_named() {
        assert_eq!(split_vm("[vm one] [    0.1] x"), ("one", "[    0.1] x"));
        assert_eq!(split_vm("[vm one]"), ("one", ""));
        assert_eq!(split_vm("[vm two-b]   indented"), ("two-b", "  indented"));
    }

    #[test]
    fn other_lines_are_the_machines() {
        for line in ["[vmm] INFO: x", "[vm ] x", "[vm one", "[vm one hvc0] x", "[    0.123456] x", ""] {
            assert_eq!(split_vm(line), ("", line));
        }
    }

    #[test]
    fn names_are_qualified_by_their_vm() {
        assert_eq!(qualified("", "boot"), "boot");
        assert_eq!(qualified("one", "boot"), "one.boot");
    }
}
