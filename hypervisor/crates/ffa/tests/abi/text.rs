//! What people read of errors and names: each has its own words.

use std::collections::BTreeSet;

use tantalum_ffa::boot_info::BootInfoError;
use tantalum_ffa::memory::{DescriptorError, Handle, Part};
use tantalum_ffa::{DecodeError, Status, Version};

fn all_differ(texts: impl IntoIterator<Item = String>) {
    let texts: Vec<String> = texts.into_iter().collect();
    assert!(texts.iter().all(|text| !text.is_empty()), "{texts:?}");
    assert_eq!(texts.iter().collect::<BTreeSet<_>>().len(), texts.len(), "{texts:?}");
}

#[test]
fn each_status_has_the_name_of_the_specification() {
    all_differ(Status::ALL.iter().map(Status::to_string));
    assert_eq!(Status::InvalidParameters.to_string(), "INVALID_PARAMETERS");
    assert_eq!(Status::NoData.to_string(), "NO_DATA");
}

#[test]
fn each_error_says_what_is_wrong() {
    use DescriptorError as E;
    let parts = [Part::Header, Part::Receiver, Part::Composite, Part::Constituent, Part::Relinquish];
    let others = [
        E::Attributes(0x1),
        E::Permissions(0x1),
        E::Flags(0x1),
        E::RecordSize(17),
        E::RecordOffset(0x11),
        E::TooManyReceivers(5),
        E::NoReceiver,
        E::CompositeOffset(0x33),
        E::SeveralComposites,
        E::NoRange,
        E::NoPages,
        E::Alignment(0x1001),
        E::Overflow(0x1000),
        E::TooLong,
        E::BufferTooSmall,
    ];
    let of_parts =
        parts.into_iter().flat_map(|part| [E::Truncated(part), E::Reserved(part), E::NotInLayout(part)]);
    all_differ(of_parts.chain(others).map(|error| error.to_string()));
    let boot = [
        BootInfoError::Signature,
        BootInfoError::Version(2),
        BootInfoError::Truncated,
        BootInfoError::NoManifest,
    ];
    all_differ(boot.iter().map(BootInfoError::to_string));
    let decode =
        [DecodeError::UnknownFunction(0x8400_00ff), DecodeError::InvalidParameters("w3: must be zero")];
    all_differ(decode.iter().map(DecodeError::to_string));
    assert_eq!(Status::from(decode[0]), Status::NotSupported);
    assert_eq!(Status::from(decode[1]), Status::InvalidParameters);
}

#[test]
fn numbers_are_written_as_people_know_them() {
    assert_eq!(Version::V1_2.to_string(), "1.2");
    assert_eq!(
        (Handle::new(0x1f).to_string(), format!("{:?}", Handle::new(0x1f))),
        ("0x1f".into(), "0x1f".into())
    );
}
