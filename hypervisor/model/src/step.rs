//! What can be done in a step, its text, and how steps are drawn.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::config::CPUS;

/// Is a source of numbers that are the same for the same seed (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub u64);

impl Random {
    /// Returns the next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Returns a number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

macro_rules! acts {
    ($($(#[$doc:meta])* $name:ident: $normal:literal $partition:literal,)*) => {
        /// Names what whoever has the turn does. What the numbers of a step mean is said where it is carried out.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Act {
            $($(#[$doc])* $name,)*
        }

        impl Act {
            /// Lists each act with how often the normal world and a partition do it.
            const ALL: &[(Self, &'static str, [u64; 2])] =
                &[$((Self::$name, stringify!($name), [$normal, $partition]),)*];

            /// Returns the name of the act.
            fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

acts! {
    /// Sends a direct request.
    Request: 24 12,
    /// Answers a direct request.
    Respond: 1 16,
    /// Sends a direct request of the second form.
    Service: 5 4,
    /// Answers a direct request of the second form.
    ServiceDone: 0 6,
    /// Waits for a message.
    Wait: 1 9,
    /// Gives the processing element back.
    Yield: 0 5,
    /// Lets an execution context run.
    Run: 14 6,
    /// Is stopped by an interrupt of the normal world, if they stop it.
    Interrupted: 0 6,
    /// Does what it may not.
    Trap: 0 1,
    /// Maps buffers.
    Map: 2 2,
    /// Gives buffers back.
    Unmap: 1 1,
    /// Gives the RX buffer back.
    Release: 10 14,
    /// Asks which partitions there are.
    Info: 2 2,
    /// Sends an indirect message.
    Send: 4 5,
    /// Makes notification bitmaps.
    Create: 3 0,
    /// Removes notification bitmaps.
    Destroy: 1 0,
    /// Binds notifications.
    Bind: 4 5,
    /// Unbinds notifications.
    Unbind: 1 2,
    /// Signals notifications.
    Set: 6 8,
    /// Reads notifications.
    Get: 4 5,
    /// Asks who has notifications.
    List: 2 1,
    /// Takes the virtual interrupt that is pending.
    Take: 0 4,
    /// Offers memory.
    Offer: 14 12,
    /// Sends the next fragment of an offer.
    Fragment: 8 8,
    /// Retrieves memory.
    Retrieve: 2 16,
    /// Gives borrowed memory back.
    Relinquish: 1 12,
    /// Takes memory back.
    Reclaim: 10 8,
    /// Reaches for a page.
    Touch: 0 4,
    /// Negotiates the version.
    Version: 1 1,
    /// Asks who it is, or what there is.
    Identify: 1 1,
    /// Makes a call that is none.
    Nonsense: 1 1,
}

/// Counts what came of the steps, by act.
#[derive(Clone, Debug, Default)]
pub struct Tally(pub(crate) BTreeMap<&'static str, [u64; 3]>);

impl Tally {
    /// Counts a step: 0 if it was carried out, 1 if it was refused, 2 if there was nothing to do.
    pub(crate) fn count(&mut self, act: Act, outcome: usize) {
        self.0.entry(act.name()).or_default()[outcome] += 1;
    }

    /// Adds what another one has counted.
    pub fn add(&mut self, other: &Self) {
        for (name, counts) in &other.0 {
            let sums = self.0.entry(name).or_default();
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
    }

    /// Tells whether an act was carried out at least so often, each of them.
    pub fn is_everything_done(&self, times: u64) -> bool {
        Act::ALL.iter().all(|(act, name, _)| {
            *act == Act::Nonsense || self.0.get(name).is_some_and(|[done, _, _]| *done >= times)
        })
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:12} {:>10} {:>10} {:>10}", "step", "done", "refused", "nothing")?;
        for (name, [done, refused, nothing]) in &self.0 {
            writeln!(f, "{name:12} {done:10} {refused:10} {nothing:10}")?;
        }
        Ok(())
    }
}

/// Is a step: on which processing element, what, and numbers that say more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where.
    pub cpu: u8,
    /// What whoever has the turn there does.
    pub act: Act,
    /// How.
    pub args: [u16; 6],
}

impl Step {
    /// Draws a step of the normal world's or a partition's on `cpu`.
    pub(crate) fn draw(random: &mut Random, cpu: usize, normal: bool) -> Self {
        let column = usize::from(!normal);
        let total = Act::ALL.iter().map(|(_, _, weights)| weights[column]).sum();
        let mut at = random.below(total);
        let mut act = Act::ALL[0].0;
        for (next, _, weights) in Act::ALL {
            if at < weights[column] {
                act = *next;
                break;
            }
            at -= weights[column];
        }
        let args = std::array::from_fn(|_| random.next() as u16 % 1000);
        Self { cpu: cpu as u8, act, args }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.act.name();
        let [a, b, c, d, e, g] = self.args;
        write!(f, "{} {name} {a} {b} {c} {d} {e} {g}", self.cpu)
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let wrong = || format!("not a step: {line}");
        let words: Vec<&str> = line.split_whitespace().collect();
        let [cpu, name, args @ ..] = words.as_slice() else { return Err(wrong()) };
        let cpu: u8 = cpu.parse().map_err(|_| wrong())?;
        let act = Act::ALL.iter().find(|(_, known, _)| known == name).map(|(act, _, _)| *act);
        let numbers: Vec<u16> = args.iter().map_while(|word| word.parse().ok()).collect();
        let args = numbers.try_into().map_err(|_| wrong())?;
        let act = act.filter(|_| usize::from(cpu) < CPUS).ok_or_else(wrong)?;
        Ok(Self { cpu, act, args })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_and_its_text() {
        let mut random = Random(1);
        for cpu in 0..CPUS {
            for normal in [true, false] {
                for _ in 0..200 {
                    let step = Step::draw(&mut random, cpu, normal);
                    assert_eq!(step.to_string().parse(), Ok(step));
                }
            }
        }
        assert!("0 Fly 1 2 3 4 5 6".parse::<Step>().is_err());
        assert!("9 Wait 1 2 3 4 5 6".parse::<Step>().is_err());
        assert!("0 Wait 1 2 3".parse::<Step>().is_err());
    }
}
