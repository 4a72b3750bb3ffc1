//! The sample is written by the recorder's own tests; the other cases are that sample, damaged.

use super::*;

const SAMPLE: &[u8] = include_bytes!("../../tests/data/trace.bin");
const HEADER: usize = 64;
const RECORD: usize = 168;

fn sequences(bytes: &[u8]) -> Vec<u64> {
    let trace = Trace::parse(bytes).unwrap();
    assert_eq!(trace.rings.len(), 1);
    trace.rings[0].records.iter().map(|record| record.sequence).collect()
}

/// A whole ring with the header of the sample.
fn ring() -> Vec<u8> {
    let mut bytes = SAMPLE[..HEADER].to_vec();
    bytes.resize(0x10_0000, 0);
    bytes
}

/// Puts a record with this number and time where it belongs.
fn put(bytes: &mut [u8], sequence: u64, ticks: u64) {
    let slot = usize::try_from((sequence - 1) % 6241).unwrap();
    let place = &mut bytes[HEADER + slot * RECORD..][..RECORD];
    place[..8].copy_from_slice(&sequence.to_le_bytes());
    place[8..16].copy_from_slice(&ticks.to_le_bytes());
    place[16] = 10;
}

#[test]
fn the_sample_reads_as_lines() {
    let names =
        Partitions::from_lines(["secure | [sp 8001 echo] ready", "noise", "[sp 8003 relay] x", "[sp zz] y"]);
    let text = render(&Trace::parse(SAMPLE).unwrap(), &names, None);
    let expected = include_str!("../../tests/data/trace.txt");
    for (line, (got, want)) in text.lines().zip(expected.lines()).enumerate() {
        assert_eq!(got, want, "line {}", line + 1);
    }
    assert_eq!(text, expected);
}

#[test]
fn the_end_alone_can_be_had() {
    let text = render(&Trace::parse(SAMPLE).unwrap(), &Partitions::default(), Some(2));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[..2], ["# 38 records of 1 CPU", "# 36 of these are not shown"]);
    assert!(lines[3].ends_with("CPU halts"), "{text}");
}

#[test]
fn a_full_ring_begins_at_its_oldest_record() {
    let mut bytes = ring();
    for sequence in 1..=6243 {
        put(&mut bytes, sequence, sequence);
    }
    assert!(sequences(&bytes).into_iter().eq(3..=6243));
    assert!(summary(&Trace::parse(&bytes).unwrap()).ends_with("; 2 older ones were overwritten"));
}

#[test]
fn a_record_that_was_being_written_is_left_out() {
    let mut bytes = ring();
    for sequence in 1..=6242 {
        put(&mut bytes, sequence, sequence);
    }
    // The machine stopped while number 6243 took the place of number 2.
    bytes[HEADER + RECORD..][..8].fill(0);
    assert!(sequences(&bytes).into_iter().eq(3..=6242));
}

#[test]
fn a_number_in_the_wrong_place_is_no_record() {
    let mut bytes = ring();
    put(&mut bytes, 1, 5);
    // Number 0x102, of which only the first byte has been written.
    bytes[HEADER + 0x101 * RECORD] = 2;
    assert_eq!(sequences(&bytes), [1]);
}

#[test]
fn a_cpu_that_never_ran_has_no_ring() {
    let mut bytes = vec![0; 0x10_0000];
    bytes.extend(ring());
    put(&mut bytes[0x10_0000..], 1, 5);
    let trace = Trace::parse(&bytes).unwrap();
    assert_eq!(trace.rings.iter().map(|ring| ring.cpu).collect::<Vec<_>>(), [1]);
}

#[test]
fn cpus_are_put_together_by_time() {
    let mut bytes = ring();
    put(&mut bytes, 1, 30);
    put(&mut bytes, 2, 50);
    put(&mut bytes, 3, 50);
    bytes.extend(ring());
    put(&mut bytes[0x10_0000..], 1, 40);
    put(&mut bytes[0x10_0000..], 2, 50);
    let cpus: Vec<_> = Trace::parse(&bytes).unwrap().messages().iter().map(|message| message.cpu).collect();
    assert_eq!(cpus, [0, 1, 0, 0, 1], "what happens at once keeps the order of each CPU");
}

#[test]
fn memory_without_a_trace_is_said_to_have_none() {
    for bytes in [&[][..], &[0; 64], &[0xff; 0x2000], &SAMPLE[..16]] {
        let error = Trace::parse(bytes).unwrap_err().to_string();
        assert!(error.contains("there is no trace in it"), "{error}");
    }
}

#[test]
fn another_layout_is_refused() {
    for word in [8, 16, 24] {
        let mut bytes = SAMPLE.to_vec();
        bytes[word..word + 8].fill(0);
        let error = Trace::parse(&bytes).unwrap_err().to_string();
        assert!(error.contains("another layout"), "{error}");
    }
}

#[test]
fn a_ring_may_be_cut_off_anywhere() {
    for length in HEADER..HEADER + 3 * RECORD {
        let count = (length - HEADER) / RECORD;
        assert_eq!(sequences(&SAMPLE[..length]).len(), count, "{length} bytes");
    }
}

#[test]
fn signals_are_shown_where_they_differ_from_the_usual() {
    let detail = |signals| {
        let mut bytes = ring();
        put(&mut bytes, 1, 5);
        bytes[HEADER + 17] = signals;
        Trace::parse(&bytes).unwrap().messages()[0].detail.clone()
    };
    assert_eq!(detail(1), "");
    assert_eq!(detail(0), "[ns-masked]");
    assert_eq!(detail(7), "[virq] [vfiq]");
}

#[test]
fn any_bytes_can_be_decoded() {
    let mut bytes = SAMPLE.to_vec();
    for (at, byte) in bytes.iter_mut().enumerate().skip(HEADER) {
        let word = (at - HEADER) % RECORD / 8;
        if word != 0 {
            *byte = u8::try_from(at * 151 % 256).unwrap();
        }
    }
    assert_eq!(render(&Trace::parse(&bytes).unwrap(), &Partitions::default(), None).lines().count(), 39);
}
