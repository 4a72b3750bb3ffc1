//! Tests of the controller: register by register, case by case, and against a reference.

mod cases;
mod interface;
mod model;
mod reference;
mod registers;
