//! The transports of virtio: what each is, that empty ones are, how a device is set up (virtio 1.2, section 3.1).

use crate::machine::tree;
use crate::test::{Case, Test, cases};
use crate::virtio::{Device, MAGIC, all, register as r, status};

pub(crate) const CASES: &[Case] = cases![
    virtio_probe:
    magic, version, empty, kinds, offers_version_1, reset, features_ok, queues, reserved, interrupt_is_silent,
];

/// Lists the transports that have a device.
fn devices() -> impl Iterator<Item = Device> {
    all().filter(|device| device.kind() != 0)
}

fn magic(t: &Test) {
    for device in all() {
        t.equal("magic", device.read(r::MAGIC).into(), MAGIC.into());
    }
}

fn version(t: &Test) {
    for device in all() {
        t.equal("version", device.read(r::VERSION).into(), 2);
    }
}

fn empty(t: &Test) {
    let mut empty = 0;
    for device in all().filter(|device| device.kind() == 0) {
        empty += 1;
        // Nothing else of it may be used; that harms nobody.
        device.write(r::STATUS, 0);
        device.write(r::QUEUE_NOTIFY, 0);
    }
    let there = devices().count();
    t.equal("transports", empty + there as u64, tree::compatible("virtio,mmio").count() as u64);
}

fn kinds(t: &Test) {
    if devices().next().is_none() {
        return t.skip("there is no device");
    }
    for device in devices() {
        t.check((1..=60).contains(&device.kind()), format_args!("kind {}", device.kind()));
        t.check(device.read(r::VENDOR_ID) != 0, format_args!("it has no vendor"));
    }
}

fn offers_version_1(t: &Test) {
    if devices().next().is_none() {
        return t.skip("there is no device");
    }
    for device in devices() {
        t.equal("VIRTIO_F_VERSION_1", device.features() >> 32 & 1, 1);
        t.equal("the same when asked again", device.features(), device.features());
    }
}

fn reset(t: &Test) {
    if devices().next().is_none() {
        return t.skip("there is no device");
    }
    for device in devices() {
        device.reset();
        t.equal("status", device.status().into(), 0);
        device.add_status(status::ACKNOWLEDGE);
        device.add_status(status::DRIVER);
        t.equal("status", device.status().into(), (status::ACKNOWLEDGE | status::DRIVER).into());
        device.reset();
        t.equal("status", device.status().into(), 0);
        t.equal("interrupt status", device.read(r::INTERRUPT_STATUS).into(), 0);
    }
}

fn features_ok(t: &Test) {
    if devices().next().is_none() {
        return t.skip("there is no device");
    }
    for device in devices() {
        device.reset();
        device.add_status(status::ACKNOWLEDGE);
        device.add_status(status::DRIVER);
        device.take_features(device.features() & 1 << 32);
        device.add_status(status::FEATURES_OK);
        t.check(device.status() & status::FEATURES_OK != 0, format_args!("version 1 is not enough"));
        device.reset();
    }
}

fn queues(t: &Test) {
    if devices().next().is_none() {
        return t.skip("there is no device");
    }
    for device in devices() {
        device.reset();
        device.write(r::QUEUE_SELECT, 0);
        let most = device.read(r::QUEUE_SIZE_MAX);
        t.check((1..=32768).contains(&most) && most.is_power_of_two(), format_args!("queue of {most}"));
        t.equal("ready", device.read(r::QUEUE_READY).into(), 0);
        device.write(r::QUEUE_SELECT, 900);
        t.equal("a queue that there is not", device.read(r::QUEUE_SIZE_MAX).into(), 0);
        device.write(r::QUEUE_SELECT, u32::MAX);
        t.equal("a queue that there is not", device.read(r::QUEUE_SIZE_MAX).into(), 0);
        device.write(r::QUEUE_SELECT, 0);
    }
}

fn reserved(t: &Test) {
    for device in all() {
        for offset in [r::MAGIC, r::VERSION, r::DEVICE_ID] {
            let before = device.read(offset);
            device.write(offset, 0x1234);
            t.equal("what is read only", device.read(offset).into(), before.into());
        }
    }
}

fn interrupt_is_silent(t: &Test) {
    for device in all() {
        let spi = crate::machine::gic::shared(device.intid);
        t.check(!spi.is_pending(), format_args!("{} is pending", device.intid));
    }
}
