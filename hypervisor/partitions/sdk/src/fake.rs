//! An SPMC that answers what it is told to.

use std::cell::RefCell;
use std::collections::VecDeque;

use tantalum_ffa::Call;
use tantalum_types::CallRegisters;

use crate::spmc::Conduit;

pub(crate) struct Fake {
    answers: RefCell<VecDeque<CallRegisters>>,
    calls: RefCell<Vec<CallRegisters>>,
}

impl Fake {
    /// Answers the first call with the first of `answers`, and so on; a call too many fails the test.
    pub(crate) fn new(answers: impl IntoIterator<Item = CallRegisters>) -> Self {
        Self { answers: RefCell::new(answers.into_iter().collect()), calls: RefCell::default() }
    }

    /// Returns the calls that were made, as registers.
    pub(crate) fn made_raw(&self) -> impl Iterator<Item = CallRegisters> {
        assert!(self.answers.borrow().is_empty(), "fewer calls than answers");
        self.calls.borrow().clone().into_iter()
    }

    /// Returns the FF-A calls that were made.
    pub(crate) fn made(&self) -> Vec<Call> {
        assert!(self.answers.borrow().is_empty(), "fewer calls than answers");
        self.calls.borrow().iter().map(|call| Call::decode(call).unwrap()).collect()
    }
}

impl Conduit for Fake {
    fn call(&self, registers: &CallRegisters) -> CallRegisters {
        self.calls.borrow_mut().push(*registers);
        self.answers.borrow_mut().pop_front().expect("a call that no answer is prepared for")
    }
}
