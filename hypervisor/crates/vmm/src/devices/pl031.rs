//! The clock: Arm PrimeCell Real Time Clock PL031 (Arm DDI 0224).
