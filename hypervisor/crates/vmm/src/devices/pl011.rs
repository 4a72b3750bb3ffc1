//! The serial port: Arm PrimeCell UART PL011 (Arm DDI 0183).
