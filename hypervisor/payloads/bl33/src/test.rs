//! What the cases assert about calls of FF-A, beside what `tantalum_payload::report` has.
//!
//! A case about a call that the SPMC does not offer is skipped. The runner takes that from a planned case only.

use core::fmt;
use core::ops::Deref;
use core::sync::atomic::{AtomicU32, Ordering};

use tantalum_ffa::{Call, Status, Target, Version, function as f};
use tantalum_payload::call::smc;
use tantalum_payload::report::{self, Report};
use tantalum_types::{CallRegisters, EndpointId};

pub(crate) use tantalum_payload::cases;

/// Is a case, by its name in `tests/scenarios/bl33.txt`.
pub(crate) type Case = report::Case<Test>;

/// Is a case that runs. It may be used on several CPUs at once.
pub(crate) struct Test {
    report: Report,
    version: Version,
    /// The call that the SPMC lacks for this case, or 0.
    missing: AtomicU32,
}

impl Deref for Test {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.report
    }
}

impl Test {
    /// Runs the case with the number `index` and tells whether it passed.
    pub(crate) fn run(index: usize, case: &Case, version: Version) -> bool {
        let test = Self { report: Report::begin(case.name), version, missing: AtomicU32::new(0) };
        (case.run)(&test);
        match test.missing.load(Ordering::Acquire) {
            0 => test.end(index, None),
            call => test.end(index, Some(format_args!("the SPMC does not offer {call:#x}"))),
        }
    }

    /// Returns the version that this run negotiates.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// Tells whether `function`, which FF-A has since the version `since`, can be used: asserts that an older caller
    /// is told that it is not there, and skips the case if the SPMC lacks it.
    #[track_caller]
    pub(crate) fn since(&self, since: Version, function: u32) -> bool {
        let features = Call::Features { id: function, input: 0 };
        if self.version < since {
            self.refused(&features, Status::NotSupported);
            return false;
        }
        let offered = !matches!(
            Call::decode(&self.call(&features)),
            Ok(Call::Error { status: Status::NotSupported, .. })
        );
        if !offered {
            self.missing.store(function, Ordering::Release);
        }
        offered
    }

    /// Makes a call by its registers, and asserts that it leaves alone what no call may change.
    #[track_caller]
    pub(crate) fn raw(&self, registers: &CallRegisters) -> CallRegisters {
        let (answer, leak) = smc(registers);
        let [function, ..] = registers.0;
        self.check(leak.is_none(), format_args!("call {function:#x} changes {leak:x?}"));
        answer
    }

    /// Makes a call.
    #[track_caller]
    pub(crate) fn call(&self, call: &Call) -> CallRegisters {
        self.raw(&call.encode())
    }

    /// Makes a call that must succeed, and returns w2 to w7.
    #[track_caller]
    pub(crate) fn succeeds(&self, call: &Call) -> [u32; 6] {
        let answer = self.call(call);
        self.is_success(&answer)
    }

    /// Asserts that an answer is FFA_SUCCESS in the 32-bit form, and returns w2 to w7.
    #[track_caller]
    pub(crate) fn is_success(&self, answer: &CallRegisters) -> [u32; 6] {
        match Call::decode(answer) {
            Ok(Call::Success32 { target: Target::NONE, results }) => {
                self.nothing_behind(answer, 8);
                results
            }
            _ => {
                self.check(false, format_args!("expected FFA_SUCCESS, got {}", Answer(answer)));
                [0; 6]
            }
        }
    }

    /// Makes a call that must fail with `status`.
    #[track_caller]
    pub(crate) fn refused(&self, call: &Call, status: Status) {
        self.refused_raw(&call.encode(), status);
    }

    /// Makes a call that must fail with `status`, by its registers.
    #[track_caller]
    pub(crate) fn refused_raw(&self, registers: &CallRegisters, status: Status) {
        let mut answer = self.raw(registers);
        // Registers behind x7 that an error does not use may be as they were.
        for (register, before) in answer.0.iter_mut().zip(&registers.0).skip(8) {
            if register == before {
                *register = 0;
            }
        }
        self.is_error(&answer, status);
    }

    /// Asserts that an answer is FFA_ERROR with `status`, and nothing else in the registers.
    #[track_caller]
    pub(crate) fn is_error(&self, answer: &CallRegisters, status: Status) {
        let as_expected =
            matches!(Call::decode(answer), Ok(Call::Error { status: got, .. }) if got == status);
        self.check(
            as_expected,
            format_args!("expected FFA_ERROR {status} ({}), got {}", status.code(), Answer(answer)),
        );
        if as_expected {
            self.nothing_behind(answer, 4);
        }
    }

    /// Asserts that an answer has zero in the registers from `first` to x17: what a call does not define is not
    /// to tell what was there.
    #[track_caller]
    pub(crate) fn nothing_behind(&self, answer: &CallRegisters, first: usize) {
        let found = (first..18).find(|number| answer.0[*number] != 0);
        self.check(
            found.is_none(),
            format_args!("x{} of the answer {:#x?} is not zero", found.unwrap_or(0), answer.0[0]),
        );
    }

    /// Asserts that the SPMC, and the SPMD that answers for it, are as they were: the calls that must always work
    /// do.
    #[track_caller]
    pub(crate) fn all_is_well(&self) {
        let [id, ..] = self.succeeds(&Call::IdGet);
        self.equal("id of the normal world", id.into(), EndpointId::HYPERVISOR.raw().into());
        self.succeeds(&Call::Features { id: f::VERSION, input: 0 });
    }

    /// Makes a call that nobody knows, by its registers: the SPMC says NOT_SUPPORTED, and the SPMD says so for
    /// numbers that it does not pass on, in the way of the SMC Calling Convention (1.2, section 5.2).
    #[track_caller]
    pub(crate) fn is_unknown(&self, registers: &CallRegisters) {
        let answer = self.raw(registers);
        let [function, ..] = registers.0;
        if answer.0[0] == u64::MAX {
            let changed = (1..18).find(|n| answer.0[*n] != registers.0[*n] && answer.0[*n] != 0);
            self.check(changed.is_none(), format_args!("{function:#x} changes {changed:?}"));
        } else {
            self.is_error(&answer, Status::NotSupported);
        }
    }
}

/// Shows an answer to a reader.
pub(crate) struct Answer<'a>(pub(crate) &'a CallRegisters);

impl fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Call::decode(self.0) {
            Ok(Call::Error { status, .. }) => write!(f, "FFA_ERROR {status} ({})", status.code()),
            Ok(Call::Success32 { results, .. }) => write!(f, "FFA_SUCCESS {results:x?}"),
            _ => write!(f, "{:x?}", self.0.first_eight()),
        }
    }
}

/// Returns the registers of a call, of which the first ones are `first`.
pub(crate) fn registers<const N: usize>(function: u32, first: [u64; N]) -> CallRegisters {
    let mut registers = CallRegisters::ZERO;
    registers.0[0] = function.into();
    registers.0[1..=N].copy_from_slice(&first);
    registers
}
