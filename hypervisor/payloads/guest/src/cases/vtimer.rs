//! The virtual timer (DDI 0487, D12.2).

use crate::machine::timer::VIRTUAL;
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![
    vtimer:
    fires, value_is_relative, past_deadline, masked, disabled, cancel, far_deadline, status, pending_is_level, per_cpu,
    again_and_again, all_cpus_at_once, deadline_moves,
];

use super::ptimer as any;

fn fires(t: &Test) {
    any::fires(t, VIRTUAL);
}

fn value_is_relative(t: &Test) {
    any::value_is_relative(t, VIRTUAL);
}

fn past_deadline(t: &Test) {
    any::past_deadline(t, VIRTUAL);
}

fn masked(t: &Test) {
    any::masked(t, VIRTUAL);
}

fn disabled(t: &Test) {
    any::disabled(t, VIRTUAL);
}

fn cancel(t: &Test) {
    any::cancel(t, VIRTUAL);
}

fn far_deadline(t: &Test) {
    any::far_deadline(t, VIRTUAL);
}

fn status(t: &Test) {
    any::status(t, VIRTUAL);
}

fn pending_is_level(t: &Test) {
    any::pending_is_level(t, VIRTUAL);
}

fn per_cpu(t: &Test) {
    any::per_cpu(t, VIRTUAL);
}

fn again_and_again(t: &Test) {
    any::again_and_again(t, VIRTUAL);
}

fn all_cpus_at_once(t: &Test) {
    any::all_cpus_at_once(t, VIRTUAL);
}

fn deadline_moves(t: &Test) {
    any::deadline_moves(t, VIRTUAL);
}
