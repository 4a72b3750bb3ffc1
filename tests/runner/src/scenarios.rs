//! The committed list of scenarios: what each number means and which must pass today.

use crate::error::{Error, Result};
use std::fs;
use std::path::Path;

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Its number, which never changes.
    pub number: u32,
    /// Its name, as the test module prints it.
    pub name: String,
    /// Since which version it must pass; `None` while it is planned.
    pub since: Option<String>,
    /// What it shows.
    pub description: String,
}

/// The whole list, in the order of numbers.
#[derive(Clone, Debug, Default)]
pub struct ScenarioList(Vec<Scenario>);

impl ScenarioList {
    /// Reads the list from a file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|error| {
            Error::new(format!("cannot read the scenario list {}: {error}", path.display()))
        })?;
        Self::parse(&text).map_err(|error| Error::new(format!("{}: {error}", path.display())))
    }

    /// Reads lines of the form `NUMBER NAME SINCE DESCRIPTION`, where SINCE is a version, with
    /// the places where it holds if it does not everywhere, or `planned`. Empty lines and lines that begin with `#` are skipped.
    pub fn parse(text: &str) -> Result<Self> {
        let mut list: Vec<Scenario> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let scenario = parse_line(line).ok_or_else(|| {
                Error::new(format!("line {}: expected NUMBER NAME SINCE DESCRIPTION", at + 1))
            })?;
            if list.iter().any(|s| s.number == scenario.number || s.name == scenario.name) {
                return Err(Error::new(format!(
                    "line {}: number {} or name {} is there twice",
                    at + 1,
                    scenario.number,
                    scenario.name
                )));
            }
            list.push(scenario);
        }
        if !list.iter().any(|s| s.since.is_some()) {
            return Err(Error::new("no scenario is expected to pass: the list is empty or all planned"));
        }
        list.sort_by_key(|s| s.number);
        Ok(Self(list))
    }

    /// Takes those for planned that must pass elsewhere only: with a SINCE of the form `VERSION:PLACE,PLACE`.
    #[must_use]
    pub fn at(mut self, place: &str) -> Self {
        for scenario in &mut self.0 {
            let elsewhere = |since: &String| {
                since.split_once(':').is_some_and(|(_, places)| places.split(',').all(|own| own != place))
            };
            if scenario.since.as_ref().is_some_and(elsewhere) {
                scenario.since = None;
            }
        }
        self
    }

    /// Keeps the named ones.
    pub fn only(mut self, names: &[String]) -> Result<Self> {
        if let Some(name) = names.iter().find(|name| self.find(name).is_none()) {
            return Err(Error::new(format!("--only {name}: the scenario list does not have it")));
        }
        self.0.retain(|scenario| names.contains(&scenario.name));
        Ok(self)
    }

    /// Finds a scenario by name.
    pub fn find(&self, name: &str) -> Option<&Scenario> {
        self.0.iter().find(|s| s.name == name)
    }

    /// Gives those that must pass.
    pub fn expected(&self) -> impl Iterator<Item = &Scenario> {
        self.0.iter().filter(|s| s.since.is_some())
    }
}

fn parse_line(line: &str) -> Option<Scenario> {
    let (number, rest) = line.split_once(char::is_whitespace)?;
    let (name, rest) = rest.trim_start().split_once(char::is_whitespace)?;
    let (since, description) = rest.trim_start().split_once(char::is_whitespace)?;
    Some(Scenario {
        number: number.parse().ok()?,
        name: name.into(),
        since: (since != "planned").then(|| since.into()),
        description: description.trim().into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_lists_are_read_in_the_order_of_numbers() {
        let list = ScenarioList::parse("# names\n\n 2 ids 0.1 who is who\n1 first planned later\n").unwrap();
        let names: Vec<_> = list.0.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["first", "ids"]);
        assert_eq!(list.find("ids").map(|s| s.description.as_str()), Some("who is who"));
        assert!(list.expected().map(|s| s.number).eq([2]));
    }

    #[test]
    fn some_must_pass_in_some_places_only() {
        let list = ScenarioList::parse("1 a 0.1 x\n2 b 0.1:vmm y\n3 c 0.1:vmm,reference z\n").unwrap();
        let expected = |place| -> Vec<u32> { list.clone().at(place).expected().map(|s| s.number).collect() };
        assert_eq!(expected("vmm"), [1, 2, 3]);
        assert_eq!(expected("reference"), [1, 3]);
        assert_eq!(expected(""), [1]);
    }

    #[test]
    fn bad_lists_are_refused() {
        let error = |text| ScenarioList::parse(text).unwrap_err().to_string();
        assert!(error("1 a 0.1 x\n2 a 0.1 y\n").contains("line 2: number 2 or name a"));
        assert!(error("one a 0.1 x").contains("line 1: expected NUMBER"));
        assert!(error("# nothing\n").contains("no scenario is expected"));
        assert!(error("1 a planned x").contains("no scenario is expected"));
    }
}
