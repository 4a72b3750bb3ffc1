//! x
use crate::{image::Image, junit::Suite, qemu::Machine, session::Record, stamp::Clock};
pub struct Report<'a> {
    pub suite: &'a Suite,
    pub record: &'a Record,
    pub clock: Clock,
    pub machine: &'a Machine,
    pub image: &'a Image,
}
pub fn html(_r: &Report<'_>) -> String {
    String::new()
}
